"""`report.html` of an experiment: a table, plots with intervals, one file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from nightshift.experiment.design import assigned
from nightshift.experiment.results import Row, Spread, best

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
       color: #1c2733; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #d8dee6;
         white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 9rem; }
tr.best { background: #eaf4ec; font-weight: 600; }
.failed { color: #a02020; } figure { margin: 0 0 1.5rem 0; overflow-x: auto; }
svg text { font: 12px system-ui, sans-serif; fill: #44515f; }
@media (prefers-color-scheme: dark) {
  body { color: #dde4ec; background: #12181f; } svg text { fill: #a9b6c4; }
  th, td { border-color: #2c3845; } tr.best { background: #1d3325; } .failed { color: #ff9080; } }
"""
_LINE = 24
_WIDTH = 900
_LABEL, _LETTER = 46, 7
"""Characters of a plot's label at most, and pixels of one."""
_COLOURS = ("#2f6fb7", "#c4572a", "#3a9a55", "#8a4fb0", "#b08a1f", "#3d9aa0", "#a03a5c", "#667")
HEADS = (
    "configuration", "trainings", "valid", "test AUC", "95 % interval", "difference",
    "95 % interval", "log loss", "train loss", "seeds ±", "to LR", "best epoch", "train s", "gates",
)  # fmt: skip


def number(value: float | None, digits: int = 4, sign: bool = False) -> str:
    """A figure, or a dash."""
    return "–" if value is None else f"{value:{'+' if sign else ''}.{digits}f}"


def interval(found: Spread | None, *, sign: bool = False) -> str:
    """Both ends of an interval, or a dash."""
    if found is None or found.low is None:
        return "–"
    return f"{number(found.low, 4, sign)} to {number(found.high, 4, sign)}"


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, as texts."""
    verdicts = "; ".join(
        f"{gate} " + ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        for gate, counts in row.verdicts.items()
    )
    failed = f"failed: {row.failed[0][:80]}" if row.failed else ""
    return (
        row.name,
        str(row.trainings),
        number(row.valid),
        number(row.auc.mean if row.auc else None),
        interval(row.auc),
        number(row.difference.mean if row.difference else None, 4, True),
        interval(row.difference, sign=True),
        number(row.logloss.mean if row.logloss else None, 5),
        number(row.train_loss, 5),
        number(row.seed_deviation),
        number(row.versus_baseline, 4, True),
        number(row.best_epoch, 1),
        number(row.seconds, 1),
        "; ".join(part for part in (verdicts, failed) if part),
    )


def cut(name: str, most: int) -> str:
    """A configuration's name in `most` characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def common(about: Mapping[str, Any]) -> str:
    """What every configuration has, unless it says otherwise; empty where that is nothing."""
    base = assigned(about["config"]["base"])
    return f"Base: {'; '.join(base)}. " if base else ""


def render(about: Mapping[str, Any], found: Sequence[Row]) -> str:
    """The page.

    Args:
        about: the experiment: name, pipeline, description, dates, seeds, measure, config.
        found: its rows, the reference first.
    """
    chosen = best(found)
    title = f"Experiment {about['name']} of {about['pipeline']}"
    facts = (
        f"{about.get('description') or ''} {common(about)}Dates: {', '.join(about['dates'])}. Seeds: "
        f"{', '.join(map(str, about['seeds']))}. The best is chosen by the validation "
        f"{about['measure']}; differences are to the first row, on the same dates, seeds and "
        "test rows. Gates: what they would have said with the first row's model live."
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{html.escape(title)}</h1><p>{html.escape(facts)}</p>"
        f"{_table(found, chosen)}"
        f"{dots('Test AUC', [(row.name, row.auc) for row in found], None)}"
        f"{dots('Difference of the test AUC', [(r.name, r.difference) for r in found[1:]], 0.0)}"
        f"{_dates(found)}</html>\n"
    )


def _table(found: Sequence[Row], chosen: Row | None) -> str:
    heads = "".join(f"<th>{html.escape(head)}</th>" for head in HEADS)
    lines = []
    for row in found:
        mark = ' class="best"' if chosen is not None and row.id == chosen.id else ""
        texts = "".join(f"<td>{html.escape(text)}</td>" for text in cells(row))
        lines.append(f"<tr{mark}>{texts}</tr>")
    return f'<div class="wide"><table><tr>{heads}</tr>{"".join(lines)}</table></div>'


def dots(title: str, values: Sequence[tuple[str, Spread | None]], zero: float | None) -> str:
    """A dot with its interval a line; `zero` is a value that is drawn as a line across."""
    shown = [(cut(name, _LABEL), one) for name, one in values if one is not None]
    if not shown:
        return ""
    left = 16 + _LETTER * max(len(name) for name, _ in shown)
    ends = [v for _, one in shown for v in (one.mean, one.low, one.high) if v is not None]
    ends += [] if zero is None else [zero]
    low, high = min(ends), max(ends)
    if high - low < 1e-9:
        low, high = low - 0.001, high + 0.001

    def x(value: float) -> float:
        return left + (_WIDTH - left - 60) * (value - low) / (high - low)

    height = _LINE * (len(shown) + 1) + 10
    parts = []
    if zero is not None:
        parts.append(
            f'<line x1="{x(zero):.1f}" x2="{x(zero):.1f}" y1="4" y2="{height - _LINE}" '
            'stroke="#8888" stroke-dasharray="4 3"/>'
        )
    for at, (name, one) in enumerate(shown):
        y = _LINE * at + 16
        parts.append(
            f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>'
        )
        if one.low is not None and one.high is not None:
            parts.append(
                f'<line x1="{x(one.low):.1f}" x2="{x(one.high):.1f}" y1="{y}" y2="{y}" '
                f'stroke="{_COLOURS[0]}" stroke-width="2"/>'
            )
        parts.append(f'<circle cx="{x(one.mean):.1f}" cy="{y}" r="4" fill="{_COLOURS[0]}"/>')
    parts += [
        f'<text x="{x(value):.1f}" y="{height - 6}" text-anchor="middle">{value:.4f}</text>'
        for value in (low, (low + high) / 2, high)
    ]
    return (
        f"<figure><figcaption>{html.escape(title)}, 95 % intervals</figcaption>"
        f'<svg role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg></figure>"
    )


def _dates(found: Sequence[Row]) -> str:
    """Test AUC by date, of the reference and the best ones."""
    dates = sorted({ds for row in found for ds in row.by_date})
    if len(dates) < 2:
        return ""
    ranked = sorted(found[1:], key=lambda row: -(row.valid if row.valid is not None else -9e9))
    shown = [row for row in [*found[:1], *ranked] if row.by_date][: len(_COLOURS)]
    values = [v for row in shown for v in row.by_date.values()]
    low, high = min(values), max(values)
    high = high if high > low else low + 0.001
    height, left = 300, 70

    def x(ds: str) -> float:
        return left + (_WIDTH - left - 20) * dates.index(ds) / (len(dates) - 1)

    def y(value: float) -> float:
        return 20 + (height - 60) * (high - value) / (high - low)

    parts = [
        f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.4f}</text>'
        for value in (low, (low + high) / 2, high)
    ]
    parts += [
        f'<text x="{x(ds):.1f}" y="{height - 20}" text-anchor="{end}">{ds}</text>'
        for ds, end in ((dates[0], "start"), (dates[-1], "end"))
    ]
    legend = []
    for at, row in enumerate(shown):
        points = " ".join(f"{x(ds):.1f},{y(v):.1f}" for ds, v in row.by_date.items())
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{_COLOURS[at]}" stroke-width="1.8"/>'
        )
        legend.append(f'<span style="color:{_COLOURS[at]}">■ {html.escape(row.name)}</span>')
    return (
        f"<figure><figcaption>Test AUC by date: {' '.join(legend)}</figcaption>"
        f'<svg role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
        f"<title>Test AUC by date</title>{''.join(parts)}</svg></figure>"
    )
