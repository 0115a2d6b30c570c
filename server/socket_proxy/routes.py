"""The requests that the task operator needs; every other one is refused.

A route is found by method and path, spelled plainly, without a version or with one of at least
1.41. The engine leaves out what a version does not know: below 1.24 a start carries a host
configuration, below 1.40 a mount takes along what is mounted below it (NonRecursive), below 1.41
a container has the host's cgroup namespace. Query parameters are rebuilt, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from socket_proxy import strict_json
from socket_proxy.errors import Refused
from socket_proxy.policy import HOME_LABEL, Policy

OLDEST = 41
"""The oldest minor version of the API that passes."""

_PATH = re.compile(r"(?:/v1\.(0|[1-9][0-9]{0,2}))?(/[A-Za-z0-9/_.-]*)")
_CONTAINER = re.compile(
    r"/containers/([A-Za-z0-9][A-Za-z0-9_.-]{0,127})(?:/(json|logs|start|stop|wait))?"
)
_NAME = re.compile(r"nightshift-[A-Za-z0-9_.-]{1,100}")

_FLAG = r"0|1|true|false|True|False"
_SECONDS = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_GRACE = r"[0-9]{1,5}"


@dataclass(frozen=True)
class Route:
    """What is asked.

    Attributes:
        kind: ping, version, list, create, json, logs, start, stop, wait or remove.
        method: of the request to the engine.
        version: prefix of the path to the engine: empty or `/v1.41`.
        container: name or id in the request; empty where none is meant.
        query: rebuilt, without a question mark.
        idle_s: seconds that the engine may be silent.
    """

    kind: str
    method: str
    version: str
    container: str = ""
    query: str = ""
    idle_s: float = 60.0

    def path(self, container: str = "") -> str:
        """The path at the engine, with the container's full id."""
        where = {
            "ping": "/_ping",
            "version": "/version",
            "list": "/containers/json",
            "create": "/containers/create",
            "remove": f"/containers/{container}",
        }.get(self.kind, f"/containers/{container}/{self.kind}")
        return self.version + where + (f"?{self.query}" if self.query else "")


_QUERIES: Mapping[str, Mapping[str, str]] = {
    "ping": {},
    "version": {},
    "json": {"size": "0|false|False"},
    "logs": {
        "stdout": _FLAG, "stderr": _FLAG, "timestamps": _FLAG, "follow": _FLAG, "details": _FLAG,
        "tail": "all|[0-9]{1,9}", "since": _SECONDS, "until": _SECONDS,
    },
    "start": {},
    "stop": {"t": _GRACE},
    "wait": {"condition": "not-running|next-exit|removed"},
    "remove": {"v": _FLAG, "force": _FLAG, "link": "0|false|False"},
    "create": {"name": _NAME.pattern},
    "list": {
        "all": _FLAG, "size": "0|false|False", "trunc_cmd": _FLAG, "limit": "-1|[0-9]{1,6}",
    },
}  # fmt: skip
_METHODS = {
    "json": "GET", "logs": "GET", "start": "POST", "stop": "POST", "wait": "POST",
    None: "DELETE",
}  # fmt: skip
_IDLE_S = {"logs": 86400.0, "wait": 86400.0, "start": 300.0, "remove": 300.0, "create": 300.0}


def find(method: str, target: str, policy: Policy) -> Route:
    """The route of a request.

    Raises:
        Refused: there is none, or the request is spelled oddly.
    """
    path, mark, raw = target.partition("?")
    match = _PATH.fullmatch(path)
    if match is None or ".." in path or "//" in path:
        raise Refused("this path is written oddly")
    minor, rest = match[1], match[2]
    if minor is not None and int(minor) < OLDEST:
        raise Refused(f"API version 1.{minor} is too old; 1.{OLDEST} is the oldest that passes")
    kind, container = _kind(method, rest)
    given = _pairs(raw if mark else "")
    filters = given.pop("filters", None) if kind == "list" else None
    for name, value in given.items():
        pattern = _QUERIES[kind].get(name)
        if pattern is None or re.fullmatch(pattern, value) is None:
            raise Refused(f"{kind}: parameter {name[:40]}={value[:60]} is not allowed")
    if kind == "create" and "name" not in given:
        raise Refused("a container must have a name that begins with nightshift-")
    if kind == "list":
        given["filters"] = _filters(filters, policy)
    grace = float(given.get("t", "10")) if kind == "stop" else 0.0
    return Route(
        kind=kind,
        method=method,
        version=f"/v1.{minor}" if minor is not None else "",
        container=container,
        query=urlencode(given),
        idle_s=_IDLE_S.get(kind, 60.0) + grace,
    )


def _kind(method: str, path: str) -> tuple[str, str]:
    fixed = {
        ("GET", "/_ping"): "ping",
        ("HEAD", "/_ping"): "ping",
        ("GET", "/version"): "version",
        ("GET", "/containers/json"): "list",
        ("POST", "/containers/create"): "create",
    }
    if (method, path) in fixed:
        return fixed[method, path], ""
    match = _CONTAINER.fullmatch(path)
    reserved = ("json", "create", "prune")
    if match is None or match[1] in reserved or _METHODS[match[2]] != method:
        raise Refused("the task operator needs no such request")
    return match[2] or "remove", match[1]


def _pairs(raw: str) -> dict[str, str]:
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw, keep_blank_values=True, strict_parsing=True, max_num_fields=16, errors="strict"
        )
    except ValueError:
        raise Refused("the query is written oddly") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("a parameter stands twice in the query")
    return found


def _filters(raw: str | None, policy: Policy) -> str:
    """Label filters, and always that of this installation; the engine wants all to match."""
    labels: list[Any] = []
    if raw is not None:
        found = strict_json.parse(raw.encode("utf-8", "surrogateescape"))
        labels = found.get("label", [])
        if found.keys() - {"label"} or not isinstance(labels, list) or len(labels) > 16:
            raise Refused("list: filters may be labels")
        if not all(isinstance(item, str) and len(item) <= 300 for item in labels):
            raise Refused("list: a label must be a text")
    ours = f"{HOME_LABEL}={policy.home_label}"
    return json.dumps({"label": [*(item for item in labels if item != ours), ours]})
