"""Asking the predict server, as a client would, which release it answers by."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from nightshift.errors import ContractError, ServiceUnavailable


def alive(url: str, *, timeout_s: float = 5.0) -> None:
    """The predict server answers at all, whatever it says of its parts.

    Raises:
        ServiceUnavailable: it does not.
    """
    try:
        httpx.get(f"{url}/health", timeout=timeout_s, trust_env=False)
    except httpx.TransportError as error:
        raise ServiceUnavailable(
            f"the predict server at {url} does not answer ({error}); a release is not switched "
            "without it (`./nightshift status`, NIGHTSHIFT_PREDICT_PORT)"
        ) from error


def answers_by(
    url: str,
    release: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    deadline_s: float = 30.0,
    timeout_s: float = 10.0,
) -> dict[str, Any]:
    """Post requests until the answer is by `release`; the server needs a moment to prepare it.

    Args:
        url: base URL of the predict server.
        release: the release that was just made live.
        rows: request rows as objects.
        deadline_s: how long it may go on answering by the old one.
        timeout_s: limit of one request.

    Returns:
        The server's answer.

    Raises:
        ContractError: it refused the request, answered by another release until the deadline,
            or gave no score.
        ServiceUnavailable: it did not answer until the deadline.
    """
    end = time.monotonic() + deadline_s
    last = ""
    while True:
        try:
            response = httpx.post(
                f"{url}/predict", json={"rows": list(rows)}, timeout=timeout_s, trust_env=False
            )
        except httpx.TransportError as error:
            last, unavailable = f"no answer ({error})", True
        else:
            unavailable = response.status_code >= 500
            last = f"HTTP {response.status_code} {response.text[:300]}"
            if response.status_code == 200:
                value: dict[str, Any] = response.json()
                if value.get("release") == release:
                    return _checked(value, len(rows))
            elif not unavailable:
                raise ContractError(f"the predict server refused a probe of {release}: {last}")
        if time.monotonic() >= end:
            message = (
                f"the predict server at {url} did not answer by {release} within {deadline_s:g} s; "
                f"last: {last}"
            )
            raise ServiceUnavailable(message) if unavailable else ContractError(message)
        time.sleep(0.1)


def _checked(value: dict[str, Any], count: int) -> dict[str, Any]:
    predictions = value.get("predictions")
    if not isinstance(predictions, list) or len(predictions) != count:
        raise ContractError(f"the predict server answered {count} probe rows with {value!r}")
    for prediction in predictions:
        score = prediction.get("score")
        if not isinstance(score, float) or not 0 <= score <= 1:
            raise ContractError(f"the predict server answered a probe with the score {score!r}")
    return value
