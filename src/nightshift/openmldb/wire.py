"""From HTTP answers to JSON, or to errors that tell "try again" from "give up"."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final, NoReturn

import httpx

from nightshift.errors import OpenMLDBError, ServiceUnavailable
from nightshift.openmldb.protocol import Request

HEALTH: Final = Request("GET", "/health", "GET /health")

_AWAY_CODES: Final = (-1, 1400, 1500, 2000, 2001)
# What the API server says, with one of these codes, when a part behind it is away; the same
# statement may well succeed later. The same codes with other words are refusals.
_AWAY = re.compile(
    r"connection refused|connection reset|timed? ?out|not connected|server error"
    r"|rpc fail(?!ed-+ReturnCode)"  # the ReturnCode is the engine's: the query itself is wrong
    r"|taskmanager client|no taskmanager|no leader|shutting down|host is down"
    r"|accessor is null|get tablet client|connect tablet|fail to get (?:[\w.]+ )*tablets?\b",
    re.IGNORECASE,
)


def _raise_code(code: Any, message: str, about: str, place: str) -> NoReturn:
    text = f"OpenMLDB at {place} refused {about}: {message} (code {code})"
    if code in _AWAY_CODES and _AWAY.search(message):
        raise ServiceUnavailable(text)
    raise OpenMLDBError(text, code if isinstance(code, int) else None)


def parse(response: httpx.Response, request: Request, place: str) -> Any:
    """The JSON of an answer.

    Raises:
        ServiceUnavailable: the server, or a part behind it, is away.
        OpenMLDBError: it refused, or it is no API server.
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
            f"{place} is no OpenMLDB API server: to {request.about} it answered "
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
