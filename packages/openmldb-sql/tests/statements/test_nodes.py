"""Statements as values: the same whatever they were spelled like, and what a literal's type is."""

from __future__ import annotations

import dataclasses

import pytest
from openmldb_sql import statements as s
from openmldb_sql.statements import nodes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("USE `jd`", "use jd ;"),
        ("drop table if exists jd.t", "DROP  TABLE /* now */ IF EXISTS `jd`.`t`"),
        ("SHOW JOBS", "show jobs -- all"),
        ("insert into t values (1, 'a')", 'INSERT INTO `t` VALUES (+1, "a")'),
        ("create database if not exists d", "CREATE DATABASE IF NOT EXISTS `d`"),
    ],
)
def test_one_statement_in_two_spellings_is_equal(one: str, other: str) -> None:
    assert s.parse(one) == s.parse(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("drop table t", "drop table if exists t"),
        ("drop table t", "drop table d.t"),
        ("insert into t values (1)", "insert or ignore into t values (1)"),
        ("show jobs", "show jobs from nameserver"),
        ("select 1", "select 1 into outfile '/o'"),
    ],
)
def test_what_means_something_else_is_not(one: str, other: str) -> None:
    assert s.parse(one) != s.parse(other)


def test_a_statement_cannot_be_changed() -> None:
    found = s.parse("use jd")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "other"  # type: ignore[misc, union-attr]


def test_a_number_knows_its_type_and_is_a_number() -> None:
    found = s.parse("insert into t values (7L, 9223372036854775807, 7, 1.5f, 1.5)")
    assert isinstance(found, s.Insert)
    ((long, large, plain, single, double),) = found.rows
    assert [type(one) for one in (long, large, plain, single, double)] == [
        s.Long, s.Long, int, s.Single, float,
    ]  # fmt: skip
    assert (long, single) == (7, 1.5)


def test_a_span_is_not_a_text_in_quotes() -> None:
    bare = s.parse("deploy d options(long_windows=w, ttl=1d) select 1")
    quoted = s.parse("deploy d options(long_windows=w, ttl='1d') select 1")
    assert isinstance(bare, s.Deploy) and isinstance(quoted, s.Deploy)
    assert isinstance(bare.options["ttl"], s.Duration)
    assert not isinstance(quoted.options["ttl"], s.Duration)


def test_every_kind_of_statement_is_in_the_union_and_exported() -> None:
    parts = {"Name", "Placeholder", "NotConstant"}
    kinds = {
        name
        for name, kind in vars(nodes).items()
        if dataclasses.is_dataclass(kind) and kind.__module__ == nodes.__name__
    }
    union = {kind.__name__ for kind in nodes.Statement.__args__}  # type: ignore[attr-defined]
    assert kinds - parts == union
    assert kinds <= set(s.__all__)
