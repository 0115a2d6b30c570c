"""The stability index, and what of it is no news."""

import math

import numpy as np
import pytest

from nightshift.features.stability import psi, usual_psi
from testing.profiles import profile


def draw(shares, n, seed):
    values = np.random.default_rng(seed).choice(len(shares), n, p=shares)
    counts = np.bincount(values, minlength=len(shares))
    return profile({str(v): int(c) for v, c in enumerate(counts) if c})


def test_index_of_two_known_distributions():
    # (0.5-0.2)ln(0.5/0.2) + (0.5-0.8)ln(0.5/0.8)
    expected = 0.3 * math.log(2.5) - 0.3 * math.log(0.625)
    index, _ = psi(profile({"a": 200, "b": 800}), profile({"a": 500, "b": 500}))
    assert index == pytest.approx(expected)


def test_no_drift_stays_below_what_chance_explains_about_19_times_of_20():
    shares = np.random.default_rng(0).dirichlet(np.ones(20))
    over = 0
    for seed in range(200):
        index, noise = psi(draw(shares, 5000, seed), draw(shares, 800, 1000 + seed))
        over += index > noise
    assert 2 <= over <= 25


def test_vanished_and_new_values_do_not_hide_in_other():
    old = profile({str(n): 10 for n in range(60)} | {"gone": 300})
    new = profile({str(n): 10 for n in range(60)} | {"come": 300})
    assert psi(old, new)[0] > 1


def test_nulls_are_a_bin():
    assert psi(profile({"a": 100}), profile({"a": 50}, nulls=50))[0] > 1


def test_the_usual_index_is_that_of_the_length_or_the_next_shorter():
    one = {"days": 1, "stretches": 20, "psi": 3.0}
    four = {"days": 4, "stretches": 17, "psi": 1.5}
    champion = {"usual": [one, four]}
    assert usual_psi(champion, 4) == (1.5, 4)
    assert usual_psi(champion, 6) == (1.5, 4)
    assert usual_psi(champion, 3) == (3.0, 1)
    # Cards of before, and days that are not known.
    assert usual_psi({}, 4) == (0.0, 0)
    assert usual_psi(champion, 0) == (0.0, 0)
