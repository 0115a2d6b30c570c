"""JSON that two decoders cannot read in two ways."""

from __future__ import annotations

import pytest
from socket_proxy import strict_json
from socket_proxy.errors import Refused


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "\\u0061": 2}}',
        b'{"a": 1} {"b": 2}',
        b'{"a": 1}\0',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1.5}',
        b'{"a": 1e400}',
        b'{"a": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"a": "\\u0000"}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 50_000,
        b'{"a":' * 10_000,
        b'{"a":' * 12 + b"1" + b"}" * 12,
    ],
)
def test_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        strict_json.parse(body)


def test_read() -> None:
    assert strict_json.parse('{"ä": [1, -2, true, null, "é\\n"]}'.encode()) == {
        "ä": [1, -2, True, None, "é\n"]
    }
