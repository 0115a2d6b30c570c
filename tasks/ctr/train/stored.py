"""Tables in OneFlow's OneEmbedding store: on disk, with caches in memory and on the GPU.

The store itself needs a GPU. What goes in and out of it does not: a snapshot of the store is written
and read as OneFlow's persistent table. So a training begins from a snapshot of the start's tables,
its checkpoints hold the tables as any other's do, and the model is made of a snapshot's.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import oneflow as flow
from oneflow import nn, one_embedding

from nightshift.errors import ConfigurationError
from tasks.ctr.train.checkpoint import Arrays
from tasks.ctr.train.dataset import Batch
from tasks.ctr.train.engine import Here, flatten, unflatten
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.models import Architecture, Network, build, plan

MOMENTS = {"adam": ("m", "v"), "adagrad": ("sum",), "sgd": ()}
"""What the optimizers keep of each value, in the order of a line."""

START, RESUMED, LATEST = "start", "resumed", "latest"

_LINES_AT_ONCE = 1 << 16
_SNAPSHOT = "store.OneEmbeddingSnapshot"
_names = itertools.count()


class Lines:
    """The store's lines on disk: a row's values in each table, then each moment of all of them."""

    def __init__(self, folder: Path, widths: Mapping[str, int], moments: tuple[str, ...]) -> None:
        """Describe them.

        Args:
            folder: the store's `persistent_path`.
            widths: values a row of each table, by the parameter's name.
            moments: what the optimizer keeps of each value.
        """
        # OneFlow names the folder by the rank and the number of ranks.
        self._path = folder / "0-1"
        self._path.mkdir(parents=True, exist_ok=True)
        self._places: dict[str, slice] = {}
        width = sum(widths.values())
        first = 0
        for name, values in widths.items():
            for at, entry in enumerate((name, *(f"{name}-{moment}" for moment in moments))):
                self._places[entry] = slice(at * width + first, at * width + first + values)
            first += values
        self._length = width * (1 + len(moments))
        self._table = (flow.int32, flow.float, self._length)

    def write(self, snapshot: str, values: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Write a snapshot of all rows; moments that are not given are 0."""
        given = {name: values[name] for name in self._places if name in values}
        rows = len(next(iter(given.values())))
        with one_embedding.make_persistent_table_writer(
            [str(self._path)], snapshot, *self._table
        ) as writer:
            for first in range(0, rows, _LINES_AT_ONCE):
                keys = np.arange(first, min(first + _LINES_AT_ONCE, rows), dtype=np.int32)
                lines = np.zeros((len(keys), self._length), np.float32)
                for name, array in given.items():
                    lines[:, self._places[name]] = array[first : first + len(keys)]
                writer.write(keys, lines)

    def read(self, snapshot: str, rows: int) -> dict[str, npt.NDArray[np.float32]]:
        """Tables and moments by name, of a snapshot that is there; then it is removed."""
        found = {
            name: np.zeros((rows, place.stop - place.start), np.float32)
            for name, place in self._places.items()
        }
        for keys, lines in self._parts(snapshot):
            for name, place in self._places.items():
                found[name][keys] = lines[:, place]
        shutil.rmtree(self._path / "snapshots" / snapshot)
        return found

    def _parts(self, snapshot: str) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        with one_embedding.make_persistent_table_reader(
            [str(self._path)], snapshot, *self._table
        ) as reader:
            yield from reader


def store_options(chosen: Hyperparameters, folder: Path, rows: int) -> dict[str, Any]:
    """OneEmbedding's options of a store for all rows, with room for the optimizer's moments.

    Args:
        chosen: says the kind of store and the cache of the GPU.
        folder: its `persistent_path`.
        rows: of the tables.
    """
    common = {
        "persistent_path": str(folder),
        "capacity": rows,
        "size_factor": 1 + len(MOMENTS[chosen.optimizer]),
    }
    made: dict[str, Any]
    if chosen.store_kind == "device_mem":
        made = one_embedding.make_device_mem_store_options(**common)
    elif chosen.store_kind == "cached_host_mem":
        made = one_embedding.make_cached_host_mem_store_options(chosen.store_cache_mb, **common)
    else:
        made = one_embedding.make_cached_ssd_store_options(chosen.store_cache_mb, **common)
    return made


def open_store(widths: list[int], options: dict[str, Any]) -> nn.Module:
    """The store as a module: table rows int32 in, their values in all tables out.

    Raises:
        ConfigurationError: there is no GPU, without which OneFlow ends the process.
    """
    if not flow.cuda.is_available():
        raise ConfigurationError(
            "embedding_store is one_embedding, and OneFlow sees no GPU; set embedding_store: memory"
        )
    # Every row is in the snapshot that is loaded next; none is ever initialized by this.
    nothing = one_embedding.make_column_options(one_embedding.make_constant_initializer(0.0))
    return one_embedding.MultiTableMultiColumnEmbedding(
        name=f"tables-{next(_names)}",
        embedding_dim=widths,
        dtype=flow.float,
        key_type=flow.int32,
        tables=[one_embedding.make_table_options([nothing] * len(widths))],
        store_options=options,
    )


class Stored(Here):
    """Steps in this process, on tables in a store."""

    def __init__(
        self,
        shape: Architecture,
        chosen: Hyperparameters,
        start: Arrays,
        steps: int,
        device: str,
        folder: Path,
    ) -> None:
        """Write the start's tables into a new store and open it.

        Args:
            shape: of the network.
            chosen: hyper-parameters without `auto`.
            start: parameters to begin with.
            steps: an epoch.
            device: where the other parameters are.
            folder: of the store; what is there is removed.
        """
        self._shape, self._folder = shape, folder
        widths = {name: weight.shape[1] for name, weight in plan(shape).items() if weight.table}
        shutil.rmtree(folder, ignore_errors=True)
        self._lines = Lines(folder, widths, MOMENTS[chosen.optimizer])
        self._lines.write(START, start)
        options = store_options(chosen, folder, shape.num_rows)
        network = build(shape, start, "cpu", chosen.dropout)
        network.keep_tables_in(open_store(list(widths.values()), options))
        network.store.load_snapshot(START)
        network.to(device)
        self._take(network, chosen, steps, device)
        self._seen: Network | None = None

    def step(self, batch: Batch) -> None:
        """Queue a step."""
        self._seen = None
        super().step(batch)

    @property
    def network(self) -> Network:
        """A network on the CPU with the parameters after the steps so far."""
        if self._seen is None:
            self._network.store.save_snapshot(LATEST)
            values = {name: value.numpy() for name, value in self._network.named_parameters()}
            values |= self._lines.read(LATEST, self._shape.num_rows)
            self._seen = build(self._shape, values, "cpu")
        return self._seen

    def state(self) -> Arrays:
        """What a checkpoint keeps: parameters, the optimizers' moments, the step number."""
        # OneFlow makes a snapshot for it and says its name.
        flat = flatten(self._graph.state_dict())
        found = {n: each.numpy() for n, each in flat.items() if isinstance(each, flow.Tensor)}
        lines = self._lines.read(str(flat[f"network/{_SNAPSHOT}"]), self._shape.num_rows)
        return found | {f"lines/{name}": array for name, array in lines.items()}

    def load(self, state: Arrays) -> None:
        """Go on from a state; before the first step only."""
        lines = {n.removeprefix("lines/"): a for n, a in state.items() if n.startswith("lines/")}
        self._lines.write(RESUMED, lines)
        rest = {n: flow.from_numpy(a) for n, a in state.items() if not n.startswith("lines/")}
        held = unflatten(rest)
        held["network"][_SNAPSHOT] = RESUMED
        self._graph.load_state_dict(held)
        self._seen = None

    def close(self) -> None:
        """Give up the graph and the store, whose folder is removed."""
        self._seen = None
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)
