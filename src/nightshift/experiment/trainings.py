"""The trainings of an experiment: each once, several at a time, each result kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nightshift import errors, files
from nightshift.config.yamlfile import load_yaml_mapping, nearest
from nightshift.errors import ConfigurationError, ContractError
from nightshift.experiment.design import Cell
from nightshift.experiment.starting import Started, Starter, log_of, result_of
from nightshift.features.specification import FeatureSpec
from nightshift.pipeline import Pipeline

VERSION = 1
"""Of a kept result; another one is trained anew."""

RESULT, PARAMETERS = "result.json", "hyperparameters.yaml"
_POLL_S = 0.2
_TAIL = 2000
_CARD = (
    "family", "epochs", "best_epoch", "parameters", "hyperparameters", "chosen", "valid", "test",
    "baseline", "warnings", "seconds", "importance",
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """Where an experiment works.

    The pipeline's files are read once: changed meanwhile, they are another experiment's.

    Attributes:
        pipeline: the pipeline.
        root: its folder of experiments, which all of them share.
        features: the export.
        train_days: days of requests that a training learns from, held-out days included.
        device: of training.
        threads: of each training.
        starter: of its tasks.
    """

    pipeline: Pipeline
    root: Path
    features: Path
    train_days: int
    device: str
    threads: int
    starter: Starter

    @functools.cached_property
    def spec_text(self) -> str:
        """The feature specification as it was when the experiment began."""
        return self.pipeline.features.spec_file.read_text(encoding="utf-8")

    @functools.cached_property
    def hyperparameters_text(self) -> str:
        """The pipeline's hyper-parameters as they were when the experiment began."""
        path = self.pipeline.hyperparameters
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def dataset_key(self, ds: str, left_out: tuple[str, ...]) -> str:
        """Hex digits of what decides a dataset."""
        tables = self.pipeline.features.tables
        seen = [
            *(str(self.features.resolve()), _stamp(self.features), ds, self.train_days),
            self.spec_text,
            *(sorted(left_out), tables.label_absent, tables.label_settle_days),
        ]
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]

    def cell_key(self, cell: Cell) -> str:
        """Hex digits of what decides a training's result."""
        seen = [
            *(VERSION, self.dataset_key(cell.ds, cell.configuration.left_out)),
            self.hyperparameters_text,
            *(dict(cell.configuration.values), cell.seed, self.device),
        ]
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]

    def folder(self, cell: Cell) -> Path:
        """Folder of a training's result."""
        return self.root / "trainings" / self.cell_key(cell)

    def kept(self, cell: Cell) -> dict[str, Any] | None:
        """The result of a training that is done; None where there is none."""
        try:
            found = files.read_json(self.folder(cell) / RESULT)
        except ContractError:
            return None
        return found if isinstance(found, dict) else None


def _stamp(folder: Path) -> list[list[object]]:
    return [[p.name, p.stat().st_size] for p in sorted(folder.rglob("*")) if p.is_file()]


def reduced_spec(spec_file: Path, left_out: Sequence[str]) -> dict[str, Any]:
    """The content of a feature specification without some features, which it ignores.

    Raises:
        ConfigurationError: a name is not a feature, or what is left is not a specification.
    """
    content = load_yaml_mapping(spec_file)
    names = FeatureSpec.load(spec_file).names
    for name in left_out:
        if name not in names:
            raise ConfigurationError(
                f"leave_out: {spec_file} has no feature {name}{nearest(name, names)}"
            )
        for kind in ("categorical", "numeric"):
            if name in (content.get(kind) or {}):
                content[kind] = {k: v for k, v in content[kind].items() if k != name}
    content["ignored"] = {
        **(content.get("ignored") or {}),
        **dict.fromkeys(left_out, "left out by an experiment"),
    }
    for kind in ("categorical", "numeric"):
        if not content.get(kind):
            content.pop(kind, None)
    FeatureSpec.parse(content, source=f"{spec_file} without {', '.join(left_out) or 'nothing'}")
    return content


def dataset(bench: Bench, cell: Cell) -> tuple[Path, Path]:
    """The dataset of a training and its specification; made where it is not there.

    Raises:
        ConfigurationError: preprocessing refused it; the message is its own.
    """
    left_out = cell.configuration.left_out
    folder = bench.root / "datasets" / bench.dataset_key(cell.ds, left_out)
    spec, data = folder / "spec.yaml", folder / "dataset"
    with files.locked(folder.with_suffix(".lock"), timeout_s=6 * 3600.0):
        if (data / "data_card.json").is_file():
            return data, spec
        folder.mkdir(parents=True, exist_ok=True)
        # Not the pipeline's own file: it may be changed while the experiment is at work.
        files.write_text(spec, bench.spec_text)
        content = reduced_spec(spec, left_out)
        files.write_text(spec, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        arguments = [
            *("--features", str(bench.features), "--spec", str(spec), "--ds", cell.ds),
            *("--train-days", str(bench.train_days), "--out", str(data)),
        ]
        tables = bench.pipeline.features.tables
        if tables.label_absent is not None:
            arguments += ["--label-absent", str(tables.label_absent)]
        if tables.label_settle_days is not None:
            arguments += ["--label-settle-days", str(tables.label_settle_days)]
        with _ended(task := bench.starter.start("preprocess", arguments, folder)):
            code = _code(task)
        if code:
            raise ConfigurationError(
                f"the dataset of {cell.ds} could not be made: {_why('preprocess', folder)}"
            )
    return data, spec


@contextlib.contextmanager
def _ended(task: Started) -> Iterator[None]:
    """The task does not outlive the block."""
    try:
        yield
    finally:
        task.end()


def _code(task: Started) -> int:
    while (code := task.code()) is None:
        time.sleep(_POLL_S)
    return code


def _stop(tasks: Sequence[Started]) -> None:
    """End them all at once: each may take its time to keep a checkpoint."""
    if tasks:
        with ThreadPoolExecutor(len(tasks)) as pool:
            list(pool.map(lambda task: task.end(), tasks))


def _why(task: str, folder: Path) -> str:
    """Why a task failed: its own words, else the end of its log."""
    log = log_of(task, folder)
    with contextlib.suppress(ContractError):
        found = files.read_json(result_of(task, folder))
        if isinstance(found, dict) and found.get("error"):
            return str(found["error"])
    try:
        return log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    except OSError:
        return f"no log at {log}"


def run(
    bench: Bench,
    wanted: Sequence[Cell],
    jobs: int,
    said: Callable[[Cell, Mapping[str, Any]], None] = lambda cell, result: None,
) -> dict[str, dict[str, Any]]:
    """Do the trainings that are not done yet.

    A training that failed for good (it diverged, say) has a result, too, and is not tried again;
    one that failed in passing is left for the next call. When this is interrupted, what runs is
    stopped; a training goes on from its checkpoint the next time.

    Args:
        bench: where.
        wanted: the trainings.
        jobs: how many run at a time.
        said: told of each result, kept ones first.

    Returns:
        Results by `Bench.cell_key`; `status` is `ok`, `failed` or `retry`.

    Raises:
        ConfigurationError: a dataset cannot be made.
    """
    found: dict[str, dict[str, Any]] = {}
    left: list[Cell] = []
    for cell in wanted:
        kept = bench.kept(cell)
        if kept is None:
            left.append(cell)
        else:
            found[bench.cell_key(cell)] = kept
            said(cell, kept)
    at_work: list[tuple[Cell, Started]] = []
    try:
        while left or at_work:
            while left and len(at_work) < jobs:
                cell = left.pop(0)
                at_work.append((cell, _train(bench, cell)))
            time.sleep(_POLL_S)
            for cell, task in list(at_work):
                code = task.code()
                if code is None:
                    continue
                at_work.remove((cell, task))
                result = _take(bench, cell, code)
                found[bench.cell_key(cell)] = result
                said(cell, result)
    finally:
        _stop([task for _, task in at_work])
    return found


def _train(bench: Bench, cell: Cell) -> Started:
    data, spec = dataset(bench, cell)
    folder = bench.folder(cell)
    folder.mkdir(parents=True, exist_ok=True)
    parameters = folder / PARAMETERS
    files.write_text(parameters, bench.hyperparameters_text or "{}\n")
    sets = [
        # What a comparison does not read is not computed, unless a configuration asks for it.
        "importance_rows=0",
        "golden_rows=1",
        *cell.configuration.overrides(),
        f"seed={cell.seed}",
        f"threads={bench.threads}",
    ]
    arguments = [
        *("--dataset", str(data), "--spec", str(spec), "--hyperparameters", str(parameters)),
        *(part for text in sets for part in ("--set", text)),
        *("--out", str(folder / "model"), "--checkpoint", str(folder / "checkpoint")),
        *("--device", bench.device, "--test-scores", str(folder / "scores.npz")),
    ]
    return bench.starter.start("train", arguments, folder)


def _take(bench: Bench, cell: Cell, code: int) -> dict[str, Any]:
    """The result of a training that has ended; what it leaves is thrown away."""
    folder = bench.folder(cell)
    about = {
        "version": VERSION,
        "configuration": cell.configuration.id,
        "values": dict(cell.configuration.values),
        "left_out": list(cell.configuration.left_out),
        "ds": cell.ds,
        "seed": cell.seed,
    }
    if code:
        task = {}
        with contextlib.suppress(ContractError):
            task = files.read_json(result_of("train", folder))
        # Only what Nightshift itself refuses is a finding; a defect may be gone tomorrow.
        known = hasattr(errors, str(task.get("kind")))
        final = task.get("status") == "error" and known and not task.get("retryable", True)
        why = _why("train", folder)
        result = {**about, "status": "failed" if final else "retry", "error": why}
        if final:
            files.write_json(folder / RESULT, result)
            (folder / PARAMETERS).unlink(missing_ok=True)
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        return result
    card = files.read_json(folder / "model" / "model_card.json")
    lines = (folder / "model" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    result = {
        **about,
        "status": "ok",
        **{name: card[name] for name in _CARD},
        "history": [json.loads(line) for line in lines],
    }
    files.write_json(folder / RESULT, result)
    (folder / PARAMETERS).unlink(missing_ok=True)
    for name in ("model", "checkpoint"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return result
