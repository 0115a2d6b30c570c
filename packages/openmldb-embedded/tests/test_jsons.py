"""A deployment's request is read by a faster reader exactly as by the slower one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmldb_embedded import jsons

CELL = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["[", "]", "{", "}", '"', "\\", ",", ":", '"input":[', "\ud800", "\x7f"])
)


def outcome(read: Any, body: bytes) -> str:
    try:
        return repr(read(body))
    except jsons.JsonError as error:
        return f"refused: {error}"


@given(
    rows=st.lists(
        st.lists(CELL, max_size=4) | st.dictionaries(st.text(max_size=3), CELL), max_size=4
    ),
    beside=st.dictionaries(st.sampled_from(["need_schema", "common_cols", "x"]), CELL),
    ascii_only=st.booleans(),
    last=st.booleans(),
)
def test_what_is_written_is_read(
    rows: list[Any], beside: dict[str, Any], ascii_only: bool, last: bool
) -> None:
    document = {**beside, "input": rows} if last else {"input": rows, **beside}
    text = json.dumps(document, ensure_ascii=ascii_only)
    body = text.encode("utf-8", "surrogatepass")
    assert outcome(jsons.parse_request, body) == outcome(jsons.parse, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input":[[1]],"input":[[2]]}',
        b'{"input":[[1]],"input":2}',
        b'{"input":2,"input":[[1]]}',
        b'{"input" : [[1]] , "input" :[[2]]}',
        b'{"x":[[1]],"input":[]}',
        b'{"x":[[1]],"input":5}',
        b'{"input":[],"x":[[1]]}',
        b'{"x":"[","input":[[1]]}',
        b'{"input":[[1]],"x":"]"}',
        b'{"input":[{"a":1,"a":2}]}',
        b'{"input":[[{"a":1,"a":2}]]}',
        b'{"input":[[NaN,-Inf,1e400]]}',
        b'{"input":[[NaN]],"x":1e400}',
        b'{"input":[[1]]}x',
        b'x{"input":[[1]]}',
        b'{"input":[[01]]}',
        b'{"input":[["\xff"]]}',
        b'{"input":[[1]],"x":"\xff"}',
        b'{"input":[["\\ud800"]]}',
        b'{"input":[[12345678901234567890123456789,-0,-0.0,1e5]]}',
        b'{"input":[[' + b"1" * 5000 + b"]]}",
        b"[[1]]",
        b'["input",[[1]]]',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"",
        b"]{[",
    ],
)
def test_what_the_readers_might_take_differently_is_taken_as_by_the_slower(body: bytes) -> None:
    assert outcome(jsons.parse_request, body) == outcome(jsons.parse, body)


def test_of_a_key_given_twice_the_first_counts() -> None:
    assert jsons.parse_request(b'{"input":[[1]],"input":[[2]]}') == {"input": [[1]]}
