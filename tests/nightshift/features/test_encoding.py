"""Ids from typed values: the same for parquet and for JSON, whatever the value."""

import datetime as dt
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.errors import ContractError
from nightshift.features.encoding import (
    NULL_ID,
    RowEncoder,
    canonical,
    encode_column,
    encode_rows,
    encode_table,
    hash_text,
    unique_texts,
)
from nightshift.features.specification import FeatureSpec, Field

ARROW = {
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("ms"),
}


def field(kind, decimals=None):
    return Field("x", kind, "categorical", decimals)


def spec_of(**types):
    return FeatureSpec.parse(
        {
            "version": 1,
            "label": "label",
            "time": "time",
            "test_days": 1,
            "valid_days": 1,
            "keys": ["time"],
            "categorical": types,
        },
        source="spec.yaml",
    )


@pytest.mark.parametrize(
    ("kind", "decimals", "value", "text"),
    [
        ("string", None, "", b""),
        ("string", None, "null", b"null"),
        ("string", None, ",NULL,NULL", b",NULL,NULL"),
        ("string", None, "\xff", b"\xc3\xbf"),
        ("string", None, "京东", "京东".encode()),
        ("bool", None, True, b"true"),
        ("int32", None, -7, b"-7"),
        ("int64", None, -(2**63), b"-9223372036854775808"),
        ("double", 2, 0.5, b"0.5"),
        ("double", 2, 3.0, b"3"),
        ("double", 2, 100.0, b"100"),
        ("double", 0, 100.0, b"100"),
        ("double", 2, -0.001, b"0"),
        ("double", 2, -0.0, b"0"),
        ("double", None, -0.0, b"0.0"),
        ("double", 2, 7, b"7"),
        ("float", 2, 0.02879999950528145, b"0.03"),
        ("float", None, 0.1, b"0.10000000149011612"),
        ("double", 2, float("nan"), b"\xff"),
        ("double", 2, float("inf"), b"\xff"),
        ("float", 2, 1e300, b"\xff"),
        ("date", None, "2021-12-1", b"2021-12-01"),
        ("date", None, dt.date(2021, 12, 1), b"2021-12-01"),
        ("timestamp", None, 1458045784000, b"1458045784000"),
        ("string", None, None, b"\xff"),
    ],
)
def test_canonical_text(kind, decimals, value, text):
    assert canonical(value, field(kind, decimals)) == text


def test_ids_are_the_tutorials_hash_viewed_as_int64():
    for text in (b"", b"5505", b"200080", b"\xff"):
        unsigned = xxhash.xxh64(text, seed=10).intdigest()
        assert hash_text(text) == np.array([unsigned], np.uint64).view(np.int64)[0]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int32", 1.0),
        ("int32", True),
        ("int32", "1"),
        ("int32", 2**31),
        ("int64", 2**63),
        ("bool", 1),
        ("double", "0.5"),
        ("double", True),
        ("string", 5),
        ("string", "\ud800"),
        ("date", "2021-13-01"),
        ("date", "yesterday"),
        ("timestamp", "2016-03-15 20:43:04"),
        ("timestamp", dt.datetime(2016, 3, 15)),
    ],
)
def test_a_value_of_another_type_names_its_column(kind, value):
    spec = spec_of(x=kind)
    for attempt in (
        lambda: canonical(value, field(kind)),
        lambda: encode_rows(spec, ["x"], [[value]]),
    ):
        with pytest.raises(ContractError, match="column x"):
            attempt()


VALUES = {
    "bool": st.booleans(),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats() | st.integers(-(10**6), 10**6).map(lambda n: n / 1000),
    "string": st.text(),
    "date": st.dates(),
    "timestamp": st.integers(-(2**52), 2**52),
}


def through_parquet(table):
    file = io.BytesIO()
    pq.write_table(table, file)
    return pq.read_table(file)


def as_json(value, kind):
    """A value as OpenMLDB's API server writes it: dates are not padded."""
    if kind == "date" and value is not None:
        return f"{value.year}-{value.month}-{value.day}"
    return value


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6))
def test_offline_and_online_ids_are_equal(data, kinds):
    names = [f"c{i}" for i in range(len(kinds))]
    types = {}
    for name, kind in zip(names, kinds, strict=True):
        decimals = data.draw(st.none() | st.integers(0, 6)) if kind in ("float", "double") else None
        types[name] = {"type": kind, "decimals": decimals}
    spec = spec_of(**types)
    row = st.tuples(*(st.none() | VALUES[kind] for kind in kinds))
    rows = data.draw(st.lists(row, max_size=20))
    table = pa.table(
        {name: pa.array([r[i] for r in rows], type=ARROW[kinds[i]]) for i, name in enumerate(names)}
    )
    offline = encode_table(spec, through_parquet(table))
    online_rows = [[as_json(v, k) for v, k in zip(r, kinds, strict=True)] for r in rows]
    online = encode_rows(spec, names, json.loads(json.dumps(online_rows)))
    assert offline.shape == online.shape == (len(rows), len(kinds))
    assert offline.dtype == online.dtype == np.int64
    np.testing.assert_array_equal(offline, online)
    one_by_one = [
        [hash_text(canonical(v, f)) for v, f in zip(r, spec.fields, strict=True)]
        for r in online_rows
    ]
    np.testing.assert_array_equal(online, np.array(one_by_one, np.int64).reshape(online.shape))


@given(st.text(), st.text())
def test_different_texts_have_different_canonical_texts(a, b):
    assert (canonical(a, field("string")) == canonical(b, field("string"))) == (a == b)
    assert canonical(a, field("string")) != canonical(None, field("string"))


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_near_values_share_an_id(value, decimals):
    near = field("double", decimals)
    assert canonical(round(value, decimals), near) == canonical(value, near)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_timestamps_unit_does_not_matter(unit):
    moments = [dt.datetime(2016, 3, 15, 12, 43, 4), None, dt.datetime(1969, 12, 31, 23, 59, 59)]
    ids = encode_column(pa.array(moments, pa.timestamp(unit)), field("timestamp"))
    assert ids.tolist() == [hash_text(b"1458045784000"), NULL_ID, hash_text(b"-1000")]


def test_parts_of_a_millisecond_round_down_before_1970_too():
    ids = encode_column(pa.array([-1, 1999], pa.timestamp("us")), field("timestamp"))
    assert ids.tolist() == [hash_text(b"-1"), hash_text(b"1")]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
)
def test_arrows_kinds_of_text_do_not_matter(kind):
    column = pa.chunked_array(
        [pa.array(["a", None], pa.string()), pa.array(["", "a"], pa.string())]
    ).cast(kind)
    expected = [hash_text(b"a"), NULL_ID, hash_text(b""), hash_text(b"a")]
    assert encode_column(column, field("string")).tolist() == expected


def test_nulls_and_empty_columns():
    spec = spec_of(x="string")
    assert encode_table(spec, pa.table({"x": pa.array([], pa.string())})).shape == (0, 1)
    assert encode_table(spec, pa.table({"x": pa.chunked_array([], pa.string())})).shape == (0, 1)
    assert encode_rows(spec, ["x"], []).shape == (0, 1)
    table = pa.table({"x": pa.array([None, None], pa.string())})
    assert encode_table(spec, table).tolist() == [[NULL_ID], [NULL_ID]]


def test_unique_texts_give_each_row_its_text():
    texts, codes = unique_texts(pa.array([0.001, 0.002, None, 0.5]), field("double", 2))
    assert [texts[code] for code in codes] == [b"0", b"0", b"\xff", b"0.5"]


def test_columns_are_found_by_name():
    spec = spec_of(a="int32", b="string")
    ids = encode_rows(spec, ["b", "other", "a"], [["x", None, 1]])
    assert ids.tolist() == [[hash_text(b"1"), hash_text(b"x")]]


def test_a_missing_feature_is_named():
    spec = spec_of(colour="int32")
    with pytest.raises(ContractError, match="feature colour .* did you mean 'color'"):
        encode_rows(spec, ["color"], [[1]])
    with pytest.raises(ContractError, match="feature colour"):
        encode_table(spec, pa.table({"color": [1]}))


def test_a_short_row_is_an_error():
    with pytest.raises(ContractError, match="row 1 has 1 values and 2"):
        encode_rows(spec_of(a="int32", b="int32"), ["a", "b"], [[1, 2], [1]])


def test_a_parquet_column_of_another_type_is_an_error():
    with pytest.raises(ContractError, match="column x is int64 and int32 is specified"):
        encode_table(spec_of(x="int32"), pa.table({"x": pa.array([1], pa.int64())}))
    with pytest.raises(ContractError, match="column x is int64"):
        encode_table(spec_of(x="timestamp"), pa.table({"x": pa.array([1], pa.int64())}))


def test_an_encoder_remembers_values_and_never_mixes_them_up(monkeypatch):
    monkeypatch.setattr("nightshift.features.encoding.CACHED", 3)
    spec = spec_of(a="string", b="double", c="int64")
    encoder = RowEncoder(spec, ["c", "a", "b"])
    rows = [[n % 7, f"v{n % 5}", [0.5, float("nan"), None, 3, 3.0][n % 5]] for n in range(40)]
    expected = [
        [
            hash_text(canonical(row[at], field))
            for at, field in zip((1, 2, 0), spec.fields, strict=True)
        ]
        for row in rows
    ]
    assert encoder.encode(rows).tolist() == expected
    assert [encoder.encode([row])[0].tolist() for row in rows] == expected
    for wrong in ([True, "v1", 0.5], [1, 1, 0.5], [1, "v1", "0.5"]):
        with pytest.raises(ContractError):
            encoder.encode([wrong])


def test_values_that_are_equal_in_all_rows_have_the_ids_of_rows_alone():
    spec = spec_of(a="string", b="double", c="int64", d="bool")
    encoder = RowEncoder(spec, ["a", "b", "c", "d"])
    for row in (["u", 0.25, 7, True], [None, None, None, None], ["", -0.0, 0, False]):
        rows = [list(row) for _ in range(9)]
        assert encoder.encode(rows).tolist() == [encoder.encode([row])[0].tolist()] * 9
    zeros = [["u", value, 1, True] for value in (0.0, -0.0, 0, 0.0)]
    assert len(set(map(tuple, encoder.encode(zeros).tolist()))) == 1
    for wrong in (["u", 0.25, True, True], ["u", 0.25, 1, 1], ["u", True, 1, True]):
        with pytest.raises(ContractError):
            encoder.encode([["u", 0.25, 1, True], wrong, ["u", 0.25, 1, True]])
