"""The tasks of a click-through-rate pipeline up to its candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import task

from nightshift.gates.registry import Gate, find
from nightshift.pipeline import Pipeline
from nightshift_provider.dags.common import (
    ONLINE_POOL,
    TRAIN_POOL,
    Candidate,
    group,
    night_of,
    of_candidate,
    of_plan,
    triggered_by,
)
from nightshift_provider.operators.openmldb import (
    OpenMLDBDeployOperator,
    OpenMLDBSelectIntoOperator,
    OpenMLDBSQLOperator,
)
from nightshift_provider.operators.task import NightshiftTaskOperator

if TYPE_CHECKING:
    from nightshift.commands import Overrides
    from nightshift.night import Night

STEPS = """2. **features**: load the partitions into a database of the run's own, run the one feature
   query, export parquet. OpenMLDB's jobs are followed to their end.
3. **model**: preprocess, check the data (bounds, drift), train, score the held-out days; give model
   and query a release, load the online store with what it lacks, deploy the query beside the live
   one."""


def command_lines(night: Night, own: Overrides, given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Arguments of the container tasks, for the plan.

    Args:
        night: the night.
        own: what the run sets differently from the pipeline's files.
        given: the run's Params.
    """
    from nightshift import commands
    from nightshift.registry.pointer import read_live

    live = read_live(night.pipeline.releases) if given["warm_start"] else None
    # A refit has seen tonight's held-out days: what begins there could not be judged on them.
    begin_from = night.folder(live.release_id).judged_model if live else None
    found = {
        "preprocess_arguments": commands.preprocess_arguments(night, own),
        "train_arguments": commands.train_arguments(night, own, warm_start=begin_from),
    }
    if night.pipeline.config.recommend is not None:
        found["recommend_arguments"] = commands.recommend_arguments(night, own)
    if night.refits:
        for name, arguments in commands.refit_arguments(night, own).items():
            found[f"{name}_arguments"] = arguments
    return found


def candidate(
    pipeline: Pipeline, planned: Any, begun: Any, judge: Callable[[Gate], Any]
) -> Candidate:
    """Features, training, the candidate, and what serving needs of OpenMLDB."""
    extract, listed = _features(pipeline, begun)
    checked, made, score = _model(pipeline, planned, extract, listed, judge)
    load_online, deploy = _online(pipeline, planned, checked, made)
    loaded = [deploy, load_online]
    if pipeline.config.refit:
        return Candidate(
            made, {"loaded": [score, *loaded]}, loaded, asked=frozenset({"data", "scored"})
        )
    return Candidate(made, {"scored": [score], "loaded": loaded}, loaded)


def _features(pipeline: Pipeline, begun: Any) -> tuple[Any, Any]:
    settle_s = pipeline.settings.openmldb_settle_s
    with group("features", "Partitions into a database of the run's own; the query's export."):
        load_offline = OpenMLDBSQLOperator(
            task_id="load_offline",
            database=of_plan("workspace"),
            sql=[
                "CREATE DATABASE IF NOT EXISTS " + of_plan("workspace"),
                pipeline.features.create_tables.name,
                "load_offline.sql",
            ],
            poll_interval_s=1.0,
            settle_s=settle_s,
            doc_md="A database of this run's own, so that runs cannot mix; LOAD DATA of the run's "
            "partitions.",
        )
        extract = OpenMLDBSelectIntoOperator(
            task_id="extract_features",
            database=of_plan("workspace"),
            select=pipeline.features.sql.name,
            path=of_plan("run_dir") + "/features",
            poll_interval_s=1.0,
            settle_s=settle_s,
            doc_md="The feature query over history, exported as parquet.",
        )
        recommend = pipeline.config.recommend
        listed = None
        if recommend is not None and recommend.sql_list is not None:
            listed = OpenMLDBSelectIntoOperator(
                task_id="extract_list",
                database=of_plan("workspace"),
                select=recommend.sql_list,
                path=of_plan("run_dir") + "/listed",
                poll_interval_s=1.0,
                settle_s=settle_s,
                doc_md="The query of recommend.sql_list, exported as parquet.",
            )
            load_offline >> listed
    begun >> load_offline >> extract
    return extract, listed


def _model(
    pipeline: Pipeline, planned: Any, extract: Any, listed: Any, judge: Callable[[Gate], Any]
) -> tuple[Any, Any, Any]:
    readable = [str(pipeline.releases), str(pipeline.settings.pipelines)]

    @task(
        multiple_outputs=True,
        doc_md="Give the trained model a version and a release folder with its manifest.",
    )
    def candidate(plan: Any) -> dict[str, Any]:
        from nightshift.release import steps

        return steps.make_candidate(night_of(plan), triggered_by=triggered_by())

    def container(
        name: str, arguments: Any, *, kind: str | None = None, **more: Any
    ) -> NightshiftTaskOperator:
        return NightshiftTaskOperator(
            task_id=name,
            task=f"ctr.{kind or name}",
            arguments=arguments,
            run_dir=of_plan("run_dir"),
            result_path=of_plan("run_dir") + f"/results/{name}.json",
            readable=readable,
            poll_interval_s=1.0,
            **more,
        )

    def refitted(judged: Any) -> tuple[Any, Any]:
        """The candidate of the judged recipe on all judged days, and its held-out rows' scores."""
        again = container(
            "refit_preprocess",
            planned["refit_preprocess_arguments"],
            kind="preprocess",
            doc_md="Every judged day to train on, the held-out ones included.",
        )
        refit = container(
            "refit_train",
            planned["refit_train_arguments"],
            kind="train",
            pool=TRAIN_POOL,
            doc_md="The judged recipe once more, nothing decided anew, up to the judged run's best "
            "epoch. A retry goes on from the checkpoint.",
        )
        scored = container(
            "refit_score",
            planned["refit_score_arguments"],
            kind="score",
            doc_md="The held-out rows, scored by what is published: the consistency check "
            "compares them with Triton's. They do not measure the model, which has seen the rows.",
        )
        made: Any = candidate(planned)
        judged >> again >> refit >> [scored, made]
        return made, scored

    @task(
        multiple_outputs=True,
        doc_md="Choose the live release that the model is judged against.",
    )
    def champion(plan: Any) -> dict[str, Any]:
        from nightshift.release import steps

        return steps.pin_champion(night_of(plan))

    with group("model", "Rows to ids, their checks, training, and the candidate's version."):
        preprocess = container(
            "preprocess",
            planned["preprocess_arguments"],
            doc_md="Feature rows to ids, split by day.",
        )
        train = container(
            "train",
            planned["train_arguments"],
            pool=TRAIN_POOL,
            doc_md="Training in OneFlow. A retry goes on from the checkpoint.",
        )
        checked = [
            judge(gate)(planned)
            for gate in map(find, pipeline.config.gates_run)
            if gate.stage == "data"
        ]
        # Of a refit the gates judge the model before there is a candidate.
        judged_first = pipeline.config.refit
        made: Any = champion(planned) if judged_first else candidate(planned)
        if pipeline.config.recommend is not None:
            retrieval = NightshiftTaskOperator(
                task_id="recommend_fit",
                task="recommend.train",
                arguments=planned["recommend_arguments"],
                run_dir=of_plan("run_dir"),
                result_path=of_plan("run_dir") + "/results/recommend.json",
                readable=[*readable, str(pipeline.data)],
                poll_interval_s=1.0,
                pool=TRAIN_POOL,
                doc_md="Retrieval for POST .../recommend: neighbours, embeddings, their index.",
            )
            [*(checked or [preprocess])][-1] >> retrieval >> made
            if listed is not None:
                listed >> retrieval
        score = container(
            "score",
            made["score_arguments"],
            doc_md="The held-out rows, scored by challenger and champion.",
        )
    extract >> preprocess
    for before, after in zip([preprocess, *checked], [*checked, train], strict=True):
        before >> after
    train >> made >> score
    if not judged_first:
        return (checked or [preprocess])[-1], made, score
    with group("refit", "What passed is trained once more, on all judged days; that is released."):
        last: Any = score
        for gate in map(find, pipeline.config.gates_run):
            if gate.stage == "scored":
                asked = judge(gate)(planned)
                last >> asked
                last = asked
        made, scored = refitted(last)
    return (checked or [preprocess])[-1], made, scored


def _online(pipeline: Pipeline, planned: Any, checked: Any, made: Any) -> tuple[Any, Any]:
    @task(
        multiple_outputs=False,
        pool=ONLINE_POOL,
        doc_md="The online tables, where they are not there yet, and LOAD DATA of what they lack, "
        "day by day; rows are counted before and after.",
    )
    def load_online(plan: Any) -> dict[str, Any]:
        from nightshift.openmldb import OpenMLDBClient, loads

        night = night_of(plan)
        with OpenMLDBClient.of(night.settings) as client:
            return loads.bring_online(client, night.pipeline, ds=plan["ds"])

    with group("online", "What serving needs of OpenMLDB: tables, rows, the query."):
        loaded: Any = load_online(planned)
        deploy = OpenMLDBDeployOperator(
            task_id="deploy_features",
            database=of_plan("database"),
            name=of_candidate("deployment"),
            select=pipeline.features.sql.name,
            doc_md="The same query online, under a name of its own; an unchanged query is found "
            "there.",
        )
    made >> deploy
    # The load makes the tables. It runs beside training, once the data was found good.
    checked >> loaded >> deploy
    return loaded, deploy
