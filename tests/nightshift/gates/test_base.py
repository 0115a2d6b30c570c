"""Reports: the worst finding decides, and a failure stops the night."""

import pytest

from nightshift.errors import ConfigurationError, ReleaseRejected
from nightshift.gates.base import Finding, demand, load_gates, report

WARN, FAIL = Finding("auc", "warn", "AUC is low"), Finding("rows", "fail", "3 rows")


@pytest.mark.parametrize(
    ("findings", "status"), [([], "pass"), ([WARN], "warn"), ([WARN, FAIL], "fail")]
)
def test_the_worst_finding_is_the_status(findings, status):
    assert report("quality", findings)["status"] == status


def test_a_report_holds_words_by_level_and_the_figures():
    assert report("quality", [WARN, FAIL], auc=0.5) == {
        "check": "quality", "status": "fail", "failures": ["3 rows"], "warnings": ["AUC is low"],
        "auc": 0.5,
    }  # fmt: skip


def test_a_warning_lets_the_night_go_on_and_a_failure_does_not():
    demand(report("quality", [WARN]))
    with pytest.raises(ReleaseRejected, match="^quality: 3 rows$"):
        demand(report("quality", [WARN, FAIL]))


def test_thresholds_that_are_left_out_have_defaults_and_every_slip_is_named(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text("data: {rows: {min: 7}}\n")
    gates = load_gates(path)
    assert gates["data"]["rows"] == {"min": 7, "level": "fail"}
    assert gates["consistency"]["sample"] == 200
    path.write_text("data: {row: {min: 7}}\nquality: {min_auc: {value: 2, level: fail}}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_gates(path)
    assert "data.row" in str(caught.value)
    assert "quality.min_auc.value" in str(caught.value)
