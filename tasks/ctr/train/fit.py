"""The training loop: batches, early stopping, checkpoints, a clean stop."""

from __future__ import annotations

import contextlib
import gc
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.errors import TerminalError
from tasks.ctr.train.checkpoint import Arrays, Checkpoint, CheckpointStore, Progress
from tasks.ctr.train.dataset import Batches, Dataset, Split
from tasks.ctr.train.engine import Engine, Here
from tasks.ctr.train.graph import learning_rate
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.metrics import auc, logloss, stopping_score
from tasks.ctr.train.models import FAMILIES, Architecture, Network, build, parameters, views
from tasks.ctr.train.models.base import BIAS, FIRST_ORDER, dropped_levels
from tasks.ctr.train.scoring import score
from tasks.ctr.train.stored import Stored
from tasks.ctr.train.team import Team
from tasks.entry import Stopped, log

_PROGRESS_EVERY_S = 5.0
_SEEN_ROWS = 20_000
"""Training rows whose AUC each epoch shows, beside that of the validation rows."""


class StopSignal:
    """Whether SIGTERM has arrived."""

    arrived = False


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[StopSignal]:
    """Note SIGTERM instead of dying of it, until the block ends."""
    noted = StopSignal()

    def handle(_number: int, _frame: FrameType | None) -> None:
        noted.arrived = True

    old = signal.signal(signal.SIGTERM, handle)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGTERM, old)


@dataclass(frozen=True)
class Fitted:
    """A trained network (its parameters are those of the best epoch) and how it came about."""

    network: Network
    progress: Progress


class Trainer:
    """Trains one network on one dataset."""

    def __init__(
        self,
        data: Dataset,
        shape: Architecture,
        chosen: Hyperparameters,
        start: Arrays,
        store: CheckpointStore,
        stop: StopSignal,
        device: str,
        *,
        judge_start: bool = False,
        rival: float = -math.inf,
        until: int | None = None,
        rates: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Build the network and its training graph.

        Args:
            data: the dataset.
            shape: of the network.
            chosen: hyper-parameters without `auto`.
            start: parameters to begin with.
            store: where checkpoints are kept.
            stop: set by SIGTERM.
            device: `cpu` or `cuda`.
            judge_start: the start is judged, too: it may be the best there is.
            rival: the best score of a training from another start; one that is behind it after
                `patience` epochs and one more ends.
            until: epochs of a refit, which validates nothing and keeps the last one; None: early
                stopping decides.
            rates: for each column the share of ids that are replaced by the unknown one; None:
                those of the hyper-parameter.
        """
        self.until = until
        self.data = data
        self.judge_start = judge_start
        self.rival = rival
        self.chosen = chosen
        self.store = store
        self.stop = stop
        # Training sees other odds than the world; the difference is kept out of the parameters
        # while they are trained, and put into them wherever they score.
        self.shift = logit_shift(chosen)
        start = {**start, BIAS: start[BIAS] - self.shift} if self.shift else start
        self.shape = shape
        train = data.splits["train"]
        rate = chosen.oov_rate
        oov_rate: float | npt.NDArray[np.float32]
        if rates is not None:
            oov_rate = rates
        else:
            oov_rate = data.unknown_rates() if isinstance(rate, str) else rate
        self.rates = oov_rate
        self.batches = Batches(
            split=train,
            offsets=data.offsets,
            may_be_unknown=data.inputs.may_be_unknown(),
            batch_size=chosen.batch_size,
            seed=chosen.seed,
            oov_rate=oov_rate,
            dropped=dropped_levels(chosen.dropout),
            widths=FAMILIES[shape.family].mask_widths(shape),
            kept_negatives=chosen.negative_rate,
            positive_weight=chosen.positive_weight,
            penalty_of_row=data.penalty_of_row(oov_rate) if chosen.l2_by == "id" else None,
            block_rows=chosen.block_rows,
        )
        self.seen = train.sample(_SEEN_ROWS)
        self.batches = replace(self.batches, batch_size=min(chosen.batch_size, self.batches.rows))
        self.scoring = scoring_device(chosen, device)
        given = (shape, chosen, start, self.batches.steps, device)
        self.engine: Engine
        if chosen.embedding_store == "one_embedding":
            self.engine = Stored(*given, store.folder / "tables")
        elif chosen.processes > 1:
            self.engine = Team(*given)
        else:
            self.engine = Here(*given)
        self.progress = Progress()
        self.best: Arrays = {}
        self._begun = time.monotonic()

    def fit(self) -> Fitted:
        """Train, from a checkpoint where there is one, until early stopping or the last epoch.

        Once only: what trained is given up for the network of the best epoch.

        Raises:
            Stopped: SIGTERM arrived; a checkpoint is kept, unless no step was done.
        """
        try:
            self._fit()
        finally:
            # What the step holds is twice the tables, and its network is that of the last epoch.
            self.engine.close()
            gc.collect()
        best, self.best = self.best, {}
        return Fitted(build(self.shape, best, self.scoring), self.progress)

    def _fit(self) -> None:
        kept = self.store.load()
        if kept is not None:
            self.progress, self.best = kept.progress, kept.best
            self.engine.load(kept.state)
            log(
                f"goes on from a checkpoint: epoch {self.progress.epoch + 1}, step "
                f"{self.progress.step} of {self.batches.steps}"
            )
        elif self.until == 0:
            self.progress.best_epoch, self.progress.finished = -1, True
            self._keep_best()
        elif self.judge_start and self.until is None:
            # What training begins with may be the best there is.
            found = stopping_score(self._evaluate(self.data.splits["valid"]), self.chosen.monitor)
            self.progress.best_epoch, self.progress.best_score = -1, found
            self._keep_best()
        self._begun = time.monotonic() - self.progress.seconds
        while not self.progress.finished:
            self._epoch()

    def _epoch(self) -> None:
        progress = self.progress
        begun = shown = time.monotonic()
        first = progress.step
        self.engine.begin(progress.loss_sum)
        for batch in self.batches.epoch(progress.epoch, first):
            if self.stop.arrived:
                progress.loss_sum = self.engine.loss_sum()
                self._keep()
                raise self._stopped()
            self.engine.step(batch)
            progress.step += 1
            every = self.chosen.checkpoint_steps
            if every and progress.step % every == 0 and progress.step < self.batches.steps:
                progress.loss_sum = self.engine.loss_sum()
                self._keep()
            if time.monotonic() - shown > _PROGRESS_EVERY_S:
                shown = time.monotonic()
                speed = (progress.step - first) * self.batches.batch_size / (shown - begun)
                log(
                    f"epoch {progress.epoch + 1}: step {progress.step} of {self.batches.steps}, "
                    f"{speed:.0f} rows/s"
                )
        progress.loss_sum = self.engine.loss_sum()
        try:
            self._end_epoch(time.monotonic() - begun)
        except Stopped:
            self._keep()
            raise

    def _stopped(self) -> Stopped:
        progress = self.progress
        return Stopped(
            f"SIGTERM in epoch {progress.epoch + 1}, step {progress.step}; the checkpoint is kept in "
            f"{self.store.folder}"
        )

    def _look_for_stop(self) -> None:
        if self.stop.arrived:
            raise self._stopped()

    def _end_epoch(self, seconds: float) -> None:
        progress, chosen = self.progress, self.chosen
        valid = {"auc": None, "logloss": None}
        if self.until is None:
            valid = self._evaluate(self.data.splits["valid"])
        entry: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.loss_sum / self.batches.rows,
            "train_auc": self._evaluate(self.seen)["auc"],
            "valid_auc": valid["auc"],
            "valid_logloss": valid["logloss"],
            "valid_score": None if self.until else stopping_score(valid, chosen.monitor),
            "learning_rate": learning_rate(
                chosen, progress.epoch * self.batches.steps, self.batches.steps
            ),
            "seconds": round(seconds, 3),
        }
        if not math.isfinite(entry["train_loss"] + (valid["logloss"] or 0.0)):
            raise TerminalError(
                f"training diverged in epoch {entry['epoch']}: train loss {entry['train_loss']}, "
                f"validation logloss {valid['logloss']}; lower learning_rate or init_std"
            )
        progress.history.append(entry)
        if self.until is not None:
            self._end_refit_epoch(entry)
            return
        best = progress.best_epoch
        if progress.best_score is None or entry["valid_score"] > progress.best_score:
            best = progress.best_epoch = progress.epoch
            progress.best_score = entry["valid_score"]
            self._keep_best()
        shown = "undefined" if valid["auc"] is None else f"{valid['auc']:.4f}"
        log(
            f"epoch {entry['epoch']}: train loss {entry['train_loss']:.5f}, valid auc {shown}, "
            f"logloss {valid['logloss']:.5f}, {seconds:.1f} s"
            + (" *" if best == progress.epoch else "")
        )
        assert best is not None
        assert progress.best_score is not None
        behind = progress.epoch >= chosen.patience and progress.best_score < self.rival
        progress.finished = (
            progress.epoch + 1 >= chosen.epochs
            or progress.epoch - max(best, 0) >= chosen.patience
            or behind
        )
        self._next_epoch()

    def _end_refit_epoch(self, entry: dict[str, Any]) -> None:
        progress = self.progress
        log(f"epoch {entry['epoch']} of {self.until}: train loss {entry['train_loss']:.5f}")
        progress.best_epoch = progress.epoch
        progress.finished = progress.epoch + 1 >= (self.until or 0)
        if progress.finished:
            self._keep_best()
        self._next_epoch()

    def _next_epoch(self) -> None:
        progress = self.progress
        progress.epoch += 1
        progress.step = 0
        progress.loss_sum = 0.0
        self._keep()

    def _evaluate(self, split: Split) -> dict[str, Any]:
        network = self.engine.network
        if self.shift:
            network = build(self.shape, self._scoring_parameters(), self.scoring)
        scores = score(network, split.tensors, self.scoring, self._look_for_stop)
        return {"auc": auc(split.labels, scores), "logloss": logloss(split.labels, scores)}

    def _scoring_parameters(self) -> Arrays:
        values = parameters(self.engine.network)
        if self.shift:
            values[BIAS] = values[BIAS] + self.shift
        return values

    def _keep_best(self) -> None:
        """Keep the parameters, where those of an earlier epoch were kept."""
        for name, value in views(self.engine.network).items():
            if name not in self.best:
                self.best[name] = np.empty_like(value)
            np.copyto(self.best[name], value)
        if self.shift:
            self.best[BIAS] += self.shift

    def _keep(self) -> None:
        self.progress.seconds = time.monotonic() - self._begun
        self.store.save(Checkpoint(self.progress, self.engine.state(), self.best))


def scoring_device(chosen: Hyperparameters, device: str) -> str:
    """Where a network scores: tables in a store may be too large for the GPU that trains them."""
    return "cpu" if chosen.embedding_store == "one_embedding" else device


def begin_with(start: Arrays, weights: npt.NDArray[np.float64], bias: float) -> Arrays:
    """Fresh parameters that answer as a logistic regression does; as given without a linear part.

    Args:
        start: parameters by name.
        weights: of the regression, float64 [rows of the table].
        bias: its constant.
    """
    if FIRST_ORDER not in start:
        return start
    begun = {**start, FIRST_ORDER: weights.astype(np.float32)[:, None]}
    begun[BIAS] = np.array([bias], np.float32)
    if "out.weight" in begun:
        # Random layers would begin by spoiling what the regression says.
        begun["out.weight"] = np.zeros_like(start["out.weight"])
    return begun


def logit_shift(chosen: Hyperparameters) -> np.float32:
    """What is added to a trained logit so that scores speak of the true rates.

    Of training on a share r of the negatives and positives that weigh w, the odds are w / r times
    the true ones (King and Zeng 2001, "Logistic Regression in Rare Events Data"): log(r / w).
    """
    return np.float32(math.log(chosen.negative_rate / chosen.positive_weight))
