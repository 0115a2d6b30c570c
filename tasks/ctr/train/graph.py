"""One training step, compiled: forward, loss, backward, and the optimizers."""

from __future__ import annotations

import math

import oneflow as flow
from oneflow import nn

from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.models import Network
from tasks.ctr.train.models.base import part_sizes, pieces, row_sums
from tasks.ctr.train.streams import laid_out

LOSS_SCALE = 1024.0
"""Keeps small gradients of a loss in float16 from becoming 0; that of OneFlow's recommender models.

A scale that follows the gradients (`GradScaler`) makes the tables' lazy step a dense one in OneFlow
0.9, and gives the graph's state names that change from graph to graph.
"""


class TrainGraph(nn.Graph):  # type: ignore[misc]
    """A step over a batch of a static size.

    The tables have an optimizer of their own. A lazy step updates the rows that the batch looked
    up (Adam as TensorFlow's LazyAdam does, but without bias correction: OneFlow leaves it out), so
    that its time does not grow with the table. A dense one updates all rows: Adam's moments move a
    row for some steps after each lookup, about ten times as far in all. SGD without momentum is
    the same both ways. OneFlow has no sparse Adagrad; the dense one leaves the other rows alone by
    itself, at a cost that grows with the table.

    Args:
        network: what is trained.
        chosen: how.
        steps: of an epoch.
        streams: threads that run the step's operators side by side, each with a part of the batch
            through the network; 1 leaves the operators to OneFlow. More than 1 only on a CPU, and in one
            process.
    """

    def __init__(
        self, network: Network, chosen: Hyperparameters, steps: int, streams: int = 1
    ) -> None:
        super().__init__()
        self.streams = streams
        self.network = network
        self.chosen = chosen
        self.weighted = network.shape.weighted
        self.by_id = chosen.l2_by == "id"
        self.has_dense = network.shape.num_dense > 0
        plan = network.plan(network.shape)
        named = dict(network.named_parameters())
        tables = [named[name] for name, weight in plan.items() if weight.table and name in named]
        if network.stored:
            # The store's own step is lazy; this stands for its rows.
            tables = list(network.store.parameters())
        dense = [named[name] for name, weight in plan.items() if not weight.table]
        sparse = not network.stored and (
            chosen.optimizer == "sgd"
            or (chosen.optimizer == "adam" and chosen.table_step == "lazy")
        )
        for group, is_sparse, decay in (
            (tables, sparse, 0.0),
            (dense, False, chosen.weight_decay),
        ):
            optimizer = _optimizer(group, chosen, decay)
            schedule = _schedule(optimizer, chosen, steps)
            self.add_optimizer(optimizer, lr_sch=schedule, is_sparse=is_sparse)
        if chosen.precision == "mixed":
            self.config.enable_amp(True)
            self.set_grad_scaler(flow.amp.StaticGradScaler(LOSS_SCALE))

    def build(self, rows: flow.Tensor, *given: flow.Tensor) -> flow.Tensor:
        """Mean loss of the rows that weigh, before the step."""
        rest = list(given)
        input_weights = rest.pop(0) if self.weighted else None
        dense = rest.pop(0) if self.has_dense else None
        labels, weights, *rest = rest
        shares = rest.pop(0) if self.by_id else None
        masks = rest
        sizes = part_sizes(rows.shape[0], min(self.streams, rows.shape[0]))
        parts = self.network.look_up_parts(rows, input_weights, dense, sizes)
        drawn = [pieces(mask, sizes) for mask in masks]
        logits = _joined(
            [self.network.logits(x, [mask[at] for mask in drawn]) for at, x in enumerate(parts)]
        )
        count = weights.sum()
        loss = (self._losses(logits, labels) * weights).sum() / count
        total = loss
        shared = [None] * len(parts) if shares is None else pieces(shares, sizes)
        if self.chosen.l2_embedding and parts[0].flat is not None:
            squares = _joined(
                [
                    x.norm if share is None else row_sums(x.norms * share)
                    for x, share in zip(parts, shared, strict=True)
                ]
            )
            penalty = (squares * weights).sum() / count
            total = total + 0.5 * self.chosen.l2_embedding * penalty
        if self.chosen.l2_linear and parts[0].own is not None:
            squares = _joined(
                [
                    row_sums(flow.square(x.own) if share is None else flow.square(x.own) * share)
                    for x, share in zip(parts, shared, strict=True)
                ]
            )
            penalty = (squares * weights).sum() / count
            total = total + 0.5 * self.chosen.l2_linear * penalty
        total.backward()
        return loss.to_global(sbp=flow.sbp.broadcast) if loss.is_global else loss

    def finish_complie_and_init_runtime(self) -> None:
        """Lay the operators out before OneFlow compiles them; the name is OneFlow's."""
        if self.streams > 1:
            self._c_nn_graph.job = laid_out(self._c_nn_graph.job, self.streams)
        super().finish_complie_and_init_runtime()

    def _losses(self, logits: flow.Tensor, labels: flow.Tensor) -> flow.Tensor:
        smoothing, gamma = self.chosen.label_smoothing, self.chosen.focal_gamma
        if smoothing:
            labels = labels * (1.0 - smoothing) + 0.5 * smoothing
        # log(1 + e^z) - y z: the logistic loss in a form that does not overflow.
        losses = nn.functional.softplus(logits) - labels * logits
        if gamma:
            # Lin et al. 2017, "Focal Loss for Dense Object Detection": (1 - p_t)^gamma, with
            # 1 - p_t = |y - p|; its logarithm keeps the power's gradient finite.
            p = flow.sigmoid(logits)
            missed = labels * (1.0 - p) + (1.0 - labels) * p
            losses = losses * flow.exp(gamma * flow.log(missed + 1e-8))
        return losses


def _joined(parts: list[flow.Tensor]) -> flow.Tensor:
    """Tensors [m] one after the other."""
    return parts[0] if len(parts) == 1 else flow.cat(parts, dim=0)


def _optimizer(
    group: list[nn.Parameter], chosen: Hyperparameters, decay: float
) -> flow.optim.Optimizer:
    kinds = {"adam": flow.optim.Adam, "sgd": flow.optim.SGD, "adagrad": flow.optim.Adagrad}
    return kinds[chosen.optimizer](group, lr=chosen.learning_rate, weight_decay=decay)


def _schedule(
    optimizer: flow.optim.Optimizer, chosen: Hyperparameters, steps: int
) -> flow.optim.lr_scheduler.LRScheduler | None:
    schedule = None
    if chosen.schedule == "cosine":
        schedule = flow.optim.lr_scheduler.CosineDecayLR(
            optimizer, decay_steps=steps * chosen.epochs
        )
    elif chosen.lr_decay != 1.0:
        schedule = flow.optim.lr_scheduler.StepLR(optimizer, step_size=steps, gamma=chosen.lr_decay)
    if chosen.warmup_steps:
        schedule = flow.optim.lr_scheduler.WarmUpLR(
            schedule or optimizer,
            warmup_factor=1.0 / (chosen.warmup_steps + 1),
            warmup_iters=chosen.warmup_steps,
            warmup_method="linear",
        )
    return schedule


def learning_rate(chosen: Hyperparameters, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0 over all epochs; `steps` an epoch.

    Warm-up goes in a line to what the schedule gives at its end, as OneFlow's does.
    """
    warmup = chosen.warmup_steps
    if step >= warmup:
        return _scheduled(chosen, step, steps)
    first = float(chosen.learning_rate) / (warmup + 1)
    return first + (_scheduled(chosen, warmup, steps) - first) * step / warmup


def _scheduled(chosen: Hyperparameters, step: int, steps: int) -> float:
    rate = float(chosen.learning_rate)
    if chosen.schedule == "cosine":
        share = min(step / (steps * chosen.epochs), 1.0)
        return rate * 0.5 * (1.0 + math.cos(math.pi * share))
    return rate * chosen.lr_decay ** (step // steps)
