"""The training loop: a static graph a step, early stopping, checkpoints, a clean stop."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import oneflow as flow
from oneflow import nn

from nightshift.errors import TerminalError
from tasks.ctr.train.checkpoint import Arrays, Checkpoint, CheckpointStore, Progress
from tasks.ctr.train.dataset import Batch, Batches, Dataset, Split
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.metrics import Scores, auc, logloss, stopping_score
from tasks.ctr.train.network import Architecture, DeepFM, build, parameters
from tasks.entry import Stopped, log

SCORING_ROWS = 4096
"""Rows scored at a time."""

_FETCH_EVERY = 200
_PROGRESS_EVERY_S = 5.0


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


class TrainGraph(nn.Graph):  # type: ignore[misc]
    """One step, compiled: forward, backward, and Adam twice.

    The embeddings' Adam is sparse: it updates the rows that the batch looked up (lazily, as
    TensorFlow's LazyAdam does), so that a step's time does not grow with the table.
    """

    def __init__(self, network: DeepFM, chosen: Hyperparameters, steps_per_epoch: int) -> None:
        super().__init__()
        self.network = network
        self.l2 = chosen.l2_embedding
        tables = [*network.embedding.parameters(), *network.linear.parameters()]
        of_tables = {id(parameter) for parameter in tables}
        dense = [p for p in network.parameters() if id(p) not in of_tables]
        for group, sparse, decay in ((tables, True, 0.0), (dense, False, chosen.weight_decay)):
            optimizer = flow.optim.Adam(group, lr=chosen.learning_rate, weight_decay=decay)
            schedule = None
            if chosen.lr_decay != 1.0:
                schedule = flow.optim.lr_scheduler.StepLR(
                    optimizer, step_size=steps_per_epoch, gamma=chosen.lr_decay
                )
            self.add_optimizer(optimizer, lr_sch=schedule, is_sparse=sparse)

    def build(
        self,
        rows: flow.Tensor,
        labels: flow.Tensor,
        weights: flow.Tensor,
        *masks: flow.Tensor,
    ) -> flow.Tensor:
        """Mean logloss of the rows that weigh, before the step."""
        embedded = self.network.embed(rows)
        logits = self.network.logits(embedded, rows, masks)
        # log(1 + e^z) - y z: the logistic loss in a form that does not overflow.
        losses = nn.functional.softplus(logits) - labels * logits
        count = weights.sum()
        loss = (losses * weights).sum() / count
        total = loss
        if self.l2:
            penalty = (flow.square(embedded).sum(dim=1) * weights).sum() / count
            total = loss + 0.5 * self.l2 * penalty
        total.backward()
        return loss


@dataclass(frozen=True)
class Fitted:
    """A trained network (its parameters are those of the best epoch) and how it came about."""

    network: DeepFM
    progress: Progress


def score(network: DeepFM, rows: npt.NDArray[np.int32], device: str) -> Scores:
    """Probabilities float32 [n] of table rows int32 [n, number of fields]."""
    parts = []
    network.eval()
    with flow.no_grad():
        for at in range(0, len(rows), SCORING_ROWS):
            taken = flow.from_numpy(np.ascontiguousarray(rows[at : at + SCORING_ROWS]))
            parts.append(flow.sigmoid(network(taken.to(device))).numpy())
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


class _LossSum:
    """Sum of the losses of an epoch's rows, added up where the graph runs.

    Fetching a graph's output after every step is slow, and in OneFlow 0.9 it now and then
    damages the graph's memory on a busy machine (a count of a freed object is lowered), which
    ends the process. So a fetch is rare.
    """

    def __init__(self, so_far: float, device: str) -> None:
        self._sum = flow.tensor([so_far], dtype=flow.float64).to(device)

    def add(self, mean_loss: flow.Tensor, count: int) -> None:
        """Add a step's mean loss over `count` rows."""
        self._sum = self._sum + mean_loss.to(flow.float64) * count

    def value(self) -> float:
        """The sum; waits for the steps under way."""
        return float(self._sum.numpy().item())


class Trainer:
    """Trains one network on one dataset."""

    def __init__(
        self,
        data: Dataset,
        chosen: Hyperparameters,
        start: Arrays,
        store: CheckpointStore,
        stop: StopSignal,
        device: str,
    ) -> None:
        self.data = data
        self.chosen = chosen
        self.store = store
        self.stop = stop
        self.device = device
        shape = Architecture(
            data.vocabulary.num_rows,
            data.vocabulary.num_fields,
            chosen.embedding_dim,
            chosen.hidden,
        )
        self.network = build(shape, start, device, chosen.dropout)
        train = data.splits["train"]
        self.batches = Batches(
            split=train,
            vocabulary=data.vocabulary,
            batch_size=min(chosen.batch_size, len(train)),
            seed=chosen.seed,
            oov_rate=chosen.oov_rate,
            dropped=self.network.dropped,
            hidden=chosen.hidden,
        )
        self.graph = TrainGraph(self.network, chosen, self.batches.steps)
        self.progress = Progress()
        self.best: Arrays = {}
        self._begun = time.monotonic()

    def fit(self) -> Fitted:
        """Train, from a checkpoint where there is one, until early stopping or the last epoch.

        Raises:
            Stopped: SIGTERM arrived; a checkpoint is kept.
        """
        kept = self.store.load()
        if kept is not None:
            self.progress, self.best = kept.progress, kept.best
            self.graph.load_state_dict(_unflatten(kept.state))
            log(
                f"goes on from a checkpoint: epoch {self.progress.epoch + 1}, step "
                f"{self.progress.step} of {self.batches.steps}"
            )
        self._begun = time.monotonic() - self.progress.seconds
        while not self.progress.finished:
            self._epoch()
        return Fitted(build(self.network.shape, self.best, self.device), self.progress)

    def _epoch(self) -> None:
        progress = self.progress
        begun = shown = time.monotonic()
        first = progress.step
        losses = _LossSum(progress.loss_sum, self.device)
        self.network.train()
        for batch in self.batches.epoch(progress.epoch, first):
            if self.stop.arrived:
                progress.loss_sum = losses.value()
                self._keep()
                raise Stopped(
                    f"SIGTERM in epoch {progress.epoch + 1}, step {progress.step}; the checkpoint "
                    f"is kept in {self.store.folder}"
                )
            losses.add(self._step(batch), int(batch.weights.sum()))
            progress.step += 1
            if progress.step % _FETCH_EVERY == 0:
                losses.value()
            every = self.chosen.checkpoint_steps
            if every and progress.step % every == 0 and progress.step < self.batches.steps:
                progress.loss_sum = losses.value()
                self._keep()
            if time.monotonic() - shown > _PROGRESS_EVERY_S:
                shown = time.monotonic()
                speed = (progress.step - first) * self.batches.batch_size / (shown - begun)
                log(
                    f"epoch {progress.epoch + 1}: step {progress.step} of {self.batches.steps}, "
                    f"{speed:.0f} rows/s"
                )
        progress.loss_sum = losses.value()
        self._end_epoch(time.monotonic() - begun)

    def _step(self, batch: Batch) -> flow.Tensor:
        arrays = (batch.rows, batch.labels, batch.weights, *batch.masks)
        return self.graph(*(flow.from_numpy(array).to(self.device) for array in arrays))

    def _end_epoch(self, seconds: float) -> None:
        progress, chosen = self.progress, self.chosen
        valid = self._evaluate(self.data.splits["valid"])
        entry: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.loss_sum / len(self.batches.split),
            "valid_auc": valid["auc"],
            "valid_logloss": valid["logloss"],
            "valid_score": stopping_score(valid),
            "learning_rate": chosen.learning_rate * chosen.lr_decay**progress.epoch,
            "seconds": round(seconds, 3),
        }
        if not math.isfinite(entry["train_loss"] + valid["logloss"]):
            raise TerminalError(
                f"training diverged in epoch {entry['epoch']}: train loss {entry['train_loss']}, "
                f"validation logloss {valid['logloss']}; lower learning_rate or init_std"
            )
        progress.history.append(entry)
        scores = [item["valid_score"] for item in progress.history]
        best = progress.best_epoch
        if best is None or entry["valid_score"] > scores[best]:
            best = progress.best_epoch = progress.epoch
            self.best = parameters(self.network)
        shown = "undefined" if valid["auc"] is None else f"{valid['auc']:.4f}"
        log(
            f"epoch {entry['epoch']}: train loss {entry['train_loss']:.5f}, valid auc {shown}, "
            f"logloss {valid['logloss']:.5f}, {seconds:.1f} s"
            + (" *" if best == progress.epoch else "")
        )
        progress.finished = (
            progress.epoch + 1 >= chosen.epochs or progress.epoch - best >= chosen.patience
        )
        progress.epoch += 1
        progress.step = 0
        progress.loss_sum = 0.0
        self._keep()

    def _evaluate(self, split: Split) -> dict[str, Any]:
        scores = score(self.network, split.rows, self.device)
        return {"auc": auc(split.labels, scores), "logloss": logloss(split.labels, scores)}

    def _keep(self) -> None:
        self.progress.seconds = time.monotonic() - self._begun
        self.store.save(Checkpoint(self.progress, _flatten(self.graph.state_dict()), self.best))


def _flatten(state: dict[str, Any]) -> Arrays:
    flat: Arrays = {}
    for name, value in state.items():
        if isinstance(value, dict):
            flat.update({f"{name}/{key}": item for key, item in _flatten(value).items()})
        else:
            flat[name] = value.numpy()
    return flat


def _unflatten(flat: Arrays) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name, value in flat.items():
        group, slash, key = name.partition("/")
        if slash:
            state.setdefault(group, {})[key] = flow.from_numpy(value)
        else:
            state[name] = flow.from_numpy(value)
    return state
