"""From a trained model to a candidate: its version, its release folder, its verdict."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nightshift
from nightshift import files, layout
from nightshift.errors import ContractError
from nightshift.features.specification import FeatureSpec
from nightshift.layout import RunFolder
from nightshift.plan import Plan
from nightshift.registry import leases
from nightshift.registry import manifest as manifests
from nightshift.registry.manifest import (
    Champion,
    Manifest,
    ModelStamp,
    Run,
    SpecStamp,
    Sql,
    Window,
)
from nightshift.registry.names import deployment_name, release_id, sql_hash
from nightshift.registry.pointer import read_live
from nightshift.registry.store import ReleaseFolder, ReleaseStore, now
from nightshift.settings import Settings
from nightshift.triton import repository as model_repository

_FIGURES = ("auc", "logloss", "rows", "positives")


def create(
    plan: Plan, settings: Settings, *, triggered_by: str = "unknown", sql: str | None = None
) -> dict[str, Any]:
    """Give the run's model a version and a release folder, whole or not at all.

    A retry with the same model finds its own candidate again; a model trained anew gets a
    version of its own.

    Args:
        plan: the run's plan.
        settings: folders and names.
        triggered_by: who or what asked for the run.
        sql: the feature query that the run extracted with; default include/sql/features.sql.

    Returns:
        The report `candidate`: release_id, version, deployment, paths.

    Raises:
        ContractError: the run's artefacts are absent or do not fit each other.
    """
    run = RunFolder(Path(plan["run_dir"]))
    store = ReleaseStore(settings.releases)
    spec = FeatureSpec.load(settings.feature_spec)
    query = settings.include.joinpath("sql", "features.sql").read_text() if sql is None else sql
    card = files.read_json(run.dataset / "data_card.json")
    if card["schema_hash"] != spec.schema_hash:
        raise ContractError(
            f"{run.dataset} was encoded by another specification than {settings.feature_spec}; "
            "run preprocess again"
        )
    digest = files.sha256_tree(run.model)
    token = layout.run_token(plan["run_id"])
    folder, version = _place(store, settings, plan, digest)
    name = deployment_name(settings.model, query)
    leases.renew(
        store,
        run_token=token,
        run_id=plan["run_id"],
        ds=plan["ds"],
        release_id=folder.id,
        versions=[version],
        deployments=[name],
        workspace=plan["workspace"],
    )
    if folder.manifest_path.exists():
        made = folder.manifest()
        if made.model.sha256 != digest:
            raise ContractError(f"{folder.root} holds another model than {run.model}")
    else:
        made = Manifest(
            release_id=folder.id,
            ds=plan["ds"],
            window=_window(plan, card, spec),
            run=Run(id=plan["run_id"], token=token),
            sql=Sql(sha256=sql_hash(query), database=settings.database, deployment=name),
            feature_spec=SpecStamp(
                sha256=files.sha256_file(settings.feature_spec),
                schema_hash=spec.schema_hash,
                fields=len(spec.fields),
            ),
            model=ModelStamp(name=settings.model, version=version, sha256=digest),
            metrics=metrics_of(files.read_json(run.model / "model_card.json")),
            champion=_champion(store),
            code_version=code_version(settings.project),
            created_at=now(),
            images=_images(settings),
            timings_s=_timings(run),
            sizes=_sizes(run, card),
            triggered_by=triggered_by,
        )
        shutil.rmtree(folder.root, ignore_errors=True)
        with files.staged_dir(folder.root) as staged:
            part = ReleaseFolder(staged)
            shutil.copytree(run.model, part.model)
            shutil.copyfile(settings.feature_spec, part.spec)
            shutil.copyfile(run.dataset / "data_card.json", part.data_card)
            files.write_text(part.sql, query)
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


def _place(
    store: ReleaseStore, settings: Settings, plan: Plan, digest: str
) -> tuple[ReleaseFolder, int]:
    """The run's version and folder: those of an earlier try, unless it was given up meanwhile."""
    for attempt in itertools.count():
        version = model_repository.allocate_version(
            settings.model_repo,
            settings.model,
            plan["ds"],
            owner=f"{plan['run_id']}:{digest[:16]}:{attempt}",
        )
        folder = store.folder(release_id(plan["ds"], version))
        verdict = folder.verdict()
        given_up = verdict is not None and not verdict["accepted"]
        if not given_up and (folder.model.is_dir() or not folder.manifest_path.exists()):
            return folder, version
    raise AssertionError("itertools.count does not end")


def judge(plan: Plan, settings: Settings, release: str, reports: Sequence[str]) -> dict[str, Any]:
    """Write the verdict: accepted if none of the named reports says fail.

    Args:
        plan: the run's plan.
        settings: folders and names.
        release: the candidate.
        reports: names of reports under the run's folder that must be there.

    Returns:
        The verdict: accepted, reasons, warnings, status by check.

    Raises:
        ContractError: a report is absent: a check was left out.
    """
    run = RunFolder(Path(plan["run_dir"]))
    found = {name: files.read_json(run.reports / f"{name}.json") for name in reports}
    reasons = [f"{name}: {text}" for name, value in found.items() for text in value["failures"]]
    warnings = [f"{name}: {text}" for name, value in found.items() for text in value["warnings"]]
    return _decide(
        ReleaseStore(settings.releases).folder(release),
        run,
        reasons,
        warnings,
        {name: value["status"] for name, value in found.items()},
    )


def reject(
    plan: Plan, settings: Settings, release: str | None, reasons: Sequence[str]
) -> dict[str, Any]:
    """Write down that the night gave no release, and why.

    Without a candidate (the data was refused, a task failed) the log alone tells it. A release
    that the gates have judged keeps their verdict; one that they accepted gets a note.
    """
    store = ReleaseStore(settings.releases)
    run = RunFolder(Path(plan["run_dir"]))
    if release is None:
        log_rejection(store, ds=plan["ds"], run_id=plan["run_id"], reasons=reasons)
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
    if not isinstance(part, Mapping):
        raise ContractError("the model card has no `test` figures; train the model again")
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


def _window(plan: Plan, card: Mapping[str, Any], spec: FeatureSpec) -> Window:
    return Window(
        first_day=plan["first_day"],
        last_day=plan["ds"],
        train_days=plan["train_days"],
        lookback_days=dict(spec.lookback_days),
        test_days=tuple(day["day"] for day in card["splits"]["test"]["days"]),
    )


def _champion(store: ReleaseStore) -> Champion | None:
    live = read_live(store.root)
    if live is None:
        return None
    return Champion(
        release_id=live.release_id, metrics=dict(store.folder(live.release_id).manifest().metrics)
    )


def _images(settings: Settings) -> dict[str, str]:
    if settings.task_runner != "docker":
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


def _sizes(run: RunFolder, card: Mapping[str, Any]) -> dict[str, int]:
    def weight(folder: Path) -> int:
        return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())

    return {
        "feature_rows": int(card["rows"]["read"]),
        "judged_rows": sum(int(s["rows"]) for s in card["splits"].values()),
        "features_bytes": weight(run.features),
        "dataset_bytes": weight(run.dataset),
        "model_bytes": weight(run.model),
    }
