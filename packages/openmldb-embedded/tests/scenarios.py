"""Recorded conversations with a real API server, replayed and compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

REFUSED = {
    "deploy q8 select 1": "a real server accepts it, and can never drop it",
}
"""Deployments that are refused on purpose: a real server makes them, and they cannot be used."""

KNOWN = {
    "show deployment dall": "recorded under a longer database name: the column's width",
    "show deployment requests.dall": "recorded under a longer database name: the column's width",
    "explain select k from c": "EXPLAIN shows this engine's own plan",
    "select map('a',1)": "a real server answers with a value of type Unknown",
    "select unhex('61')": "a real server answers NULL, and its engine alone 'a'",
    "select distinct f from allt": "a real server leaves DISTINCT out over the online tables",
}
"""Statements that are answered otherwise, and why."""


@dataclass(frozen=True)
class Fault:
    """One answer that differs."""

    kind: str
    sql: str
    ours: str


def replay(client: httpx.Client, scenario: Path) -> tuple[int, list[Fault]]:
    """The number of answers compared, and those that differ."""
    compared, faults = 0, []
    for line in scenario.read_text(encoding="utf-8").splitlines():
        step: dict[str, Any] = json.loads(line)
        answer = client.request(
            step["method"],
            step["path"],
            content=_body(step),
            headers={"Content-Type": "application/json"},
        )
        if not step.get("compare", True):
            continue
        compared += 1
        kind = _judged(step, answer.content.decode("utf-8", "surrogateescape"))
        if kind is not None:
            body = step.get("body")
            sql = body.get("sql", "") if isinstance(body, dict) else str(step.get("body_text"))
            faults.append(Fault(kind, sql, answer.text))
    return compared, faults


def _body(step: dict[str, Any]) -> bytes | None:
    if "body_latin1" in step:
        return str(step["body_latin1"]).encode("latin1")
    if "body_text" in step:
        return str(step["body_text"]).encode("utf-8", "surrogatepass")
    return json.dumps(step["body"]).encode() if "body" in step else None


def _judged(step: dict[str, Any], reply: str) -> str | None:
    """What differs; texts of errors, and the order of rows that none asked for, do not count."""
    got = _json(reply)
    if step.get("died"):
        return None if isinstance(got, dict) and got.get("code") != 0 else "survived"
    want = _json(step["reply"])
    if not isinstance(want, dict) or "code" not in want:
        return None if reply.strip() == step["reply"].strip() else "data"
    if not isinstance(got, dict) or "code" not in got:
        return "no answer"
    if (want["code"] == 0) != (got["code"] == 0):
        return "refused" if want["code"] == 0 else "accepted"
    if want["code"] != 0:
        return None if want["code"] == got["code"] else "code"
    a, b = ({k: v for k, v in found.items() if k != "msg"} for found in (want, got))
    return None if _same(a, b) or _same_rows(a, b) else "data"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, float) or isinstance(b, float):
        if not (isinstance(a, int | float) and isinstance(b, int | float)):
            return False
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) or (a != a and b != b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return bool(a == b)


def _same_rows(a: dict[str, Any], b: dict[str, Any]) -> bool:
    def rows(found: dict[str, Any]) -> Iterator[Any]:
        return iter(sorted(found["data"]["data"], key=repr))

    try:
        schemas = [found["data"].get("schema") for found in (a, b)]
        return schemas[0] == schemas[1] and _same(list(rows(a)), list(rows(b)))
    except (KeyError, TypeError, AttributeError):
        return False
