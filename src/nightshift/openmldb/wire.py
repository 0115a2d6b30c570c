"""From HTTP answers to JSON, or to errors that tell "try again" from "give up"."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final, NoReturn

import httpx

from nightshift.errors import OpenMLDBError, ServiceUnavailable, StatementTimeout
from nightshift.openmldb.protocol import Request

HEALTH: Final = Request("GET", "/health", "GET /health")
CONSISTENCY: Final = "x-openmldb-consistency"
"""Header of the answer to GET /health: `strong` where the embedded server has no cluster's delays."""

# What the API server says when a part behind it is away or busy; the same statement may well
# succeed later. A statement that reached its timeout goes on there: it is no such answer.
_AWAY = re.compile(
    r"connection refused|connection reset|timed? ?out|rpc fail|not connected|server error"
    r"|taskmanager client|no taskmanager|no leader|shutting down|host is down"
    r"|fail(?:ed)? to get (?:\S+ )?tablets?\b|cannot connect tablet|tablet accessor is null"
    r"|get tablet client failed--[^\n]*(?:accessor|not alive)|there is already a task running",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"Non-support|fail to explain|ReturnCode\[1000\]")
_AWAY_CODES: Final = (-1, 1400, 1500, 2000, 2001)
_TIMEOUT = re.compile(r"Reached timeout", re.IGNORECASE)


def _raise_code(code: Any, message: str, about: str, place: str) -> NoReturn:
    text = f"OpenMLDB at {place} refused {about}: {message} (code {code})"
    if code in (2000, 2001) and _TIMEOUT.search(message):
        raise StatementTimeout(
            f"{text}; the statement or its job may go on: look it up (SHOW JOBS) before it is "
            "sent again"
        )
    if code in _AWAY_CODES and _AWAY.search(message) and not _REFUSED.search(message):
        raise ServiceUnavailable(text)
    raise OpenMLDBError(text, code if isinstance(code, int) else None)


def parse(response: httpx.Response, request: Request, place: str) -> Any:
    """The JSON of an answer.

    Raises:
        ServiceUnavailable: the server, or a part behind it, is away.
        OpenMLDBError: it refused, or it is not an API server.
    """
    if response.status_code >= 500:
        raise ServiceUnavailable(
            f"{place} answered HTTP {response.status_code} to {request.about}; see its log"
        )
    try:
        answer = json.loads(response.content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "code" not in answer:
        raise OpenMLDBError(
            f"{place} is not an OpenMLDB API server: to {request.about} it answered "
            f"HTTP {response.status_code} {response.text[:200]!r}; check host and port"
        )
    if answer["code"] != 0:
        _raise_code(answer["code"], str(answer.get("msg", "")), request.about, place)
    return answer


def basic_authorisation(login: str, password: str) -> dict[str, str]:
    """The header of HTTP's basic authentication."""
    value = base64.b64encode(f"{login}:{password}".encode()).decode()
    return {"Authorization": f"Basic {value}"}


def unavailable(error: httpx.TransportError, request: Request, place: str) -> ServiceUnavailable:
    """The error of a request that got no answer."""
    reason = str(error) or type(error).__name__
    return ServiceUnavailable(
        f"OpenMLDB's API server at {place} did not answer {request.about}: {reason}; "
        "is it running there?"
    )


def limits(timeout_s: float) -> httpx.Timeout:
    """Seconds for an answer, at most five of them for the connection."""
    return httpx.Timeout(timeout_s, connect=min(5.0, timeout_s))


def check_health(response: httpx.Response, place: str) -> None:
    """Return if the answer to GET /health is OK; else raise ServiceUnavailable."""
    if response.status_code != 200 or response.text.strip() != "OK":
        raise ServiceUnavailable(
            f"GET {place}/health answered HTTP {response.status_code} {response.text[:80]!r} "
            "instead of OK"
        )
