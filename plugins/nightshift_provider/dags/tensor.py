"""The tasks of a pipeline that publishes any OneFlow module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

STEPS = """2. **train**: run the pipeline's module, which trains or builds a OneFlow network.
3. **candidate**: give the model a version and a release folder with its manifest."""


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
            task="tensor.train",
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
            doc_md="The pipeline's module in OneFlow.",
        )
        made: Any = candidate(planned)
    begun >> train >> made
    return Candidate(made, {"loaded": [made], "scored": [made]}, [])
