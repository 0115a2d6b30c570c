"""Nights, a backfill and a rollback on a cluster on a bad day: what OpenMLDB does of them.

Tasks are tried again as Airflow does it: after a `RetryableError`, not after any other. A server
that ended is started again, as `docker/openmldb/start.sh` does it. In the end the store holds each
partition's rows once, the export every row once, and one deployment answers.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from laptop.services.launch import Launch, base_env
from nightshift import layout
from nightshift.config.pipeline import FeatureFiles, PipelineConfig
from nightshift.data import reading
from nightshift.errors import JobFailed, OpenMLDBError, RetryableError
from nightshift.openmldb import (
    SYSTEM_DATABASE,
    OpenMLDBClient,
    loads,
    protocol,
    quote_literal,
    split_script,
)
from nightshift.openmldb import deployments as online
from nightshift.openmldb.following import finish, submit_once
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from testing.serving import ROOT, Process, serving_settings, wait_until

DAYS = layout.days_back(dt.date(2026, 11, 10), 3)
NIGHT = DAYS[-1].isoformat()
ROWS = 20
TRIES = 4
DEPLOYMENT = "visits_a1b2c3"
QUERY = """SELECT id AS id, at AS at, who AS who, count(id) OVER w AS seen FROM visit
WINDOW w AS (PARTITION BY who ORDER BY at ROWS_RANGE BETWEEN 2d PRECEDING AND CURRENT ROW)"""


@dataclass
class Cluster:
    """A server of its own, whose mood can be chosen, and who watches over it."""

    settings: Settings
    server: Process
    moods: Path

    def turn(self, moods: str) -> None:
        """Begin a mood; the settings of a healthy cluster hold besides."""
        staged = self.moods.with_suffix(".staged")
        staged.write_text(f"failed_seconds=0.1, index_seconds=0.2, {moods}")
        staged.rename(self.moods)

    def watch(self) -> None:
        """Start the server again if it has ended."""
        if self.server.process.poll() is not None:
            self.server.start()
        wait_until(self.answers, "OpenMLDB answers")

    def answers(self) -> bool:
        with OpenMLDBClient.of(self.settings) as client, contextlib.suppress(RetryableError):
            client.health()
            return True
        return False


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("cluster")
    settings = replace(serving_settings(home), openmldb_settle_s=0.3)
    moods = home / "moods"
    argv = [str(ROOT / ".venv" / "bin" / "python"), "-m", "openmldb_embedded", "--lenient"]
    argv += ["--port", str(settings.openmldb_port), "--data", str(home / "openmldb")]
    argv += ["--root", str(home)]
    env = {**base_env(settings), "OPENMLDB_EMBEDDED_MOODS": f"@{moods}"}
    made = Cluster(settings, Process(Launch(argv, env, ROOT), home / "openmldb.log"), moods)
    try:
        made.watch()
        yield made
    finally:
        made.server.stop()


@dataclass
class Shop:
    """A pipeline with three days of visits, and what a night asks of OpenMLDB for it."""

    cluster: Cluster
    pipeline: Pipeline
    tries: int = 0

    def write(self, day: dt.date, ids: list[str]) -> None:
        start = layout.day_start_ms(day)
        times = pa.array([start + n for n in range(len(ids))], pa.timestamp("ms"))
        rows = pa.table({"id": ids, "at": times, "who": ["ab"[int(one[1:]) % 2] for one in ids]})
        folder = layout.partition(self.pipeline.data, "visit", day)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, folder / "part-0.parquet")

    def task(self, work: Callable[[OpenMLDBClient], Any]) -> Any:
        """Run a task as Airflow does: what may pass is tried again, after a pause."""
        for last in (False,) * (TRIES - 1) + (True,):
            self.tries += 1
            try:
                with OpenMLDBClient.of(self.cluster.settings) as client:
                    return work(client)
            except RetryableError:
                if last:
                    raise
                time.sleep(0.3)
                self.cluster.watch()
        raise AssertionError

    def features(self, run: str) -> list[str]:
        """Offline: a database of the run's own, its load and its export; the ids exported."""
        workspace = f"{self.pipeline.database}_{run}"
        out = self.pipeline.runs / run / "features"
        source = self.pipeline.data / "visit" / "*" / "*.parquet"

        def prepare(client: OpenMLDBClient) -> None:
            self.define(client, workspace)

        def load(client: OpenMLDBClient) -> None:
            self.job(client, workspace, f"LOAD DATA INFILE {quote_literal(str(source))} INTO "
                     "TABLE visit OPTIONS(format='parquet', mode='overwrite')")  # fmt: skip

        def extract(client: OpenMLDBClient) -> None:
            self.job(client, workspace, f"{QUERY} INTO OUTFILE {quote_literal(str(out))} "
                     "OPTIONS(format='parquet', mode='overwrite')")  # fmt: skip

        out.parent.mkdir(parents=True, exist_ok=True)
        for work in (prepare, load, extract):
            self.task(work)
        self.task(lambda client: online.drop_database(client, workspace))
        return sorted(reading.table(reading.parquet_files(out))["id"].to_pylist())

    @staticmethod
    def job(client: OpenMLDBClient, database: str, sql: str) -> None:
        finish(client, submit_once(client, database, sql, "offasync"), time.time() + 60,
               settle_s=0.3, poll_s=0.2)  # fmt: skip

    def define(self, client: OpenMLDBClient, database: str) -> None:
        client.execute(SYSTEM_DATABASE, f"CREATE DATABASE IF NOT EXISTS {database}")
        for statement in split_script(self.pipeline.features.create_script()):
            client.execute(database, statement)

    def load(self, ds: str = NIGHT) -> Any:
        return self.task(lambda client: loads.bring_online(client, self.pipeline, ds=ds))

    def deploy(self) -> bool:
        return bool(
            self.task(
                lambda client: online.ensure_deployment(
                    client, self.pipeline.database, DEPLOYMENT, QUERY
                )
            )
        )

    def ask(self) -> list[Any]:
        """One request, at the end of the last day."""
        row = ["q", layout.day_start_ms(DAYS[-1]) + layout.DAY_MS - 1, "a"]
        rows, _ = self.task(lambda client: client.call(self.pipeline.database, DEPLOYMENT, [row]))
        return list(rows[0])

    def held(self) -> list[str]:
        result = self.task(
            lambda client: client.execute(self.pipeline.database, "SELECT id FROM visit")
        )
        return sorted(row[0] for row in result.rows)

    def healthy(self, ids: list[str]) -> None:
        """Nothing lost, nothing doubled, and one deployment that counts the rows."""
        self.cluster.turn("")
        assert self.held() == sorted(ids)
        newest = [name for name in ids if name[0] in "12"]
        seen = sum(int(name[1:]) % 2 == 0 for name in newest) + 1
        assert self.ask() == ["q", layout.day_start_ms(DAYS[-1]) + layout.DAY_MS - 1, "a", seen]
        with OpenMLDBClient.of(self.cluster.settings) as client:
            assert client.deployments(self.pipeline.database) == [DEPLOYMENT]
            databases = [d for d in client.databases() if d.startswith(self.pipeline.database)]
            assert databases == [self.pipeline.database]


def ids(*days: int) -> list[str]:
    return [f"{day}{n}" for day in days for n in range(ROWS)]


@pytest.fixture
def shop(cluster: Cluster, tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "features.sql").write_text(QUERY)
    (folder / "create_tables.sql").write_text(
        "CREATE TABLE IF NOT EXISTS visit(id string, at timestamp, who string, "
        "INDEX(key=who, ts=at));"
    )
    (folder / "tables.yaml").write_text(
        "version: 1\nevents: {visit: at}\nrequests: {table: visit, id: id}\n"
    )
    (folder / "feature_spec.yaml").write_text(
        "version: 1\nkeys: [id, at]\ntime: at\nlabel: seen\ncategorical: {who: string}\n"
        "test_days: 1\nvalid_days: 1\nlookback_days: {visit: 2}\n"
    )
    name = f"moody{uuid.uuid4().hex[:8]}"
    files = FeatureFiles(
        sql="features.sql", create_tables="create_tables.sql", tables="tables.yaml",
        spec="feature_spec.yaml",
    )  # fmt: skip
    config = PipelineConfig(version=1, family="ctr", features=files, database=name)
    made = Shop(cluster, Pipeline(cluster.settings, name, folder, config))
    for number, day in enumerate(DAYS):
        made.write(day, ids(number))
    cluster.turn("")
    yield made
    cluster.turn("")
    cluster.watch()


AWAY = "tablet_away=2, tables_loading=1, partial_reads=4"
CLUSTER = "deploy_seconds=0.3, unseen_seconds=600"


def test_in_good_health_and_at_a_clusters_pace_nothing_is_tried_again(shop: Shop) -> None:
    shop.cluster.turn(CLUSTER)
    assert shop.features("night") == sorted(ids(0, 1, 2))
    shop.load()
    assert shop.deploy()
    assert shop.tries == 4 + 1 + 1
    shop.healthy(ids(0, 1, 2))


@pytest.mark.parametrize(
    "mood",
    [
        AWAY,
        "load_failures=1",
        "timeout=3",  # the load
        "death=3",
    ],
)
def test_a_nights_load_is_done_once(shop: Shop, mood: str) -> None:
    shop.cluster.turn(mood)
    shop.load()
    shop.deploy()
    shop.healthy(ids(0, 1, 2))


@pytest.mark.parametrize("mood", ["timeout=3", "death=4"])
def test_a_nights_export_has_each_row_once(shop: Shop, mood: str) -> None:
    shop.cluster.turn(mood)
    assert shop.features("night") == sorted(ids(0, 1, 2))


def test_a_load_that_was_told_to_stop_and_goes_on_is_not_doubled(shop: Shop) -> None:
    with OpenMLDBClient.of(shop.cluster.settings) as client:
        shop.define(client, shop.pipeline.database)
        shop.cluster.turn("stops_ignored=1")
        path = layout.event_glob(shop.pipeline.data, "visit", DAYS)
        sql = (
            f"LOAD DATA INFILE {quote_literal(path)} INTO TABLE `visit` "
            "OPTIONS(format='parquet', mode='append')"
        )
        job = client.submit(shop.pipeline.database, sql, "online")
        client.stop_job(job.job_id)
    shop.load()
    shop.deploy()
    shop.healthy(ids(0, 1, 2))


def test_a_load_that_fails_each_time_says_why_and_the_next_night_completes_it(shop: Shop) -> None:
    shop.cluster.turn("load_failures=9")
    with pytest.raises(JobFailed, match="Writing job aborted"):
        shop.load()
    shop.cluster.turn("")
    shop.load()
    shop.deploy()
    shop.healthy(ids(0, 1, 2))


@pytest.mark.parametrize("mood", [AWAY, "timeout=3", "death=3"])
def test_a_corrected_partition_reaches_the_store_once(shop: Shop, mood: str) -> None:
    shop.load()
    shop.deploy()
    corrected = [f"1{n}" for n in range(ROWS) if n != 4]
    shop.write(DAYS[1], corrected)
    shop.cluster.turn(mood)
    shop.load()
    shop.healthy([*ids(0), *corrected, *ids(2)])


def test_a_tablet_that_loads_its_tables_makes_no_night_load_them_again(shop: Shop) -> None:
    shop.load()
    shop.deploy()
    shop.cluster.turn("tables_loading=2, partial_reads=5")
    report = shop.load()
    assert (report["loads"], report["reconciled"]) == ([], [])
    shop.healthy(ids(0, 1, 2))


@pytest.mark.parametrize(
    "mood",
    [AWAY, "load_failures=1", "timeout=6", "unseen_seconds=0.5"],
)
def test_a_backfill_of_three_dates_loads_each_day_once(shop: Shop, mood: str) -> None:
    shop.cluster.turn(mood)
    for day in DAYS:
        shop.load(day.isoformat())
    shop.deploy()
    shop.healthy(ids(0, 1, 2))


@pytest.mark.parametrize(
    "mood",
    [
        *(CLUSTER, AWAY, "timeout=1, deploy_seconds=0.8", "death=1"),
        *("unseen_seconds=0.5", "tables_loading=3", "timeout=1, unseen_seconds=0.5"),
    ],
)
def test_a_rollback_deploys_what_was_retired(shop: Shop, mood: str) -> None:
    shop.load()
    shop.deploy()
    shop.task(lambda client: online.drop_deployment(client, shop.pipeline.database, DEPLOYMENT))
    shop.cluster.turn(mood)
    shop.deploy()
    shop.healthy(ids(0, 1, 2))


def test_a_deployment_of_a_try_that_ended_too_soon_is_made_visible(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.load()
    shop.cluster.turn("unseen_seconds=600")
    with monkeypatch.context() as one:
        one.setattr(protocol, "_DEFINES", re.compile("(?!)"))  # it ended before POST /refresh
        assert shop.deploy()
    with pytest.raises(OpenMLDBError, match="does not exist"):
        shop.ask()
    assert not shop.deploy()
    assert shop.ask()[0] == "q"


def test_an_index_job_of_another_is_waited_for(shop: Shop) -> None:
    shop.load()
    shop.cluster.turn("index_seconds=1")
    with OpenMLDBClient.of(shop.cluster.settings) as client:
        client.execute(shop.pipeline.database, "CREATE INDEX other ON visit (id) OPTIONS(ts=at)")
    before = shop.tries
    shop.deploy()
    assert shop.tries == before + 1
    shop.healthy(ids(0, 1, 2))
