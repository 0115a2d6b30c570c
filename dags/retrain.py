"""### One night: a fresh model in production, or the old one untouched.

From yesterday's partition to a served release, a pair of one SQL deployment and one model
version that were tested together:

1. **plan** the date, the partitions and the names; clean up after runs that died.
2. **features**: load the partitions into a database of the run's own, run the one feature
   query, export parquet. OpenMLDB's jobs are followed to their end.
3. **model**: preprocess, check the data (bounds, drift), train, score the held-out days.
4. **candidate**: give model and query a release, load the online store with what it lacks,
   deploy the query beside the live one.
5. **gates**: quality against the live release, rehearsal in Triton, online features replayed
   against the offline ones.
6. **switch** the one pointer that the predict server follows; see it answer.

A task that fails leaves the live release serving. `./nightshift releases` tells what became
of each night.

**By hand**: *Trigger*, and give `ds`, the partition to run for. A date that is not newer than
the live release's is trained, gated and kept, and goes live only with `promote = force`.
**Backfill**: `airflow backfill create --dag-id retrain --from-date 2026-11-01
--to-date 2026-11-03T23:59 --max-active-runs 1`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import (
    DAG,
    CronPartitionTimetable,
    Param,
    TaskGroup,
    TriggerRule,
    get_current_context,
    task,
)
from nightshift_provider.operators.approval import ANSWER, NightshiftApprovalOperator
from nightshift_provider.operators.openmldb import (
    OpenMLDBDeployOperator,
    OpenMLDBLoadDataOperator,
    OpenMLDBSelectIntoOperator,
    OpenMLDBSQLOperator,
)
from nightshift_provider.operators.task import NightshiftTaskOperator
from nightshift_provider.retries import RETRY_POLICY

from nightshift.settings import Settings

SETTINGS = Settings.from_env()

# Pools of include/pools.json: what must not overlap, whatever starts it (schedule, hand, backfill).
ONLINE_POOL = "nightshift_online"
SWITCH_POOL = "nightshift_switch"
TRAIN_POOL = "nightshift_train"

OVERRIDES = ("epochs", "label_settle_days", "test_days", "valid_days")


def of_plan(field: str) -> str:
    """Template for a field of the run's plan."""
    return f"{{{{ ti.xcom_pull(task_ids='plan')['{field}'] }}}}"


def of_candidate(field: str) -> str:
    """Template for a field of the run's candidate."""
    return f"{{{{ ti.xcom_pull(task_ids='candidate')['{field}'] }}}}"


def group(name: str, tooltip: str) -> TaskGroup:
    """A part of the graph to fold; its tasks keep their plain ids."""
    return TaskGroup(name, prefix_group_id=False, tooltip=tooltip)


PARAMS = {
    "ds": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Date",
        description="The partition to run for. Empty: the run's partition, or yesterday.",
    ),
    "train_days": Param(
        SETTINGS.train_days,
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
        "Empty: include/hyperparameters.yaml.",
    ),
    "hyperparameters": Param(
        {},
        type="object",
        title="Other hyper-parameters",
        description='Overrides of include/hyperparameters.yaml, such as {"learning_rate": 0.002}.',
    ),
    "label_settle_days": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Days that a label needs",
        description="Younger rows are left out. Empty: include/feature_spec.yaml.",
    ),
    "valid_days": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Validation days",
        description="Empty: include/feature_spec.yaml.",
    ),
    "test_days": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Held-out days",
        description="Empty: include/feature_spec.yaml.",
    ),
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
        f"No answer within {dt.timedelta(seconds=SETTINGS.approval_timeout_s)} is a no: the release stays kept.",
    ),
}

with DAG(
    dag_id="retrain",
    dag_display_name="Nightshift: retrain",
    description="Features, training, gates and the switch to a fresh model, for one date",
    doc_md=__doc__,
    schedule=None
    if SETTINGS.schedule == "off"
    else CronPartitionTimetable(
        SETTINGS.schedule, timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"
    ),
    # No start_date: the first run is the next scheduled one, not one at the moment of unpausing.
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    template_searchpath=[str(SETTINGS.include / "sql")],
    tags=["nightshift"],
    default_args={
        # With their delays, 15, 30 and 60 s, these outlast a restart of any one service.
        "retries": 3,
        "retry_delay": dt.timedelta(seconds=15),
        "retry_exponential_backoff": True,
        "max_retry_delay": dt.timedelta(minutes=5),
        "retry_policy": RETRY_POLICY,
    },
) as dag:

    @task(multiple_outputs=True, doc_md="Resolve date, partitions, names and command lines, once.")
    def plan() -> dict[str, Any]:
        """The run's plan, and the command lines of its container tasks."""
        from nightshift import commands
        from nightshift.errors import PartitionMissing
        from nightshift.features.specification import FeatureSpec
        from nightshift.plan import make_plan, resolve_date
        from nightshift.registry.pointer import read_live
        from nightshift.registry.store import ReleaseStore
        from nightshift.release import candidate

        context = get_current_context()
        params, run = context["params"], context["dag_run"]
        ds = resolve_date(
            param=params["ds"], partition_key=run.partition_key, logical_date=run.logical_date
        )
        try:
            made = make_plan(
                SETTINGS,
                ds=ds,
                run_id=run.run_id,
                lookback_days=FeatureSpec.load(SETTINGS.feature_spec).lookback_days,
                train_days=params["train_days"],
                allow_missing=params["allow_missing"],
            )
        except PartitionMissing as error:
            # No task after this one would write it down.
            candidate.log_rejection(
                ReleaseStore(SETTINGS.releases),
                ds=ds,
                run_id=run.run_id,
                reasons=[f"plan: {error}"],
            )
            raise
        own = commands.Overrides(
            **{name: params[name] for name in OVERRIDES}, hyperparameters=params["hyperparameters"]
        )
        live = read_live(SETTINGS.releases) if params["warm_start"] else None
        begin_from = ReleaseStore(SETTINGS.releases).folder(live.release_id).model if live else None
        return {
            **made,
            "preprocess_arguments": commands.preprocess_arguments(made, SETTINGS, own),
            "train_arguments": commands.train_arguments(made, SETTINGS, own, warm_start=begin_from),
        }

    @task(
        multiple_outputs=False,
        doc_md="Open this run's lease; clean up what runs that died left half done.",
    )
    def begin(plan: Any) -> dict[str, Any]:
        """Recover."""
        from nightshift.release import steps

        return steps.begin(plan, SETTINGS)

    @task(
        multiple_outputs=False,
        doc_md="Bounds, schema and drift of the data. A breach ends the night here.",
    )
    def check_data(plan: Any) -> dict[str, Any]:
        """Judge the data card."""
        from nightshift.release import steps

        return steps.check_data(plan, SETTINGS)

    @task(
        multiple_outputs=False,
        doc_md="Count what the online store holds, day by day; list what it lacks.",
    )
    def online_gaps(plan: Any) -> list[dict[str, Any]]:
        """What to load online."""
        from nightshift.features.specification import FeatureSpec
        from nightshift.features.tables import SourceTables
        from nightshift.openmldb import OpenMLDBClient
        from nightshift.openmldb import loads as online_load

        with OpenMLDBClient.of(SETTINGS) as client:
            loads = online_load.plan_online_loads(
                SETTINGS.data,
                tables=SourceTables.load(SETTINGS.tables),
                ds=plan["ds"],
                lookback_days=FeatureSpec.load(SETTINGS.feature_spec).lookback_days,
                count_rows=online_load.count_online(client, plan["database"]),
            )
        return [dict(load) for load in loads]

    @task(
        multiple_outputs=True,
        doc_md="Give the trained model a version and a release folder with its manifest.",
    )
    def candidate(plan: Any) -> dict[str, Any]:
        """Make the candidate."""
        from nightshift.release import steps

        run = get_current_context()["dag_run"]
        user = getattr(run, "triggering_user_name", None)
        kind = getattr(run.run_type, "value", run.run_type)
        return steps.make_candidate(
            plan, SETTINGS, triggered_by=f"{kind} by {user}" if user else str(kind)
        )

    @task(multiple_outputs=False, doc_md="Challenger and champion on the same held-out rows.")
    def quality(plan: Any, made: Any) -> dict[str, Any]:
        """Judge the quality."""
        from nightshift.release import steps

        return steps.quality(plan, made["release_id"], SETTINGS)

    @task(
        multiple_outputs=False,
        doc_md="Load the model beside the live one, golden rows, calls of the new pair.",
    )
    def rehearse(plan: Any, made: Any) -> dict[str, Any]:
        """Rehearse the pair."""
        from nightshift.release import steps

        return steps.rehearsal(plan, made["release_id"], SETTINGS)

    @task(
        multiple_outputs=False,
        doc_md="Held-out requests replayed online: ids and scores equal to the offline ones.",
    )
    def consistency(plan: Any, made: Any) -> dict[str, Any]:
        """Compare online with offline."""
        from nightshift.release import steps

        return steps.consistent(plan, made["release_id"], SETTINGS)

    @task(multiple_outputs=False, doc_md="The verdict over all reports.")
    def accept(plan: Any, made: Any) -> dict[str, Any]:
        """Accept, or reject."""
        from nightshift.release import steps

        return steps.accept(plan, made["release_id"], SETTINGS)

    @task.branch(doc_md="With `approve` a person is asked first.")
    def ask() -> str:
        """Which way to the switch."""
        return "approve" if get_current_context()["params"]["approve"] else "switch"

    @task(
        multiple_outputs=False,
        pool=SWITCH_POOL,
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        doc_md="Point the predict server at the new pair and see it answer; else go back.",
    )
    def switch(plan: Any, made: Any) -> dict[str, Any]:
        """Switch the live release."""
        from nightshift.release import steps

        context = get_current_context()
        return steps.switch_over(
            plan,
            made["release_id"],
            SETTINGS,
            promote=context["params"]["promote"],
            actor=context["dag_run"].run_id,
        )

    @task(
        multiple_outputs=False,
        doc_md="After the grace time take down every pair that does not serve any more.",
    )
    def retire(plan: Any) -> dict[str, Any]:
        """Retire the old pair."""
        from nightshift.release import steps

        return steps.retire_old(plan, SETTINGS)

    @task(
        multiple_outputs=False,
        doc_md="Write down what became of the night, drop its database, keep the last releases.",
    )
    def finish(plan: Any) -> dict[str, Any]:
        """End the night, good or bad."""
        from nightshift.openmldb import OpenMLDBClient
        from nightshift.openmldb import deployments as online
        from nightshift.release import steps

        ti = get_current_context()["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        failed = sorted(name for name, state in states.items() if state == "failed")
        made = ti.xcom_pull(task_ids="candidate")
        report = steps.finish(
            plan,
            SETTINGS,
            release=made["release_id"] if made else None,
            failures=[f"task {name} failed; its log says why" for name in failed],
            approval=ti.xcom_pull(task_ids="approve", key=ANSWER),
        )
        # Last: a night that ended for want of this server is written down first.
        with OpenMLDBClient.of(SETTINGS) as client:
            online.drop_database(client, plan["workspace"])
        return report

    planned: Any = plan()
    begun: Any = begin(planned)
    asked: Any = ask()

    with group("features", "Partitions into a database of the run's own; the query's export."):
        create_workspace = OpenMLDBSQLOperator(
            task_id="create_workspace",
            database=of_plan("workspace"),
            sql=["CREATE DATABASE IF NOT EXISTS " + of_plan("workspace"), "create_tables.sql"],
            doc_md="A database of this run's own, so that runs cannot mix.",
        )
        load_offline = OpenMLDBSQLOperator(
            task_id="load_offline",
            database=of_plan("workspace"),
            sql="load_offline.sql",
            poll_interval_s=1.0,
            doc_md="LOAD DATA of the run's partitions.",
        )
        extract = OpenMLDBSelectIntoOperator(
            task_id="extract_features",
            database=of_plan("workspace"),
            select="features.sql",
            path=of_plan("run_dir") + "/features",
            poll_interval_s=1.0,
            doc_md="The feature query over history, exported as parquet.",
        )

    with group("model", "Rows to ids, their checks, training, and the candidate's version."):
        preprocess = NightshiftTaskOperator(
            task_id="preprocess",
            task="preprocess",
            arguments=planned["preprocess_arguments"],
            run_dir=of_plan("run_dir"),
            result_path=of_plan("run_dir") + "/results/preprocess.json",
            poll_interval_s=1.0,
            doc_md="Feature rows to ids, split by day.",
        )
        checked: Any = check_data(planned)
        train = NightshiftTaskOperator(
            task_id="train",
            task="train",
            arguments=planned["train_arguments"],
            run_dir=of_plan("run_dir"),
            result_path=of_plan("run_dir") + "/results/train.json",
            readable=[str(SETTINGS.releases)],
            poll_interval_s=1.0,
            pool=TRAIN_POOL,
            doc_md="DeepFM in OneFlow. A retry goes on from the checkpoint.",
        )
        made: Any = candidate(planned)
        score = NightshiftTaskOperator(
            task_id="score",
            task="score",
            arguments=made["score_arguments"],
            run_dir=of_plan("run_dir"),
            result_path=of_plan("run_dir") + "/results/score.json",
            readable=[str(SETTINGS.releases)],
            poll_interval_s=1.0,
            doc_md="The held-out rows, scored by challenger and champion.",
        )

    with group("online", "What serving needs of OpenMLDB: tables, rows, the query."):
        create_online = OpenMLDBSQLOperator(
            task_id="create_online",
            database=of_plan("database"),
            mode="online",
            sql=["CREATE DATABASE IF NOT EXISTS " + of_plan("database"), "create_tables.sql"],
            doc_md="The online tables, where they are not there yet.",
        )
        gaps: Any = online_gaps(planned)
        load_online = OpenMLDBLoadDataOperator.partial(
            task_id="load_online",
            database=of_plan("database"),
            mode="online",
            poll_interval_s=1.0,
            pool=ONLINE_POOL,
            doc_md="LOAD DATA of what the online store lacks; rows are counted before and after.",
        ).expand_kwargs(gaps)
        deploy = OpenMLDBDeployOperator(
            task_id="deploy_features",
            database=of_plan("database"),
            name=of_candidate("deployment"),
            select="features.sql",
            doc_md="The same query online, under a name of its own; an unchanged query is found "
            "there.",
        )

    with group("gates", "What a candidate must pass before it may serve."):
        judged: Any = quality(planned, made)
        rehearsed: Any = rehearse(planned, made)
        compared: Any = consistency(planned, made)
        accepted: Any = accept(planned, made)

    with group("release", "The switch to the new pair, and the old pair's end."):
        approve = NightshiftApprovalOperator(
            task_id="approve",
            subject="Switch to release " + of_candidate("release_id") + "?",
            body="It passed every gate. Rejecting keeps it, and the live release goes on serving.",
            # A run that waits for ever would hold up every night after it.
            response_timeout=dt.timedelta(seconds=SETTINGS.approval_timeout_s),
            defaults=NightshiftApprovalOperator.REJECT,
        )
        switched: Any = switch(planned, made)
        retired: Any = retire(planned)

    begun >> [create_workspace, create_online]
    create_workspace >> load_offline >> extract >> preprocess
    preprocess >> checked >> train >> made
    [checked, create_online] >> gaps
    made >> [score, deploy]
    score >> judged
    [deploy, load_online] >> rehearsed
    [rehearsed, score] >> compared
    [judged, compared] >> accepted >> asked >> [approve, switched]
    approve >> switched >> retired
    [retired, judged, compared, load_online] >> finish(planned).as_teardown(setups=begun)
