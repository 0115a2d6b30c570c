"""Two installations with two pipelines each on one OpenMLDB and one Triton."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from laptop.services.launch import Launch, base_env
from nightshift import files
from nightshift.errors import ReleaseRejected
from nightshift.night import Servers, servers
from nightshift.openmldb import SYSTEM_DATABASE
from nightshift.openmldb import deployments as online
from nightshift.pipeline import Pipeline
from nightshift.registry import leases, pointer
from nightshift.registry.manifest import FeatureStamp, ModelStamp, SpecStamp, Sql
from nightshift.registry.names import deployment_name, sql_hash
from nightshift.registry.store import ReleaseFolder
from nightshift.release import recover, rollback, switch
from nightshift.serving import pair
from nightshift.settings import Settings
from nightshift.triton import repository as model_repository
from testing.releases import put_release
from testing.serving import ROOT, Process, Trained, free_ports, golden_rows, wait_until

DATABASE = "shared_house"
TABLE = """CREATE TABLE IF NOT EXISTS requests(
    reqId string, eventTime timestamp, user string, product string, ratio double, rate float,
    seen int, INDEX(key=user, ts=eventTime, ttl=0m, ttl_type=absolute)
)"""
QUERY = """SELECT
    reqId AS request_id, eventTime AS request_time, eventTime AS made_at, seen AS bought,
    user AS user, product AS product, dayofweek(eventTime) AS weekday, ratio AS ratio,
    rate AS rate, count(reqId) OVER w AS count
FROM requests
WINDOW w AS (PARTITION BY user ORDER BY eventTime
             ROWS_RANGE BETWEEN {days}d PRECEDING AND 0s PRECEDING)"""
ROW = {
    "reqId": "q0",
    "eventTime": 1_709_600_000_000,
    "user": "u1",
    "product": "p1",
    "ratio": 0.5,
    "rate": 0.5,
    "seen": 0,
}
CONFIG = f"version: 1\nfamily: ctr\ndatabase: {DATABASE}\nkeep_releases: 3\n"


def requests(columns):
    return [[ROW[name] for name in columns]]


def predict_server(settings: Settings) -> Process:
    argv = [str(ROOT / ".venv" / "bin" / "python"), "-m", "predict_server"]
    return Process(Launch(argv, base_env(settings), ROOT), settings.home / "predict.log")


def answers(settings: Settings) -> bool:
    try:
        httpx.get(f"{settings.predict_url}/health", timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def predict(pipeline: Pipeline) -> dict:
    """What the pipeline's own predict server answers."""
    url = f"{pipeline.settings.predict_url}/v1/pipelines/{pipeline.name}/predict"
    answer = httpx.post(url, json={"rows": [ROW]}, timeout=20, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


@dataclass
class World:
    """Two homes; everything that they share."""

    homes: tuple[Settings, Settings]
    both: Servers
    trained: Trained

    @property
    def pipelines(self) -> list[Pipeline]:
        return [Pipeline.load(home, name) for home in self.homes for name in ("ads", "shop")]

    def release(
        self, pipeline: Pipeline, ds: str, which: int, *, legacy: str | None = None,
        root: Path | None = None, sequence: int = 1, database: str = DATABASE,
    ) -> ReleaseFolder:  # fmt: skip
        """An accepted release of one of the trained models, made by hand.

        `legacy` is the model's name of a release from before names had owners: a manifest of
        format 1, a model without a signature, a deployment that begins with the model's name.
        """
        source, spec = self.trained.models[which], self.trained.spec
        model = self.trained.workshop.root / f"{pipeline.owner}-{ds}-{sequence}-{which}"
        if not model.exists():
            shutil.copytree(source, model)
            if legacy:
                rows = golden_rows(model)
                (model / "signature.json").unlink()
                (model / "golden.npz").unlink()
                files.write_json(
                    model / "golden.json",
                    {"ids": rows.ids, "scores": rows.scores, "tolerance": rows.tolerance},
                )
        sql = QUERY.format(days=which + 1)
        name = legacy or pipeline.model
        version = int(ds.replace("-", "")) * 1000 + sequence
        folder = put_release(
            root or pipeline.releases,
            ds,
            sequence,
            champion=None,
            features=FeatureStamp(
                sql=Sql(
                    sha256=sql_hash(sql),
                    database=database,
                    deployment=deployment_name(legacy or pipeline.owner, sql),
                ),
                spec=SpecStamp(
                    sha256=files.sha256_file(self.trained.spec_path),
                    schema_hash=spec.schema_hash,
                    fields=spec.width,
                ),
            ),
            model=ModelStamp(name=name, version=version, sha256=files.sha256_tree(model)),
            **(
                {"format": 1, "pipeline": None, "installation": None, "signature": None}
                if legacy
                else {"pipeline": pipeline.name, "installation": pipeline.installation}
            ),
        )
        shutil.rmtree(folder.model)
        shutil.copytree(model, folder.model)
        folder.sql.write_text(sql)
        shutil.copyfile(self.trained.spec_path, folder.spec)
        if not legacy:
            model_repository.claim(pipeline.model_repo, pipeline.model, pipeline.owner)
        return folder

    def go_live(self, pipeline: Pipeline, folder: ReleaseFolder) -> None:
        pair.make(self.both.openmldb, self.both.triton, pipeline, folder, folder.manifest())
        value = switch.switch(
            self.both, pipeline, folder.id, requests=requests, promote="force", probe_deadline_s=60
        )
        assert value["switched"], value

    def retire(self, pipeline: Pipeline) -> dict:
        return switch.retire(self.both, pipeline, run_token=None)

    def recover(self, pipeline: Pipeline) -> dict:
        return recover.recover(self.both, pipeline, run_token=None)

    def roll_back(
        self, pipeline: Pipeline, release: str | None = None, token: str = "0badcafe"
    ) -> dict:
        return rollback.rollback(
            self.both, pipeline, release, requests=requests,
            run_id=f"back {pipeline.owner} {token}", token=token,
        )  # fmt: skip

    def state(self) -> set[tuple[str, str]]:
        """Everything that the shared systems hold, as (kind, name)."""
        client, repo = self.both.openmldb, self.homes[0].model_repo
        found = {("database", name) for name in client.databases()}
        for name in (DATABASE, "old_house"):
            if ("database", name) in found:
                found |= {("deployment", d) for d in client.deployments(name)}
        for model in (path.name for path in repo.iterdir() if path.is_dir()):
            found |= {("version", f"{model}/{v}") for v in model_repository.versions(repo, model)}
            found |= {("pin", f"{model}/{v}") for v in model_repository.pins(repo, model)}
        return found


def changed_by(world: World, action, owner: str) -> set[tuple[str, str]]:
    """Do it; what it took away must all be the owner's."""
    before = world.state()
    action()
    gone = before - world.state()
    strangers = {item for item in gone if not item[1].startswith(f"{owner}_")}
    strangers = {item for item in strangers if not item[1].startswith(f"{owner}/")}
    assert not strangers
    return gone


@pytest.fixture
def world(
    tmp_path, trained, triton, openmldb_server, serving_home
) -> Iterator[World]:  # fmt: skip
    folder = tmp_path / "pipelines"
    for name in ("ads", "shop"):
        (folder / name).mkdir(parents=True)
        (folder / name / "pipeline.yaml").write_text(CONFIG)
    homes = tuple(
        replace(
            serving_home, home=tmp_path / name, data=tmp_path / name / "data", pipelines=folder,
            pipeline="ads", predict_port=port, retire_grace_s=0.0,
        )
        for name, port in zip(("one", "two"), free_ports(2), strict=True)
    )  # fmt: skip
    with ExitStack() as stack:
        both = stack.enter_context(servers(serving_home))
        for name in (DATABASE, "old_house"):
            if name not in both.openmldb.databases():
                both.openmldb.execute(SYSTEM_DATABASE, f"CREATE DATABASE {name}", mode="onsync")
            both.openmldb.execute(name, TABLE, mode="onsync")
        for home in homes:
            home.home.mkdir()
            stack.callback(predict_server(home).stop)
        for home in homes:
            wait_until(lambda home=home: answers(home), "the predict server answers")
        made = World(homes, both, trained)
        yield made
        for model in {p.model for p in made.pipelines} | {"deepfm"}:
            both.triton.unload(model)
        for name in (DATABASE, "old_house"):
            online.drop_database(both.openmldb, name)


def test_neither_takes_what_is_the_others(world):
    pipelines = world.pipelines
    assert len({p.owner for p in pipelines}) == 4
    # The same query and the same model everywhere: only names can tell them apart.
    for number, pipeline in enumerate(pipelines):
        for ds, which in (("2026-04-10", 0), ("2026-04-11", 1)):
            world.go_live(pipeline, world.release(pipeline, ds, which))
        for token, expires in (("deadbeef", -1.0), ("a11ce000", 3600.0)):
            workspace = f"{pipeline.owner}_20260411_{token}"
            world.both.openmldb.execute(
                SYSTEM_DATABASE, f"CREATE DATABASE {workspace}", mode="onsync"
            )
            leases.renew(
                pipeline.store, run_token=token, run_id=f"{token} {number}", ds="2026-04-11",
                workspace=workspace, ttl_s=expires,
            )  # fmt: skip

    # A night's first task and its last: each takes its own first release down, its own dead
    # run's database, and nothing else.
    for pipeline in pipelines:
        old = pipeline.store.folder("2026-04-10.001").manifest()
        gone = changed_by(world, lambda p=pipeline: world.recover(p), pipeline.owner)
        assert gone == {
            ("deployment", old.sql.deployment),
            ("pin", f"{pipeline.model}/{old.model.version}"),
            ("database", f"{pipeline.owner}_20260411_deadbeef"),
        }
        assert changed_by(world, lambda p=pipeline: world.retire(p), pipeline.owner) == set()
    assert {predict(p)["release"] for p in pipelines} == {"2026-04-11.001"}

    for pipeline in pipelines[::2]:
        back = world.roll_back(pipeline)
        assert (back["live"], back["deployment_made"]) == ("2026-04-10.001", True)
        gone = changed_by(world, lambda p=pipeline: world.retire(p), pipeline.owner)
        assert len(gone) == 2
    for number, pipeline in enumerate(pipelines):
        answer = predict(pipeline)
        assert answer["release"] == ("2026-04-11.001" if number % 2 else "2026-04-10.001")
        assert answer["deployment"].startswith(f"{pipeline.owner}_")


def test_a_pipeline_that_keeps_nothing_removes_its_own_versions_alone(world):
    one, _, other, _ = world.pipelines
    for pipeline in (one, other):
        for ds, which in (("2026-04-10", 0), ("2026-04-11", 1)):
            world.go_live(pipeline, world.release(pipeline, ds, which))
    strict = one.with_config(keep_releases=0)
    gone = changed_by(world, lambda: world.recover(strict), one.owner)
    assert ("version", f"{one.model}/20260410001") in gone
    assert model_repository.versions(other.model_repo, other.model) == [20260410001, 20260411001]


def single_pipeline_home(world: World, settings: Settings, days: list[str]) -> list[ReleaseFolder]:
    """A home as it was before there were pipelines: its last release serves."""
    root = settings.releases_root
    stranger = Pipeline.load(settings, "shop")  # only its repository and options are used
    made = []
    for number, ds in enumerate(days):
        which = number % 2
        folder = world.release(
            stranger, ds, which, legacy="deepfm", root=root, database="old_house"
        )  # fmt: skip
        pair.make(world.both.openmldb, world.both.triton, stranger, folder, folder.manifest())
        pointer.switch_live(root, folder.id, probe=lambda *_: [], promote="force")
        made.append(folder)
    (settings.runs_root / days[-1] / "0123abcd").mkdir(parents=True)
    (settings.home / "installation.json").unlink()
    return made


def test_an_old_installation_is_adopted_and_neither_takes_what_is_the_others(world):
    one, two = world.homes
    single_pipeline_home(world, one, ["2026-03-01", "2026-03-02"])
    # Another old installation gave the same names, in the same database and the same model.
    single_pipeline_home(world, two, ["2026-03-04", "2026-03-05", "2026-03-06"])
    old = {("deployment", d) for d in world.both.openmldb.deployments("old_house")}
    assert len(old) == 2

    # The predict server answers before anything has laid the home out anew, and after.
    wait_until(
        lambda: predict(Pipeline(one, "ads", one.pipelines / "ads", world.pipelines[0].config))
        ["release"] == "2026-03-02.001",
        "the old release serves",
    )  # fmt: skip
    ads = Pipeline.load(one, "ads")
    assert ads.releases == one.releases_root / "ads"
    assert (ads.releases / "live.json").is_file()
    assert not (one.releases_root / "live.json").exists()
    assert (one.runs_root / "ads" / "2026-03-02" / "0123abcd").is_dir()
    live = pointer.read_live(ads.releases)
    assert live.feature_spec == str(ads.releases / live.release_id / "feature_spec.yaml")
    assert predict(ads)["release"] == "2026-03-02.001"

    # Its first night takes down its own old release and nothing of the other's.
    before = world.state()
    value = world.recover(ads)
    gone = before - world.state()
    assert value["live"] == "2026-03-02.001"
    assert {item for item in gone if item[0] in ("pin", "version")} == {
        ("pin", "deepfm/20260301001")
    }
    back = world.roll_back(ads)
    assert back["live"] == "2026-03-01.001"
    world.go_live(ads, world.release(ads, "2026-04-10", 0))
    before = world.state()
    world.retire(ads)
    gone = before - world.state()
    assert not {i for i in gone if i[0] == "pin"} - {
        ("pin", "deepfm/20260301001"), ("pin", "deepfm/20260302001"),
    }  # fmt: skip
    assert {v for v in model_repository.versions(one.model_repo, "deepfm") if v > 20260303000} == {
        20260304001, 20260305001, 20260306001,
    }  # fmt: skip
    assert predict(ads)["release"] == "2026-04-10.001"


def test_a_deployment_with_an_old_name_goes_only_where_the_own_pointer_named_it(world):
    ads = world.pipelines[0]
    world.both.openmldb.execute(
        "old_house",
        f"DEPLOY deepfm_0000aaaa OPTIONS (RANGE_BIAS='inf') {QUERY.format(days=9)}",
        mode="onsync",
    )
    never = world.release(ads, "2026-03-01", 0, legacy="deepfm", database="old_house")
    pair.make(world.both.openmldb, world.both.triton, ads, never, never.manifest())
    world.go_live(ads, world.release(ads, "2026-04-10", 1))
    world.recover(ads)
    assert set(world.both.openmldb.deployments("old_house")) == {
        "deepfm_0000aaaa", never.manifest().sql.deployment,
    }  # fmt: skip


def test_a_deployment_that_two_old_homes_shared_comes_back_by_a_rollback(world):
    one, two = world.homes
    single_pipeline_home(world, one, ["2026-03-01", "2026-03-02"])
    made = single_pipeline_home(world, two, ["2026-03-04", "2026-03-05"])
    shared = made[-1].manifest().sql.deployment
    assert shared in world.both.openmldb.deployments("old_house")
    # The first home to upgrade promotes a release of its own, and retires the old one for both.
    ads = Pipeline.load(one, "ads")
    world.go_live(ads, world.release(ads, "2026-04-10", 0))
    world.retire(ads)
    assert shared not in world.both.openmldb.deployments("old_house")
    # Back and forth makes the other one's again: a live release itself is not rolled back to.
    other = Pipeline.load(two, "ads")
    with pytest.raises(ReleaseRejected, match="it is live already"):
        world.roll_back(other, "2026-03-05.001")
    for token, release in (("0badcafe", "2026-03-04.001"), ("0badcaff", "2026-03-05.001")):
        assert world.roll_back(other, release, token)["live"] == release
    assert shared in world.both.openmldb.deployments("old_house")
    assert predict(other)["release"] == "2026-03-05.001"
    assert predict(ads)["release"] == "2026-04-10.001"
    # Once it has a release of its own, no night of the first home takes anything from it.
    world.go_live(other, world.release(other, "2026-04-11", 1))
    world.recover(ads)
    assert predict(other)["release"] == "2026-04-11.001"
