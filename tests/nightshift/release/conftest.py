"""One house with real servers a session, and in it one night that went live."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pytest

from nightshift.config.live import CanaryConfig
from nightshift.config.recommend import Factors, Items, Recommend
from nightshift.live.log import RequestLog
from nightshift.night import servers
from nightshift.pipeline import Pipeline
from nightshift.plan import Plan
from nightshift.registry import leases, pointer
from nightshift.registry import manifest as manifests
from nightshift.registry.names import deployment_name, sql_hash
from nightshift.release import rollback, steps
from nightshift.serving import pair
from nightshift.settings import PROJECT, Settings
from testing.house import House
from testing.releases import put_release
from testing.serving import wait_until

FIRST, SECOND = "2026-11-08", "2026-11-09"

BLOCK_ROWS, MOST_IDS = 100, 60

CLUSTER = "deploy_seconds=0.2, index_seconds=0.5, failed_seconds=0.7, unseen_seconds=60"
"""A cluster in good health: what is made is seen late, an index takes its time."""


@dataclass
class Nights:
    """A house whose first night is live, and the plan of a second one, trained and scored."""

    house: House
    second: Plan

    @property
    def pipeline(self) -> Pipeline:
        return self.house.pipeline

    @property
    def settings(self) -> Settings:
        return self.house.settings


class Nobody:
    """Servers that must not be asked."""

    def __getattr__(self, name: str) -> None:
        pytest.fail(f"{name} was asked")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A pipeline without releases, by files alone."""
    settings = Settings(project=PROJECT, home=tmp_path / "home", installation="test00")
    return Pipeline.load(settings, "jd")


def make_live(pipeline: Pipeline, ds: str, sequence: int = 1, **changes: Any) -> str:
    """A release that is made and switched to; its id."""
    folder = put_release(pipeline.releases, ds, sequence, **changes)
    pointer.switch_live(pipeline.releases, folder.id, probe=lambda *_: [], promote="force")
    return folder.id


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    if not Settings().task_python.exists():
        pytest.skip(f"{Settings().task_python} is not there; ./nightshift sets it up")
    house = House.build(tmp_path_factory.mktemp("house"), mood=CLUSTER)
    query = house.settings.home / "best_sellers.sql"
    query.parent.mkdir(parents=True, exist_ok=True)
    query.write_text("SELECT sku_id AS item, count(*) AS score FROM flattenRequest GROUP BY sku_id")
    # JD's file has no such part: the night with it costs a second more.
    house.pipeline = house.pipeline.with_config(
        recommend=Recommend(
            user="user_id",
            item="sku_id",
            items=Items(table="bo_product", columns=("br", "cate")),
            fill={"pair_id": "{user}_{item}"},
            factors=Factors(dimensions=8, iterations=3, exact_below=0),
            candidates=50,
            retrievers=("item_neighbours", "embeddings", "sql_list"),
            sql_list=str(query),
        ),
        gates_run=(*house.pipeline.config.gates_run, "recommend"),
    )
    # The made-up users have no taste: their items are a matter of popularity alone.
    house.pipeline.gates["recommend"]["level"] = "warn"
    house.generate(days=16, rows_per_day=500, end="2026-11-10")
    house.up()
    try:
        live = house.night(FIRST)
        assert live["switched"], live
        plan = house.plan(SECOND, "second")
        house.features(plan)
        house.preprocess(plan)
        house.load_online(plan)
        # As data larger than memory is trained on: from the disk in blocks, few ids admitted.
        house.train(plan, block_rows=BLOCK_ROWS, max_ids=MOST_IDS, min_count=2)
        house.recommend(plan)
        yield Nights(house, plan)
    finally:
        house.down()


def another(nights: Nights, run_id: str, *parts: str, ds: str = SECOND):
    """A run of its own with copies of the second night's artefacts."""
    plan = nights.house.plan(ds, run_id)
    steps.begin(nights.house.of(plan))
    for part in (*(parts or ("features", "dataset", "model", "results")), "recommend"):
        shutil.copytree(
            Path(nights.second["run_dir"]) / part, Path(plan["run_dir"]) / part, dirs_exist_ok=True
        )
    return plan


def live(nights: Nights) -> str:
    found = pointer.read_live(nights.pipeline.releases)
    assert found is not None
    return found.release_id


def predict(nights: Nights) -> dict:
    """One request to the predict server, a probe: what it asks is not inserted, and answers alike."""
    with nights.house.client() as client:
        now = pointer.read_live(nights.pipeline.releases)
        columns = [n for n, _ in client.deployment(now.database, now.deployment).input_schema]
    (row,) = pair.request_rows(nights.pipeline, columns, 1)
    body = {"rows": [dict(zip(columns, row, strict=True))]}
    url, headers = f"{nights.settings.predict_url}/predict", {"X-Nightshift-Probe": "1"}
    answer = httpx.post(url, json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def finish(nights: Nights, plan, release):
    nights.house.end(plan, release)


LIVE = f"{FIRST}.001"


def fork(nights, sequence, change=lambda sql: sql):
    """The live release once more, under a version of its own and perhaps with another query."""
    store, pipeline = nights.pipeline.store, nights.pipeline
    source = store.folder(LIVE)
    made = source.manifest()
    version = made.model.version - 1 + sequence
    folder = store.folder(f"{FIRST}.{sequence:03d}")
    shutil.copytree(source.root, folder.root)
    sql = change(source.sql.read_text())
    folder.sql.write_text(sql)
    named = replace(made.sql, deployment=deployment_name(pipeline.owner, sql), sha256=sql_hash(sql))
    made = replace(
        made,
        release_id=folder.id,
        model=replace(made.model, version=version),
        features=replace(made.features, sql=named),
    )
    folder.manifest_path.unlink()
    manifests.write_once(folder.manifest_path, made)
    return folder.id


@pytest.fixture(scope="module")
def watched(nights):
    """The pipeline with a shadow and withdrawal; afterwards the first night serves alone."""
    config = nights.pipeline.config
    live = config.live.model_copy(
        update={
            "shadow": config.live.shadow.model_copy(update={"hours": 1.0}),
            "canary": CanaryConfig(column="user_id", share=0.5, hours=1.0),
        }
    )
    monitor = config.monitor.model_copy(update={"action": "withdraw"})
    yield nights.pipeline.with_config(live=live, monitor=monitor)
    night = nights.house.of(nights.second)
    leases.close(nights.pipeline.store, night.token)
    if pointer.read_live(nights.pipeline.releases).release_id != LIVE:
        rollback.roll_back(LIVE, nights.pipeline, run_id="the end")
    rollback.retire_rolled_back(nights.pipeline)
    for folder in nights.pipeline.store.releases():
        if folder.id != LIVE:
            shutil.rmtree(folder.root)
    assert loaded(nights.pipeline, LIVE) == (True, True)


@pytest.fixture(scope="module")
def requests(watched):
    """Request rows as a client sends them."""
    now = pointer.read_live(watched.releases)
    with servers(watched.settings) as both:
        info = both.openmldb.deployment(now.database, now.deployment)
    columns = [name for name, _ in info.input_schema]
    rows = pair.request_rows(watched, columns, 300)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def ask(pipeline, rows):
    answer = httpx.post(f"{pipeline.settings.predict_url}/predict", json={"rows": rows}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def logged(pipeline, release, role, count):
    log = RequestLog.of(pipeline)
    where = (pc.field("release") == release) & (pc.field("role") == role)
    wait_until(lambda: log.read(where=where).num_rows >= count, f"{count} rows of {release}")
    return log.read(where=where)


def loaded(pipeline, release):
    """Whether both halves of a release are there."""
    made = pipeline.store.folder(release).manifest()
    with servers(pipeline.settings) as both:
        return (
            made.sql.deployment in both.openmldb.deployments(made.sql.database),
            both.triton.ready(made.model.name, made.model.version),
        )
