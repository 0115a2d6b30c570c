"""Permutation importance: off where it is asked for no rows."""

from typing import Any

from tasks.ctr.train import importance


def test_no_rows_measure_nothing():
    nothing: Any = None
    assert importance.permutation(nothing, nothing, 0, seed=1) == []
