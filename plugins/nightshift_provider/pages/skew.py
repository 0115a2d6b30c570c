"""What the newest skew ledger says, for the page of live traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import NightshiftError

if TYPE_CHECKING:
    from pathlib import Path

    from markupsafe import Markup

_REPORT_BYTES = 32 << 20
_FEATURES = 25


def newest(live: Path) -> dict[str, Any]:
    """The newest report of `observe_<pipeline>`; empty where there is none that can be read."""
    for path in sorted((live / "skew").glob("*_*.json"), key=_written, reverse=True):
        try:
            value = files.read_json(path, max_bytes=_REPORT_BYTES)
        except (NightshiftError, OSError):
            continue
        if isinstance(value, dict):
            return value
    return {}


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a release and cause: values, rows, and the price in AUC with its interval."""
    listed = []
    for release in _dicts(found.get("releases")):
        for cause in _dicts(release.get("causes")):
            price = cause.get("price")
            auc = price.get("auc") if isinstance(price, dict) else None
            auc = auc if isinstance(auc, dict) else {}
            listed.append(
                {
                    "release": str(release.get("release")),
                    "cause": f"{cause.get('cause')}: {cause.get('table')}"
                    if cause.get("table")
                    else str(cause.get("cause")),
                    "values": cause.get("values"),
                    "rows": cause.get("rows"),
                    "auc": _number(auc.get("difference")),
                    "low": _number(auc.get("low")),
                    "high": _number(auc.get("high")),
                }
            )
    return listed


def by_feature(found: dict[str, Any]) -> Markup | None:
    """Values that differ from training's, by feature and cause."""
    from nightshift_provider.pages import charts

    counted: dict[tuple[str, str], float] = {}
    for release in _dicts(found.get("releases")):
        for cause in _dicts(release.get("causes")):
            features = cause.get("features")
            for name, values in (features if isinstance(features, dict) else {}).items():
                number = _number(values)
                if number is not None:
                    key = (str(name)[:80], str(cause.get("cause")))
                    counted[key] = counted.get(key, 0.0) + number
    total: dict[str, float] = {}
    for (name, _), values in counted.items():
        total[name] = total.get(name, 0.0) + values
    shown = sorted(total, key=lambda name: -total[name])[:_FEATURES]
    listed = [
        {"y": name, "x": values, "series": cause}
        for (name, cause), values in counted.items()
        if name in shown
    ]
    return charts.bars(listed, order=shown, title="Skew: values unlike training's", x="values")


def prices(found: dict[str, Any]) -> Markup | None:
    """What each cause costs in AUC: how much better the scores are once it is repaired."""
    from nightshift_provider.pages import charts

    listed = [
        {"x": row["cause"], "value": row["auc"], "low": row["low"], "high": row["high"],
         "series": row["release"]}
        for row in rows(found)
    ]  # fmt: skip
    return charts.measure(listed, title="Skew: price of each cause in AUC", y="AUC gained without")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
