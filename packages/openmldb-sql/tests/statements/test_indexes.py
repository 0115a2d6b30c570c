"""What the definition of an index says."""

from __future__ import annotations

import pytest
from openmldb_sql.errors import AstError, SqlError, SyntaxError_
from openmldb_sql.statements.indexes import (
    MAX_LATEST,
    MAX_MINUTES,
    MINUTE_MS,
    duration_ms,
    index_of,
    whole_minutes,
)
from openmldb_sql.statements.nodes import Duration, Literal

DAY = 86_400_000


@pytest.mark.parametrize(
    ("ttl", "kind", "limits"),
    [
        ([], None, ("absolute", 0, 0)),
        ([Duration("10d")], None, ("absolute", 10 * DAY, 0)),
        ([Duration("0m")], "absolute", ("absolute", 0, 0)),
        ([3], "LATEST", ("latest", 0, 3)),
        ([Duration("7d"), 10], "absandlat", ("absandlat", 7 * DAY, 10)),
        ([Duration("7d"), 10], "absorlat", ("absorlat", 7 * DAY, 10)),
        ([Duration("90s")], "absolute", ("absolute", 2 * MINUTE_MS, 0)),
    ],
)
def test_limits(ttl: list[Literal], kind: str | None, limits: tuple[str, int, int]) -> None:
    made = index_of(("a", "b"), "ts", ttl, kind)
    assert (made.keys, made.ts) == (("a", "b"), "ts")
    assert (made.ttl_type, made.ttl_ms_abs, made.ttl_lat) == limits


@pytest.mark.parametrize(
    ("ttl", "kind", "error", "why"),
    [
        ([10], "absolute", SqlError, "a time with its unit"),
        ([Duration("1d")], "latest", SqlError, "a number of rows"),
        ([Duration("1d")], "newest", SqlError, "one of absolute, latest"),
        ([10, Duration("1d")], "absandlat", AstError, "takes a time first"),
        ([Duration("1d"), True], "absandlat", AstError, "takes a number second"),
        ([Duration("1d"), 1, 1], "absandlat", AstError, "size != 2"),
        (["x"], None, AstError, "unsupported"),
        ([True], "latest", AstError, "unsupported"),
        ([Duration(f"{MAX_MINUTES + 1}m")], "absolute", SqlError, "cannot be greater"),
        ([MAX_LATEST + 1], "latest", SqlError, "cannot be greater"),
    ],
)
def test_refusals(ttl: list[Literal], kind: str, error: type[SqlError], why: str) -> None:
    with pytest.raises(error, match=why):
        index_of(("a",), None, ttl, kind)


def test_the_longest_limits_are_taken() -> None:
    ttl: list[Literal] = [Duration(f"{MAX_MINUTES}m"), MAX_LATEST]
    assert index_of(("a",), None, ttl, "absandlat").ttl_lat == MAX_LATEST


def test_the_code_of_an_error_is_the_statements() -> None:
    with pytest.raises(SqlError) as raised:
        index_of(("a",), None, [10], None, code=1000)
    assert raised.value.code == 1000


@pytest.mark.parametrize(
    ("text", "ms"), [("0m", 0), ("10s", 10_000), ("5M", 300_000), ("12h", DAY // 2), ("7D", 7 * DAY)]
)  # fmt: skip
def test_durations(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "d", "10", "10w", "-1d", "1.5d", "1" * 13 + "d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(SyntaxError_, match="not a duration"):
        duration_ms(text)


def test_times_are_rounded_up_to_minutes() -> None:
    assert [whole_minutes(ms) for ms in (0, 1, MINUTE_MS, MINUTE_MS + 1)] == [
        0,
        MINUTE_MS,
        MINUTE_MS,
        2 * MINUTE_MS,
    ]
