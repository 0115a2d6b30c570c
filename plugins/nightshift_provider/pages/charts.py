"""Charts of the pages: Altair makes Vega-Lite, vl-convert turns it into SVG without the internet.

A chart is drawn once for light and dark: its colours are CSS variables of the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

Rows = Sequence[Mapping[str, Any]]

# Colours that stand for the page's own until the SVG is made: Vega wants colours that it knows.
_INKS = {
    "#010203": "currentColor",
    "#010204": "var(--line)",
    "#010205": "var(--calm)",
    "#020301": "var(--c1)",
    "#020302": "var(--c2)",
    "#020303": "var(--c3)",
    "#020304": "var(--c4)",
    "#020305": "var(--c5)",
    "#020306": "var(--c6)",
    "#020307": "var(--c7)",
    "#020308": "var(--c8)",
}
_TEXT, _LINE, _CALM, *SERIES = _INKS
_WIDTH, _HEIGHT = 330, 190


def measure(rows: Rows, *, title: str, y: str, known: Sequence[str] = ()) -> Markup | None:
    """A figure over releases or days with its interval.

    Args:
        rows: `x`, `value` (or None), `low` and `high` (or None), `series`.
        title: above the chart.
        y: the figure's name.
        known: series in the order of their colours, so that each has one colour on a page.
    """
    import altair as alt

    found = [row for row in rows if row["value"] is not None]
    if not found:
        return None
    several = len({row["series"] for row in found}) > 1
    x = alt.X("x:N", sort=None, title=None, axis=alt.Axis(labelAngle=-40, labelOverlap=True))
    colour = (
        alt.Color("series:N", title=None, scale=_scale(found, "series", known))
        if several
        else alt.value(SERIES[0])
    )
    scale = alt.Scale(zero=False, nice=True)
    base = alt.Chart(_data(found)).encode(x=x, color=colour)
    bars = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title=y, scale=scale), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=42).encode(y=alt.Y("value:Q", title=y, scale=scale))
    return _svg(bars + points, title)


def lines(
    rows: Rows, *, title: str, x: str, y: str, percent: tuple[bool, bool] = (False, False)
) -> Markup | None:
    """Lines by series.

    Args:
        rows: `x`, `y`, `series`.
        title: above the chart.
        x: name of the x axis.
        y: name of the y axis.
        percent: which of the axes are shares.
    """
    import altair as alt

    if not rows:
        return None
    several = len({row["series"] for row in rows}) > 1
    chart = (
        alt.Chart(_data(rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("x:Q", title=x, axis=_axis(percent[0])),
            y=alt.Y("y:Q", title=y, axis=_axis(percent[1])),
            order="x:Q",
            color=alt.Color("series:N", title=None, scale=_scale(rows, "series"))
            if several
            else alt.value(SERIES[0]),
        )
    )
    return _svg(chart, title)


def roc(curves: Mapping[str, Any]) -> Markup | None:
    """ROC curves by series: lists of (false, true positive rate)."""
    import altair as alt

    rows = [
        {"x": x, "y": y, "n": n, "series": name}
        for name, points in curves.items()
        for n, (x, y) in enumerate(points or ())
    ]
    if not rows:
        return None
    chance = (
        alt.Chart(_data([{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        .mark_line(strokeDash=[4, 4], color=_CALM, strokeWidth=1)
        .encode(x="x:Q", y="y:Q")
    )
    several = len(curves) > 1
    curve = (
        alt.Chart(_data(rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("x:Q", title="false positive rate"),
            y=alt.Y("y:Q", title="true positive rate"),
            order="n:Q",
            color=alt.Color("series:N", title=None, scale=_scale(rows, "series"))
            if several
            else alt.value(SERIES[0]),
        )
    )
    return _svg(chance + curve, "ROC curve")


def calibration(bins: Rows, *, title: str = "Calibration") -> Markup | None:
    """Mean score against the share of positives, by bins (`score`, `share`, `low`, `high`)."""
    import altair as alt

    if not bins:
        return None
    top = max(max(row["score"], row["high"]) for row in bins)
    ideal = (
        alt.Chart(_data([{"x": 0, "y": 0}, {"x": top, "y": top}]))
        .mark_line(strokeDash=[4, 4], color=_CALM, strokeWidth=1)
        .encode(x="x:Q", y="y:Q")
    )
    base = alt.Chart(_data(bins)).encode(x=alt.X("score:Q", title="mean score", axis=_axis(True)))
    bars = base.mark_rule(color=SERIES[0], strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title="share of positives", axis=_axis(True)), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=42, color=SERIES[0]).encode(y="share:Q")
    return _svg(ideal + bars + points, title)


def histogram(found: Mapping[str, Any], *, title: str = "Scores") -> Markup | None:
    """A histogram of scores as shares within each class (`edges`, `negatives`, `positives`)."""
    import altair as alt

    edges = found.get("edges") or []
    rows = []
    for name in ("negatives", "positives"):
        counts = found.get(name) or []
        total = sum(counts)
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            if total and low > 0:
                rows.append({"low": low, "high": high, "share": count / total, "series": name})
    if not rows:
        return None
    chart = (
        alt.Chart(_data(rows))
        .mark_rect(opacity=0.55)
        .encode(
            x=alt.X("low:Q", title="score", scale=alt.Scale(type="log", nice=False),
                    axis=alt.Axis(format="~g", tickCount=4, grid=False)),
            x2="high:Q",
            y=alt.Y("share:Q", title="share of the class", axis=_axis(True), stack=None),
            color=alt.Color("series:N", title=None, scale=_scale(rows, "series")),
        )
    )  # fmt: skip
    return _svg(chart, title)


def stacked(rows: Rows, *, title: str, y: str, known: Sequence[str] = ()) -> Markup | None:
    """Stacked bars (`x`, `y`, `series`); of many series the largest are named, the rest added up.

    Args:
        rows: what is drawn.
        title: above the chart.
        y: name of the y axis.
        known: series in the order of their colours, see `measure`.
    """
    import altair as alt

    if not rows:
        return None
    weight: dict[str, float] = {}
    for row in rows:
        weight[row["series"]] = weight.get(row["series"], 0.0) + row["y"]
    named = sorted(weight, key=lambda name: -weight[name])[: len(SERIES) - 1]
    shown = [
        {**row, "series": row["series"] if row["series"] in named else "others"} for row in rows
    ]
    chart = (
        alt.Chart(_data(shown))
        .mark_bar()
        .encode(
            x=alt.X("x:N", sort=None, title=None,
                    axis=alt.Axis(labelAngle=-40, labelOverlap=True)),
            y=alt.Y("sum(y):Q", title=y),
            color=alt.Color("series:N", title=None, scale=_scale(shown, "series", known),
                            sort=[*named, "others"]),
        )
    )  # fmt: skip
    return _svg(chart, title)


def bars(rows: Rows, *, order: Sequence[str], title: str, x: str) -> Markup | None:
    """Horizontal stacked bars (`x`, `y`, `series`), from top to bottom in `order`."""
    import altair as alt

    if not rows:
        return None
    chart = (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            x=alt.X("sum(x):Q", title=x),
            y=alt.Y("y:N", sort=list(order), title=None, axis=alt.Axis(labelLimit=170)),
            color=alt.Color("series:N", title=None, scale=_scale(rows, "series")),
        )
    )
    return _svg(chart, title, width=240, height=max(60, 16 * len(order)))


def heat(rows: Rows, *, title: str, value: str, most: int = 30) -> Markup | None:
    """A map of features by days or releases (`x`, `y`, `value`), those that differ most first."""
    import altair as alt

    if not rows:
        return None
    worst: dict[str, float] = {}
    for row in rows:
        worst[row["y"]] = max(worst.get(row["y"], 0.0), row["value"])
    order = sorted(worst, key=lambda name: -worst[name])[:most]
    shown = [row for row in rows if row["y"] in order]
    top = max([0.25, *(row["value"] for row in shown)])
    chart = (
        alt.Chart(_data(shown))
        .mark_rect(color=SERIES[1])
        .encode(
            x=alt.X("x:N", sort=None, title=None,
                    axis=alt.Axis(labelAngle=-40, labelOverlap=True)),
            y=alt.Y("y:N", sort=order, title=None, axis=alt.Axis(labelLimit=170)),
            # One colour, more or less of it: what is faint is well, in light and in dark.
            opacity=alt.Opacity("value:Q", title=value,
                                scale=alt.Scale(domain=[0, top], range=[0.04, 1], clamp=True)),
        )
    )  # fmt: skip
    return _svg(chart, title, width=240, height=max(60, 16 * len(order)))


def _data(rows: Rows) -> Any:
    import altair as alt

    return alt.Data(values=[dict(row) for row in rows])  # type: ignore[no-untyped-call]


def _axis(percent: bool) -> Any:
    import altair as alt

    return alt.Axis(format="~%", tickCount=6) if percent else alt.Axis(tickCount=6)


def _scale(rows: Rows, name: str, known: Sequence[str] = ()) -> Any:
    """A colour for each series: by its place in `known`, where there is one."""
    import altair as alt

    domain = list(dict.fromkeys(str(row[name]) for row in rows))
    order = list(dict.fromkeys([*known, *domain]))
    return alt.Scale(
        domain=domain, range=[SERIES[order.index(one) % len(SERIES)] for one in domain]
    )


def _svg(chart: Any, title: str, *, width: int = _WIDTH, height: int = _HEIGHT) -> Markup:
    axis = {"domainColor": _LINE, "tickColor": _LINE, "gridColor": _LINE, "labelColor": _CALM,
            "titleColor": _CALM, "titleFontWeight": "normal", "labelFontSize": 11,
            "titleFontSize": 11, "titlePadding": 10}  # fmt: skip
    made = (
        # Browsers' fonts may be wider than the one that vl-convert measures with.
        chart.properties(width=width, height=height,
                         padding={"left": 26, "right": 14, "top": 6, "bottom": 8})
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(**axis)
        .configure_view(stroke=None)
        .configure_legend(labelColor=_TEXT, titleColor=_CALM, orient="bottom", labelFontSize=11,
                          titleFontSize=11, titleFontWeight="normal", columns=3,
                          columnPadding=22)
    )  # fmt: skip
    return _convert(made.to_json(indent=None), title)


@lru_cache(maxsize=512)
def _convert(spec: str, title: str) -> Markup:
    import vl_convert
    from markupsafe import Markup, escape

    svg = vl_convert.vegalite_to_svg(spec)
    for ink, colour in _INKS.items():
        svg = svg.replace(ink, colour)
    found = re.match(r'<svg[^>]* viewBox="([^"]+)"[^>]*>', svg)
    if found is None:  # not SVG as it has always been made
        raise ValueError("vl-convert gave no SVG")
    width = found[1].split()[2]
    head = (
        f'<svg viewBox="{found[1]}" role="img" aria-label="{escape(title)}" '
        f'style="width:100%;height:auto;max-width:{width}px">'
    )
    # What vl-convert made of data is escaped there; the title is escaped here.
    return Markup(  # noqa: S704
        f"<figure><figcaption>{escape(title)}</figcaption>{head}{svg[found.end() :]}</figure>"
    )
