"""Each error says whether trying again may help; exit codes are those of sysexits.h."""

import os

import pytest

from nightshift import errors
from nightshift.errors import NightshiftError, OpenMLDBError, RetryableError, TerminalError


def kinds(root):
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("kind", sorted(kinds(NightshiftError), key=lambda one: one.__name__))
def test_an_error_is_of_one_branch(kind):
    branches = [branch for branch in (RetryableError, TerminalError) if issubclass(kind, branch)]
    assert len(branches) == 1
    assert kind.__doc__


def test_exit_codes():
    assert os.EX_USAGE == errors.EXIT_TERMINAL
    assert os.EX_TEMPFAIL == errors.EXIT_RETRYABLE


def test_a_refusal_of_openmldb_keeps_its_code_beside_its_text():
    error = OpenMLDBError("no such table", 3001)
    assert (str(error), error.code) == ("no such table", 3001)
    assert OpenMLDBError("no such table").code is None
