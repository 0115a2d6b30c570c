"""SQL types, their names, and schemas."""

from __future__ import annotations

import pytest
from openmldb_sql.errors import NameResolutionError, TypeCheckError
from openmldb_sql.types import IndexDef, SqlType, schema_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bigint", SqlType.INT64),
        ("SmallInt", SqlType.INT16),
        ("integer", SqlType.INT32),
        ("VARCHAR(20)", SqlType.STRING),
        (" string ", SqlType.STRING),
        ("float32", SqlType.FLOAT),
    ],
)
def test_names_as_written(name: str, kind: SqlType) -> None:
    assert SqlType.from_sql_name(name) is kind


@pytest.mark.parametrize("name", ["text", "tinyint", "datetime", "decimal(5,2)", ""])
def test_names_of_other_databases_are_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(TypeCheckError, match="known: bigint, bool"):
        SqlType.from_sql_name(name)


@pytest.mark.parametrize("kind", [k for k in SqlType if k.value.isidentifier()])
def test_the_name_in_replies_is_read_back(kind: SqlType) -> None:
    if kind in (SqlType.NULL, SqlType.ARRAY, SqlType.MAP, SqlType.FEATURE):
        with pytest.raises(TypeCheckError):
            SqlType.from_sql_name(kind.value)
        return
    assert SqlType.from_sql_name(kind.lower_name) is kind
    assert kind.wire_name.lower() == kind.lower_name


def test_an_untyped_null_is_a_boolean_in_replies() -> None:
    assert (SqlType.NULL.lower_name, SqlType.NULL.wire_name) == ("bool", "Bool")


def test_numbers_are_integers_and_floats_and_a_boolean_is_neither() -> None:
    numeric = {kind for kind in SqlType if kind.is_numeric}
    assert numeric == {kind for kind in SqlType if kind.is_integer or kind.is_floating}
    assert SqlType.BOOL not in numeric
    assert SqlType.TIMESTAMP not in numeric


def test_an_index_without_limits_keeps_its_rows() -> None:
    assert not IndexDef(("a",)).expires
    assert IndexDef(("a",), ttl_ms_abs=60_000).expires
    assert IndexDef(("a",), ttl_type="latest", ttl_lat=1).expires


def test_columns_are_found_by_their_exact_name() -> None:
    schema = schema_of([("a", SqlType.INT32), ("B", SqlType.STRING)])
    assert (schema.position("B"), schema.names) == (1, ["a", "B"])
    assert schema.fields == [("a", SqlType.INT32), ("B", SqlType.STRING)]
    with pytest.raises(NameResolutionError, match="'b' not found among a, B"):
        schema.position("b")
