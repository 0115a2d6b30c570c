"""A refusal in words that cannot forge a line of a log."""

import pytest
from socket_proxy.errors import EngineAway, Refused


def test_a_refusal_is_forbidden_unless_it_says_otherwise():
    assert (Refused("no").status, str(Refused("no"))) == (403, "no")
    assert Refused("not JSON", 400).status == 400


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a\nGET /ok 200", r"a\nGET /ok 200"),
        ("a\r\x1b[2Jb", r"a\r\x1b[2Jb"),
        ("a\u2028b", r"a\u2028b"),
        ("ü 名", "ü 名"),
    ],
)
def test_what_a_client_wrote_stays_on_one_line(written, shown):
    error = Refused(f"the image {written} is not ours")
    assert error.message == str(error) == f"the image {shown} is not ours"
    assert len(error.message.splitlines()) == 1


def test_an_engine_that_is_away_is_not_a_refusal():
    assert not issubclass(EngineAway, Refused) and not issubclass(Refused, EngineAway)
