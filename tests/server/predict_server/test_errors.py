"""What a caller is told when there is no answer."""

import pytest
from predict_server.errors import BackendError, InvalidRows, Problem

from nightshift import errors


def test_wrong_rows_are_named_first_and_listed_all():
    problems = [Problem(2, "price", "is text"), Problem(3, "", "is no object")]
    error = InvalidRows(problems)
    assert (error.status, error.kind) == (422, "invalid_rows")
    assert str(error) == "row 2, field price: is text (and 1 more)"
    assert error.body()["detail"] == [
        {"row": 2, "field": "price", "problem": "is text"},
        {"row": 3, "field": "", "problem": "is no object"},
    ]
    assert str(InvalidRows(problems[1:])) == "row 3: is no object"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.DeadlineExceeded("late"), 504),
        (errors.StatementTimeout("late"), 503),
        (errors.ServiceUnavailable("away"), 503),
        (errors.LockHeld("held"), 503),
        (errors.OpenMLDBError("refused", 1000), 502),
        (errors.ContractError("odd"), 502),
    ],
)
def test_a_failure_behind_the_server_has_the_status_of_its_kind(error, status):
    made = BackendError.of(error)
    assert made.status == status
    assert made.body()["message"] == str(error)
