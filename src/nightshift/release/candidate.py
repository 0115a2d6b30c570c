"""From a trained model to a candidate: its version, its release folder, its verdict."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nightshift
from nightshift import files
from nightshift.contract import recipe
from nightshift.contract.signature import ModelSignature
from nightshift.errors import ContractError
from nightshift.layout import RunFolder
from nightshift.night import Night
from nightshift.recommend import artefact
from nightshift.registry import manifest as manifests
from nightshift.registry.manifest import (
    Champion,
    FeatureStamp,
    Manifest,
    ModelStamp,
    RecommendStamp,
    RefitStamp,
    Run,
    SpecStamp,
    Sql,
    Window,
)
from nightshift.registry.names import deployment_name, release_id, sql_hash, version_of
from nightshift.registry.pointer import read_live
from nightshift.registry.store import ReleaseFolder, ReleaseStore, now
from nightshift.runners import RUNNERS
from nightshift.settings import Settings
from nightshift.triton import repository

_FIGURES = ("auc", "logloss", "rows", "positives")


def create(
    night: Night,
    *,
    triggered_by: str = "unknown",
    sql: str | None = None,
    rejected: bool = False,
) -> dict[str, Any]:
    """Give the run's model a version and a release folder, whole or not at all.

    A retry with the same model finds its own candidate again; a model trained anew gets a
    version of its own.

    Args:
        night: the night.
        triggered_by: who or what asked for the run.
        sql: the feature query that the run extracted with; None for a pipeline without features.
        rejected: a gate said no before a refit: the judged model is kept for the record.

    Returns:
        The report `candidate`: release_id, version, deployment, paths.

    Raises:
        ContractError: the run's artefacts are absent or do not fit each other, or a refit is of
            another recipe than the judged model.
    """
    run, store, pipeline = night.run, night.store, night.pipeline
    refit = _refit(night, sql) if night.refits and not rejected and sql is not None else None
    model = run.model if refit is None else run.refit_model
    dataset = run.dataset if refit is None else run.refit_dataset
    signature = ModelSignature.load(model)
    if signature.family != pipeline.family:
        raise ContractError(
            f"{model} holds a model of the family {signature.family} and pipeline "
            f"{pipeline.name} is of the family {pipeline.family}"
        )
    card = _data_card(night) if sql is not None else None
    digest = files.sha256_tree(model)
    retrieval = _recommend(night)
    repository.claim(pipeline.model_repo, pipeline.model, pipeline.owner)
    folder, version = _place(
        night, digest if retrieval is None else f"{retrieval.sha256[:8]}{digest}"
    )
    name = deployment_name(pipeline.owner, sql) if sql is not None else None
    night.renew(
        release_id=folder.id,
        versions=[version],
        deployments=[name] if name else [],
        workspace=night.plan["workspace"],
    )
    if folder.manifest_path.exists():
        made = folder.manifest()
        if made.model.sha256 != digest:
            raise ContractError(f"{folder.root} holds another model than {model}")
        if made.recommend != retrieval:
            raise ContractError(f"{folder.root} holds another retrieval than {run.recommend}")
    else:
        made = Manifest(
            release_id=folder.id,
            ds=night.ds,
            pipeline=pipeline.name,
            installation=pipeline.installation,
            window=_window(night, card),
            run=Run(id=night.plan["run_id"], token=night.token),
            features=None if sql is None or name is None else _features(night, sql, name),
            signature=signature.to_json(),
            recommend=retrieval,
            model=ModelStamp(name=pipeline.model, version=version, sha256=digest),
            refit=refit,
            metrics=metrics_of(files.read_json(run.model / "model_card.json")),
            champion=_pinned(night) if night.refits else _champion(store),
            code_version=code_version(night.settings.project),
            created_at=now(),
            images=_images(night.settings),
            timings_s=_timings(run),
            sizes=_sizes(run, card, model),
            triggered_by=triggered_by,
        )
        shutil.rmtree(folder.root, ignore_errors=True)
        with files.staged_dir(folder.root) as staged:
            part = ReleaseFolder(staged)
            files.copy_tree(model, part.model)
            if refit is not None:
                files.copy_tree(run.model, part.judged)
            if retrieval is not None:
                files.copy_tree(run.recommend, part.recommend)
            if sql is not None:
                shutil.copyfile(pipeline.features.spec_file, part.spec)
                shutil.copyfile(dataset / "data_card.json", part.data_card)
                files.write_text(part.sql, sql)
                shutil.copyfile(pipeline.features.create_tables, part.create_tables)
                shutil.copyfile(pipeline.features.tables_file, part.tables)
            manifests.write_once(part.manifest_path, made)
    value = {
        "check": "candidate",
        "status": "pass",
        "failures": [],
        "warnings": [],
        "release_id": folder.id,
        "model_version": version,
        "deployment": name,
        "folder": str(folder.root),
        "model_dir": str(folder.model),
        "champion": made.champion.release_id if made.champion else None,
        "metrics": dict(made.metrics),
    }
    files.write_json(run.reports / "candidate.json", value)
    return value


def _recommend(night: Night) -> RecommendStamp | None:
    """The stamp of the run's retrieval; None for a pipeline that does not recommend."""
    if night.pipeline.config.recommend is None:
        return None
    folder = night.run.recommend
    card = files.read_json(folder / artefact.CARD)
    return RecommendStamp(
        sha256=files.sha256_tree(folder), users=card["users"], items=card["items"]
    )


def _data_card(night: Night) -> dict[str, Any]:
    spec = night.pipeline.features.spec
    card: dict[str, Any] = files.read_json(night.run.dataset / "data_card.json")
    if card["schema_hash"] != spec.schema_hash:
        raise ContractError(
            f"{night.run.dataset} was encoded by another specification than {spec.source}; "
            "run preprocess again"
        )
    return card


def _refit(night: Night, sql: str) -> RefitStamp:
    """The stamp of the run's refit.

    Raises:
        ContractError: it is not there, of another recipe, or learned from other rows.
    """
    run = night.run
    model, data = run.refit_model / "model_card.json", run.refit_dataset / "data_card.json"
    if not (model.is_file() and data.is_file()):
        raise ContractError(
            f"{run.refit_model} is not there, and this run was planned with `refit: true`; clear "
            "the run from its task `plan` on"
        )
    before, after = files.read_json(run.dataset / "data_card.json"), files.read_json(data)
    judged, ours = files.read_json(run.model / "model_card.json"), files.read_json(model)
    was = recipe.recipe_of(judged, before, sql_hash(sql))
    wrong = recipe.differences(was, recipe.recipe_of(ours, after, sql_hash(sql)))
    if wrong:
        raise ContractError(
            f"the refit in {run.refit_model} is of another recipe than the judged model in "
            f"{run.model}: {'; '.join(wrong)}; clear the run from its task `refit_preprocess` on, "
            "or from `preprocess` on to judge the new recipe"
        )
    recipe.check_rows(before, after)
    learned = ours["refit"]["learned"]
    return RefitStamp(
        first_day=learned["first_day"],
        last_day=learned["last_day"],
        rows=learned["rows"],
        recipe=recipe.digest_of(was),
        judged_sha256=files.sha256_tree(run.model),
    )


def _features(night: Night, sql: str, deployment: str) -> FeatureStamp:
    spec = night.pipeline.features.spec
    return FeatureStamp(
        sql=Sql(sha256=sql_hash(sql), database=night.pipeline.database, deployment=deployment),
        spec=SpecStamp(
            sha256=files.sha256_file(night.pipeline.features.spec_file),
            schema_hash=spec.schema_hash,
            fields=spec.width,
        ),
    )


def _place(night: Night, digest: str) -> tuple[ReleaseFolder, int]:
    """The run's version and folder: those of an earlier try, unless it was given up meanwhile."""
    for attempt in itertools.count():
        version = repository.allocate_version(
            night.pipeline.model_repo,
            night.pipeline.model,
            night.ds,
            owner=f"{night.plan['run_id']}:{digest[:16]}:{attempt}",
            taken=[version_of(folder.id) for folder in night.store.releases()],
        )
        folder = night.folder(release_id(night.ds, version))
        verdict = folder.verdict()
        given_up = verdict is not None and not verdict["accepted"]
        if not given_up and (folder.model.is_dir() or not folder.manifest_path.exists()):
            return folder, version
    raise AssertionError("itertools.count does not end")


def judge(night: Night, release: str, reports: Sequence[str]) -> dict[str, Any]:
    """Write the verdict: accepted if none of the named reports says fail.

    Args:
        night: the night.
        release: the candidate.
        reports: names of reports under the run's folder that must be there.

    Returns:
        The verdict: accepted, reasons, warnings, status by check.

    Raises:
        ContractError: a report is absent: a check was left out.
    """
    run = night.run
    found = {name: files.read_json(run.reports / f"{name}.json") for name in reports}
    reasons = [f"{name}: {text}" for name, value in found.items() for text in value["failures"]]
    warnings = [f"{name}: {text}" for name, value in found.items() for text in value["warnings"]]
    return _decide(
        night.folder(release),
        run,
        reasons,
        warnings,
        {name: value["status"] for name, value in found.items()},
    )


def reject(night: Night, release: str | None, reasons: Sequence[str]) -> dict[str, Any]:
    """Write down that the night gave no release, and why.

    Without a candidate (the data was refused, a task failed) the log alone tells it. A release
    that the gates have judged keeps their verdict; one that they accepted gets a note.
    """
    store, run = night.store, night.run
    if release is None:
        log_rejection(store, ds=night.ds, run_id=night.plan["run_id"], reasons=reasons)
        return {"accepted": False, "reasons": list(reasons)}
    folder = store.folder(release)
    verdict = folder.verdict()
    if verdict is not None:
        note(folder, "; ".join(reasons))
        return verdict
    return _decide(folder, run, list(reasons), [], {})


def log_rejection(store: ReleaseStore, *, ds: str, run_id: str, reasons: Sequence[str]) -> None:
    """Write down a night that ended without a candidate; the same again changes nothing."""
    last = [e for e in store.events() if e["event"] == "rejected" and not e["release_id"]]
    if not last or (last[-1].get("run_id"), last[-1].get("reasons")) != (run_id, list(reasons)):
        store.log("rejected", release_id=None, ds=ds, run_id=run_id, reasons=list(reasons))


def note(folder: ReleaseFolder, text: str) -> None:
    """Keep with an accepted release why it did not become live; the first such note stays."""
    verdict = folder.verdict()
    if verdict is not None and verdict["accepted"] and "note" not in verdict:
        files.write_json(folder.verdict_path, {**verdict, "note": text})


def _decide(
    folder: ReleaseFolder,
    run: RunFolder,
    reasons: list[str],
    warnings: list[str],
    checks: Mapping[str, str],
) -> dict[str, Any]:
    if run.reports.is_dir():
        files.check_plain(run.reports)
        with files.staged_dir(folder.reports, replace=True) as staged:
            for path in sorted(run.reports.glob("*.json")):
                shutil.copyfile(path, staged / path.name)
    verdict = {
        "accepted": not reasons,
        "reasons": reasons,
        "warnings": warnings,
        "checks": dict(checks),
        "at": now(),
    }
    files.write_json(folder.verdict_path, verdict)
    ReleaseStore(folder.root.parent).log(
        "rejected" if reasons else "accepted", release_id=folder.id, reasons=reasons
    )
    return verdict


def metrics_of(card: Mapping[str, Any]) -> dict[str, float | None]:
    """Figures on the held-out days out of a model card: its `test` part, numbers only."""
    part = card.get("test")
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        raise ContractError("the `test` figures of the model card are damaged; train again")
    return {key: None if part[key] is None else float(part[key]) for key in _FIGURES if key in part}


def code_version(project: Path) -> str:
    """The package's version and, in a git checkout, the commit (`-dirty` where changed)."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(project), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return nightshift.__version__
    return f"{nightshift.__version__}+{commit}"


def _window(night: Night, card: Mapping[str, Any] | None) -> Window:
    lookback = night.pipeline.features.spec.lookback_days if card is not None else {}
    days = card["splits"]["test"]["days"] if card is not None else []
    return Window(
        first_day=night.plan["first_day"],
        last_day=night.ds,
        train_days=night.plan["train_days"],
        lookback_days=dict(lookback),
        test_days=tuple(day["day"] for day in days),
    )


def pin_champion(night: Night) -> dict[str, Any]:
    """The report `champion`: the release that is live now, which the gates compare with."""
    found = _champion(night.store)
    value: dict[str, Any] = {
        "check": "champion",
        "status": "pass",
        "failures": [],
        "warnings": [],
        "champion": None if found is None else found.release_id,
    }
    return value


def _pinned(night: Night) -> Champion | None:
    release = files.read_json(night.run.reports / "champion.json")["champion"]
    if release is None:
        return None
    return Champion(release_id=release, metrics=dict(night.folder(release).manifest().metrics))


def _champion(store: ReleaseStore) -> Champion | None:
    live = read_live(store.root)
    if live is None:
        return None
    return Champion(
        release_id=live.release_id, metrics=dict(store.folder(live.release_id).manifest().metrics)
    )


def _images(settings: Settings) -> dict[str, str]:
    if not RUNNERS[settings.task_runner].images:
        return {}
    return {
        "preprocess": settings.task_image_preprocess,
        "train": settings.task_image_train,
        "score": settings.task_image_score,
    }


def _timings(run: RunFolder) -> dict[str, float]:
    timings = {}
    for path in sorted(run.results.glob("*.json")):
        value = files.read_json(path)
        if isinstance(value, dict) and isinstance(value.get("seconds"), int | float):
            timings[path.stem] = float(value["seconds"])
    return timings


def _sizes(run: RunFolder, card: Mapping[str, Any] | None, model: Path) -> dict[str, int]:
    def weight(folder: Path) -> int:
        return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())

    sizes = {"model_bytes": weight(model)}
    if card is not None:
        sizes |= {
            "feature_rows": int(card["rows"]["read"]),
            "judged_rows": sum(int(s["rows"]) for s in card["splits"].values()),
            "features_bytes": weight(run.features),
            "dataset_bytes": weight(run.dataset),
        }
    return sizes
