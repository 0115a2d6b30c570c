"""Charts as SVG in the page's own colours, whatever the data are called."""

import re
from xml.etree import ElementTree

import pytest
from nightshift_provider.pages import charts

NASTY = '<script>alert(1)</script>&"'


def svg(markup):
    found = re.search(r"<svg.*</svg>", markup, re.S)[0]
    assert "<script" not in markup
    return ElementTree.fromstring(re.sub(r' xmlns(:\w+)?="[^"]*"', "", found).replace("xlink:", ""))


def texts(root):
    return " ".join(t for e in root.iter() for t in e.itertext())


@pytest.mark.parametrize(
    "draw",
    [
        lambda: charts.measure(
            [{"x": NASTY, "value": 0.7, "low": 0.6, "high": 0.8, "series": "live"},
             {"x": "b", "value": 0.7, "low": None, "high": None, "series": NASTY}],
            title=NASTY, y="AUC",
        ),
        lambda: charts.heat([{"x": "d", "y": NASTY, "value": 0.3}], title=NASTY, value="PSI"),
        lambda: charts.stacked([{"x": "d", "y": 1.0, "series": NASTY}], title="t", y="s"),
    ],
)  # fmt: skip
def test_names_from_data_are_text(draw):
    root = svg(draw())
    assert "alert(1)" in texts(root)
    assert root.get("viewBox")


def test_it_is_drawn_in_the_pages_colours():
    made = charts.roc({"a": [[0, 0], [0.2, 0.7], [1, 1]], "b": [[0, 0], [1, 1]]})
    assert "var(--c1)" in made and "var(--c2)" in made
    assert not re.search(r"#0[12]0[23]0\d", made)
    assert not re.search(r"https?://(?!www\.w3\.org)", made)


def test_nothing_to_draw_is_no_chart():
    assert charts.measure([{"x": "a", "value": None, "low": None, "high": None, "series": "s"}],
                          title="t", y="y") is None  # fmt: skip
    assert charts.roc({"a": []}) is None
    assert charts.calibration([]) is None
    assert charts.histogram({}) is None
    assert charts.heat([], title="t", value="v") is None


def test_many_steps_are_added_up_under_others():
    rows = [{"x": "d", "y": float(n), "series": f"step{n:02d}"} for n in range(1, 20)]
    shown = texts(svg(charts.stacked(rows, title="t", y="s")))
    assert "step19" in shown and "others" in shown and "step01" not in shown


def test_a_known_series_has_one_colour_in_every_chart():
    """The second release alone: the colour of a second, though it is the first that is drawn."""
    known = ["r1", "r2", "r3"]
    two = [
        {"x": "d", "value": 0.7, "low": None, "high": None, "series": name} for name in ("r3", "r2")
    ]
    drawn = charts.measure(two, title="t", y="y", known=known)
    stacked = charts.stacked([{"x": "d", "y": 1.0, "series": "r2"}], title="t", y="y", known=known)
    assert "var(--c2)" in stacked and "var(--c1)" not in stacked
    assert "var(--c3)" in drawn and "var(--c2)" in drawn and "var(--c1)" not in drawn
