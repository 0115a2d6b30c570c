"""One tree of errors for a caller."""

import pytest
from nightshift_client import errors


@pytest.mark.parametrize("kind", [errors.InvalidRequest, errors.Unavailable, errors.ServerFault])
def test_every_failure_is_caught_by_one_class_and_carries_what_the_server_said(
    kind: type[errors.NightshiftClientError],
) -> None:
    error = kind("no", status=503, kind="no_release", request_id="r-1")
    assert isinstance(error, errors.NightshiftClientError)
    assert (str(error), error.status, error.kind, error.request_id) == (
        "no",
        503,
        "no_release",
        "r-1",
    )


def test_nobody_answered_is_status_nought() -> None:
    assert errors.Unavailable("away").status == 0
    assert errors.InvalidRequest("no").problems == ()
