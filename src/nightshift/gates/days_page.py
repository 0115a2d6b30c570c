"""`days.html`: rows, labels, positives and missing values by day, one file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 720, 150
_LEFT, _TOP, _BOTTOM, _CELL = 64, 22, 24, 15
_NAMES = 230
MOST_FEATURES = 60
"""So many features at most have a line in the picture of missing values."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
       color: #1c2733; background: #fff; }
figure { margin: 0 0 1rem 0; overflow-x: auto; }
svg text { font: 12px system-ui, sans-serif; fill: #44515f; }
.bar { fill: #2f6fb7; } .young { fill: #9db7d4; } .none { fill: #c4372a; }
.fail { color: #b3261e; } .warn { color: #8a4b00; }
@media (prefers-color-scheme: dark) {
  body { color: #dde4ec; background: #12181f; } svg text { fill: #a9b6c4; }
  .bar { fill: #6aa5e8; } .young { fill: #3f5a78; } .fail { color: #ff8a80; }
  .warn { color: #f0b060; } }
"""


def render(report: Mapping[str, Any], title: str) -> str:
    """The page.

    Args:
        report: the report of the data gate, whose `days` are those of the data card.
        title: the page's heading, such as pipeline and date.
    """
    days: Sequence[Mapping[str, Any]] = report["days"]
    found = [
        *((text, "fail") for text in report["failures"]),
        *((text, "warn") for text in report["warnings"]),
    ]
    told = "".join(f'<p class="{level}">{html.escape(text)}</p>' for text, level in found)
    shares = [day["positives"] / day["labelled"] if day["labelled"] else None for day in days]
    missing = [1 - day["labelled"] / day["rows"] if day["rows"] else None for day in days]
    head = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{head}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{head}</h1>{told}"
        + bars("Rows", days, [float(day["rows"]) for day in days], "{:.0f}")
        + bars("Share of positives among labelled rows", days, shares, "{:.2%}")
        + bars("Share of rows without a label", days, missing, "{:.0%}")
        + nulls(days)
        + "<p>Pale days: their labels have not settled. Red: nothing there.</p></html>\n"
    )


def bars(
    title: str, days: Sequence[Mapping[str, Any]], values: Sequence[float | None], form: str
) -> str:
    """One bar a day; a value that is not there is a red mark."""
    high = max((value for value in values if value is not None), default=0.0) or 1.0
    step = (WIDTH - _LEFT) / max(len(days), 1)
    base = HEIGHT - _BOTTOM
    parts = [
        f'<text x="{_LEFT - 6}" y="{_TOP + 10}" text-anchor="end">{form.format(high)}</text>',
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">0</text>',
    ]
    for at, (day, value) in enumerate(zip(days, values, strict=True)):
        tall = (base - _TOP) * (value or 0.0) / high
        kind = "none" if not day["rows"] else "bar" if day["settled"] else "young"
        shown = "nothing" if value is None else form.format(value)
        parts.append(
            f'<rect class="{kind}" x="{_LEFT + at * step:.1f}" y="{base - max(tall, 1):.1f}" '
            f'width="{step * 0.85:.1f}" height="{max(tall, 1):.1f}">'
            f"<title>{day['day']}: {shown}</title></rect>"
        )
    return _figure(title, WIDTH, HEIGHT, [*parts, *_axis(days, _LEFT, step, HEIGHT - 8)])


def nulls(days: Sequence[Mapping[str, Any]]) -> str:
    """Shares of NULLs: a line a feature that has any, a cell a day."""
    totals: dict[str, int] = {}
    for day in days:
        for name, count in day["nulls"].items():
            totals[name] = totals.get(name, 0) + count
    names = sorted(totals, key=lambda name: (-totals[name], name))[:MOST_FEATURES]
    if not names:
        return "<p>No feature has a NULL.</p>"
    step = (WIDTH - _NAMES) / max(len(days), 1)
    parts = []
    for line, name in enumerate(names):
        y = _TOP + line * _CELL
        parts.append(
            f'<text x="{_NAMES - 6}" y="{y + 11}" text-anchor="end">{html.escape(name[:34])}</text>'
        )
        for at, day in enumerate(days):
            share = day["nulls"].get(name, 0) / day["rows"] if day["rows"] else 0.0
            parts.append(
                f'<rect x="{_NAMES + at * step:.1f}" y="{y}" width="{step * 0.92:.1f}" '
                f'height="{_CELL - 2}" fill="#c4572a" fill-opacity="{0.04 + 0.96 * share:.2f}">'
                f"<title>{html.escape(name)}, {day['day']}: {share:.1%} NULL</title></rect>"
            )
    height = _TOP + len(names) * _CELL + _BOTTOM
    title = "Share of NULLs by feature and day"
    return _figure(title, WIDTH, height, [*parts, *_axis(days, _NAMES, step, height - 8)])


def _axis(days: Sequence[Mapping[str, Any]], left: float, step: float, y: float) -> list[str]:
    if not days:
        return []
    ends = [(0, "start"), (len(days) - 1, "end")] if len(days) > 1 else [(0, "start")]
    return [
        f'<text x="{left + (at + (anchor == "end")) * step:.1f}" y="{y}" '
        f'text-anchor="{anchor}">{days[at]["day"]}</text>'
        for at, anchor in ends
    ]


def _figure(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg></figure>"
    )
