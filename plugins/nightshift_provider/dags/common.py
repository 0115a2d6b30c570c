"""What the DAGs of every family share: Params, pools, retries, templates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, TaskGroup, get_current_context

from nightshift_provider.retries import RETRY_POLICY

if TYPE_CHECKING:
    from nightshift.night import Night
    from nightshift.pipeline import Pipeline

# Pools of include/pools.json: what must not overlap, whatever starts it (schedule, hand, backfill).
ONLINE_POOL = "nightshift_online"
SWITCH_POOL = "nightshift_switch"
TRAIN_POOL = "nightshift_train"

OVERRIDES = ("epochs", "label_settle_days", "test_days", "valid_days")

RETRIES: dict[str, Any] = {
    # With their delays, 15, 30 and 60 s, these outlast a restart of any one service.
    "retries": 3,
    "retry_delay": dt.timedelta(seconds=15),
    "retry_exponential_backoff": True,
    "max_retry_delay": dt.timedelta(minutes=5),
    "retry_policy": RETRY_POLICY,
}


@dataclass(frozen=True)
class Candidate:
    """Where a family's tasks end.

    Attributes:
        made: the task `candidate`.
        stages: by stage of a gate, the tasks that must have ended before it; gates of the stage
            `data` are placed by the family.
        ends: tasks that must have ended before the run's last task.
        asked: stages whose gates the family has placed itself, before the candidate.
    """

    made: Any
    stages: Mapping[str, list[Any]]
    ends: list[Any]
    asked: frozenset[str] = frozenset({"data"})


def of_plan(field: str) -> str:
    """Template for a field of the run's plan."""
    return f"{{{{ ti.xcom_pull(task_ids='plan')['{field}'] }}}}"


def of_candidate(field: str) -> str:
    """Template for a field of the run's candidate."""
    return f"{{{{ ti.xcom_pull(task_ids='candidate')['{field}'] }}}}"


def group(name: str, tooltip: str) -> TaskGroup:
    """A part of the graph to fold; its tasks keep their plain ids."""
    return TaskGroup(name, prefix_group_id=False, tooltip=tooltip)


def night_of(plan: Any) -> Night:
    """The night of a run's plan, on this machine."""
    from nightshift.night import Night
    from nightshift.settings import Settings

    return Night.of(plan, Settings.from_env())


def triggered_by() -> str:
    """Who or what asked for the current run."""
    run = get_current_context()["dag_run"]
    user = getattr(run, "triggering_user_name", None)
    kind = getattr(run.run_type, "value", run.run_type)
    return f"{kind} by {user}" if user else str(kind)


def given_params() -> dict[str, Any]:
    """The current run's Params.

    Raises:
        ConfigurationError: whoever made the run, in the UI or by the API, gave one that the DAG
            does not have.
    """
    from nightshift.plan import check_params

    context: Any = get_current_context()
    check_params(context["dag"].params, context["dag_run"].conf or {})
    found: dict[str, Any] = context["params"]
    return found


def params(pipeline: Pipeline) -> dict[str, Param]:
    """The trigger form of `retrain_<pipeline>`."""
    timeout = dt.timedelta(seconds=pipeline.config.approval_timeout_s)
    found = {
        "ds": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Date",
            description="The partition to run for. Empty: the run's partition, or yesterday.",
        ),
        "promote": Param(
            "newer",
            enum=["newer", "force"],
            title="Promotion",
            description="newer: go live if the date is newer than the live release's. "
            "force: go live whatever the date. The gates are asked either way.",
        ),
        "approve": Param(
            False,
            type="boolean",
            title="Ask a person before the switch",
            description="The run waits for the answer in this UI (Required Actions). "
            f"No answer within {timeout} is a no: the release stays kept.",
        ),
        "hyperparameters": Param(
            {},
            type="object",
            title="Hyper-parameters",
            description=f"Overrides of {pipeline.config.hyperparameters}, "
            'such as {"learning_rate": 0.002}.',
        ),
    }
    return found | (_feature_params(pipeline) if pipeline.has_features else {})


def _feature_params(pipeline: Pipeline) -> dict[str, Param]:
    def days(title: str, minimum: int, description: str) -> Param:
        return Param(
            None,
            type=["null", "integer"],
            minimum=minimum,
            title=title,
            description=f"{description} Empty: the feature specification's.".strip(),
        )

    return {
        "train_days": Param(
            pipeline.config.train_days,
            type="integer",
            minimum=1,
            title="Training window",
            description="Days of requests to learn from, held-out days included.",
        ),
        "epochs": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Epochs",
            description="At most so many; early stopping may end sooner. "
            "Empty: the hyper-parameters'.",
        ),
        "label_settle_days": days(
            "Days that a label needs", 0, "Younger rows are left out of training."
        ),
        "valid_days": days("Validation days", 1, ""),
        "test_days": days("Held-out days", 1, ""),
        "allow_missing": Param(
            False,
            type="boolean",
            title="Do without missing partitions",
            description="Otherwise a missing partition fails the run and is named.",
        ),
        "warm_start": Param(
            False,
            type="boolean",
            title="Warm start",
            description="Begin from the live release's parameters.",
        ),
    }
