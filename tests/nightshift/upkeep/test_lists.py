"""The newest lists stay."""

from nightshift.config.score import Score
from nightshift.upkeep import lists


def test_the_newest_lists_and_whatever_is_no_list_stay(pipeline):
    for name in ("ds=2026-01-01", "ds=2026-01-03", "ds=2026-01-02", "ds=mine", "notes"):
        (pipeline.lists / name).mkdir(parents=True)
        (pipeline.lists / name / "part-0.parquet").write_bytes(b"x")
    two = pipeline.with_config(score=Score(keep=2))
    assert lists.prune(two) == 1
    left = ["ds=2026-01-02", "ds=2026-01-03", "ds=mine", "notes"]
    assert sorted(path.name for path in pipeline.lists.iterdir()) == left
    assert lists.prune(two) == lists.prune(pipeline.with_config(score=Score())) == 0
    assert lists.prune(pipeline.with_config(score=None)) == 0
