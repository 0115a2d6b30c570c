"""The report of an experiment: one page that needs nothing else."""

import re

import pytest

from nightshift.experiment import page
from nightshift.experiment.results import Spread

ABOUT = {
    "name": "<rates>", "pipeline": "jd", "description": "a & b", "dates": ["2026-03-01"],
    "seeds": [1], "measure": "auc", "config": {"base": {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (0.71234, 4, False, "0.7123"),
        (0.001, 4, True, "+0.0010"),
        (-0.001, 4, True, "-0.0010"),
        (None, 4, True, "–"),
        (0, 1, False, "0.0"),
    ],
)
def test_a_figure_has_its_digits_or_is_a_dash(value, digits, sign, text):
    assert page.number(value, digits, sign) == text


def test_without_both_ends_there_is_no_interval():
    assert page.interval(None) == "–"
    assert page.interval(Spread(0.7, None, None, 2)) == "–"
    assert page.interval(Spread(0.7, 0.69, 0.71, 3)) == "0.6900 to 0.7100"


def test_what_all_have_is_said_once():
    assert page.common(ABOUT) == ""
    base = {"epochs": 1, "hidden": [400, 400]}
    text = page.render({**ABOUT, "config": {"base": base}}, [])
    assert "Base: epochs=1; hidden=[400, 400]. Dates:" in text


def test_the_page_loads_nothing_and_names_cannot_become_markup():
    text = page.render(ABOUT, [])
    assert "&lt;rates&gt;" in text
    assert "<rates>" not in text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "<script" not in text
