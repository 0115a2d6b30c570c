"""Worlds drawn at random: what was asked for, days in order, no label among the columns."""

import numpy as np
import pyarrow as pa
import pytest

from bench.stranger_data import DAYS
from bench.stranger_worlds import worlds

ROWS = 4000
SHARES = (0.015, 0.03, 0.05, 0.1, 0.2, 0.4)
"""What the docstring promises: 1.5 to 40 % positives."""


@pytest.fixture(scope="module")
def made():
    return {seed: worlds(ROWS, seed) for seed in range(1, 7)}


def test_the_share_of_positives_is_one_of_those_promised(made):
    for table, _ in made.values():
        labels = table["click"].to_numpy()
        assert len(labels) == ROWS and set(labels) == {0, 1}
        # Four standard errors of a draw of so many labels.
        gaps = [abs(labels.mean() - p) / np.sqrt(p * (1 - p) / ROWS) for p in SHARES]
        assert min(gaps) < 4


def test_there_are_as_many_columns_as_promised_and_each_is_in_the_specification(made):
    for table, spec in made.values():
        assert 2 <= len(spec["categorical"]) <= 11 and 2 <= len(spec["numeric"]) <= 15
        named = {"request_id", "at", "click", *spec["categorical"], *spec["numeric"]}
        assert set(table.column_names) == named


def test_rows_are_of_fourteen_days_in_order(made):
    for table, _ in made.values():
        local = table["at"].to_numpy() + np.timedelta64(8, "h")
        days = local.astype("datetime64[D]").astype(np.int64)
        assert np.all(np.diff(days) >= 0)
        assert days[-1] - days[0] + 1 == len(np.unique(days)) == DAYS


def test_no_number_gives_the_label_away(made):
    """A leak would order the rows by their label: an area of 1."""
    for table, spec in made.values():
        positive = table["click"].to_numpy() == 1
        for name in spec["numeric"]:
            values = table[name].to_numpy(zero_copy_only=False).astype(float)
            known = ~np.isnan(values)
            ones, zeros = np.sort(values[known & positive]), values[known & ~positive]
            below = np.searchsorted(ones, zeros, "right") + np.searchsorted(ones, zeros, "left")
            area = 1 - below.sum() / 2 / len(ones) / len(zeros)
            assert 0.1 < area < 0.9, name


def test_a_seed_gives_the_same_world_and_another_one_another(made):
    again, spec = worlds(ROWS, 1)
    assert again.equals(made[1][0]) and spec == made[1][1]
    assert len({table["click"].to_numpy().tobytes() for table, _ in made.values()}) == len(made)


def test_gaps_are_nulls_not_values_that_a_model_would_take_for_numbers(made):
    gaps = 0
    for table, spec in made.values():
        for name in spec["numeric"]:
            gaps += table[name].null_count
            assert not np.isnan(table[name].drop_null().to_numpy()).any()
            assert spec["numeric"][name]["type"] == (
                "int64" if pa.types.is_integer(table.schema.field(name).type) else "double"
            )
    assert gaps > 0
