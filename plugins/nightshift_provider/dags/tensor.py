"""The tasks of a pipeline whose family has no steps of its own: training, then the candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import task

from nightshift.gates.registry import Gate
from nightshift.pipeline import Pipeline
from nightshift_provider.dags.common import (
    TRAIN_POOL,
    Candidate,
    group,
    night_of,
    of_plan,
    triggered_by,
)
from nightshift_provider.operators.task import NightshiftTaskOperator

if TYPE_CHECKING:
    from nightshift.commands import Overrides
    from nightshift.night import Night

STEPS = """2. **train**: run the training of the pipeline's family.
3. **candidate**: give the model a version and a release folder with its manifest."""


def command_lines(night: Night, own: Overrides, given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Arguments of training, for the plan; see `dags.ctr.command_lines`."""
    from nightshift import commands

    del given
    return {"train_arguments": commands.module_arguments(night, own)}


def candidate(
    pipeline: Pipeline, planned: Any, begun: Any, judge: Callable[[Gate], Any]
) -> Candidate:
    """Training and the candidate."""

    @task(
        multiple_outputs=True,
        doc_md="Give the trained model a version and a release folder with its manifest.",
    )
    def candidate(plan: Any) -> dict[str, Any]:
        from nightshift.release import steps

        return steps.make_candidate(night_of(plan), triggered_by=triggered_by())

    with group("model", "Training, and the candidate's version."):
        train = NightshiftTaskOperator(
            task_id="train",
            task=f"{pipeline.family}.train",
            arguments=planned["train_arguments"],
            run_dir=of_plan("run_dir"),
            result_path=of_plan("run_dir") + "/results/train.json",
            readable=[
                str(pipeline.releases),
                str(pipeline.settings.pipelines),
                str(pipeline.data),
            ],
            poll_interval_s=1.0,
            pool=TRAIN_POOL,
            doc_md="Training, and the golden examples of what it gave.",
        )
        made: Any = candidate(planned)
    begun >> train >> made
    return Candidate(made, {"loaded": [made], "scored": [made]}, [])
