"""The process that trains: dataset in, model out. `tasks.ctr.train` starts it and watches over it."""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import signal
import sys
import time
from typing import Any

from nightshift import files
from nightshift.features.specification import FeatureSpec
from tasks.ctr.train import hyperparameters, report, runtime
from tasks.ctr.train.arguments import parse_arguments
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.entry import log, run_task

CARD_VERSION = 1

_PR_SET_PDEATHSIG = 1


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Do the task; returns the result's figures."""
    begun = time.monotonic()
    spec = FeatureSpec.load(options.spec)
    chosen = hyperparameters.load(options.hyperparameters, options.set)
    threads = runtime.prepare(chosen.threads)
    # OneFlow reads its environment at import.
    from tasks.ctr.train import dataset, export, fit, metrics, network, serving, warm_start
    from tasks.ctr.train.checkpoint import CheckpointStore

    serving.check_device(options.device)
    with fit.stop_on_sigterm() as stop:
        data = dataset.load(options.dataset, spec, chosen.min_count)
        loaded = time.monotonic()
        rows = {name: len(split) for name, split in data.splits.items()}
        log(
            f"{rows['train']} rows to train on, {export.positives(data.splits['train'].labels)} "
            f"positives, {data.vocabulary.num_rows} table rows, {threads} threads"
        )
        shape = network.Architecture(
            data.vocabulary.num_rows,
            data.vocabulary.num_fields,
            chosen.embedding_dim,
            chosen.hidden,
        )
        start = network.initial_parameters(
            shape,
            seed=chosen.seed,
            init_std=chosen.init_std,
            base_rate=float(data.splits["train"].labels.mean()),
        )
        if options.warm_start is not None:
            start = warm_start.carry_over(options.warm_start, start, data.vocabulary, spec)
        store = CheckpointStore(
            options.checkpoint, _fingerprint(data.digest, chosen, options, start)
        )
        trainer = fit.Trainer(data, chosen, start, store, stop, options.device)
        fitted = trainer.fit()
        trained = time.monotonic()
        figures = {}
        for name in ("valid", "test"):
            split = data.splits[name]
            scores = fit.score(fitted.network, split.rows, options.device)
            figures[name] = metrics.summary(split.labels, scores)
        warnings = list(data.card["warnings"])
        if figures["valid"]["auc"] is None:
            warnings.append("early stopping used -logloss: the validation AUC is undefined")
        golden = export.golden_ids(data, spec, chosen.golden_rows)
        expected = fit.score(fitted.network, data.vocabulary.rows(golden), options.device)
        progress = fitted.progress
        with files.staged_dir(options.out, replace=True) as staged:
            export.save_network(staged / "model", fitted.network, data, spec)
            export.write_golden(staged / "model", staged, golden, expected)
            export.write_metrics(staged / "metrics.jsonl", progress.history)
            card = {
                "version": CARD_VERSION,
                "model": "DeepFM",
                "dataset": export.dataset_summary(data),
                "schema_hash": spec.schema_hash,
                "fields": list(spec.names),
                "table_sizes": data.vocabulary.table_sizes,
                "hyperparameters": chosen.to_json(),
                "overrides": options.set,
                "warm_start": None if options.warm_start is None else str(options.warm_start),
                "device": options.device,
                "threads": threads,
                "epochs": len(progress.history),
                "best_epoch": (progress.best_epoch or 0) + 1,
                "parameters": sum(int(value.size) for value in start.values()),
                "valid": figures["valid"],
                "test": figures["test"],
                "warnings": warnings,
                "model_sha256": files.sha256_tree(staged / "model"),
                "versions": export.versions(),
                "seconds": {
                    "load": round(loaded - begun, 3),
                    "train": round(progress.seconds, 3),
                    "total": round(time.monotonic() - begun, 3),
                },
            }
            files.write_json(staged / "model_card.json", card)
            files.write_text(staged / "training.html", report.render(card, progress.history))
        store.clear()
    log(
        f"test auc {figures['test']['auc']}, logloss {figures['test']['logloss']:.5f}; "
        f"trained in {trained - loaded:.1f} s"
    )
    return {
        "epochs": card["epochs"],
        "best_epoch": card["best_epoch"],
        "valid": figures["valid"],
        "test": figures["test"],
        "model_sha256": card["model_sha256"],
        "dataset_sha256": data.digest,
        "warnings": warnings,
        "artefacts": {
            "model": str(options.out),
            "model_card": str(options.out / "model_card.json"),
            "metrics": str(options.out / "metrics.jsonl"),
            "golden": str(options.out / "golden.npz"),
            "report": str(options.out / "training.html"),
        },
    }


def _fingerprint(
    dataset_digest: str, chosen: Hyperparameters, options: argparse.Namespace, start: dict[str, Any]
) -> str:
    """Hex SHA-256 over all that decides the course of a training."""
    digest = hashlib.sha256(dataset_digest.encode())
    digest.update(json.dumps(chosen.to_json(), sort_keys=True).encode())
    digest.update(options.device.encode())
    for name in sorted(start):
        digest.update(start[name].tobytes())
    return digest.hexdigest()


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it dies (Linux)."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Entry point; returns the exit code."""
    die_with_parent()
    options = parse_arguments(arguments)
    return run_task("train", options.result, lambda: train(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
