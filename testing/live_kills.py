"""SIGKILL at random moments of live traffic: ingest, reconcile, logging, ledger, withdrawal.

`python -m testing.live_kills KIND FOLDER` is a child that does the work of one kind on a yard: a small
pipeline beside an embedded OpenMLDB. It says `ready` once it has imported what it needs, and `done`.
`Yard.kill` starts such children, kills them at random moments, lets the last one finish, and
counts rows that were lost or doubled.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import layout
from nightshift.data.declared import declared_tables
from nightshift.errors import LockHeld, ServiceUnavailable
from nightshift.live import events as streaming
from nightshift.live.compact import compact
from nightshift.live.events import Events
from nightshift.live.folders import live_folder
from nightshift.live.log import RequestLog
from nightshift.monitoring import act
from nightshift.notify import incidents
from nightshift.openmldb import OpenMLDBClient, split_script
from nightshift.openmldb.deployments import ensure_deployment
from nightshift.openmldb.loads import bring_online
from nightshift.openmldb.rows import digest, fitted, stored_rows
from nightshift.pipeline import Pipeline
from nightshift.registry import pointer
from nightshift.registry.pointer import LivePointer
from nightshift.settings import Settings
from nightshift.watch import nights
from testing.releases import put_release
from testing.shop import FILES, QUERY

ROOT = Path(__file__).resolve().parents[1]
DAY = dt.date(2026, 3, 2)
RELEASE = "2026-03-01.001"


@dataclass
class Counted:
    """What became of the kills of one kind.

    Attributes:
        kills: children that were killed.
        finished: children that ended by themselves before their moment came.
        rows: rows, answers or reports that were checked.
        wrong: whatever else was found.
    """

    kind: str
    kills: int = 0
    finished: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Nothing lost, doubled or wrong."""
        return not (self.lost or self.doubled or self.wrong)

    def to_json(self) -> dict[str, Any]:
        """For printing."""
        return asdict(self)


class Yard:
    """A small pipeline of its own beside a running OpenMLDB.

    Args:
        settings: of the server.
        folder: where it was made.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.pipeline = Pipeline.load(settings)
        files = self.pipeline.features
        self.declared = declared_tables(files.tables, files.create_script())

    @classmethod
    def make(cls, settings: Settings, folder: Path, client: OpenMLDBClient) -> Yard:
        """Lay one out, with its online tables and its deployment.

        Args:
            settings: of the server.
            folder: of the yard; below what the server may read.
            client: of the server.
        """
        number = secrets.randbits(24)
        pipelines = folder / "pipelines"
        (pipelines / "shop").mkdir(parents=True, exist_ok=True)
        for file, content in FILES.items():
            text = content.replace("{database}", f"yard_{number:06x}")
            text = text.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ")
            (pipelines / "shop" / file).write_text(text)
        settings = replace(
            settings, home=folder, data=folder / "data", pipelines=pipelines, pipeline="shop",
            installation=f"{number:06x}", openmldb_settle_s=0.0,
        )  # fmt: skip
        (folder / "settings.json").write_text(json.dumps(settings.to_env()))
        yard = cls(settings, folder)
        yard.set_up(client)
        return yard

    def set_up(self, client: OpenMLDBClient) -> None:
        """Make the online tables and the deployment."""
        database = self.pipeline.database
        client.execute(database, f"CREATE DATABASE {database}")
        for statement in split_script(self.pipeline.features.create_script()):
            client.execute(database, statement)
        ensure_deployment(client, database, "served", QUERY)
        self.write("person", [["ann", layout.day_start_ms(DAY), "Rome"]])

    def write(self, table: str, rows: Sequence[Sequence[Any]], day: dt.date = DAY) -> None:
        """Write a partition, or a snapshot."""
        declared = self.declared[table]
        place = layout.partition(self.pipeline.data, table, day)
        if declared.time is None:
            place = self.pipeline.data / table
        place.mkdir(parents=True, exist_ok=True)
        schema = declared.arrow_schema()
        columns = list(zip(*rows, strict=True)) or [() for _ in schema]
        arrays = [
            pa.array(values, pa.int64()).cast(pa.timestamp("ms")).cast(item.type)
            if pa.types.is_timestamp(item.type)
            else pa.array(values, item.type)
            for values, item in zip(columns, schema, strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), place / "part-0.parquet")

    def stored(self, client: OpenMLDBClient, table: str, day: dt.date = DAY) -> Counter[bytes]:
        """Digests of the rows of a day that the online store holds."""
        declared = self.declared[table]
        start = layout.day_start_ms(day)
        rows = stored_rows(
            client, self.pipeline.database, table, declared.columns, str(declared.time),
            start, start + layout.DAY_MS,
        )  # fmt: skip
        return Counter(map(digest, rows))

    # Kills

    def kill(self, kind: str, kills: int, client: OpenMLDBClient, seed: int = 10) -> Counted:
        """Do the work of a kind again and again, killed at random moments, and count."""
        rng = random.Random(seed)
        made = Counted(kind)
        around, _ = _WORKS[kind]
        work = around(self, client, rng)
        span = work.span()
        for number in range(kills):
            work.before()
            # One kill at least comes after there is something to lose.
            begun = work.begun if number == 0 else None
            if self._child(kind, rng.uniform(0, span), begun):
                made.kills += 1
            else:
                made.finished += 1
            if work.each:
                work.end(made)
        if not work.each:
            work.end(made)
        return made

    def whole(self, kind: str) -> float:
        """A child that is not killed; its seconds."""
        began = time.monotonic()
        assert not self._child(kind, None)
        return time.monotonic() - began

    def _child(
        self, kind: str, after_s: float | None, begun: Callable[[], bool] | None = None
    ) -> bool:
        """Run a child; whether it was killed.

        Args:
            kind: of work.
            after_s: when it is killed, seconds from `ready`; None for never.
            begun: what must be true before the time is counted.

        Raises:
            RuntimeError: it failed by itself.
        """
        argv = [sys.executable, "-P", "-m", "testing.live_kills", kind, str(self.folder)]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
        with subprocess.Popen(
            argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            if child.stdout.readline() != "ready\n":
                raise RuntimeError(child.stderr.read()[-3000:])
            while begun is not None and not begun() and child.poll() is None:
                time.sleep(0.005)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(after_s)
            killed = child.poll() is None
            if killed:
                child.send_signal(signal.SIGKILL)
            code = child.wait()
            if not killed and code != 0:
                raise RuntimeError(child.stderr.read()[-3000:])
        return killed


class _Work:
    """What one kind does around its children."""

    each = True
    """Whether the work is completed and checked after each kill."""

    def __init__(self, yard: Yard, client: OpenMLDBClient, rng: random.Random) -> None:
        self.yard, self.client, self.rng = yard, client, rng

    def span(self) -> float:
        """About how long the child works, seconds."""
        return 1.0

    def before(self) -> None:
        """What must be there before a child."""

    def begun(self) -> bool:
        """Whether the child has done something that could be lost."""
        return True

    def end(self, made: Counted) -> None:
        """Complete the work and count."""
        raise NotImplementedError


def compare(made: Counted, wanted: Mapping[bytes, int], found: Mapping[bytes, int]) -> None:
    """Count what is lost and what is there too often."""
    for mark in {*wanted, *found}:
        gap = found.get(mark, 0) - wanted.get(mark, 0)
        made.lost += max(-gap, 0)
        made.doubled += max(gap, 0)
    made.rows += sum(wanted.values())


BATCHES, BATCH = 60, 20


def batches() -> list[tuple[list[str], list[list[Any]]]]:
    """Events that are sent, the same every time."""
    start = layout.day_start_ms(DAY)
    made = []
    for number in range(BATCHES):
        numbers = range(number * BATCH, (number + 1) * BATCH)
        rows = [[f"who{n % 50}", start + n * 1000, f"page{n}"] for n in numbers]
        made.append(([f"e{n}" for n in numbers], rows))
    return made


class _Ingest(_Work):
    """All batches are sent, from the first one again after each kill."""

    each = False

    def end(self, made: Counted) -> None:
        self.yard.whole("ingest")
        columns = self.yard.declared["click"].columns
        wanted = Counter(digest(fitted(row, columns)) for _, rows in batches() for row in rows)
        compare(made, wanted, self.yard.stored(self.client, "click"))


def _ingest(yard: Yard, client: OpenMLDBClient) -> None:
    streaming.SETTLE_S = 0.2  # the embedded server executes at once or not at all
    events = Events(client, yard.pipeline.database, live_folder(yard.settings, "shop"))
    for ids, rows in batches():
        while True:
            try:
                events.insert(yard.declared["click"], ids, rows)
                break
            except ServiceUnavailable:
                time.sleep(0.05)


class _Reconcile(_Work):
    """Partitions change, rows were streamed; a night makes the store equal."""

    def __init__(self, yard: Yard, client: OpenMLDBClient, rng: random.Random) -> None:
        super().__init__(yard, client, rng)
        self.rows = {day: [self._row(day) for _ in range(300)] for day in layout.days_back(DAY, 2)}
        self.number = 0

    def _row(self, day: dt.date) -> list[Any]:
        return [
            f"who{self.rng.randrange(50)}", layout.day_start_ms(day) + self.rng.randrange(10**7),
            f"page{self.rng.randrange(10**9)}",
        ]  # fmt: skip

    def span(self) -> float:
        self.before()
        began = time.monotonic()
        bring_online(self.client, self.yard.pipeline, ds=f"{DAY}")
        return time.monotonic() - began

    def before(self) -> None:
        events = Events(
            self.client, self.yard.pipeline.database, live_folder(self.yard.settings, "shop")
        )
        for day, rows in self.rows.items():
            self.rng.shuffle(rows)
            del rows[: self.rng.randrange(1, 40)]
            rows += [self._row(day) for _ in range(self.rng.randrange(1, 40))]
            self.yard.write("click", rows, day)
            self.yard.write("visit", [["v", layout.day_start_ms(day), "ann", "p"]], day)
            # Half of what is streamed is in the partition.
            streamed = [*rows[:5], *(self._row(day) for _ in range(5))]
            ids = [f"s{self.number + n}" for n in range(len(streamed))]
            self.number += len(ids)
            events.insert(self.yard.declared["click"], ids, streamed)

    def end(self, made: Counted) -> None:
        bring_online(self.client, self.yard.pipeline, ds=f"{DAY}")
        columns = self.yard.declared["click"].columns
        for day, rows in self.rows.items():
            wanted = Counter(digest(fitted(row, columns)) for row in rows)
            compare(made, wanted, self.yard.stored(self.client, "click", day))


def _reconcile(yard: Yard, client: OpenMLDBClient) -> None:
    bring_online(client, yard.pipeline, ds=f"{DAY}")


ANSWERS = 2000


class _Logging(_Work):
    """A worker keeps answers while another process compacts them; both die with the child."""

    def __init__(self, yard: Yard, client: OpenMLDBClient, rng: random.Random) -> None:
        super().__init__(yard, client, rng)
        self.acknowledged = yard.folder / "acknowledged"

    def begun(self) -> bool:
        return self.acknowledged.exists() and "\n" in self.acknowledged.read_text()

    def end(self, made: Counted) -> None:
        log = RequestLog.of(self.yard.pipeline)
        compact(log, None)
        found = Counter(log.read(columns=["receipt"])["receipt"].to_pylist())
        path = self.acknowledged
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        for line in lines:
            if not line.endswith("\n"):
                continue
            made.lost += found.get(line.strip(), 0) == 0
        made.rows += len(lines)
        made.doubled += sum(count - 1 for count in found.values())
        path.unlink(missing_ok=True)


def _logging(yard: Yard, client: OpenMLDBClient) -> None:
    import threading

    from predict_server.metrics import Metrics
    from predict_server.recording import Recorder

    from nightshift.config.live import LogConfig

    recorder = Recorder(live_folder(yard.settings, "shop"), LogConfig(), Metrics().of("shop"))
    subject = recorder.subject(
        _pointer(), tuple(yard.declared["visit"].columns.items()), (("visit_id", "string"),), 0
    )
    stop = threading.Event()

    def compacting() -> None:
        from nightshift.live import spool

        while not stop.wait(0.05):
            with contextlib.suppress(LockHeld):  # the writer is slower
                spool.roll(RequestLog.of(yard.pipeline).folder / "spool", timeout_s=0.2)
            compact(RequestLog.of(yard.pipeline), None)

    threading.Thread(target=compacting, daemon=True).start()
    # Answers of a worker's last moments are lost with it: those its thread has not written yet.
    waiting: deque[tuple[str, int]] = deque()
    with (yard.folder / "acknowledged").open("a", buffering=1) as told:
        for n in range(ANSWERS):
            row = [f"v{n}", layout.day_start_ms(DAY) + n, "ann", "p"]
            receipt = recorder.note(
                subject, "predict", time.time(), [row], [[f"v{n}"]], np.array([0.5], np.float32)
            )
            waiting.append((receipt["id"], recorder._put_bytes))
            while waiting and waiting[0][1] <= recorder._taken_bytes:
                told.write(f"{waiting.popleft()[0]}\n")
            time.sleep(0.0005)
    stop.set()
    recorder.close()


def _pointer() -> LivePointer:
    return LivePointer(
        release_id=RELEASE, ds=RELEASE[:10], database="d", deployment="served", model="m",
        model_version=1, feature_spec=None, spec_hash=None, manifest_checksum="", family="ctr", switched_at="",
        sequence=1, previous=None, reason="promotion",
    )  # fmt: skip


class _Observe(_Work):
    """A ledger is made; its report is whole or not there, and the next one says the same."""

    def __init__(self, yard: Yard, client: OpenMLDBClient, rng: random.Random) -> None:
        super().__init__(yard, client, rng)
        _serve(yard, client)
        self.took = yard.whole("observe")
        self.wanted = self._report()

    def span(self) -> float:
        return self.took

    def _report(self) -> str:
        folder = live_folder(self.yard.settings, "shop") / "skew"
        (path,) = folder.glob("*.json")
        text = path.read_text()
        assert json.loads(text)["status"] == "explained", text
        return text

    def before(self) -> None:
        for path in (live_folder(self.yard.settings, "shop") / "skew").glob("*.json"):
            path.unlink()

    def end(self, made: Counted) -> None:
        folder = live_folder(self.yard.settings, "shop") / "skew"
        made.rows += 1
        made.wrong += [
            "a report that is not whole" for path in folder.glob("*.json")
            if path.read_text() != self.wanted
        ]  # fmt: skip
        self.yard.whole("observe")
        if self._report() != self.wanted:
            made.wrong.append("another report after a kill")
        left = [name for name in self.client.databases() if name.endswith("_observe")]
        left += [str(path) for path in (self.yard.pipeline.runs / "observe").glob("**/*")]
        if left:
            made.wrong.append(f"left over: {left}")


def _serve(yard: Yard, client: OpenMLDBClient) -> None:
    """Requests and clicks of a day, answered by the store, logged, and landed."""
    from predict_server.metrics import Metrics
    from predict_server.recording import Recorder

    from nightshift.config.live import LogConfig

    folder = yard.pipeline.store.folder(RELEASE)
    folder.root.mkdir(parents=True, exist_ok=True)
    folder.sql.write_text(QUERY)
    folder.spec.write_text(yard.pipeline.features.spec_file.read_text())
    live = live_folder(yard.settings, "shop")
    events = Events(client, yard.pipeline.database, live)
    recorder = Recorder(live, LogConfig(), Metrics().of("shop"))
    info = client.deployment(yard.pipeline.database, "served")
    subject = recorder.subject(
        _pointer(), tuple(yard.declared["visit"].columns.items()),
        tuple(info.output_schema), 0,
    )  # fmt: skip
    start = layout.day_start_ms(DAY) + 20_000_000
    visits: list[list[Any]] = []
    clicks: list[list[Any]] = []
    for n in range(30):
        click = [f"who{n % 5}", start + n * 1000, f"page{n}"]
        clicks.append(click)
        if n % 4:  # the others come too late
            events.insert(yard.declared["click"], [f"o{n}"], [click])
        row = [f"w{n}", start + n * 1000 + 500, f"who{n % 5}", "p"]
        began = time.time()
        rows, _ = client.call(yard.pipeline.database, "served", [row])
        recorder.note(subject, "predict", began, [row], rows, np.array([0.5], np.float32))
        events.insert(yard.declared["visit"], [f"w{n}"], [row])
        visits.append(row)
    time.sleep(0.01)
    for n in range(0, 30, 4):
        events.insert(yard.declared["click"], [f"o{n}"], [clicks[n]])
    recorder.close()
    yard.write("click", clicks)
    yard.write("visit", visits)
    compact(RequestLog.of(yard.pipeline), None)


def _observe(yard: Yard, client: OpenMLDBClient) -> None:
    from nightshift.live.skew import ledger, run

    run.keep(yard.pipeline, ledger.observe(yard.pipeline, client, DAY, DAY))


WHY = "its mean score is 0.5 where the live release gives 0.01"


class _Withdrawal(_Work):
    """A canary loses its users: pointer, log and message agree, and each says it once."""

    def __init__(self, yard: Yard, client: OpenMLDBClient, rng: random.Random) -> None:
        super().__init__(yard, client, rng)
        self.live = put_release(yard.pipeline.releases, "2026-03-01").id
        pointer.switch_live(yard.pipeline.releases, self.live, probe=lambda *_: [])
        for _ in range(2):  # the first one pays for imports
            self.before()
            began = time.monotonic()
            _withdrawal(yard, client)
            self.took = time.monotonic() - began

    def span(self) -> float:
        return self.took

    def before(self) -> None:
        # A canary of its own each time: a message is told once of one.
        self.canary = put_release(
            self.yard.pipeline.releases, f"{DAY + dt.timedelta(days=len(self._releases()))}"
        ).id
        pointer.begin_canary(
            self.yard.pipeline.releases, self.canary, share=0.1, column="who", probe=lambda *_: []
        )

    def _releases(self) -> list[Any]:
        return self.yard.pipeline.store.releases()

    def end(self, made: Counted) -> None:
        pipeline = self.yard.pipeline
        between = pointer.read_live(pipeline.releases)
        if between is None or between.release_id != self.live:
            made.wrong.append(f"after a kill {between} serves")
        self.yard.whole("withdrawal")
        live = pointer.read_live(pipeline.releases)
        if live is None or (live.release_id, live.canary) != (self.live, None):
            made.wrong.append(f"{live} serves after the withdrawal of {self.canary}")
        logged = [
            event for event in pipeline.store.events()
            if event["event"] == "canary ended" and event["release_id"] == self.canary
        ]  # fmt: skip
        told = [
            one for one in incidents.listed(self.yard.settings)
            if one.incident.key == f"withdrawal:shop:{self.canary}:canary"
        ]  # fmt: skip
        for found in (logged, told):
            made.rows += 1
            made.lost += not found
            made.doubled += max(len(found) - 1, 0)
        made.wrong += [str(event) for event in logged if WHY not in event["reason"]]
        made.wrong += [one.incident.text for one in told if WHY not in one.incident.text]


def _withdrawal(yard: Yard, client: OpenMLDBClient) -> None:
    live = pointer.read_live(yard.pipeline.releases)
    assert live is not None
    if live.canary is not None:
        act.withdraw_canary(
            yard.pipeline, live.canary.pair.release_id, WHY, {"live": live.release_id}
        )
    nights.tell_night(yard.pipeline)  # what the watch does every five minutes


_WORKS: dict[str, tuple[type[_Work], Callable[[Yard, OpenMLDBClient], None]]] = {
    "ingest": (_Ingest, _ingest),
    "reconcile": (_Reconcile, _reconcile),
    "logging": (_Logging, _logging),
    "observe": (_Observe, _observe),
    "withdrawal": (_Withdrawal, _withdrawal),
}
"""By kind, what is done around a child, and what the child does."""

KINDS = tuple(_WORKS)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    os.environ.update(json.loads((arguments.folder / "settings.json").read_text()))
    settings = Settings.from_env()
    yard = Yard(settings, arguments.folder)
    _, work = _WORKS[arguments.kind]
    with OpenMLDBClient.of(settings) as client:
        client.databases()
        print("ready", flush=True)
        work(yard, client)
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
