"""The release's tasks, one function each, as the DAGs call them.

Every function takes the run's plan (and the candidate's id), does one thing that may be done
again, writes its report to `<run>/reports/<check>.json` and returns it. A gate that says no
writes the verdict and raises `ReleaseRejected`; the live release is untouched.

The order: begin, check_data, make_candidate, (task score), quality, (deploy and load online by
the operators), rehearsal, consistency, accept, switch_over, retire_old, and finish in any case.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from nightshift import credentials, files, layout
from nightshift.errors import ContractError, NightshiftError
from nightshift.features.specification import FeatureSpec
from nightshift.features.tables import SourceTables
from nightshift.gates import data as drift
from nightshift.gates import quality as gate
from nightshift.gates import rehearsal as rehearse
from nightshift.gates.base import demand, load_gates, write_report
from nightshift.gates.parity import replay as consistency
from nightshift.layout import RunFolder
from nightshift.openmldb import OpenMLDBClient
from nightshift.plan import Plan
from nightshift.registry import leases, pointer, retention
from nightshift.registry.manifest import Manifest
from nightshift.registry.names import sql_hash
from nightshift.registry.store import ReleaseFolder, ReleaseStore
from nightshift.release import candidate, recover
from nightshift.release import switch as switching
from nightshift.settings import Settings
from nightshift.triton import TritonControl

GATES = ("data", "quality", "rehearsal", "consistency")
"""Reports that an accepted candidate has."""

PROBE_ROWS = 3


def begin(plan: Plan, settings: Settings | None = None) -> dict[str, Any]:
    """Open the run's lease and clean up what dead runs left."""
    settings = settings or Settings.from_env()
    store = ReleaseStore(settings.releases)
    lease = leases.renew(
        store,
        run_token=layout.run_token(plan["run_id"]),
        run_id=plan["run_id"],
        ds=plan["ds"],
        workspace=plan["workspace"],
    )
    with _servers(settings) as (client, control):
        return _write(plan, recover.recover(client, control, settings, run_token=lease.run_token))


def check_data(plan: Plan, settings: Settings | None = None) -> dict[str, Any]:
    """Judge the run's data: whole, as specified, and like what the live model learned from.

    Raises:
        ReleaseRejected: a check with the level `fail` says no.
    """
    settings = settings or Settings.from_env()
    _renew(plan, settings)
    live = pointer.read_live(settings.releases)
    card_of_live = None
    if live is not None:
        path = ReleaseStore(settings.releases).folder(live.release_id).data_card
        card_of_live = files.read_json(path) if path.is_file() else None
    value = drift.check(
        files.read_json(_run(plan).dataset / "data_card.json"),
        FeatureSpec.load(settings.feature_spec),
        load_gates(_gates(settings))["data"],
        missing=plan["missing"],
        champion_card=card_of_live,
        champion_id=live.release_id if live else None,
    )
    return _pass(plan, settings, None, value)


def make_candidate(
    plan: Plan, settings: Settings | None = None, *, triggered_by: str = "unknown"
) -> dict[str, Any]:
    """Give the trained model its version, manifest and release folder.

    The report also holds `score_arguments`, the command line of `tasks.ctr.score` for the gate.

    Raises:
        ContractError: the feature query changed while the run was under way.
    """
    settings = settings or Settings.from_env()
    query = (settings.include / "sql" / "features.sql").read_text()
    if sql_hash(query) != plan["sql_sha256"]:
        raise ContractError(
            "include/sql/features.sql changed after this run extracted its features; clear the "
            "run from its task `plan` on, so that one query serves offline and online"
        )
    value = candidate.create(plan, settings, triggered_by=triggered_by, sql=query)
    value["score_arguments"] = score_arguments(plan, settings, value["champion"])
    return _write(plan, value)


def scores_path(plan: Plan) -> Path:
    """Where `tasks.ctr.score` writes the held-out rows' scores."""
    return _run(plan).root / "scores" / "test.parquet"


def score_arguments(plan: Plan, settings: Settings, champion: str | None) -> list[str]:
    """Arguments of `python -m tasks.ctr.score`."""
    run = _run(plan)
    arguments = [
        *("--dataset", str(run.dataset)),
        *("--spec", str(settings.feature_spec)),
        *("--model", str(run.model)),
        *("--features", str(run.features)),
        *("--device", settings.task_device),
        *("--out", str(scores_path(plan)), "--result", str(run.result("score"))),
    ]
    if champion is not None:
        folder = ReleaseStore(settings.releases).folder(champion)
        arguments += ["--champion-model", str(folder.model), "--champion-spec", str(folder.spec)]
    return arguments


def quality(plan: Plan, release: str, settings: Settings | None = None) -> dict[str, Any]:
    """Compare the candidate with the release that was live when it was made.

    Raises:
        ReleaseRejected: it is not worth serving, or not shown to be as good.
        ContractError: the scores are absent, or not those of this candidate's held-out rows.
    """
    settings = settings or Settings.from_env()
    _renew(plan, settings)
    store = ReleaseStore(settings.releases)
    manifest = store.folder(release).manifest()
    gates = load_gates(_gates(settings))["quality"]
    table = pq.read_table(scores_path(plan))
    champion = manifest.champion.release_id if manifest.champion else None
    theirs, why = None, None
    if champion is not None:
        why = _incomparable(store.folder(champion), manifest)
        if "champion" in table.column_names:
            theirs = table["champion"].to_numpy()
        else:
            result = files.read_json(_run(plan).result("score"))
            why = why or str(result.get("incomparable") or "its scores are not there")
    value = gate.judge(
        table["label"].to_numpy(),
        table["challenger"].to_numpy(),
        None if why else theirs,
        gates,
        champion_id=champion,
        incomparable=why,
        slices=_slices(_run(plan), gates["slices"]),
    )
    return _pass(plan, settings, release, value)


def _incomparable(champion: ReleaseFolder, challenger: Manifest) -> str | None:
    window = champion.manifest().window
    days = gate.leaked_days(challenger.window.test_days, window.first_day, window.test_days)
    return f"it learned from the held-out days {', '.join(days)}" if days else None


def _slices(run: RunFolder, names: Sequence[str]) -> dict[str, Any]:
    """Held-out rows whose value of a field was seen in training, and the others."""
    card = files.read_json(run.dataset / "data_card.json")
    slices: dict[str, Any] = {}
    for name in names:
        train, test = (
            pq.read_table(run.dataset / card["splits"][split]["file"], columns=[name])[name]
            for split in ("train", "test")
        )
        known = np.isin(test.to_numpy(), train.to_numpy())
        slices[f"{name}_known"], slices[f"{name}_new"] = known, ~known
    return slices


def rehearsal(plan: Plan, release: str, settings: Settings | None = None) -> dict[str, Any]:
    """Deploy and load the candidate beside the live release, and let both answer.

    Raises:
        ReleaseRejected: the query or the model does not stand it.
    """
    settings = settings or Settings.from_env()
    _renew(plan, settings)
    gates = load_gates(_gates(settings))["rehearsal"]
    live = pointer.read_live(settings.releases)
    with _servers(settings) as (client, control):
        value = rehearse.rehearse(
            client,
            control,
            store=ReleaseStore(settings.releases),
            repo=settings.model_repo,
            release=release,
            requests=_requests(settings, plan, gates["requests"]),
            gates=gates,
            live=live.release_id if live else None,
            device=settings.task_device,
        )
    return _pass(plan, settings, release, value)


def consistent(plan: Plan, release: str, settings: Settings | None = None) -> dict[str, Any]:
    """Replay held-out requests online and compare with their offline rows.

    Raises:
        ReleaseRejected: an id or a score differs.
    """
    settings = settings or Settings.from_env()
    _renew(plan, settings)
    gates = load_gates(_gates(settings))["consistency"]
    return _pass(plan, settings, release, replayed(plan, release, settings, gates))


def replayed(
    plan: Plan, release: str, settings: Settings, gates: Mapping[str, Any]
) -> dict[str, Any]:
    """The report of the replay alone, by the `consistency` part of the gates."""
    folder = ReleaseStore(settings.releases).folder(release)
    manifest = folder.manifest()
    with TritonControl.of(settings) as control:
        return consistency.check(
            plan,
            data=settings.data,
            tables=SourceTables.load(settings.tables),
            create_sql=settings.include / "sql" / "create_tables.sql",
            sql=folder.sql.read_text(),
            deployment=manifest.sql.deployment,
            spec=FeatureSpec.load(folder.spec),
            openmldb_url=settings.openmldb_url,
            headers=credentials.openmldb_headers(settings),
            score=consistency.TritonScore(control, manifest.model.name, manifest.model.version),
            gates=gates,
            scores=scores_path(plan),
        )


def accept(plan: Plan, release: str, settings: Settings | None = None) -> dict[str, Any]:
    """Write the verdict out of the gates' reports.

    Raises:
        ReleaseRejected: a report says fail.
        ContractError: a gate was left out.
    """
    settings = settings or Settings.from_env()
    _renew(plan, settings)
    verdict = candidate.judge(plan, settings, release, GATES)
    value = {
        "check": "verdict",
        "status": "pass" if verdict["accepted"] else "fail",
        "failures": verdict["reasons"],
        "warnings": verdict["warnings"],
        "release_id": release,
        "checks": verdict["checks"],
    }
    demand(_write(plan, value))
    return value


def switch_over(
    plan: Plan,
    release: str,
    settings: Settings | None = None,
    *,
    promote: str = "newer",
    actor: str = "unknown",
) -> dict[str, Any]:
    """Make the candidate live and probe it through the predict server, or leave it kept.

    `switched` is false, and `why` tells, where its date is not newer than the live one's.

    Raises:
        ReleaseRejected: the pair is not ready, or another release became live meanwhile.
        ContractError: the probe failed; the old release is live again.
    """
    settings = settings or Settings.from_env()
    chosen = pointer.check_promote(promote)
    _renew(plan, settings)
    with _servers(settings) as (client, control):
        value = switching.switch(
            client,
            control,
            settings,
            release,
            requests=_requests(settings, plan, PROBE_ROWS),
            promote=chosen,
            reason="force" if chosen == "force" else "promotion",
            actor=actor,
        )
    if not value["switched"]:
        candidate.note(ReleaseStore(settings.releases).folder(release), value["why"])
    return _write(plan, {**value, "release_id": release})


def retire_old(plan: Plan, settings: Settings | None = None) -> dict[str, Any]:
    """After the grace time take down every pair that neither serves nor is being rehearsed."""
    settings = settings or Settings.from_env()
    _renew(plan, settings)
    with _servers(settings) as (client, control):
        value = switching.retire(
            client, control, settings, run_token=layout.run_token(plan["run_id"])
        )
    return _write(plan, value)


def finish(
    plan: Plan,
    settings: Settings | None = None,
    *,
    release: str | None = None,
    failures: Sequence[str] = (),
    approval: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The run's last word, whatever happened: verdict, retention, the lease's end.

    It asks no server, so that a night that ended for want of one is written down as well.

    Args:
        plan: the run's plan.
        settings: folders and names.
        release: the candidate, if the run got so far.
        failures: what failed, for a run that no gate rejected (`task train: ...`).
        approval: what came of asking a person: `{"approved": bool, "by": str | None}`, nobody
            where the time ran out.
    """
    settings = settings or Settings.from_env()
    store = ReleaseStore(settings.releases)
    if release and approval and not approval["approved"]:
        waited = dt.timedelta(seconds=settings.approval_timeout_s)
        who = approval["by"]
        candidate.note(
            store.folder(release),
            f"not approved by {who}" if who else f"nobody approved it within {waited}",
        )
    if failures:
        already = _rejected_already(store, plan)
        if not already:
            candidate.reject(plan, settings, release, failures)
    value = {
        "check": "retention",
        "status": "pass",
        "failures": [],
        "warnings": [],
        **retention.run(store, settings),
    }
    leases.close(store, layout.run_token(plan["run_id"]))
    return _write(plan, value)


def _rejected_already(store: ReleaseStore, plan: Plan) -> bool:
    events = [e for e in store.events() if e["event"] == "rejected"]
    return any(
        e.get("run_id") == plan["run_id"]
        or (e.get("release_id") and _run_of(store, str(e["release_id"])) == plan["run_id"])
        for e in events
    )


def _run_of(store: ReleaseStore, release: str) -> str | None:
    with contextlib.suppress(NightshiftError):
        return store.folder(release).manifest().run.id
    return None


def _requests(settings: Settings, plan: Plan, count: int) -> switching.Requests:
    def requests(columns: Sequence[str]) -> list[list[Any]]:
        return rehearse.request_rows(settings, plan, columns, count)

    return requests


def _run(plan: Plan) -> RunFolder:
    return RunFolder(Path(plan["run_dir"]))


def _gates(settings: Settings) -> Path:
    return settings.include / "gates.yaml"


def _renew(plan: Plan, settings: Settings) -> None:
    leases.renew(
        ReleaseStore(settings.releases),
        run_token=layout.run_token(plan["run_id"]),
        run_id=plan["run_id"],
        ds=plan["ds"],
    )


@contextlib.contextmanager
def _servers(settings: Settings) -> Iterator[tuple[OpenMLDBClient, TritonControl]]:
    with (
        OpenMLDBClient.of(settings, timeout_s=60.0) as client,
        TritonControl.of(settings) as control,
    ):
        yield client, control


def _write(plan: Plan, value: dict[str, Any]) -> dict[str, Any]:
    write_report(_run(plan).reports, value)
    return value


def _pass(
    plan: Plan, settings: Settings, release: str | None, value: dict[str, Any]
) -> dict[str, Any]:
    """Write a gate's report; where it says fail, the verdict too, and raise."""
    _write(plan, value)
    if value["failures"]:
        reasons = [f"{value['check']}: {text}" for text in value["failures"]]
        candidate.reject(plan, settings, release, reasons)
    demand(value)
    return value
