"""The generator: the tutorial's shape, the same days for the same seed, a signal to learn."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from laptop.data import generate as module
from laptop.data.generate import Spec, World, generate
from laptop.data.schemas import EVENT_TABLES, EVENT_TIME, SCHEMAS
from nightshift import layout
from nightshift.errors import ConfigurationError
from nightshift.files import sha256_tree

END = dt.date(2026, 3, 10)
SMALL = Spec(seed=7, rows_per_day=60)


def read(data: Path, table: str):
    return pads.dataset(data / table, format="parquet").to_table()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("generated")
    generate(data, SMALL, end=END, days=4)
    return data


def test_tables_have_the_tutorials_names_and_types(small, jd_folder):
    for table, schema in SCHEMAS.items():
        name = "flattenRequest_clean" if table == "flattenRequest" else table
        theirs = pq.read_schema(jd_folder / name / f"{name}.parquet")
        assert [(f.name, f.type) for f in schema] == [(f.name, f.type) for f in theirs]
        for file in (small / table).rglob("*.parquet"):
            assert pq.read_schema(file).equals(schema)


def test_every_request_has_its_label_and_an_id_of_user_product_and_local_second(small):
    requests = read(small, "flattenRequest").to_pandas()
    labels = read(small, "action").to_pandas()
    assert len(requests) == 4 * SMALL.rows_per_day
    assert requests.reqId.is_unique
    assert set(requests.reqId) == set(labels.reqId)
    local = (requests.eventTime + np.timedelta64(8, "h")).dt.strftime("%Y-%m-%d %H:%M:%S")
    assert (requests.time1 == local).all()
    assert (requests.reqId == requests.user_id + "_" + requests.sku_id + "_" + local).all()
    assert (requests.pair_id == requests.user_id + "_" + requests.sku_id).all()
    assert (requests.time == requests.eventTime.astype("int64") // 1000).all()
    assert set(requests.user_id) <= set(read(small, "bo_user").to_pandas().user_id)
    assert set(requests.sku_id) <= set(read(small, "bo_product").to_pandas().sku_id)


def test_a_partition_holds_only_rows_of_its_own_day_in_utc8(small):
    for table, column in EVENT_TIME.items():
        for folder in (small / table).glob("ds=*"):
            times = pq.read_table(folder / "part-0.parquet")[column].to_pandas()
            days = set((times + np.timedelta64(8, "h")).dt.strftime("%Y-%m-%d"))
            assert days <= {folder.name[3:]}


def test_windows_of_the_first_day_find_history(small):
    days = layout.days_back(END, 4)
    assert layout.present(small, "bo_action", [days[0] - dt.timedelta(days=14)])
    assert layout.present(small, "bo_comment", [days[0] - dt.timedelta(days=64)])
    assert not layout.present(small, "flattenRequest", [days[0] - dt.timedelta(days=1)])


def test_more_days_leave_the_days_of_both_ends_as_they_were(small, tmp_path):
    generate(tmp_path, SMALL, end=END + dt.timedelta(days=9), days=15)
    for table in EVENT_TABLES:
        for day in layout.days_back(END, 4):
            ours = layout.partition(small, table, day)
            theirs = layout.partition(tmp_path, table, day)
            assert sha256_tree(ours) == sha256_tree(theirs), (table, day)


def test_a_second_run_writes_nothing_and_other_seeds_are_refused(small):
    before = sha256_tree(small)
    assert generate(small, SMALL, end=END, days=4) == 0
    with pytest.raises(ConfigurationError, match=r"seed 7.*seed 8.*--replace"):
        generate(small, Spec(seed=8, rows_per_day=60), end=END, days=4)
    assert sha256_tree(small) == before


def test_replace_leaves_nothing_of_the_other_source(tmp_path):
    generate(tmp_path, SMALL, end=END, days=2)
    generate(tmp_path, Spec(seed=8, rows_per_day=50), end=END, days=1, replace=True)
    assert read(tmp_path, "flattenRequest").num_rows == 50


@pytest.mark.parametrize("rows_per_day", [0, 5_000_001])
def test_a_size_out_of_range_is_refused(rows_per_day):
    with pytest.raises(ConfigurationError, match="rows per day"):
        Spec(rows_per_day=rows_per_day)


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """By the definition: the share of (positive, negative) pairs in the right order."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    above = (positive[:, None] > negative).mean()
    return float(above + 0.5 * (positive[:, None] == negative).mean())


def test_orders_are_rare_and_follow_from_what_can_be_seen():
    world = World(Spec(seed=3, rows_per_day=2000))
    labels, carts, odds = [], [], []
    for day in layout.days_back(END, 5):
        s = world.sessions(day)
        labels.append(s.label)
        cart = s.action_of[s.action_type == "2"]
        carts.append(np.bincount(cart, minlength=len(s.label)))
        odds.append(world.log_odds(s.user, s.product, np.zeros(len(s.user), bool)))
    label, cart, odd = map(np.concatenate, (labels, carts, odds))
    assert 0.01 <= label.mean() <= 0.03
    # Neither who asks for what nor what they did before says all.
    assert 0.65 < auc(label, odd) < 0.85
    assert 0.65 < auc(label, cart) < 0.85
    assert auc(label, odd + cart) > max(auc(label, odd), auc(label, cart)) + 0.03


def test_actions_precede_the_request_they_lead_to():
    s = World(SMALL).sessions(END)
    before_s = (s.time_us[s.action_of] - s.action_us) / 1e6
    assert before_s.min() >= 1
    assert before_s.max() < 7 * 86_400


def test_ten_times_the_rows_is_a_table_of_ten_times_the_rows(tmp_path):
    big = Spec(seed=7, rows_per_day=20_000)
    table = World(big).requests(END)
    assert table.num_rows == 20_000
    assert len(set(table["reqId"].to_pylist())) == 20_000
    assert module.World(big).requests(END).equals(table)
