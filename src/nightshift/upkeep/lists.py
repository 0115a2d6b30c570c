"""The lists of `score_<pipeline>`: the newest stay."""

from __future__ import annotations

from nightshift import layout
from nightshift.pipeline import Pipeline
from nightshift.triton.repository import put_away


def prune(pipeline: Pipeline) -> int:
    """Remove all but the newest `score.keep` lists, whole or not at all; how many went.

    Folders that are not a list (`ds=<date>`) are left alone.
    """
    score = pipeline.config.score
    if score is None or score.keep is None or not pipeline.lists.is_dir():
        return 0
    found = sorted(path for path in pipeline.lists.glob("ds=*") if layout.day_of(path.name))
    old = found[: -score.keep]
    for path in old:
        put_away(path)
    return len(old)
