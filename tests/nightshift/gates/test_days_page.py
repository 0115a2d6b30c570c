"""The picture of a night's days: every figure is in it, and nothing can break out of it."""

import re
from xml.etree import ElementTree

from nightshift.gates.days_page import render


def day(n, **changes):
    value = {"day": f"2026-03-{n:02d}", "rows": 100, "labelled": 90, "positives": 9, "nulls": {}}
    return {**value, "settled": n < 4, **changes}


def report(*days, **changes):
    return {"days": list(days), "failures": [], "warnings": [], **changes}


def test_each_day_has_its_bar_and_each_feature_with_nulls_its_cells():
    page = render(
        report(day(1), day(2, nulls={"age": 25}), day(4), day(5, rows=0, labelled=0)), "x"
    )
    for title in ("2026-03-01: 100", "2026-03-01: 10.00%", "2026-03-05: nothing"):
        assert f"<title>{title}</title>" in page
    assert "<title>age, 2026-03-02: 25.0% NULL</title>" in page
    assert "<title>age, 2026-03-01: 0.0% NULL</title>" in page
    assert page.count('class="young"') == 3
    assert page.count('class="none"') == 3


def test_every_picture_is_whole_xml():
    page = render(report(day(1, nulls={'a<b>&"': 3})), "p & q")
    for svg in re.findall(r"<svg.*?</svg>", page):
        ElementTree.fromstring(svg)
    assert "p &amp; q" in page


def test_findings_are_told_and_escaped():
    page = render(report(day(1), failures=["<script>"], warnings=["odd"]), "x")
    assert '<p class="fail">&lt;script&gt;</p>' in page
    assert '<p class="warn">odd</p>' in page


def test_no_days_make_a_page_too():
    assert "No feature has a NULL" in render(report(), "x")
