"""The process that trains: dataset in, model out. `tasks.ctr.train` starts it and watches over it."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.errors import ConfigurationError, ContractError
from nightshift.features.specification import FeatureSpec
from tasks import blas, runtime
from tasks.ctr.train import advice, hyperparameters, needs, refit, report, room
from tasks.ctr.train.arguments import parse_arguments
from tasks.ctr.train.hyperparameters import AUTO, Hyperparameters
from tasks.entry import Stopped, die_with_parent, log, run_task

CARD_VERSION = 1


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Do the task; returns the result's figures."""
    begun = time.monotonic()
    spec = FeatureSpec.load(options.spec)
    judged, asked, warm = _recipe(options, spec)
    for setting, wrong, fix in needs.on_device(asked, options.device):
        raise ConfigurationError(f"{setting}: {wrong}; {fix}")
    threads = runtime.prepare(asked.threads, blas.resolve(asked.blas))
    # OneFlow reads its environment at import.
    from tasks.ctr.train import (
        baseline,
        binning,
        dataset,
        defaults,
        export,
        fit,
        importance,
        metrics,
        mixture,
        models,
        planting,
        serving,
        starts,
        warm_start,
    )
    from tasks.ctr.train.checkpoint import Arrays, CheckpointStore
    from tasks.ctr.train.scoring import score

    serving.check_device(options.device)
    card = files.read_json(options.dataset / "data_card.json")
    if judged is not None:
        judged.check_dataset(card, options.dataset)
    elif card.get("refit"):
        raise ContractError(f"{options.dataset} holds no days out; judge a model first, --refit-of")
    blocks, fits = room.block_rows(card, spec, room.free_memory())
    if isinstance(asked.block_rows, str):
        asked = asked.replaced({"block_rows": blocks})
    else:
        blocks, fits = asked.block_rows, ""

    def load(bins: int | None, scale: str) -> dataset.Dataset:
        return dataset.load(
            *(options.dataset, spec, _given(asked.min_count), bins),
            max_ids=asked.max_ids,
            own_scale=scale == "own",
            scratch=options.checkpoint.parent if blocks else None,
            names=dataset.SPLITS if judged is None else refit.SPLITS,
        )

    data = load(_given(asked.bins), asked.scale)
    loaded = time.monotonic()
    rows = {name: len(split) for name, split in data.splits.items()}
    labels = data.splits["train"].labels
    log(
        f"{rows['train']} rows to train on, {export.positives(labels)} "
        f"positives, {data.vocabulary.num_rows} table rows, {threads} threads"
    )
    linear = None
    if judged is None:
        linear = baseline.fit(data) if asked.baseline else None
    elif judged.strength is not None:
        linear = baseline.fit(data, judged.strength)
    straight, scale = "", "rank" if asked.scale == "rank" else "own"
    if judged is None:
        data, linear, straight = binning.choose(data, asked, linear, warm, lambda: load(0, scale))
    if straight:
        asked = asked.replaced({"bins": 0, "scale": scale})
    plain = data
    grown, count, why = planting.plant(data, spec, asked, linear, warm, exactly=judged is not None)
    if grown is not None:
        data = dataset.with_trees(data, spec, grown)
    asked = asked.replaced({"trees": count})
    # Two networks may become one of both widths only where nobody asked for a width.
    free = asked.embedding_dim == AUTO and asked.hidden == AUTO
    may_mix = free or asked.linear_start == starts.BOTH
    given = {} if warm is None else warm_start.sizes(warm, asked)
    chosen, reasons = defaults.choose(
        *(asked.replaced(given), defaults.facts_of(data), data.inputs),
        strength=None if linear is None else linear.strength,
    )
    said_of = {"bins": straight, "scale": straight, "trees": why, "block_rows": fits}
    reasons |= {name: text for name, text in said_of.items() if text}
    reasons |= dict.fromkeys(given, "the model that training begins from has it")
    shape = models.Architecture(
        num_rows=data.vocabulary.num_rows,
        num_fields=len(data.inputs.groups),
        embedding_dim=chosen.embedding_dim,
        hidden=chosen.hidden,
        family=chosen.family,
        group_widths=data.inputs.group_widths,
        num_dense=len(data.inputs.numbers),
        weighted=data.inputs.weighted,
        options=defaults.options(chosen, data.inputs),
    )
    plan = models.plan(shape)

    def fresh() -> Arrays:
        return models.initial_parameters(
            plan, seed=chosen.seed, init_std=chosen.init_std, base_rate=float(labels.mean())
        )

    start = fresh()
    begins = linear is not None and chosen.linear_start != "zero"
    names = [starts.BASELINE if begins else "zero"]
    first = None
    if linear is not None and begins and warm is None and models.FIRST_ORDER in plan:
        if chosen.linear_start in starts.TWO:
            names.append("zero")
        first = linear if grown is None else baseline.fit(data, linear.strength)
        start = fit.begin_with(start, first.weights, first.bias)
    if warm is not None:
        start = warm_start.carry_over(warm, start, plan, data.inputs, data.vocabulary, spec)
    # Elsewhere SIGTERM ends the task at once; what is trained by then is kept.
    found: dict[str, fit.Fitted] = {}
    stores: list[CheckpointStore] = []
    with fit.stop_on_sigterm() as stop:
        for name in names:
            if found:
                start = fresh()
            until = None if judged is None else judged.until(name)
            store = CheckpointStore(
                options.checkpoint / name if found else options.checkpoint,
                _fingerprint(data.digest, chosen, options, start, until),
            )
            stores.insert(0, store)
            trainer = fit.Trainer(
                *(data, shape, chosen, start, store, stop, options.device),
                judge_start=name == starts.BASELINE,
                rival=starts.best(found),
                until=until,
                rates=None if judged is None else judged.unknown_rates(data),
            )
            # As large as the network, which has copied it.
            start, rates = {}, trainer.rates
            found[name] = trainer.fit()
            del trainer
    scoring = fit.scoring_device(chosen, options.device)
    if stop.arrived:
        raise Stopped(f"SIGTERM after the last step; the checkpoint is kept in {store.folder}")
    trained = time.monotonic()
    outcome = starts.choose(
        *(found, chosen, None if judged is not None else data.splits["valid"], scoring),
        may_mix=may_mix,
    )
    shares = None if judged is None else judged.shares
    if first is not None and judged is None and chosen.linear_start != starts.BOTH:
        valid, weights, bias = data.splits["valid"], first.weights, first.bias
        many = defaults.facts_of(data).judges >= defaults.JUDGES
        unlike = grown is not None or starts.epochs(outcome, found) != 0
        if linear is not None and many and unlike and chosen.family in defaults.MIXED:
            logits = mixture.parts(
                *(outcome.fitted.network, linear, plain.splits["valid"].tensors, valid.tensors),
                *(data.inputs, scoring),
            )
            shares = mixture.weigh(logits, valid.labels)
            outcome = replace(outcome, mixed=mixture.said(shares, logits, valid.labels))
        else:
            outcome = starts.unless_doubtful(
                outcome,
                found,
                lambda: models.build(shape, fit.begin_with(fresh(), weights, bias), scoring),
                *(valid, scoring),
            )
    fitted, epochs = outcome.fitted, starts.epochs(outcome, found)
    if shares is not None and linear is not None:
        own = fitted.network.shape
        values = mixture.join(own, models.views(fitted.network), shares, linear, data.inputs)
        fitted = replace(fitted, network=models.build(own, values, scoring))
    seconds = sum(each.progress.seconds for each in found.values())
    found.clear()
    if chosen.linear_start in starts.TWO:
        chosen = chosen.replaced({"linear_start": outcome.name})
        reasons["linear_start"] = starts.said(outcome)
    elif outcome.doubted or outcome.mixed:
        why = reasons.get("linear_start", "as asked")
        reasons["linear_start"] = f"{why}; {outcome.doubted or outcome.mixed}"
    figures, compared = {}, None
    for name in ("valid", "test") if judged is None else ():
        split = data.splits[name]
        scores = score(fitted.network, split.tensors, scoring)
        figures[name] = metrics.summary(split.labels, scores)
        if name == "test" and options.test_scores is not None:
            export.write_scores(options.test_scores, split.labels, scores)
        if name == "test" and linear is not None:
            theirs = linear.score(plain.splits[name].tensors)
            compared = baseline.compare(split.labels, scores, theirs, linear)
    summary = export.dataset_summary(data)
    if judged is None:
        worth = importance.permutation(
            data,
            lambda tensors: score(fitted.network, tensors, scoring),
            chosen.importance_rows,
            chosen.seed,
            planting.looked_at(data, spec, chosen.importance_rows),
        )
        warnings = [
            *data.card["warnings"],
            *advice.of(fitted.progress, chosen, compared),
        ]
        if figures["valid"]["auc"] is None:
            warnings.append("early stopping used -logloss: the validation AUC is undefined")
        said: dict[str, Any] = {}
    else:
        # There is nothing to measure this model by; the recipe's figures are the judged model's.
        figures = {name: judged.card[name] for name in ("valid", "test")}
        compared, worth = judged.card["baseline"], judged.card["importance"]
        warnings, reasons = list(judged.card["warnings"]), judged.card["chosen"]
        said = {"refit": judged.part_of_card(summary)}
    golden = export.golden_ids(data, spec, chosen.golden_rows)
    expected = score(fitted.network, data.inputs.tensors(golden, data.vocabulary), scoring)
    progress = fitted.progress
    with files.staged_dir(options.out, replace=True) as staged:
        export.save_network(staged / "model", fitted.network, data, spec)
        export.write_golden(staged / "model", staged, golden, expected)
        export.write_metrics(staged / "metrics.jsonl", progress.history)
        card = {
            "version": CARD_VERSION,
            "model": models.FAMILIES[chosen.family].title,
            "family": chosen.family,
            "dataset": summary,
            "schema_hash": spec.schema_hash,
            "fields": list(spec.names),
            "table_sizes": data.vocabulary.table_sizes,
            "hyperparameters": chosen.to_json(),
            "chosen": reasons,
            "overrides": options.set if judged is None else judged.card["overrides"],
            "warm_start": None if warm is None else str(warm),
            "recipe": {
                "baseline_c": None if linear is None else linear.strength,
                "unknown_rates": None
                if isinstance(rates, float)
                else refit.rates_by_field(data, rates),
                "epochs": epochs,
                "shares": shares,
            },
            **said,
            "device": options.device,
            "threads": threads,
            "epochs": len(progress.history),
            "best_epoch": 1 + (0 if progress.best_epoch is None else progress.best_epoch),
            "parameters": sum(weight.size for weight in models.plan(fitted.network.shape).values()),
            "valid": figures["valid"],
            "test": figures["test"],
            "baseline": compared,
            "importance": worth,
            "warnings": warnings,
            "model_sha256": files.sha256_tree(staged / "model"),
            "versions": export.versions(),
            "seconds": {
                "load": round(loaded - begun, 3),
                "train": round(seconds, 3),
                "total": round(time.monotonic() - begun, 3),
            },
        }
        files.write_json(staged / "model_card.json", card)
        files.write_text(staged / "training.html", report.render(card, progress.history))
    for store in stores:
        store.clear()
    whose = "test" if judged is None else "refit; of the judged model: test"
    log(
        f"{whose} auc {figures['test']['auc']}, logloss {figures['test']['logloss']:.5f}; "
        f"trained in {trained - loaded:.1f} s"
    )
    return {
        "epochs": card["epochs"],
        "best_epoch": card["best_epoch"],
        "valid": figures["valid"],
        "test": figures["test"],
        "baseline": compared,
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


def _recipe(
    options: argparse.Namespace, spec: FeatureSpec
) -> tuple[refit.Judged | None, Hyperparameters, Path | None]:
    """The judged training, if this is its refit; the hyper-parameters; the model to begin from."""
    if options.refit_of is None:
        asked = hyperparameters.load(options.hyperparameters, options.set)
        return None, asked, options.warm_start
    if options.set or options.warm_start is not None or options.test_scores is not None:
        raise ConfigurationError(
            "--refit-of repeats a training: --set, --warm-start and --test-scores do not go with it"
        )
    judged = refit.Judged.load(options.refit_of, spec)
    return judged, judged.chosen, judged.warm_start


def _given(value: int | str) -> int | None:
    """The value, or None for `auto`."""
    return None if isinstance(value, str) else value


def _fingerprint(
    dataset_digest: str,
    chosen: Hyperparameters,
    options: argparse.Namespace,
    start: dict[str, Any],
    until: int | None,
) -> str:
    """Hex SHA-256 over all that decides the course of a training."""
    digest = hashlib.sha256(dataset_digest.encode())
    digest.update(json.dumps(chosen.to_json(), sort_keys=True).encode())
    digest.update(options.device.encode())
    if until is not None:
        digest.update(f"until {until}".encode())
    for name in sorted(start):
        digest.update(start[name].reshape(-1).data)
    return digest.hexdigest()


def main(arguments: list[str]) -> int:
    """Entry point; returns the exit code."""
    die_with_parent()
    options = parse_arguments(arguments)
    return run_task("train", options.result, options.out, lambda: train(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
