"""The ledger on an installation: its servers, its models, its reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift import files
from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.live.folders import live_folder
from nightshift.live.skew import ledger
from nightshift.live.skew.part import Score
from nightshift.night import servers
from nightshift.pipeline import Pipeline
from nightshift.triton import INPUT, TritonControl

LOCK = ".observe.lock"
KEEP = 60
"""Reports that are kept."""


def observe(
    pipeline: Pipeline,
    first: dt.date,
    last: dt.date,
    *,
    sample: int | None = None,
    said: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """`ledger.observe` with the models that Triton serves; one at a time for a pipeline.

    Raises:
        ConfigurationError: the last day lies before the first, or the pipeline has no features.
        LockHeld: another one runs.
        DataError, OpenMLDBError, ServiceUnavailable, JobFailed: as `ledger.observe`.
    """
    if last < first:
        raise ConfigurationError(f"the last day {last} lies before the first, {first}")
    if not pipeline.has_features:
        raise ConfigurationError(f"{pipeline.name} has no features that could differ")
    folder = live_folder(pipeline.settings, pipeline.name)
    with (
        files.locked(folder / LOCK, timeout_s=5.0),
        servers(pipeline.settings) as at,
    ):
        return ledger.observe(
            pipeline,
            at.openmldb,
            first,
            last,
            score_of=_Models(at.triton),
            sample=sample,
            said=said,
        )


class _Models:
    """Scores by the models that are served."""

    def __init__(self, triton: TritonControl) -> None:
        self._triton = triton

    def __call__(self, model: str, version: int) -> Score | None:
        try:
            if not self._triton.ready(model, version):
                return None
        except NightshiftError:
            return None

        def score(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            parts = [ids[start : start + 1000] for start in range(0, len(ids), 1000)]
            return np.concatenate(
                [self._triton.score(model, version, {INPUT: part}) for part in parts]
            )

        return score


def keep(pipeline: Pipeline, found: dict[str, Any]) -> Path:
    """Write a report to `<home>/live/<pipeline>/skew/`; the oldest beyond `KEEP` go.

    Returns:
        Its file, `<from>_<to>.json`.
    """
    folder = live_folder(pipeline.settings, pipeline.name) / "skew"
    path = folder / f"{found['from']}_{found['to']}.json"
    files.write_json(path, found)
    for old in sorted(folder.glob("*_*.json"))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """A report without its examples, small enough for an XCom."""
    return {
        **{name: value for name, value in found.items() if name not in ("releases", "meanings")},
        "causes": [
            {
                "release": one["release"],
                **{k: cause[k] for k in ("cause", "table", "values", "rows")},
            }
            for one in found["releases"]
            for cause in one["causes"]
        ],
    }
