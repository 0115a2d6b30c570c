"""`training.html`: the epochs as two charts and a table, one file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

WIDTH, HEIGHT = 460, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 30, 34

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
       color: #1c2733; background: #fff; }
figure { display: inline-block; margin: 0 1rem 1rem 0; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #d8dee6; }
tr.best { background: #eaf4ec; font-weight: 600; }
.warning { color: #8a4b00; }
svg text { font: 12px system-ui, sans-serif; fill: #44515f; }
@media (prefers-color-scheme: dark) {
  body { color: #dde4ec; background: #12181f; } svg text { fill: #a9b6c4; }
  th, td { border-color: #2c3845; } tr.best { background: #1d3325; } .warning { color: #f0b060; } }
"""

_COLOURS = ("#2f6fb7", "#c4572a")

Line = tuple[str, list[float | None]]


def render(card: dict[str, Any], history: Sequence[dict[str, Any]]) -> str:
    """The page.

    Args:
        card: the model card.
        history: one entry an epoch, as in `metrics.jsonl`.
    """
    best = card["best_epoch"]
    losses: list[Line] = [
        ("training", [entry["train_loss"] for entry in history]),
        ("validation", [entry["valid_logloss"] for entry in history]),
    ]
    areas: list[Line] = [
        ("training", [entry.get("train_auc") for entry in history]),
        ("validation", [entry["valid_auc"] for entry in history]),
    ]
    title = f"{card['model']}, trained up to {card['dataset']['ds']}"
    warnings = "".join(f'<p class="warning">{html.escape(w)}</p>' for w in card["warnings"])
    if "refit" in card:
        warnings = f"<p>{html.escape(card['refit']['note'])}</p>{warnings}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{html.escape(title)}</h1>{_summary(card)}{warnings}"
        f"{chart('Logloss by epoch', losses, best)}{chart('AUC by epoch', areas, best)}"
        f"{_table(history, best)}{_importance(card.get('importance') or [])}"
        f"{_chosen(card)}</html>\n"
    )


def chart(title: str, lines: Sequence[Line], best: int) -> str:
    """An SVG line chart over epochs 1, 2, ...; the best epoch is marked; None leaves a gap."""
    values = [v for _, points in lines for v in points if v is not None]
    if not values:
        return f"<figure><figcaption>{title}: undefined</figcaption></figure>"
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.01, high + 0.01
    count = max(len(points) for _, points in lines)

    def x(epoch: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * ((epoch - 1) / max(count - 1, 1))

    def y(value: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    parts = [
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<title>{title}</title>",
    ]
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#8886" stroke-width="0.5"/><text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{value:.4f}</text>'
        )
    if best:
        parts.append(
            f'<line x1="{x(best):.1f}" x2="{x(best):.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" '
            'stroke="#3a9a55" stroke-dasharray="4 3"/>'
        )
    parts.append(f'<text x="{x(1):.1f}" y="{HEIGHT - 12}" text-anchor="middle">1</text>')
    if count > 1:
        parts.append(f'<text x="{x(count):.1f}" y="{HEIGHT - 12}" text-anchor="end">{count}</text>')
    for at, (name, points) in enumerate(lines):
        parts.append(_line(points, x, y, _COLOURS[at]))
        parts.append(
            f'<text x="{_LEFT + 100 * at}" y="18" style="fill:{_COLOURS[at]}">{name}</text>'
        )
    return f"<figure><figcaption>{title}</figcaption>{''.join(parts)}</svg></figure>"


def _line(
    points: Sequence[float | None],
    x: Callable[[int], float],
    y: Callable[[float], float],
    colour: str,
) -> str:
    known = [(x(at), y(value)) for at, value in enumerate(points, 1) if value is not None]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in known)
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in known)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>{dots}'


def _number(value: float | None, digits: int = 5) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _summary(card: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{name}</th><td>{card[name]['rows']}</td><td>{card[name]['positives']}</td>"
        f"<td>{_number(card[name]['auc'], 4)}</td><td>{_number(card[name]['logloss'])}</td>"
        f"<td>{_number(card[name]['base_logloss'])}</td>"
        f"<td>{_number(card[name]['calibration'], 3)}</td></tr>"
        for name in ("valid", "test")
    )
    return f"{_figures(rows)}{_versus(card.get('baseline'))}"


def _figures(rows: str) -> str:
    return (
        "<table><tr><th></th><th>rows</th><th>positives</th><th>AUC</th><th>logloss</th>"
        f"<th>logloss of a constant</th><th>calibration</th></tr>{rows}</table>"
    )


def _versus(compared: dict[str, Any] | None) -> str:
    """The model beside the logistic regression on the same held-out rows."""
    if not compared:
        return ""
    parts = [f"AUC {_number(compared['test']['auc'], 4)}"]
    gap = compared["auc_difference"]
    if gap:
        parts.append(
            f"this model {gap['difference']:+.4f} ({gap['confidence']:.0%} interval "
            f"{gap['low']:+.4f} to {gap['high']:+.4f})"
        )
    parts.append(f"logloss {_number(compared['test']['logloss'])}")
    gap = compared["logloss_difference"]
    if gap:
        parts.append(
            f"this model {gap['difference']:+.5f} ({gap['low']:+.5f} to {gap['high']:+.5f})"
        )
    return f"<p>Baseline on the test rows, {compared['model']}: {', '.join(parts)}.</p>"


def _importance(found: Sequence[dict[str, Any]]) -> str:
    """Bars of what each feature is worth."""
    if not found:
        return ""
    key = "auc_loss" if found[0]["auc_loss"] is not None else "logloss_gain"
    most = max([abs(item[key]) for item in found] + [1e-12])
    height, bar, left = 20 * len(found) + 8, 240, 250
    parts = [f'<svg role="img" viewBox="0 0 640 {height}" width="640" height="{height}">']
    for at, item in enumerate(found):
        width, y = bar * abs(item[key]) / most, 20 * at + 4
        colour = _COLOURS[0] if item[key] >= 0 else _COLOURS[1]
        parts.append(
            f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{html.escape(item["feature"])}'
            f'</text><rect x="{left}" y="{y}" width="{width:.1f}" height="14" fill="{colour}"/>'
            f'<text x="{left + width + 6:.1f}" y="{y + 12}">{item[key]:+.4f}</text>'
        )
    what = "AUC lost" if key == "auc_loss" else "logloss gained"
    return (
        f"<h2>Importance</h2><p>{what} on held-out rows when the feature's values are shuffled "
        f"among them.</p>{''.join(parts)}</svg>"
    )


def _chosen(card: dict[str, Any]) -> str:
    """The hyper-parameters that followed from the data, and why."""
    rows = "".join(
        f"<tr><th>{name}</th><td>{html.escape(str(card['hyperparameters'][name]))}</td>"
        f"<td>{html.escape(why)}</td></tr>"
        for name, why in (card.get("chosen") or {}).items()
    )
    if not rows:
        return ""
    return f"<h2>Chosen from the data</h2><table>{rows}</table>"


def _table(history: Sequence[dict[str, Any]], best: int) -> str:
    marked = ' class="best"'
    rows = "".join(
        f"<tr{marked if entry['epoch'] == best else ''}><td>{entry['epoch']}</td>"
        f"<td>{_number(entry['train_loss'])}</td><td>{_number(entry['valid_logloss'])}</td>"
        f"<td>{_number(entry.get('train_auc'), 4)}</td><td>{_number(entry['valid_auc'], 4)}</td>"
        f"<td>{entry['learning_rate']:.2e}</td>"
        f"<td>{entry['seconds']:.1f}</td></tr>"
        for entry in history
    )
    return (
        "<table><tr><th>epoch</th><th>training loss</th><th>validation logloss</th>"
        "<th>training AUC</th><th>validation AUC</th><th>learning rate</th><th>seconds</th></tr>"
        f"{rows}</table>"
    )
