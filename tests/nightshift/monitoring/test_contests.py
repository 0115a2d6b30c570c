"""Releases held against each other, by a request log and labels whose truth is known."""

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import files
from nightshift.live.log import FIXED, RequestLog
from nightshift.monitoring import act, contests, served
from nightshift.monitoring.judge import Judge
from nightshift.notify import incidents
from nightshift.pipeline import Pipeline
from nightshift.registry import history, pointer
from nightshift.settings import Settings
from testing.releases import put_release

ROOT = Path(__file__).resolve().parents[3]
NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.timezone.utc)
OLD, NEW, NEXT = "2026-11-09.001", "2026-11-10.001", "2026-11-11.001"


@pytest.fixture
def pipeline(tmp_path):
    shutil.copytree(ROOT / "pipelines" / "jd", tmp_path / "pipelines" / "jd")
    shutil.copytree(ROOT / "include", tmp_path / "include")
    found = Pipeline.load(
        Settings(home=tmp_path, pipelines=tmp_path / "pipelines", project=tmp_path)
    )
    for ds in ("2026-11-09", "2026-11-10", "2026-11-11"):
        put_release(found.releases, ds, metrics={"auc": 0.78})
    for release in (OLD, NEW):
        pointer.switch_live(found.releases, release, probe=lambda *_: [], warm_s=1e6)
    return found


def acting(pipeline, action="withdraw"):
    monitor = pipeline.config.monitor.model_copy(update={"action": action})
    return pipeline.with_config(monitor=monitor)


class Traffic:
    """Answered requests and the shadow scores of the same, with the labels to come."""

    def __init__(self, pipeline, seed=1):
        self.pipeline = pipeline
        self.rng = np.random.default_rng(seed)
        self.count = 0
        self.card = False

    def day(self, day, noise, n=2000, by=(NEW, OLD), role="live", **features):
        """One day's requests; the answering release's scores are off by `noise` in logit."""
        rng = self.rng
        logit = rng.normal(size=n) * 1.2 - 2.5
        labels = rng.random(n) < 1 / (1 + np.exp(-logit))
        off = 1 / (1 + np.exp(-(logit + noise * rng.normal(size=n))))
        good = 1 / (1 + np.exp(-(logit + 0.1 * rng.normal(size=n))))
        ids = [f"q{self.count + k}" for k in range(n)]
        self.count += n
        self.write(day, "answered", ids, role, by[0], off, None, features)
        other = features if features.pop("both", False) else {}
        self.write(day, "shadow", ids, "shadow", by[1], good, ids, other)
        self.labels(day, ids, labels)

    def write(self, day, name, ids, role, release, scores, of, features):
        n = len(ids)
        start = dt.datetime.combine(day, dt.time(6), tzinfo=dt.timezone.utc)
        times = [start + dt.timedelta(seconds=k) for k in range(n)]
        columns = {
            "receipt": [f"{one}-{role}" if of else one for one in ids], "row": [0] * n,
            "at": times, "began": times, "operation": ["predict"] * n, "role": [role] * n,
            "release": [release] * n, "request_id": ids, "score": scores,
            "of": of or [None] * n,
        }  # fmt: skip
        table = pa.table({f.name: pa.array(columns.get(f.name, [None] * n), f.type) for f in FIXED})
        millis = [int(t.timestamp() * 1000) for t in times]
        table = table.append_column("request.eventTime", pa.array(millis, pa.int64()))
        for one in self.pipeline.features.spec.fields:
            values = features.get("all", self.rng.integers(0, 5, n))
            array = pa.array(np.broadcast_to(values, n))
            kind = pa.string() if one.type == "string" else pa.int64()
            table = table.append_column(f"feature.{one.name}", array.cast(kind))
        folder = RequestLog.of(self.pipeline).folder / f"hour={day}T06"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / f"{name}-{self.count}.parquet")

    def labels(self, day, ids, labels):
        folder = self.pipeline.data / "action" / f"ds={day}"
        folder.mkdir(parents=True, exist_ok=True)
        at = pa.array([dt.datetime.combine(day, dt.time(7))] * len(ids), pa.timestamp("us"))
        columns = {"reqId": ids, "eventTime": at, "ingestionTime": at}
        value = pa.array(labels.astype(np.int32))
        path = folder / f"part-{self.count}.parquet"
        pq.write_table(pa.table({**columns, "actionValue": value}), path)

    def cards(self, release):
        """Training saw five values of each feature."""
        card = {
            field.name: {"rows": 1000, "distinct": 5, "null_share": 0.0, "other_share": 0.0,
                         "bins": {str(k): 0.2 for k in range(5)}}
            for field in self.pipeline.features.spec.fields
        }  # fmt: skip
        files.write_json(self.pipeline.store.folder(release).data_card, {"features": card})


@pytest.fixture
def traffic(pipeline):
    return Traffic(pipeline)


@pytest.fixture
def rolled(monkeypatch):
    """What is asked of the rollback, which needs servers."""
    asked = []

    def back(release, of, **more):
        asked.append((release, more["reason"]))
        return {"live": release}

    monkeypatch.setattr(act, "roll_back", back)
    monkeypatch.setattr(act, "retire_rolled_back", lambda of: {})
    return asked


def test_matured_rows_are_compared_once_however_often_one_looks(pipeline, traffic):
    for day in range(11, 16):
        traffic.day(dt.date(2026, 11, day), noise=0.1)
    early = NOW - dt.timedelta(days=3)  # of the 17th: the 14th has settled
    (first,) = contests.look(pipeline, until=early)
    assert (first.new, first.old, first.rows) == (NEW, OLD, 4 * 2000)
    (again,) = contests.look(pipeline, until=early)
    assert again.to_json() == first.to_json()
    (later,) = contests.look(pipeline, until=NOW)
    assert later.rows == 5 * 2000
    contests.path_of(pipeline).unlink()
    (whole,) = contests.look(pipeline, until=NOW)
    assert whole.comparison.evidence == pytest.approx(later.comparison.evidence)
    assert whole.comparison.positives == later.comparison.positives
    assert not whole.reasons


def test_a_look_that_is_killed_before_it_has_written_is_repeated(pipeline, traffic, monkeypatch):
    traffic.day(dt.date(2026, 11, 11), noise=0.1)
    (whole,) = contests.look(pipeline, until=NOW)
    contests.path_of(pipeline).unlink()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            contests.look(pipeline, until=NOW)
    assert contests.look(pipeline, until=NOW)[0].to_json() == whole.to_json()


def test_shadow_scores_are_not_taken_for_served_ones(pipeline, traffic):
    traffic.day(dt.date(2026, 11, 11), noise=0.1)
    value = served.measure(pipeline, until=NOW)
    assert [(one["release"], one["rows"]) for one in value["releases"]] == [(NEW, 2000)]


@pytest.mark.parametrize("action", ["report", "alert", "withdraw"])
def test_a_release_that_is_worse_is_reported_told_or_withdrawn(pipeline, traffic, rolled, action):
    for day in range(11, 16):
        traffic.day(dt.date(2026, 11, day), noise=1.5)
    value = act.monitor(acting(pipeline, action), run_id="r", until=NOW)
    (one,) = value["contests"]
    assert one["worse"]
    assert one["auc_lost"] > 0.05
    told = [record.incident for record in incidents.listed(pipeline.settings)]
    if action == "withdraw":
        assert value["action"] == "withdrawn"
        ((to, reason),) = rolled
        assert to == OLD
        assert reason.startswith(f"withdrawal: {NEW} is worse than {OLD} on the same requests")
    else:
        assert rolled == []
        assert [(i.kind, "is worse than" in i.text) for i in told] == (
            [] if action == "report" else [("quality", True)]
        )


def test_an_equal_or_better_release_stays(pipeline, traffic, rolled):
    for day in range(11, 16):
        traffic.day(dt.date(2026, 11, day), noise=0.0)
    value = act.monitor(acting(pipeline), run_id="r", until=NOW)
    assert rolled == []
    assert value["contests"][0]["reasons"] == []


def test_constant_features_withdraw_unless_the_release_before_sees_them_as_well(
    pipeline, traffic, rolled
):
    traffic.cards(NEW)
    traffic.day(NOW.date(), noise=0.1, n=600, all=1)
    later = dt.datetime(2026, 11, 20, 6, 15, tzinfo=dt.timezone.utc)
    value = act.monitor(acting(pipeline), run_id="r", until=later)
    assert value["action"] == "withdrawn"
    assert "one value in all of the last 500 requests" in rolled[0][1]
    shutil.rmtree(RequestLog.of(pipeline).folder)
    traffic.day(NOW.date(), noise=0.1, n=600, all=1, both=True)
    value = act.monitor(acting(pipeline), run_id="r", until=later)
    assert value["action"] == "kept"
    assert value["why"] == f"{OLD} sees the same values"
    assert len(rolled) == 1


def test_a_canary_that_is_worse_gives_its_users_back(pipeline, traffic, rolled):
    pointer.begin_canary(pipeline.releases, NEXT, share=0.1, column="user_id", probe=lambda *_: [])
    for day in range(11, 16):
        traffic.day(dt.date(2026, 11, day), noise=1.5, by=(NEXT, NEW), role="canary")
    value = act.monitor(acting(pipeline), run_id="r", until=NOW)
    assert value["action"] == "withdrawn"
    live = pointer.read_live(pipeline.releases)
    assert (live.release_id, live.canary) == (NEW, None)
    assert rolled == []
    (told,) = [i.incident for i in incidents.listed(pipeline.settings)]
    assert (told.kind, NEXT in told.title) == ("withdrawal", True)
    why = {row.release_id: row.why for row in history.rows(pipeline.releases)}
    assert why[NEXT].startswith("withdrawn")
    again = act.monitor(acting(pipeline), run_id="r", until=NOW)
    assert again["action"] != "withdrawn"


def test_a_canary_goes_live_after_its_hours_and_not_before(pipeline, traffic, monkeypatch):
    pointer.begin_canary(pipeline.releases, NEXT, share=0.1, column="user_id", probe=lambda *_: [])
    promoted = []

    def promote(of, *, actor):
        promoted.append(pointer.read_live(of.releases).canary.pair.release_id)
        return {"live": NEXT}

    monkeypatch.setattr(act.canary, "promote_due", promote)
    for hours, wanted in ((24.0, []), (1e-9, [NEXT])):
        live = pipeline.config.live.model_copy(
            update={"canary": {"column": "user_id", "share": 0.1, "hours": hours}}
        )
        made = replace(pipeline, config=type(pipeline.config).model_validate(
            {**pipeline.config.model_dump(), "live": {**live.model_dump(warnings=False)}}
        ))  # fmt: skip
        act.monitor(made, run_id="r", until=NOW)
        assert promoted == wanted


@pytest.mark.parametrize("odd", [{}, {"through_us": 10**30}, {"through_us": -(10**18)}])
def test_a_broken_file_of_contests_begins_anew(pipeline, traffic, odd):
    traffic.day(dt.date(2026, 11, 11), noise=0.1)
    contests.path_of(pipeline).parent.mkdir(parents=True, exist_ok=True)
    one = {**Judge(new="a", old="b").to_json(), **odd} if odd else {"new": 3}
    contests.path_of(pipeline).write_text(json.dumps({"contests": [one]}))
    (one,) = contests.look(pipeline, until=NOW)
    assert one.rows == 2000
