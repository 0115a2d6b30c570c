"""The JD tutorial end to end in the engine: its table sizes and its printed request rows."""

from __future__ import annotations

import ast
import re

import pytest
from openmldb_embedded.columns import Batch
from openmldb_embedded.engine import compile_batch, compile_request
from openmldb_embedded.memtable import MemTable

from testing.jd import Catalog, feature_sql, schemas, seed, table_sizes, tables

INTEGER_FEATURES = [
    "flattenRequest_pair_id_window_unique_count_27",
    "flattenRequest_pair_id_window_top1_ratio_28",
    "flattenRequest_pair_id_window_top1_ratio_29",
    "flattenRequest_pair_id_window_unique_count_32",
    "flattenRequest_pair_id_window_count_35",
    "bo_comment_bad_comment_rate_multi_max_13",
    "bo_comment_bad_comment_rate_multi_min_14",
    "bo_comment_bad_comment_rate_multi_min_15",
    "bo_comment_comment_num_multi_unique_count_22",
    "bo_comment_has_bad_comment_multi_unique_count_23",
    "bo_action_model_id_multi_unique_count_19",
    "bo_action_model_id_multi_unique_count_20",
    "bo_action_type_multi_unique_count_21",
]
"""I1..I13 of the tutorial's preprocessing."""

LABEL = "action_actionValue_multi_direct_2"

CATEGORY_ORDER = [
    "reqId_1",
    "flattenRequest_eventTime_original_0",
    "flattenRequest_reqId_original_1",
    "flattenRequest_pair_id_original_24",
    "flattenRequest_sku_id_original_25",
    "flattenRequest_user_id_original_26",
    "flattenRequest_eventTime_dayofweek_41",
    "flattenRequest_eventTime_isweekday_43",
    "reqId_3",
    "bo_product_a1_multi_direct_3",
    "bo_product_a2_multi_direct_4",
    "bo_product_a3_multi_direct_5",
    "bo_product_br_multi_direct_6",
    "bo_product_cate_multi_direct_7",
    "bo_product_ingestionTime_multi_direct_8",
    "bo_user_age_multi_direct_9",
    "bo_user_ingestionTime_multi_direct_10",
    "bo_user_sex_multi_direct_11",
    "bo_user_user_lv_cd_multi_direct_12",
    "reqId_14",
    "bo_comment_has_bad_comment_multi_top3frequency_30",
    "bo_comment_comment_num_multi_top3frequency_33",
    "reqId_17",
    "bo_action_br_multi_top3frequency_16",
    "bo_action_cate_multi_top3frequency_17",
    "bo_action_model_id_multi_top3frequency_18",
    "bo_action_type_multi_top3frequency_40",
    "bo_action_type_multi_top3frequency_42",
]
"""C1..C28 of the tutorial's preprocessing."""


@pytest.fixture(scope="module")
def data(shared):
    return tables(shared)


@pytest.fixture(scope="module")
def features(shared, data) -> Batch:
    query = compile_batch(feature_sql(shared), Catalog(schemas(shared)), "JD_db")
    return query.execute(lambda db, table: data[table])


def test_batch_gives_every_table_size_of_the_tutorial(shared, features):
    assert features.num_rows == 13_916
    sizes = {}
    for (name, _), column in zip(features.schema, features.columns, strict=True):
        # The tutorial's preprocessing hashes NULL and the empty text alike.
        sizes[name] = len({"nan" if x in (None, "") else x for x in column.to_list()})
    found = [sizes[name] for name in INTEGER_FEATURES + CATEGORY_ORDER]
    assert found == table_sizes(shared)
    assert set(sizes) == {*INTEGER_FEATURES, *CATEGORY_ORDER, LABEL}


def printed_row(text: str) -> list[object]:
    """The ``ins`` row that predict.py prints in section 3.5."""
    body = re.search(r"-+ins-+\n\[(.*?)\]\n-+predict", text, re.DOTALL)
    assert body is not None
    items = re.findall(r"'[^']*'|\S+", body[1])
    return [ast.literal_eval(x) for x in items]


@pytest.fixture(scope="module")
def deployed(shared, data):
    query = compile_request(feature_sql(shared), Catalog(schemas(shared)), "JD_db")
    online = {name: MemTable(schema) for name, schema in schemas(shared).items()}
    for name, batch in data.items():
        online[name].append_batch(batch)
    return query, query.bind(lambda db, table: online[table])


@pytest.mark.parametrize("number", ["000", "001"])
def test_request_mode_gives_the_row_the_tutorial_prints(shared, deployed, number):
    # Online tables hold all the tutorial's data. The printed users have no earlier request in it,
    # so the request row alone fills their own windows; comments come from the online table.
    query, answer = deployed
    expected = printed_row(seed(shared, number))
    request_id, event_time, _, pair_id, sku_id, user_id = expected[:6]
    known = {
        "reqId": request_id,
        "eventTime": event_time,
        "pair_id": pair_id,
        "user_id": user_id,
        "sku_id": sku_id,
    }
    request = tuple(known.get(name) for name, _ in query.input_schema)
    (row,) = answer([request])
    assert list(row) == expected


def test_a_deployment_names_its_table_and_its_indexes(deployed):
    query, _ = deployed
    assert query.request_table == ("JD_db", "flattenRequest")
    indexes = {(table, i.keys, i.ts) for _, table, i in query.indexes}
    assert indexes == {
        ("flattenRequest", ("user_id",), "eventTime"),
        ("action", ("reqId",), None),
        ("bo_product", ("sku_id",), None),
        ("bo_user", ("user_id",), None),
        ("bo_comment", ("sku_id",), "ingestionTime"),
        ("bo_action", ("pair_id",), "ingestionTime"),
    }


@pytest.mark.slow
def test_requests_replayed_in_order_equal_the_batch(shared, data, features):
    """Each stored row as a request against only earlier requests equals its batch row."""
    query = compile_request(feature_sql(shared), Catalog(schemas(shared)), "JD_db")
    online = {name: MemTable(schema) for name, schema in schemas(shared).items()}
    for name, batch in data.items():
        if name != "flattenRequest":
            online[name].append_batch(batch)
    answer = query.bind(lambda db, table: online[table])
    requests = data["flattenRequest"].to_rows()
    expected = {row[0]: row for row in features.to_rows()}
    ordered = sorted(requests, key=lambda r: r[1])
    for request in ordered:
        (row,) = answer([request])
        assert row == expected[request[0]]
        online["flattenRequest"].append([request])
