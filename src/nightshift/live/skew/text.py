"""A ledger for people."""

from __future__ import annotations

from typing import Any

_COUNTED = "  {requests} requests, {compared} compared, {not_in_training} not in the partitions of requests"
_DIFFERING = (
    "  {rows_differing} requests and {values_differing} values differ from what training sees now; "
    "{unexplained} unexplained"
)


def as_text(found: dict[str, Any]) -> str:
    """The report of `ledger.observe` as text."""
    lines = [
        f"{found['pipeline']}, requests of {found['from']} to {found['to']}: {found['status']}",
        _COUNTED.format_map(found),
        _DIFFERING.format_map(found),
        f"  {found['not_reproduced']} values were served that the store cannot have given",
    ]
    for one in found["releases"]:
        lines += [
            "",
            f"release {one['release']}: {one['requests']} requests",
            *_price(one["price"]),
        ]
        for cause in sorted(one["causes"], key=lambda c: -c["values"]):
            lines += _cause(cause, found["meanings"])
        for wrong in one["served_otherwise"]:
            lines.append(
                f"  {wrong['request_id']}, {wrong['feature']}: served {wrong['served']!r}, the "
                f"replay gives {wrong['replayed']!r}; {wrong['cause']} {wrong['table']}".rstrip()
            )
    return "\n".join(lines)


def _price(price: dict[str, Any]) -> list[str]:
    if "why" in price:
        return [f"  no price: {price['why']}"]
    lines = [f"  {price['rows']} labelled, {price['positives']} positives"]
    for side in ("served", "training"):
        one = price[side]
        lines.append(
            f"    {side:9} AUC {_number(one['auc'])}{_between(one.get('auc_interval'))}, "
            f"log loss {_number(one['logloss'])}, "
            f"mean score over positives {_number(one['calibration_ratio'])}"
        )
    lines.append(f"    training against served: {_change(price)}")
    return lines


def _cause(cause: dict[str, Any], meanings: dict[str, str]) -> list[str]:
    name = f"{cause['cause']}: {cause['table']}" if cause["table"] else cause["cause"]
    lines = [
        f"  {name}: {cause['values']} values of {cause['rows']} requests",
        f"    {meanings[cause['cause']]}",
    ]
    if "late_s" in cause:
        late = cause["late_s"]
        lines.append(
            f"    late by {span(late['p50'])} (median), {span(late['p95'])} (95 %), "
            f"{span(late['max'])} at most"
        )
    if cause.get("never_arrived"):
        lines.append(f"    {cause['never_arrived']} rows have not arrived to this day")
    if cause["price"] is not None:
        lines.append(f"    without it: {_change(cause['price'])}")
    features = ", ".join(f"{name} {count}" for name, count in list(cause["features"].items())[:6])
    lines.append(f"    features: {features}")
    first = cause["examples"][0]
    lines.append(
        f"    for example {first['request_id']}, {first['feature']}: served {first['served']!r}, "
        f"training {first['training']!r}"
    )
    return lines


def span(seconds: float) -> str:
    """A delay for people: seconds, minutes or hours."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} s"


def _change(price: dict[str, Any]) -> str:
    parts = []
    for name, text in (("auc", "AUC"), ("logloss", "log loss")):
        one = price.get(name)
        if one is None:
            parts.append(f"{text} unknown (a class is absent)")
        else:
            parts.append(f"{text} {one['difference']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]")
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _between(interval: list[float] | None) -> str:
    return f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
