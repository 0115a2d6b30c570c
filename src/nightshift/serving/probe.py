"""Asking the predict server, as a client would, which release it answers by."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature
from nightshift.errors import ContractError, ServiceUnavailable

PLAIN: Mapping[str, Any] = {"trust_env": False}
"""httpx's arguments for a server that asks for nothing."""

PROBE = "x-nightshift-probe"
"""Header with a 1: a request that no user made. The live release answers it, never a canary; it is logged
with the role `probe`, is not scored in shadow, and its rows are not inserted."""


def alive(url: str, *, timeout_s: float = 5.0, access: Mapping[str, Any] = PLAIN) -> None:
    """The predict server answers at all, whatever it says of its parts.

    Raises:
        ServiceUnavailable: it does not.
    """
    try:
        httpx.get(f"{url}/health", timeout=timeout_s, **access)
    except httpx.TransportError as error:
        raise ServiceUnavailable(
            f"the predict server at {url} does not answer ({error}); a release is not switched "
            "without it (`./nightshift status`, NIGHTSHIFT_PREDICT_PORT)"
        ) from error


def answers_by(
    url: str,
    pipeline: str,
    release: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    deadline_s: float = 30.0,
    timeout_s: float = 10.0,
    access: Mapping[str, Any] = PLAIN,
) -> dict[str, Any]:
    """Post requests until the answer is by `release`; the server needs a moment to prepare it.

    Args:
        url: base URL of the predict server.
        pipeline: the pipeline asked for.
        release: the release that was just made live.
        rows: request rows as objects.
        deadline_s: how long it may go on answering by the old one.
        timeout_s: limit of one request.
        access: httpx's arguments, from `nightshift.serving.access`.

    Returns:
        The server's answer.

    Raises:
        ContractError: it refused the request, answered by another release until the deadline,
            or gave no score.
        ServiceUnavailable: it did not answer until the deadline.
    """
    probe = _Probe(f"{url}/v1/pipelines/{pipeline}", release, deadline_s, timeout_s, access)
    value = probe.ask("predict", {"rows": list(rows)})
    probe.await_workers()
    return _checked(value, len(rows))


def infers_by(
    url: str,
    pipeline: str,
    release: str,
    golden: Golden,
    signature: ModelSignature,
    *,
    deadline_s: float = 30.0,
    timeout_s: float = 30.0,
    access: Mapping[str, Any] = PLAIN,
) -> dict[str, Any]:
    """Post the golden examples until the answer is by `release`, and compare its outputs.

    Args:
        url: base URL of the predict server.
        pipeline: the pipeline asked for.
        release: the release that was just made live.
        golden: its golden examples.
        signature: its signature.
        deadline_s: how long it may go on answering by the old one.
        timeout_s: limit of one request.
        access: httpx's arguments, from `nightshift.serving.access`.

    Returns:
        The server's answer.

    Raises:
        ContractError: it refused the request, answered by another release until the deadline,
            or its outputs are not the golden ones.
        ServiceUnavailable: it did not answer until the deadline.
    """
    import numpy as np

    body = {
        "inputs": {
            name: {
                "shape": list(value.shape),
                "data": value.reshape(-1).tolist(),
            }
            for name, value in golden.inputs.items()
        }
    }
    probe = _Probe(f"{url}/v1/pipelines/{pipeline}", release, deadline_s, timeout_s, access)
    value = probe.ask("infer", body)
    probe.await_workers()
    outputs = value.get("outputs")
    if not isinstance(outputs, dict):
        raise ContractError(f"{probe.url}/infer answered a probe of {release} without outputs")
    arrays = {
        tensor.name: np.array(outputs[tensor.name]["data"], tensor.numpy_dtype).reshape(
            outputs[tensor.name]["shape"]
        )
        for tensor in signature.outputs
        if tensor.name in outputs
    }
    golden.largest_difference(arrays, signature, f"{probe.url}/infer")
    return value


def recommends_by(
    url: str,
    pipeline: str,
    release: str,
    user: Any,
    *,
    deadline_s: float = 30.0,
    timeout_s: float = 30.0,
    access: Mapping[str, Any] = PLAIN,
) -> dict[str, Any]:
    """Ask for a user's items until the answer is by `release`.

    Args:
        url: base URL of the predict server.
        pipeline: the pipeline asked for.
        release: the release that was just made live.
        user: a user's id; it need not be known.
        deadline_s: how long it may go on answering by the old one.
        timeout_s: limit of one request.
        access: httpx's arguments, from `nightshift.serving.access`.

    Returns:
        The server's answer.

    Raises:
        ContractError: it refused the request, or found nothing to recommend.
        ServiceUnavailable: it did not answer until the deadline.
    """
    probe = _Probe(f"{url}/v1/pipelines/{pipeline}", release, deadline_s, timeout_s, access)
    value = probe.ask("recommend", {"user": user, "n": 1})
    if not value.get("recommendations") and value.get("candidates") != 0:
        raise ContractError(f"{probe.url}/recommend answered a probe of {release} without items")
    return value


class _Probe:
    """Asks one pipeline until it answers by a release, or the deadline has passed.

    Args:
        url: the pipeline's paths begin with it.
        release: the release.
        deadline_s: how long it may go on answering by another one, from now on.
        timeout_s: limit of one request.
        access: httpx's arguments.
    """

    def __init__(
        self,
        url: str,
        release: str,
        deadline_s: float,
        timeout_s: float,
        access: Mapping[str, Any],
    ) -> None:
        self.url, self._release, self._deadline_s = url, release, deadline_s
        self._until = time.monotonic() + deadline_s
        headers = {**access.get("headers", {}), PROBE: "1"}
        self._options: dict[str, Any] = {**access, "headers": headers, "timeout": timeout_s}

    def ask(self, action: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post until the answer is by the release."""
        path, last = f"{self.url}/{action}", ""
        while True:
            try:
                response = httpx.post(path, json=body, **self._options)
            except httpx.TransportError as error:
                last, unavailable = f"no answer ({error})", True
            else:
                unavailable = response.status_code >= 500
                last = f"HTTP {response.status_code} {response.text[:300]}"
                if response.status_code == 200:
                    value: dict[str, Any] = response.json()
                    if value.get("release") == self._release:
                        return value
                elif not unavailable and response.status_code != 404:
                    raise ContractError(f"{path} refused a probe of {self._release}: {last}")
            if self._late:
                message = (
                    f"{path} did not answer by {self._release} within {self._deadline_s:g} s; "
                    f"last: {last}"
                )
                raise ServiceUnavailable(message) if unavailable else ContractError(message)
            time.sleep(0.1)

    def await_workers(self) -> None:
        """Wait until every worker process of the server answers by the release.

        Raises:
            ContractError: one does not, at the deadline; its reason is named.
            ServiceUnavailable: the server did not answer.
        """
        path = f"{self.url}/health"
        while True:
            try:
                workers = httpx.get(path, **self._options).json().get("workers", {})
                behind = [
                    f"worker {line['pid']}: {line.get('problem') or line['release']}"
                    for line in workers.get("following", [])
                    if line["release"] != self._release
                ]
                missing = workers.get("expected", 0) - workers.get("serving", 0)
                error: str | None = None
            except (httpx.TransportError, ValueError, KeyError) as failure:
                behind, missing, error = [], 0, str(failure)
            # A worker that is being replaced follows as it starts.
            if error is None and not behind and (missing <= 0 or self._late):
                return
            if self._late:
                if error is not None:
                    raise ServiceUnavailable(f"{path} did not answer: {error}")
                raise ContractError(
                    f"not every worker answers by {self._release}: {'; '.join(behind)}"
                )
            time.sleep(0.05)

    @property
    def _late(self) -> bool:
        return time.monotonic() >= self._until


def _checked(value: dict[str, Any], count: int) -> dict[str, Any]:
    predictions = value.get("predictions")
    if not isinstance(predictions, list) or len(predictions) != count:
        raise ContractError(f"the predict server answered {count} probe rows with {value!r}")
    for prediction in predictions:
        score = prediction.get("score")
        if not isinstance(score, float) or not 0 <= score <= 1:
            raise ContractError(f"the predict server answered a probe with the score {score!r}")
    return value
