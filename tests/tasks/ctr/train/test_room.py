"""Whether a dataset fits into memory."""

from pathlib import Path

import pytest

from nightshift.features.specification import FeatureSpec
from tasks.ctr.train import room

SPEC = FeatureSpec.load(Path(__file__).parents[4] / "pipelines" / "jd" / "feature_spec.yaml")


def card(rows):
    return {"splits": {"train": {"rows": rows}, "valid": {"rows": 0}, "test": {}}}


def test_rows_that_fit_are_kept_whole_and_others_come_in_blocks():
    small, said = room.block_rows(card(1000), SPEC, free=8 << 30)
    assert small == 0
    assert said.startswith("1000 rows take")
    large, _ = room.block_rows(card(10**9), SPEC, free=8 << 30)
    assert large == room.BLOCK_ROWS


def test_twice_the_rows_need_twice_the_memory():
    def fits(rows, free):
        return room.block_rows(card(rows), SPEC, free)[0] == 0

    # The least memory, to a MB, that each needs.
    least = [
        next(mb for mb in range(1, 4000) if fits(rows, mb << 20)) for rows in (1_000_000, 2_000_000)
    ]
    assert least[1] == pytest.approx(2 * least[0], abs=2)


def test_free_memory_is_no_more_than_the_machine_has():
    total = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    )
    assert 0 < room.free_memory() <= total
