"""A year of nights in seconds: what an installation keeps stops to grow, and nothing needed goes."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from nightshift import files, upkeep
from nightshift.live.compact import compact, write_part
from nightshift.live.log import FIXED, RequestLog
from nightshift.live.skew import run as ledger
from nightshift.live.skew.history import Loaded
from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.openmldb.loads import HISTORY
from nightshift.pipeline import Pipeline
from nightshift.registry import history, pointer, retention, store
from nightshift.release import rollback
from nightshift.triton import repository
from tests.nightshift.upkeep.conftest import put, text

NIGHTS = 365
UPKEEP = 6
"""Nights between two looks of retention and upkeep, which are daily; fewer to be quick."""

SETTLED = 100
"""Nights after which nothing may grow: the longest time that anything is kept here is 60 days."""


class Year:
    """Nights that leave what real ones leave, by the functions that leave it."""

    def __init__(self, pipeline: Pipeline, patch: pytest.MonkeyPatch) -> None:
        self.pipeline, self.patch = pipeline, patch
        self.at = dt.datetime.now(dt.timezone.utc)

    def night(self, day: dt.date, number: int) -> None:
        self.at = dt.datetime(day.year, day.month, day.day, 3, tzinfo=dt.timezone.utc)
        self.at += dt.timedelta(days=1)
        for module in (store, pointer):
            self.patch.setattr(module, "now", lambda at=self.at: text(at))
        self.traffic()
        self.loads(day)
        self.release(day, number)
        self.logs(day)
        if number % UPKEEP == 0 or number == NIGHTS - 1:
            retention.run(self.pipeline)
            upkept = upkeep.run(self.pipeline.settings, now=self.at)
            assert upkept["problems"] == []

    def traffic(self) -> None:
        log = RequestLog.of(self.pipeline)
        hour = log.folder / f"hour={self.at:%Y-%m-%dT%H}"
        for part in ("a", "b"):
            write_part(hour / f"{part}.parquet", FIXED.empty_table())
        compact(log, self.pipeline.config.live.log, now=self.at + dt.timedelta(hours=3))
        key = f"disk:{self.at:%F}"
        incident = Incident(key=key, title="nearly full", text="", pipeline=self.pipeline.name)
        incidents.report(self.pipeline.settings, incident, lasting=True, now=self.at)
        incidents.resolve(self.pipeline.settings, key, now=self.at)
        incidents.deliver_pending(self.pipeline.settings, now=self.at)

    def loads(self, day: dt.date) -> None:
        days = [f"{day - dt.timedelta(days=n)}" for n in range(31)]
        line = {
            "at_ms": int(self.at.timestamp() * 1000),
            "loaded": [["requests", one] for one in days],
            "changed": [["requests", days[3]]],
            "snapshots": [["users", "same", "users/*.parquet"]],
        }
        files.append_line(self.pipeline.runs / HISTORY, json.dumps(line).encode())
        ledger.keep(self.pipeline, {"from": f"{day}", "to": f"{day}", "rows": 5})
        (self.pipeline.lists / f"ds={day}").mkdir(parents=True)

    def release(self, day: dt.date, number: int) -> None:
        ds, repo, model = f"{day}", self.pipeline.model_repo, self.pipeline.model
        if number % 11 == 5:
            self.pipeline.store.log(
                "rejected", release_id=None, ds=ds, run_id=ds, reasons=["task train failed"]
            )
            return
        repository.claim(repo, model, self.pipeline.owner)
        version = repository.allocate_version(repo, model, ds, owner=ds)
        folder = put(self.pipeline, ds, self.at, accepted=number % 7 != 3)
        run = self.pipeline.runs / ds / folder.manifest().run.token
        run.mkdir(parents=True)
        (run / "features.parquet").write_bytes(b"x" * 5000)
        os.utime(run, (self.at.timestamp(),) * 2)
        files.write_text(repository.version_folder(repo, model, version) / "model", "parameters")
        if folder.accepted:
            pointer.switch_live(self.pipeline.releases, folder.id, probe=lambda *_: [])

    def logs(self, day: dt.date) -> None:
        root = Path(os.environ["AIRFLOW_HOME"]) / "logs"
        for dag in ("retrain_small", "monitor_small"):
            path = root / f"dag_id={dag}" / f"run_id={day}" / "task_id=one" / "attempt=1.log"
            path.parent.mkdir(parents=True)
            path.write_text("done\n")
            for one in (path, *path.parents[:2]):
                os.utime(one, (self.at.timestamp(),) * 2)
        service = self.pipeline.settings.home / "logs" / "triton.log"
        service.parent.mkdir(exist_ok=True)
        with service.open("ab") as file:
            file.write(b"x" * 100_000)

    def weight(self) -> tuple[int, int]:
        """(files, bytes) of all that is kept."""
        roots = (self.pipeline.settings.home, Path(os.environ["AIRFLOW_HOME"]))
        found = [
            os.path.join(folder, name)  # noqa: PTH118 (thousands of them)
            for root in roots
            for folder, folders, names in os.walk(root)
            for name in (*names, *folders)
        ]
        return len(found), sum(os.lstat(one).st_size for one in found if os.path.isfile(one))  # noqa: PTH113


@pytest.mark.slow
def test_a_year_of_nights_does_not_grow(pipeline, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    year = Year(pipeline, monkeypatch)
    last = dt.date.today() - dt.timedelta(days=1)
    weights = []
    for number in range(NIGHTS):
        year.night(last - dt.timedelta(days=NIGHTS - 1 - number), number)
        if number % UPKEEP == 0:
            weights.append((number, *year.weight()))
    half = SETTLED + (NIGHTS - SETTLED) // 2
    for kind, name in ((1, "files"), (2, "bytes")):
        first = max(one[kind] for one in weights if SETTLED <= one[0] < half)
        second = max(one[kind] for one in weights if one[0] >= half)
        assert second <= 1.01 * first, name
        assert first > 1.5 * weights[1][kind], name  # what is weighed does grow at first
    # Nothing that is needed went.
    live = pointer.read_live(pipeline.releases)
    made = pipeline.store.releases()
    restorable = {one.id for one in made if one.accepted and one.model.is_dir()}
    kept = {row.release_id for row in history.rows(pipeline.releases) if row.state == "kept"}
    assert restorable == {live.release_id, *kept}
    assert len(kept) >= pipeline.config.keep_releases
    assert rollback.served(pipeline.store)[-2:] == [live.previous, live.release_id]
    assert [one.release_id for one in history.rows(pipeline.releases)][-1] == live.release_id
    pipeline.store.live_path.unlink()
    found = pointer.read_live(pipeline.releases)
    assert (found.release_id, found.sequence) == (live.release_id, live.sequence)
    # The ledger still knows when what it looks at was loaded, and no day counts as never loaded.
    loaded = Loaded.read(pipeline.runs)
    assert {day for _, day in loaded.first} >= {last - dt.timedelta(days=n) for n in range(31)}
    at = loaded.first["requests", last]
    assert loaded.snapshot_at("users", at) == ("same", "users/*.parquet")
    assert len(RequestLog.of(pipeline).hours()) == pipeline.config.live.log.keep_days
    assert sorted(path.name for path in pipeline.lists.iterdir()) == [
        f"ds={last - dt.timedelta(days=n)}" for n in (2, 1, 0)
    ]
    assert pa.total_allocated_bytes() < 100_000_000
    shutil.rmtree(pipeline.settings.home)
