"""What both clients share: requests, what an answer means, and when to ask again.

Nothing here waits or sends; the clients do, each in its own way.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from nightshift_client.errors import (
    InvalidRequest,
    NightshiftClientError,
    Problem,
    ServerFault,
    Unavailable,
)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
_AGAIN = (429, 503)


@dataclass(frozen=True)
class Target:
    """Where requests go.

    Attributes:
        url: base URL of the predict server.
        pipeline: which pipeline; None is the server's default.
        token: bearer token, if the server asks for one.
        timeout_s: of a whole call, all its tries together.
        verify: httpx's: certificates to trust; an SSL context also for one's own certificate.
    """

    url: str
    pipeline: str | None
    token: str | None
    timeout_s: float
    verify: ssl.SSLContext | str | bool

    def options(self) -> dict[str, Any]:
        """Httpx's arguments for a client."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {"base_url": self.url.rstrip("/"), "headers": headers, "verify": self.verify}

    def path(self, operation: str) -> str:
        """The path of an operation."""
        if self.pipeline is None:
            return f"/{operation}"
        return f"/v1/pipelines/{quote(self.pipeline, safe='')}/{operation}"

    def call(self, operation: str, **options: Any) -> Call:
        """A call of an operation, from now on."""
        return Call(
            "GET" if operation in ("health", "schema") else "POST",
            self.path(operation),
            options,
            time.monotonic() + self.timeout_s,
        )


@dataclass
class Call:
    """One call, with all its tries.

    Attributes:
        method: GET or POST.
        path: of the operation.
        options: httpx's arguments of the request.
        deadline: of `time.monotonic()`.
    """

    method: str
    path: str
    options: Mapping[str, Any]
    deadline: float
    _pause: float = field(default=FIRST_PAUSE_S, init=False)

    def request(self) -> dict[str, Any]:
        """Httpx's arguments of the next try; the server is told what time is left."""
        left = max(self.deadline - time.monotonic(), 0.001)
        headers = {**self.options.get("headers", {}), "X-Request-Timeout": f"{left:.3f}"}
        made = {**self.options, "headers": headers, "timeout": left}
        return {"method": self.method, "url": self.path, **made}

    def read(self, answer: httpx.Response) -> Any:
        """The JSON of an answer.

        Raises:
            NightshiftClientError: it is an error.
        """
        if answer.status_code == 200:
            return answer.json()
        raise error_of(answer)

    def pause(self, error: NightshiftClientError | httpx.TransportError, after: str) -> float:
        """Seconds until the next try.

        Args:
            error: what became of the last one.
            after: its answer's `Retry-After`, or nothing.

        Raises:
            NightshiftClientError: there is to be none: the error is final, or the time is over.
        """
        if isinstance(error, httpx.TransportError):
            final: NightshiftClientError = Unavailable(f"{self.path}: {error or repr(error)}")
        elif error.status in _AGAIN:
            final = error
        else:
            raise error
        # Jitter, so that many clients do not come back at one moment.
        pause = self._pause * (0.5 + random.random() / 2)  # noqa: S311
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        if after.isdecimal():
            pause = max(pause, min(float(after), LONGEST_PAUSE_S) * (0.5 + random.random() / 2))  # noqa: S311
        if time.monotonic() + pause >= self.deadline:
            raise final from error
        return pause


def error_of(answer: httpx.Response) -> NightshiftClientError:
    """The error that an answer is."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    message = str(body.get("message", answer.text[:200]))
    about: dict[str, Any] = {
        "status": answer.status_code,
        "kind": str(body.get("error", "")),
        "request_id": answer.headers.get("x-request-id", ""),
    }
    if answer.status_code in _AGAIN:
        return Unavailable(message, **about)
    if 400 <= answer.status_code < 500:
        problems = tuple(
            Problem(int(p["row"]), str(p["field"]), str(p["problem"]))
            for p in body.get("detail") or ()
        )
        return InvalidRequest(message, problems=problems, **about)
    return ServerFault(message, **about)
