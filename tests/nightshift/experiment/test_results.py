"""Intervals, the choice by validation rows, and the gates' verdicts."""

import numpy as np
import pytest

from nightshift.config.gates import GatesConfig
from nightshift.experiment import page, results
from nightshift.experiment.config import ExperimentConfig
from nightshift.experiment.design import Configuration, cells

GATES = GatesConfig().model_dump(by_alias=True)


def result(valid, auc, baseline=None):
    return {
        "status": "ok",
        "valid": {"auc": valid, "logloss": 0.5},
        "test": {"auc": auc, "logloss": 0.4},
        "baseline": baseline,
        "history": [{"train_loss": 0.3}, {"train_loss": 0.2}],
        "best_epoch": 2,
        "seconds": {"train": 1.0},
    }


def test_the_interval_is_students():
    found = results.spread([0.70, 0.72, 0.74])
    # t(2 degrees, 97.5 %) = 4.303; the standard deviation is 0.02.
    half = 4.303 * 0.02 / np.sqrt(3)
    assert (found.mean, found.low, found.high) == pytest.approx((0.72, 0.72 - half, 0.72 + half))
    assert results.spread([0.7]) == results.Spread(0.7, None, None, 1)
    assert results.spread([]) is None


def made(folder, first, second, seeds=(1, 2, 3)):
    """Rows of two configurations with their results and, for each, scores of 400 rows."""
    tried = [
        (one, cells(one, ["2026-11-01"], seeds))
        for one in (Configuration({}), Configuration({"epochs": 2}))
    ]
    found = {
        cell: one
        for (_, of), given in zip(tried, (first, second), strict=True)
        for cell, one in zip(of, given, strict=True)
    }

    def scores(cell):
        return folder / f"{cell.configuration.id}-{cell.seed}.npz"

    rng = np.random.default_rng(1)
    label = (np.arange(400) % 4 == 0).astype(np.int8)
    for (_, of), noise in zip(tried, (1.0, 0.2), strict=True):
        for cell in of:
            score = 1 / (1 + np.exp(1.1 - 2 * label + noise * rng.normal(size=400)))
            np.savez(scores(cell), label=label, score=score)
    return results.rows(ExperimentConfig(seeds=seeds), tried, found, scores, GATES)


def test_differences_are_paired_by_date_and_seed(tmp_path):
    rows = made(
        *(tmp_path, [result(0.7, a) for a in (0.60, 0.70, 0.80)]),
        [result(0.7, a) for a in (0.61, 0.71, 0.81)],
    )
    gap = rows[1].difference
    assert (gap.mean, gap.low, gap.high, gap.count) == pytest.approx((0.01, 0.01, 0.01, 3))
    assert rows[0].difference is None
    assert rows[1].seed_deviation == pytest.approx(0.1)
    assert rows[1].train_loss == pytest.approx(0.2)


def test_one_pair_is_judged_by_its_test_rows(tmp_path):
    rows = made(tmp_path, [result(0.7, 0.80)], [result(0.7, 0.83)], seeds=(1,))
    gap = rows[1].difference
    assert gap.mean == pytest.approx(0.03)
    assert gap.low is not None and gap.low < gap.high


def test_the_validation_rows_choose_and_the_test_rows_do_not(tmp_path):
    rows = made(tmp_path, [result(0.71, 0.9)] * 3, [result(0.72, 0.6)] * 3)
    assert results.best(rows).name == "epochs=2"


def test_a_configuration_of_which_a_training_failed_is_not_chosen(tmp_path):
    failed = {"status": "failed", "error": "training diverged"}
    rows = made(tmp_path, [result(0.7, 0.7)] * 3, [result(0.9, 0.9), failed, result(0.9, 0.9)])
    assert (rows[1].trainings, rows[1].failed, rows[1].valid) == (2, ("training diverged",), None)
    assert results.best(rows).name == rows[0].name


def test_the_gates_say_what_they_would_have_said(tmp_path):
    gap = {"difference": -0.05, "low": -0.06, "high": -0.04, "confidence": 0.95}
    worse = {"model": "logistic regression", "auc_difference": gap}
    rows = made(tmp_path, [result(0.7, 0.7)] * 3, [result(0.7, 0.7, worse)] * 3)
    assert rows[1].verdicts["baseline"] == {"pass": 0, "warn": 0, "fail": 3}
    assert rows[0].verdicts["baseline"] == {"pass": 0, "warn": 3, "fail": 0}
    # Less noise around the same truth: better than the first configuration.
    assert rows[1].verdicts["quality"]["fail"] == 0
    assert rows[1].versus_baseline == pytest.approx(-0.05)


def test_the_page_shows_names_as_text(tmp_path):
    rows = made(tmp_path, [result(0.7, 0.7)] * 3, [result(0.7, 0.8)] * 3)
    about = {
        "name": "a",
        "pipeline": "<b>",
        "dates": ["2026-11-01"],
        "seeds": [1],
        "measure": "auc",
        "config": {"base": {}},
    }
    text = page.render(about, rows)
    assert "<b>" not in text and "&lt;b&gt;" in text
    assert text.count("<svg") == 2 and "epochs=2" in text
