"""The six tables of the JD tutorial, as parquet holds them.

OpenMLDB compares names and types of a parquet file with the table exactly.
"""

from __future__ import annotations

import pyarrow as pa

EVENT_TIME = {
    "flattenRequest": "eventTime",
    "action": "eventTime",
    "bo_action": "ingestionTime",
    "bo_comment": "ingestionTime",
}
"""The tutorial's event tables, each with the column that says which day a row belongs to."""

EVENT_TABLES = tuple(EVENT_TIME)
SNAPSHOT_TABLES = ("bo_user", "bo_product")

SCHEMAS: dict[str, pa.Schema] = {
    "flattenRequest": pa.schema(
        [
            ("reqId", pa.string()),
            ("eventTime", pa.timestamp("us")),
            ("main_id", pa.string()),
            ("pair_id", pa.string()),
            ("user_id", pa.string()),
            ("sku_id", pa.string()),
            ("time", pa.int64()),
            ("split_id", pa.int32()),
            ("time1", pa.string()),
        ]
    ),
    "action": pa.schema(
        [
            ("reqId", pa.string()),
            ("eventTime", pa.timestamp("us")),
            ("ingestionTime", pa.timestamp("us")),
            ("actionValue", pa.int32()),
        ]
    ),
    "bo_action": pa.schema(
        [
            ("ingestionTime", pa.timestamp("us")),
            ("pair_id", pa.string()),
            ("time", pa.int64()),
            ("model_id", pa.string()),
            ("type", pa.string()),
            ("cate", pa.string()),
            ("br", pa.string()),
        ]
    ),
    "bo_comment": pa.schema(
        [
            ("ingestionTime", pa.timestamp("us")),
            ("dt", pa.int64()),
            ("sku_id", pa.string()),
            ("comment_num", pa.int32()),
            ("has_bad_comment", pa.string()),
            ("bad_comment_rate", pa.float32()),
        ]
    ),
    "bo_user": pa.schema(
        [
            ("ingestionTime", pa.timestamp("us")),
            ("user_id", pa.string()),
            ("age", pa.string()),
            ("sex", pa.string()),
            ("user_lv_cd", pa.string()),
            ("user_reg_tm", pa.int64()),
        ]
    ),
    "bo_product": pa.schema(
        [
            ("ingestionTime", pa.timestamp("us")),
            ("sku_id", pa.string()),
            ("a1", pa.string()),
            ("a2", pa.string()),
            ("a3", pa.string()),
            ("cate", pa.string()),
            ("br", pa.string()),
        ]
    ),
}
"""Column names and types, by table."""
