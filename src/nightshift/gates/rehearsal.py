"""Rehearsal: the candidate is loaded beside the live release and answers, before it may serve."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nightshift import files, triton
from nightshift.data import reading
from nightshift.errors import ContractError, DataError, OpenMLDBError
from nightshift.features.encoding import encode_rows
from nightshift.features.specification import FeatureSpec
from nightshift.features.tables import SourceTables
from nightshift.gates.base import Finding, report
from nightshift.gates.parity.replay import plain_rows
from nightshift.openmldb import AbstractClient
from nightshift.openmldb import deployments as online
from nightshift.plan import Plan
from nightshift.registry.manifest import Manifest
from nightshift.registry.store import ReleaseFolder, ReleaseStore
from nightshift.settings import Settings
from nightshift.triton import Golden, TritonControl


@dataclass(frozen=True)
class Pair:
    """A release as something that can be called."""

    database: str
    deployment: str
    model: str
    version: int
    spec: FeatureSpec

    @classmethod
    def of(cls, folder: ReleaseFolder, manifest: Manifest) -> Pair:
        """The pair of a release folder."""
        return cls(
            manifest.sql.database,
            manifest.sql.deployment,
            manifest.model.name,
            manifest.model.version,
            FeatureSpec.load(folder.spec),
        )


def publish(
    control: TritonControl,
    store: ReleaseStore,
    repo: Path,
    folder: ReleaseFolder,
    manifest: Manifest,
    *,
    device: str = "cpu",
) -> triton.Published:
    """Load a release's model in Triton beside what serves, and compare its golden rows.

    Raises:
        ContractError: it does not load or does not answer as trained; what served still does.
        ServiceUnavailable: Triton does not answer.
    """
    with files.locked(store.root / ".triton.lock", timeout_s=300.0):
        return triton.publish(
            control,
            repo,
            manifest.model.name,
            manifest.model.version,
            folder.model,
            n_fields=manifest.feature_spec.fields,
            device=device,
        )


def problems(
    client: AbstractClient, control: TritonControl, folder: ReleaseFolder, manifest: Manifest
) -> list[str]:
    """What keeps a pair from serving at this moment; empty where nothing does.

    Asks the real thing: the deployment's columns against the specification, and an inference of
    the golden rows, because Triton calls a model READY whose process has died.

    Raises:
        ServiceUnavailable: a server does not answer; nothing is known.
    """
    found = []
    database, name = manifest.sql.database, manifest.sql.deployment
    if database not in client.databases() or name not in client.deployments(database):
        found.append(f"deployment {name} is not in database {database}")
    else:
        try:
            spec = FeatureSpec.load(folder.spec)
            spec.check_columns(client.deployment(database, name).output_schema)
        except ContractError as error:
            found.append(f"deployment {name}: {error}")
    model, version = manifest.model.name, manifest.model.version
    try:
        if control.ready(model, version):
            control.check_golden(model, version, Golden.load(folder.model / "golden.json"))
        else:
            found.append(f"Triton does not serve {model} version {version}")
    except ContractError as error:
        found.append(str(error))
    return found


def request_rows(
    settings: Settings, plan: Plan | None, columns: Sequence[str], count: int
) -> list[list[Any]]:
    """The last requests of the newest partition, as rows of the request table.

    Args:
        settings: the root of the source partitions, and which table holds requests.
        plan: the run's plan: no partition after its date; None for any.
        columns: the columns asked for, a deployment's input.
        count: rows at most.

    Raises:
        DataError: there is no request, or a column is not among the partition's.
    """
    source = settings.data / SourceTables.load(settings.tables).request_table
    for folder in sorted(source.glob("ds=????-??-??"), reverse=True):
        if plan is not None and folder.name > f"ds={plan['ds']}":
            continue
        for path in reading.parquet_files(folder):
            table = reading.table([path], columns=columns)
            if len(table):
                return plain_rows(table.slice(max(len(table) - count, 0)))
    raise DataError(f"no request in the partitions under {source}")


def time_requests(
    client: AbstractClient, control: TritonControl, pair: Pair, rows: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """Call a pair with each row by itself: milliseconds at the median and the 95th percentile.

    Raises:
        ContractError: an answer does not fit the specification or is no probability.
        OpenMLDBError: the deployment refused a row.
    """
    columns = [name for name, _ in client.deployment(pair.database, pair.deployment).output_schema]
    spent = []
    for row in [rows[0], *rows]:  # the first call warms up and is not counted
        started = time.perf_counter()
        answer, _ = client.call(pair.database, pair.deployment, [row])
        control.infer(pair.model, pair.version, encode_rows(pair.spec, columns, answer))
        spent.append((time.perf_counter() - started) * 1000)
    p50, p95 = np.percentile(spent[1:], [50, 95])
    return {"requests": len(rows), "p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def rehearse(
    client: AbstractClient,
    control: TritonControl,
    *,
    store: ReleaseStore,
    repo: Path,
    release: str,
    requests: Callable[[Sequence[str]], list[list[Any]]],
    gates: Mapping[str, Any],
    live: str | None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Deploy and load the candidate beside the live release, call both, compare.

    Args:
        client: the API server.
        control: Triton.
        store: the releases.
        repo: Triton's model repository.
        release: the candidate.
        requests: gives request rows with the columns asked for.
        gates: the `rehearsal` part of include/gates.yaml.
        live: the live release.
        device: `cpu` or `cuda`.

    Returns:
        The report `rehearsal`; a broken query or model is a failure in it, not an error.

    Raises:
        ServiceUnavailable: a server does not answer.
    """
    folder = store.folder(release)
    manifest = folder.manifest()
    figures: dict[str, Any] = {"release_id": release, "live": None, "candidate": None}
    try:
        figures["deployment_made"] = online.ensure_deployment(
            client, manifest.sql.database, manifest.sql.deployment, folder.sql.read_text()
        )
        published = publish(control, store, repo, folder, manifest, device=device)
        figures["load_s"] = round(published.load_s, 3)
        figures["golden_rows"] = published.golden_rows
        figures["largest_golden_difference"] = published.largest_difference
        wrong = problems(client, control, folder, manifest)
        if wrong:
            return report("rehearsal", [Finding("pair", "fail", text) for text in wrong], **figures)
        pair = Pair.of(folder, manifest)
        candidate = time_requests(client, control, pair, requests(_inputs(client, pair)))
        figures["candidate"] = candidate
    except (ContractError, OpenMLDBError) as error:
        return report("rehearsal", [Finding("pair", "fail", str(error))], **figures)
    findings = []
    if live is not None and live != release:
        serving = store.folder(live)
        try:
            pair = Pair.of(serving, serving.manifest())
            figures["live"] = time_requests(client, control, pair, requests(_inputs(client, pair)))
        except (ContractError, OpenMLDBError) as error:
            findings.append(
                Finding("latency", "warn", f"the live release {live} did not answer: {error}")
            )
        else:
            findings += _latency(candidate, figures["live"], gates["latency"], live)
    return report("rehearsal", findings, **figures)


def _inputs(client: AbstractClient, pair: Pair) -> list[str]:
    return [name for name, _ in client.deployment(pair.database, pair.deployment).input_schema]


def _latency(
    candidate: Mapping[str, Any], serving: Mapping[str, Any], gate: Mapping[str, Any], live: str
) -> list[Finding]:
    ratio = candidate["p95_ms"] / max(serving["p95_ms"], 0.001)
    if ratio <= gate["max_ratio"]:
        return []
    return [
        Finding(
            "latency",
            gate["level"],
            f"a request takes {candidate['p95_ms']:g} ms at the 95th percentile, {ratio:.1f} "
            f"times the {serving['p95_ms']:g} ms of the live release {live}; at most "
            f"{gate['max_ratio']:g} times",
        )
    ]
