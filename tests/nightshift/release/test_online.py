"""A new column and a new table reach a live pipeline: a second database, switched with the release."""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from laptop.services.launch import Launch, base_env
from nightshift import files, layout
from nightshift.errors import ConfigurationError
from nightshift.night import servers
from nightshift.openmldb import deployments as online
from nightshift.openmldb.loads import bring_online
from nightshift.pipeline import Pipeline
from nightshift.registry import pointer
from nightshift.registry.manifest import FeatureStamp, ModelStamp, SpecStamp, Sql
from nightshift.registry.names import deployment_name, sql_hash
from nightshift.release import online as tables
from nightshift.release import rollback, switch
from nightshift.serving import pair
from nightshift.triton import repository as model_repository
from nightshift.zones import Zone
from testing.releases import put_release
from testing.serving import ROOT, Process, free_ports, wait_until

REQUESTS = """CREATE TABLE IF NOT EXISTS requests(
    reqId string, eventTime timestamp, user string, product string, ratio double, rate float,
    seen int, INDEX(key=user, ts=eventTime, ttl=9d));
"""
VISITS = """CREATE TABLE IF NOT EXISTS visits(
    user string, moment timestamp{more}, INDEX(key=user, ts=moment, ttl=9d));
"""
NOTES = "CREATE TABLE IF NOT EXISTS notes(user string, moment timestamp, INDEX(key=user, ts=moment, ttl=9d));"
QUERY = """SELECT reqId AS request_id, eventTime AS request_time, eventTime AS made_at, seen AS bought,
    user AS user, product AS product, dayofweek(eventTime) AS weekday, ratio AS ratio, rate AS rate,
    {count} OVER w AS count
FROM (SELECT *, {none} AS weight, eventTime AS moment FROM requests)
WINDOW w AS (
    UNION (SELECT '' AS reqId, moment AS eventTime, user, '' AS product, double(0) AS ratio,
           float(0) AS rate, int(0) AS seen, {weight} AS weight, moment FROM visits)
    PARTITION BY user ORDER BY moment ROWS_RANGE BETWEEN 2d PRECEDING AND 0s PRECEDING
    INSTANCE_NOT_IN_WINDOW)"""
OLD = QUERY.format(count="count_where(reqId, reqId = '')", none="int(0)", weight="int(0)")
NEW = QUERY.format(count="count_where(reqId, weight > 1)", none="int(0)", weight="weight")
DECLARED = "version: 1\nevents: {{requests: eventTime, visits: moment{more}}}\nrequests: {{table: requests, id: reqId}}\n"


@dataclass
class Town:
    """A pipeline, its servers, and clients that never stop asking."""

    pipeline: Pipeline
    both: object
    trained: object
    numbers: itertools.count = field(default_factory=lambda: itertools.count())

    def write(self, *, new: bool) -> None:
        """The pipeline's files and partitions, of the old tables or the new ones."""
        folder, zone = self.pipeline.folder, Zone()
        folder.mkdir(parents=True, exist_ok=True)
        more = ", weight int" if new else ""
        (folder / "features.sql").write_text(NEW if new else OLD)
        (folder / "create_tables.sql").write_text(
            REQUESTS + VISITS.format(more=more) + (NOTES if new else "")
        )
        (folder / "tables.yaml").write_text(DECLARED.format(more=", notes: moment" if new else ""))
        shutil.copyfile(self.trained.spec_path, folder / "feature_spec.yaml")
        yesterday = zone.day_of(dt.datetime.now(dt.timezone.utc)) - dt.timedelta(days=1)
        noon = zone.start_ms(yesterday) + 43_200_000
        times = pa.array([noon + n for n in range(3)], pa.timestamp("ms"))
        rows = {"user": ["u1", "u1", "u2"], "moment": times}
        if new:
            rows["weight"] = pa.array([1, 5, 7], pa.int32())
        self.put("visits", yesterday, rows)
        if new:
            self.put("notes", yesterday, {"user": ["u1"], "moment": times[:1]})
        self.ds = yesterday.isoformat()

    def put(self, table, day, rows):
        folder = layout.partition(self.pipeline.data, table, day)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(rows), folder / "part-0.parquet")

    def release(self, which: int):
        """An accepted release of the files as they are, its tables filled and its pair ready."""
        pipeline, ds = self.pipeline, self.ds
        planned = replace(pipeline, tables_in=pipeline.database)
        bring_online(self.both.openmldb, planned, ds=ds)
        sql, spec = planned.features.query(), self.trained.spec
        version = int(ds.replace("-", "")) * 1000 + which + 1
        folder = put_release(
            pipeline.releases, ds, which + 1, champion=None,
            features=FeatureStamp(
                sql=Sql(sha256=sql_hash(sql), database=planned.database,
                        deployment=deployment_name(pipeline.owner, sql)),
                spec=SpecStamp(sha256=files.sha256_file(self.trained.spec_path),
                               schema_hash=spec.schema_hash, fields=spec.width),
            ),
            model=ModelStamp(name=pipeline.model, version=version,
                             sha256=files.sha256_tree(self.trained.models[which])),
            pipeline=pipeline.name, installation=pipeline.installation,
        )  # fmt: skip
        shutil.rmtree(folder.model)
        shutil.copytree(self.trained.models[which], folder.model)
        folder.sql.write_text(sql)
        shutil.copyfile(self.trained.spec_path, folder.spec)
        shutil.copyfile(planned.features.create_tables, folder.create_tables)
        shutil.copyfile(planned.features.tables_file, folder.tables)
        model_repository.claim(pipeline.model_repo, pipeline.model, pipeline.owner)
        pair.make(self.both.openmldb, self.both.triton, planned, folder, folder.manifest())
        return folder

    def switch(self, folder):
        return switch.switch(
            self.both, self.pipeline, folder.id, requests=self.requests, promote="force",
            probe_deadline_s=60,
        )  # fmt: skip

    def requests(self, columns):
        row = self.row()
        return [[row[name] for name in columns]]

    def row(self):
        return {"reqId": f"q{next(self.numbers)}", "eventTime": int(time.time() * 1000) + 1000,
                "user": "u1", "product": "p1", "ratio": 0.5, "rate": 0.5, "seen": 0}  # fmt: skip

    def post(self, path, body):
        url = f"{self.pipeline.settings.predict_url}/v1/pipelines/{self.pipeline.name}/{path}"
        return httpx.post(url, json=body, timeout=30, trust_env=False)

    def visit(self, **more):
        at = int(time.time() * 1000)
        row = {"user": "u1", "moment": at, **more}
        return self.post(
            "events/visits", {"events": [{"id": f"v{next(self.numbers)}", "row": row}]}
        )

    def count(self):
        """Release and the feature `count` of a request of now."""
        answer = self.post("predict?explain=true", {"rows": [self.row()]})
        assert answer.status_code == 200, answer.text
        (one,) = answer.json()["predictions"]
        return answer.json()["release"], one["features"]["count"]


@pytest.fixture(scope="module")
def town(tmp_path_factory, trained, triton, openmldb_server, serving_home):
    root = tmp_path_factory.mktemp("town")
    settings = replace(
        serving_home, home=serving_home.home / "town", data=serving_home.data / "town", pipelines=root / "pipelines",
        pipeline="town", predict_port=free_ports(1)[0], retire_grace_s=0.0,
    )  # fmt: skip
    folder = settings.pipelines / "town"
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text("version: 1\nkeep_releases: 3\n")
    pipeline = Pipeline.load(settings)
    pipeline.store.root.mkdir(parents=True)
    with ExitStack() as stack:
        both = stack.enter_context(servers(serving_home))
        made = Town(pipeline, both, trained)
        made.write(new=False)
        argv = [str(ROOT / ".venv" / "bin" / "python"), "-m", "predict_server"]
        settings.home.mkdir(exist_ok=True)
        process = Process(Launch(argv, base_env(settings), ROOT), settings.home / "predict.log")
        stack.callback(process.stop)
        first = made.release(0)
        wait_until(lambda: _up(settings), "the predict server answers", 120)
        assert made.switch(first)["switched"]
        yield made
        both.triton.unload(pipeline.model)
        for name in both.openmldb.databases():
            if name.startswith(pipeline.owner):
                online.drop_database(both.openmldb, name)


def _up(settings):
    try:
        httpx.get(f"{settings.predict_url}/health", timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True


class Crowd:
    """Clients that ask and post all the while; what they were answered."""

    def __init__(self, town):
        self.town, self.stop = town, threading.Event()
        self.bad, self.releases, self.events = [], ([], []), 0
        work = ((self.ask, self.releases[0]), (self.ask, self.releases[1]), (self.tell,))
        self.threads = [threading.Thread(target=one, args=given) for one, *given in work]

    def ask(self, releases):
        while not self.stop.is_set():
            answer = self.town.post("predict", {"rows": [self.town.row()]})
            if answer.status_code != 200:
                self.bad.append(answer.text)
            else:
                releases.append(answer.json()["release"])

    def tell(self):
        while not self.stop.is_set():
            answer = self.town.visit()
            if answer.status_code != 200 or answer.json() != {"inserted": 1, "duplicates": 0}:
                self.bad.append(answer.text)
            self.events += 1
            time.sleep(0.02)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: (self.events and all(self.releases)) or self.bad, "all are answered")
        return self

    def saw(self, old, new):
        """Wait until every client has an answer of `new`; whether `old` was before it."""
        wait_until(lambda: all(new in one for one in self.releases) or self.bad, f"{new} answers")
        return all(
            set(one) == {old, new} and one == sorted(one, key=lambda name: name == new)
            for one in self.releases
        )

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_new_tables_are_filled_beside_the_live_ones_and_switched_with_the_release(town):
    old = pointer.read_live(town.pipeline.releases)
    assert town.pipeline.database == old.database == town.pipeline.owner
    assert town.visit().status_code == 200
    assert town.count() == (old.release_id, 3)  # two of yesterday, and the one just now

    town.write(new=True)
    second = town.pipeline.database
    assert second.startswith(f"{town.pipeline.owner}_")
    before = town.both.openmldb.columns(old.database, "visits")
    with Crowd(town) as crowd:
        folder = town.release(1)
        assert town.both.openmldb.columns(old.database, "visits") == before
        switched = town.switch(folder)
        assert switched["switched"], switched
        assert crowd.saw(old.release_id, folder.id)
    assert crowd.bad == []
    new = pointer.read_live(town.pipeline.releases)
    assert (new.database, town.pipeline.database) == (second, second)
    # Streamed rows are there with NULL for the column that they did not have; the partition's
    # weight counts, and so does that of an event which has it.
    streamed = 1 + crowd.events
    rows = town.both.openmldb.execute(second, "SELECT count(*) FROM visits").rows
    assert rows == [[3 + streamed]]
    assert town.count() == (folder.id, 1)
    assert town.visit(weight=2).status_code == 200
    assert town.count() == (folder.id, 2)

    with Crowd(town) as again:
        back = rollback.rollback(
            town.both, town.pipeline, None, requests=town.requests, run_id="back", token="0badcafe"
        )
        assert again.saw(folder.id, old.release_id)
    assert again.bad == []
    assert back["live"] == old.release_id
    # The old tables have what was streamed to the new ones.
    assert town.count() == (old.release_id, 2 + streamed + 1 + again.events)
    # A client of the new tables is still understood.
    assert town.visit(weight=3).status_code == 200
    assert town.visit(wait=3).status_code == 422
    # The files are still those of the new tables, and their database is the next night's.
    assert town.pipeline.database == second


def test_a_database_goes_once_no_release_needs_it(town):
    names = {one for one in town.both.openmldb.databases() if one.startswith(town.pipeline.owner)}
    assert len(names) == 2
    assert tables.drop_unneeded(town.both.openmldb, town.pipeline) == []
    for folder in town.pipeline.store.releases():
        if folder.id != pointer.read_live(town.pipeline.releases).release_id:
            shutil.rmtree(folder.model)
    town.write(new=False)
    assert tables.drop_unneeded(town.both.openmldb, town.pipeline) == [
        name for name in names if name != town.pipeline.owner
    ]
    assert town.count()[0] == pointer.read_live(town.pipeline.releases).release_id


def test_a_table_that_is_there_with_other_columns_is_refused(town):
    town.write(new=True)
    wrong = replace(town.pipeline, tables_in=town.pipeline.owner)
    with pytest.raises(
        ConfigurationError, match=r"visits is there with other columns \(user, moment\)"
    ):
        bring_online(town.both.openmldb, wrong, ds=town.ds)
