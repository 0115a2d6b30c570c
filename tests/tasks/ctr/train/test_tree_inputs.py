"""What trees look at: rates of ids by hand, shrunk as ids differ, and never by a row's own label."""

import numpy as np
import pytest

from nightshift.features.encoding import MISSING_BITS
from tasks.ctr.train import metrics, tree_inputs
from tasks.ctr.train.tree_inputs import FOLDS, STRENGTHS, Rates
from testing.tree_rows import SHOP, SPEC, VISIT, X, Z, rows


def log_odds(positives, count):
    return np.log(positives) - np.log(count - positives)


@pytest.fixture(scope="module")
def table():
    """3000 rows, the rates of their ids, and a split into folds."""
    columns, labels = rows(3000, 7)
    folds = np.random.default_rng(8).integers(0, FOLDS, 3000)
    return columns, labels, Rates.of(SPEC.fields, columns, labels), folds


def test_an_id_is_the_log_odds_of_its_rows_and_of_so_many_ordinary_ones(table):
    columns, labels, rates, _ = table
    seen = rates.seen()
    shops, p = columns[SHOP], labels.mean()
    at = seen.columns.tolist().index(SHOP)
    counts = [(np.sum(shops == s), labels[shops == s].sum()) for s in np.unique(shops)]
    n, k = np.array(counts, dtype=float).T
    held = tree_inputs.strength(n, k, p)
    expected = log_odds(k + held * p, n + held) - log_odds(p, 1)
    assert seen.rates[seen.starts[at] : seen.starts[at + 1]] == pytest.approx(expected)
    # Shops of a multiple of three have positives more often: as `tree_rows` says.
    assert np.ptp(expected) > 0.5


def test_numbers_are_as_they_are_and_what_is_unknown_is_0_or_missing(table):
    columns, _, rates, _ = table
    few = {at: column[:3].copy() for at, column in columns.items()}
    few[SHOP][0] = 123  # never seen
    few[X][1] = MISSING_BITS
    seen = rates.seen()
    found = tree_inputs.matrix(few, 3, seen)
    assert set(seen.columns) == {SHOP, X, Z}, "visits are new in each row, tags are tokens"
    assert VISIT not in seen.columns
    place = {column: at for at, column in enumerate(seen.columns.tolist())}
    assert found[0, place[SHOP]] == 0.0 and found[1, place[SHOP]] != 0.0
    assert np.isnan(found[1, place[X]]) and not np.isnan(found[[0, 2], place[X]]).any()


@pytest.mark.parametrize("without", [None, 2])
def test_a_training_row_has_the_rates_of_the_rows_of_other_folds(table, without):
    columns, labels, rates, folds = table
    seen = rates.seen()
    at = seen.columns.tolist().index(SHOP)
    x = tree_inputs.numbers(columns, 3000, seen)
    rates.put(x, folds, without)
    shops, p = columns[SHOP], labels.mean()
    counts = [(np.sum(shops == s), labels[shops == s].sum()) for s in np.unique(shops)]
    held = tree_inputs.strength(*np.array(counts, dtype=float).T, p)
    for row in range(40):
        others = (shops == shops[row]) & (folds != folds[row])
        if without is not None:
            others &= folds != without
        k, n = labels[others].sum(), others.sum()
        expected = log_odds(k + held * p, n + held) - log_odds(p, 1)
        assert x[row, at] == pytest.approx(expected)


def test_rates_of_ids_that_mean_nothing_do_not_tell_training_its_labels():
    rng = np.random.default_rng(9)
    columns, _ = rows(6000, 9)
    columns[SHOP] = rng.integers(0, 1500, 6000)  # four rows each
    labels = (rng.random(6000) < 0.3).astype(np.int8)
    rates = Rates.of(SPEC.fields, columns, labels)
    seen = rates.seen()
    at = seen.columns.tolist().index(SHOP)
    told = tree_inputs.matrix(columns, 6000, seen)[:, at]
    x = tree_inputs.numbers(columns, 6000, seen)
    rates.put(x, rng.integers(0, FOLDS, 6000))
    area = metrics.auc(labels, x[:, at].astype(np.float32))
    # Three standard errors are 0.024; rates that hold the row itself say which it is.
    assert area < 0.524 and metrics.auc(labels, told.astype(np.float32)) > 0.7


@pytest.mark.parametrize("truth", [10.0, 50.0, 300.0])
def test_the_strength_is_that_of_the_distribution_the_rates_were_drawn_from(truth):
    """Of a beta-binomial distribution the parameters add up to it."""
    rng = np.random.default_rng(10)
    n = rng.integers(20, 400, 3000)
    k = rng.binomial(n, rng.beta(0.1 * truth, 0.9 * truth, 3000))
    found = tree_inputs.strength(n.astype(float), k.astype(float), k.sum() / n.sum())
    assert truth / 1.3 < found < truth * 1.3


def test_ids_that_differ_by_chance_or_not_at_all_get_next_to_no_rate_of_their_own():
    rng = np.random.default_rng(11)
    n = np.full(2000, 50.0)
    k = rng.binomial(50, 0.1, 2000).astype(float)
    assert tree_inputs.strength(n, k, k.sum() / n.sum()) > 500
    assert tree_inputs.strength(n, np.full(2000, 5.0), 0.1) == STRENGTHS[1]
    assert tree_inputs.strength(np.array([100.0]), np.array([10.0]), 0.1) == STRENGTHS[1]
    assert tree_inputs.strength(np.empty(0), np.empty(0), 0.1) == STRENGTHS[1]
