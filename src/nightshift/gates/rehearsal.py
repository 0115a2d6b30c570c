"""Rehearsal: the candidate is loaded beside the live release and answers, before it may serve."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature
from nightshift.errors import ContractError, OpenMLDBError
from nightshift.features.encoding import encode_rows
from nightshift.features.specification import FeatureSpec
from nightshift.gates.base import Finding, report
from nightshift.night import Night, Servers
from nightshift.registry import pointer
from nightshift.registry.manifest import Manifest
from nightshift.registry.store import ReleaseFolder
from nightshift.serving import pair

Requests = Callable[[Sequence[str]], list[list[Any]]]


def check(night: Night, release: str | None) -> dict[str, Any]:
    """Deploy and load the candidate beside the live release, call both, compare.

    A broken query or model is a failure in the report, not an error.

    Raises:
        ServiceUnavailable: a server does not answer.
    """
    if release is None:
        raise ValueError("the gate rehearsal needs a candidate")
    gates = night.gate("rehearsal")
    live = pointer.read_live(night.pipeline.releases)
    with night.servers() as servers:
        return rehearse(servers, night, release, gates, live.release_id if live else None)


def rehearse(
    servers: Servers, night: Night, release: str, gates: Mapping[str, Any], live: str | None
) -> dict[str, Any]:
    """The report `rehearsal` of a candidate, by the `rehearsal` part of the gates."""
    folder = night.folder(release)
    manifest = folder.manifest()
    requests = night.requests(gates["requests"])
    figures: dict[str, Any] = {"release_id": release, "live": None, "candidate": None}
    try:
        figures["deployment_made"], published = pair.make(
            servers.openmldb, servers.triton, night.pipeline, folder, manifest
        )
        figures["load_s"] = round(published.load_s, 3)
        figures["golden_rows"] = published.golden_rows
        figures["largest_golden_difference"] = published.largest_difference
        wrong = pair.problems(servers.openmldb, servers.triton, folder, manifest)
        if wrong:
            return report("rehearsal", [Finding("pair", "fail", text) for text in wrong], **figures)
        candidate = time_calls(servers, folder, manifest, requests, gates["requests"])
        figures["candidate"] = candidate
    except (ContractError, OpenMLDBError) as error:
        return report("rehearsal", [Finding("pair", "fail", str(error))], **figures)
    findings = []
    if live is not None and live != release:
        serving = night.folder(live)
        try:
            figures["live"] = time_calls(
                servers, serving, serving.manifest(), requests, gates["requests"]
            )
        except (ContractError, OpenMLDBError) as error:
            findings.append(
                Finding("latency", "warn", f"the live release {live} did not answer: {error}")
            )
        else:
            findings += _latency(candidate, figures["live"], gates["latency"], live)
    return report("rehearsal", findings, **figures)


def time_calls(
    servers: Servers,
    folder: ReleaseFolder,
    manifest: Manifest,
    requests: Requests,
    count: int,
) -> dict[str, Any]:
    """Call a release with one request after another.

    Returns:
        Number of requests, milliseconds at the median and the 95th percentile.

    Raises:
        ContractError: an answer does not fit the specification or the signature.
        OpenMLDBError: the deployment refused a row.
    """
    call, inputs = _caller(servers, folder, manifest, requests, count)
    spent = []
    for one in [inputs[0], *inputs]:  # the first call warms up and is not counted
        started = time.perf_counter()
        call(one)
        spent.append((time.perf_counter() - started) * 1000)
    p50, p95 = np.percentile(spent[1:], [50, 95])
    return {"requests": len(inputs), "p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def _caller(
    servers: Servers,
    folder: ReleaseFolder,
    manifest: Manifest,
    requests: Requests,
    count: int,
) -> tuple[Callable[[Any], None], list[Any]]:
    """A function that asks the release once, and what to ask it."""
    model, version = manifest.model.name, manifest.model.version
    if manifest.features is None:
        signature = ModelSignature.load(folder.model)
        golden = Golden.load(folder.model, signature)
        names = [tensor.name for tensor in signature.outputs]
        examples = _examples(golden, signature, count)

        def infer(inputs: Mapping[str, Any]) -> None:
            outputs = servers.triton.infer(model, version, inputs, names)
            signature.check_outputs(outputs, f"{model}/{version}")

        return infer, examples
    sql = manifest.sql
    info = servers.openmldb.deployment(sql.database, sql.deployment)
    columns = [name for name, _ in info.output_schema]
    spec = FeatureSpec.load(folder.spec)

    def call(row: Sequence[Any]) -> None:
        answer, _ = servers.openmldb.call(sql.database, sql.deployment, [list(row)])
        servers.triton.score(model, version, {"INPUT_0": encode_rows(spec, columns, answer)})

    return call, requests([name for name, _ in info.input_schema])


def _examples(golden: Golden, signature: ModelSignature, count: int) -> list[Any]:
    if not signature.batched:
        return [golden.inputs] * min(count, 10)
    return [
        {name: value[at % golden.rows][None] for name, value in golden.inputs.items()}
        for at in range(count)
    ]


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
