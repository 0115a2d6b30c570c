"""One house with real servers a session, and in it one night that went live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from nightshift.config.recommend import Factors, Items, Recommend
from nightshift.pipeline import Pipeline
from nightshift.plan import Plan
from nightshift.settings import Settings
from testing.house import House

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
