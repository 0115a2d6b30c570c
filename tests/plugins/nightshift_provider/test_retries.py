"""Which errors are tried again."""

from __future__ import annotations

import json

import pytest


def errors():
    import httpx
    import pyarrow as pa
    import requests

    from nightshift import errors as tree

    terminal = [
        tree.ConfigurationError("x"),
        tree.ContractError("x"),
        tree.PartitionMissing("x"),
        tree.OpenMLDBError("x", 1),
        pa.ArrowInvalid("x"),
        pa.ArrowTypeError("x"),
        pa.ArrowKeyError("x"),
        pa.ArrowNotImplementedError("x"),
        TypeError("x"),
        ValueError("x"),
        KeyError("x"),
        ZeroDivisionError("x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        json.JSONDecodeError("x", "", 0),
        ModuleNotFoundError("x"),
    ]
    passing = [
        tree.ServiceUnavailable("x"),
        tree.JobLost("x"),
        tree.LockHeld("x"),
        ConnectionResetError("x"),
        TimeoutError("x"),
        OSError(28, "No space left on device"),
        MemoryError(),
        requests.exceptions.ConnectionError("x"),
        requests.exceptions.JSONDecodeError("x", "", 0),
        httpx.ConnectError("x"),
        RuntimeError("x"),
    ]
    return terminal, passing


@pytest.mark.parametrize("form", ["as it is", "as the scheduler keeps it"])
def test_what_cannot_pass_fails_at_once_and_the_rest_is_tried_again(form):
    from airflow.sdk import ExceptionRetryPolicy, RetryAction
    from nightshift_provider.retries import RETRY_POLICY

    policy = RETRY_POLICY
    if form != "as it is":
        policy = ExceptionRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize())))
    terminal, passing = errors()
    for error in terminal:
        assert policy.evaluate(error, 1, 3).action is RetryAction.FAIL, type(error)
    for error in passing:
        assert policy.evaluate(error, 1, 3).action is not RetryAction.FAIL, type(error)


def test_no_error_of_the_tree_is_both():
    from airflow.sdk import RetryAction
    from nightshift_provider.retries import RETRY_POLICY

    from nightshift import errors as tree

    kinds = [k for k in vars(tree).values() if isinstance(k, type) and issubclass(k, Exception)]
    for kind in kinds:
        action = RETRY_POLICY.evaluate(kind("x"), 1, 3).action
        if issubclass(kind, tree.TerminalError):
            assert action is RetryAction.FAIL
        else:
            assert action is not RetryAction.FAIL
