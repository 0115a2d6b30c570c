"""`retrain_<pipeline>`: one night, from source tables to a served release or the old one."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Mapping
from typing import Any

from airflow.sdk import DAG, CronPartitionTimetable, TriggerRule, get_current_context, task

from nightshift.gates.registry import Gate, find
from nightshift.pipeline import Pipeline
from nightshift_provider.dags import retrain_id
from nightshift_provider.dags.common import (
    OVERRIDES,
    RETRIES,
    SWITCH_POOL,
    Candidate,
    given_params,
    group,
    night_of,
    of_candidate,
    params,
    triggered_by,
)
from nightshift_provider.notifiers import RunFailureNotifier, TaskFailureNotifier
from nightshift_provider.operators.approval import ANSWER, NightshiftApprovalOperator

DOC = """### {title}: one night, or the old release untouched.

{description}

1. **plan** the date, the partitions and the names; clean up after runs that died.
{steps}
4. **gates**: {gates}.
5. **switch** the one pointer that the predict server follows; see it answer.

A task that fails leaves the live release serving. Browse → *Nightshift releases* shows what became
of each night.

**By hand**: *Trigger*, and give `ds`, the partition to run for. A date that is not newer than the
live release's is trained, judged and kept, and goes live only with `promote = force`.
**Backfill**: `airflow backfill create --dag-id {dag_id} --from-date 2026-11-01
--to-date 2026-11-03T23:59 --max-active-runs 1`.
"""


def retrain_dag(pipeline: Pipeline) -> DAG:
    """The DAG of a pipeline's nights."""
    family = importlib.import_module(pipeline.config.kind.dags)
    name, config = pipeline.name, pipeline.config
    gates = [find(gate) for gate in config.gates_run]
    scheduled = config.schedule != "off" and pipeline.settings.schedules == "on"
    with DAG(
        dag_id=retrain_id(name),
        dag_display_name=f"Nightshift: retrain {name}",
        description=config.description or f"Training, gates and the switch of {name}, for a date",
        doc_md=DOC.format(
            title=name,
            description=config.description,
            steps=family.STEPS,
            gates=", ".join(gate.name for gate in gates),
            dag_id=retrain_id(name),
        ),
        schedule=CronPartitionTimetable(
            config.schedule,
            timezone=schedule_zone(config.time_zone),
            run_offset=-1,
            key_format="%Y-%m-%d",
        )
        if scheduled
        else None,
        # No start_date: the first run is the next scheduled one, not one at the moment of
        # unpausing.
        catchup=False,
        max_active_runs=1,
        params=params(pipeline),
        template_searchpath=template_folders(pipeline),
        tags=["nightshift", name],
        default_args={**RETRIES, "on_failure_callback": TaskFailureNotifier(name)},
        on_failure_callback=RunFailureNotifier(name),
    ) as dag:
        planned = _plan(name)
        begun = _begin(planned)
        end = family.candidate(pipeline, planned, begun, _judge)
        with group("gates", "What a candidate must pass before it may serve."):
            asked = _gates([g for g in gates if g.stage not in end.asked], planned, end)
            accepted = _accept(planned, end.made, asked)
        finish = _release(pipeline, planned, end.made, accepted)
        [*asked, *end.ends] >> finish.as_teardown(setups=begun)
    return dag


def schedule_zone(name: str | None) -> Any:
    """The zone of a schedule as Airflow keeps it: a name, or the seconds of an offset."""
    if name is None:
        return "UTC"
    import pendulum

    from nightshift.zones import Zone

    ahead = Zone.of(name).offset_ms
    return pendulum.timezone(name if ahead is None else ahead // 1000)


def template_folders(pipeline: Pipeline) -> list[str]:
    """Where the DAG's SQL files lie."""
    folders = [pipeline.folder, pipeline.settings.include / "sql"]
    if pipeline.has_features:
        files = pipeline.features
        folders = [files.sql.parent, files.create_tables.parent, *folders]
    return list(dict.fromkeys(str(folder) for folder in folders))


def _plan(name: str) -> Any:
    @task(
        multiple_outputs=True,
        doc_md="Resolve date, partitions, names and command lines, once.",
    )
    def plan() -> dict[str, Any]:
        """The run's plan, and the command lines of its container tasks."""
        from nightshift import commands
        from nightshift.errors import TerminalError
        from nightshift.night import Night
        from nightshift.pipeline import Pipeline
        from nightshift.plan import make_plan, resolve_date
        from nightshift.release import candidate
        from nightshift.settings import Settings

        pipeline = Pipeline.load(Settings.from_env(), name)
        context = get_current_context()
        given, run = context["params"], context["dag_run"]
        ds = resolve_date(
            param=given["ds"],
            partition_key=run.partition_key,
            logical_date=run.logical_date,
            zone=pipeline.zone if pipeline.config.time_zone else None,
        )
        try:
            given_params()
            made = make_plan(
                pipeline,
                ds=ds,
                run_id=run.run_id,
                train_days=given.get("train_days"),
                allow_missing=bool(given.get("allow_missing")),
            )
            commands.check_overrides(pipeline, made["train_days"], overrides_of(given))
        except TerminalError as error:
            # No task after this one would write it down.
            candidate.log_rejection(
                pipeline.store, ds=ds, run_id=run.run_id, reasons=[f"plan: {error}"]
            )
            raise
        family = importlib.import_module(pipeline.config.kind.dags)
        return {**made, **family.command_lines(Night(pipeline, made), overrides_of(given), given)}

    return plan()


def _begin(planned: Any) -> Any:
    @task(
        multiple_outputs=False,
        doc_md="Open this run's lease; clean up what runs that died left half done.",
    )
    def begin(plan: Any) -> dict[str, Any]:
        from nightshift.release import steps

        return steps.begin(night_of(plan))

    return begin(planned)


def overrides_of(given: Mapping[str, Any]) -> Any:
    """What a run's Params set differently from the pipeline's files."""
    from nightshift import commands

    return commands.Overrides(
        **{name: given.get(name) for name in OVERRIDES},
        hyperparameters=given.get("hyperparameters") or {},
    )


def _judge(gate: Gate) -> Any:
    """The task of one gate: a function of plan and candidate."""

    @task(task_id=gate.name, multiple_outputs=False, doc_md=gate.title)
    def judge(plan: Any, made: Any = None) -> dict[str, Any]:
        from nightshift.release import steps

        release = made["release_id"] if made else None
        return steps.gate(night_of(plan), gate.name, release, triggered_by=triggered_by())

    return judge


def _gates(gates: list[Gate], planned: Any, end: Candidate) -> list[Any]:
    """The gates after the candidate, those of one stage in their order; their last tasks."""
    asked: dict[str, Any] = {}
    for gate in gates:
        judged = _judge(gate)(planned, end.made)
        before = [asked[gate.stage]] if gate.stage in asked else end.stages[gate.stage]
        if gate.stage == "loaded" and "scored" in end.stages:
            before = [*before, *end.stages["scored"]]
        before >> judged
        asked[gate.stage] = judged
    return list(asked.values()) or [end.made]


def _accept(planned: Any, made: Any, asked: list[Any]) -> Any:
    @task.branch(doc_md="The verdict over all reports; with `approve` a person is asked first.")
    def accept(plan: Any, made: Any) -> str:
        from nightshift.release import steps

        steps.accept(night_of(plan), made["release_id"])
        return "approve" if get_current_context()["params"]["approve"] else "switch"

    accepted: Any = accept(planned, made)
    asked >> accepted
    return accepted


def _release(pipeline: Pipeline, planned: Any, made: Any, accepted: Any) -> Any:
    """The switch and what follows it; returns the run's last task."""

    @task(
        multiple_outputs=False,
        pool=SWITCH_POOL,
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        doc_md="Point the predict server at the new release and see it answer; else go back.",
    )
    def switch(plan: Any, made: Any) -> dict[str, Any]:
        from nightshift.release import steps

        context = get_current_context()
        return steps.switch_over(
            night_of(plan),
            made["release_id"],
            promote=context["params"]["promote"],
            actor=context["dag_run"].run_id,
        )

    @task(
        multiple_outputs=False,
        doc_md="After the grace time take down every pair that does not serve any more.",
    )
    def retire(plan: Any) -> dict[str, Any]:
        from nightshift.release import steps

        return steps.retire_old(night_of(plan))

    @task(
        multiple_outputs=False,
        doc_md="Write down what became of the night, drop its database, keep the last releases.",
    )
    def finish(plan: Any) -> dict[str, Any]:
        from nightshift import watch
        from nightshift.openmldb import OpenMLDBClient
        from nightshift.openmldb import deployments as online
        from nightshift.release import steps

        night = night_of(plan)
        ti = get_current_context()["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        failed = sorted(name for name, state in states.items() if state == "failed")
        made = ti.xcom_pull(task_ids="candidate")
        report = steps.finish(
            night,
            release=made["release_id"] if made else None,
            failures=watch.night_failed(night.pipeline, plan["run_id"], failed),
            approval=ti.xcom_pull(task_ids="approve", key=ANSWER),
        )
        watch.tell_night(night.pipeline)
        if night.pipeline.has_features:
            # Last: a night that ended because this server was away is recorded first.
            with OpenMLDBClient.of(night.settings) as client:
                online.drop_database(client, plan["workspace"])
        return report

    with group("release", "The switch to the new release, and the old one's end."):
        approve = NightshiftApprovalOperator(
            task_id="approve",
            subject=f"{pipeline.name}: switch to release " + of_candidate("release_id") + "?",
            body="It passed every gate. Rejecting keeps it, and the live release keeps serving.",
            # A run that waits forever would delay every night after it.
            response_timeout=dt.timedelta(seconds=pipeline.config.approval_timeout_s),
            defaults=NightshiftApprovalOperator.REJECT,
        )
        switched: Any = switch(planned, made)
        retired: Any = retire(planned)
    accepted >> [approve, switched]
    approve >> switched >> retired
    finished: Any = finish(planned)
    retired >> finished
    return finished
