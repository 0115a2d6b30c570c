"""The page of a training: it is well-formed and shows what the card says."""

import xml.etree.ElementTree as ET

from tasks.ctr.train.report import chart, render

HISTORY = [
    {
        "epoch": at,
        "train_loss": 0.5 / at,
        "valid_logloss": 0.6 - 0.1 * at,
        "valid_auc": 0.6 + 0.05 * at,
        "learning_rate": 0.001,
        "seconds": 1.25,
    }
    for at in (1, 2, 3)
]
FIGURES = {"rows": 10, "positives": 1, "auc": None, "logloss": 0.3, "base_logloss": 0.4}
CARD = {
    "model": "DeepFM",
    "dataset": {"ds": "2024-03-14"},
    "best_epoch": 2,
    "warnings": ["test <holds> no positive"],
    "valid": {**FIGURES, "calibration": 1.25},
    "test": {**FIGURES, "calibration": None},
}


def svg(text):
    return ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])


def test_each_epoch_is_a_point_and_a_row():
    page = render(CARD, HISTORY)
    losses = svg(page)
    assert [len(line.get("points").split()) for line in losses.findall("polyline")] == [3, 3]
    assert page.count("<tr><td>") == 2
    assert '<tr class="best"><td>2</td>' in page
    assert "test &lt;holds&gt; no positive" in page


def test_training_and_validation_auc_are_one_chart():
    seen = [{**entry, "train_auc": 0.7 + 0.05 * entry["epoch"]} for entry in HISTORY]
    page = render(CARD, seen)
    areas = svg(page[page.index("AUC by epoch") :])
    assert [len(line.get("points").split()) for line in areas.findall("polyline")] == [3, 3]
    assert "<td>0.7500</td><td>0.6500</td>" in page


def test_points_lie_inside_the_chart_higher_values_higher():
    drawn = svg(chart("t", [("a", [0.1, None, 0.9])], best=1))
    points = [tuple(map(float, p.split(","))) for p in drawn.find("polyline").get("points").split()]
    assert len(points) == 2
    assert points[0][0] < points[1][0]
    assert points[0][1] > points[1][1]
    assert all(0 <= x <= 460 and 0 <= y <= 220 for x, y in points)


def test_one_epoch_and_no_values_are_drawn_too():
    assert svg(chart("t", [("a", [0.5])], best=1)).find("polyline") is not None
    assert "undefined" in chart("t", [("a", [None])], best=1)


def test_the_baseline_the_importance_and_what_was_chosen_are_shown():
    gap = {"difference": -0.0256, "low": -0.035, "high": -0.016, "confidence": 0.95}
    page = render(
        {
            **CARD,
            "baseline": {
                "model": "logistic regression",
                "test": {**FIGURES, "auc": 0.6926},
                "auc_difference": gap,
                "logloss_difference": None,
            },
            "importance": [
                {"feature": "age<1>", "auc_loss": 0.02, "logloss_gain": 0.1},
                {"feature": "noise", "auc_loss": -0.001, "logloss_gain": 0.0},
            ],
            "hyperparameters": {"batch_size": 512},
            "chosen": {"batch_size": "300000 rows"},
        },
        HISTORY,
    )
    assert "AUC 0.6926, this model -0.0256 (95% interval -0.0350 to -0.0160)" in page
    bars = svg(page[page.index("Importance") :])
    widths = [float(bar.get("width")) for bar in bars.findall("rect")]
    assert widths[0] == 240.0
    assert widths[1] == 12.0
    assert [text.text for text in bars.findall("text")][:2] == ["age<1>", "+0.0200"]
    assert "<td>512</td><td>300000 rows</td>" in page


def test_a_start_that_was_best_marks_no_epoch():
    assert "stroke-dasharray" not in render({**CARD, "best_epoch": 0}, HISTORY)
