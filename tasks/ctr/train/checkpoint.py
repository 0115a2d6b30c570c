"""What training needs to go on after a stop: written whole, beside the one before."""

from __future__ import annotations

import re
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift import files
from nightshift.errors import ContractError
from tasks.entry import log

Arrays = dict[str, npt.NDArray[Any]]

_NAME = re.compile(r"epoch-(\d+)-step-(\d+)")


@dataclass
class Progress:
    """Where training is.

    Attributes:
        epoch: the epoch under way, from 0.
        step: its next step.
        loss_sum: sum over the epoch's rows so far of the training loss.
        history: one entry an ended epoch, as in `metrics.jsonl`.
        best_epoch: the epoch with the best validation score, -1 for the start, or None.
        best_score: that score.
        finished: no epoch is left: early stopping or the last one.
        seconds: time spent training so far.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: float | None = None
    finished: bool = False
    seconds: float = 0.0


@dataclass
class Checkpoint:
    """Progress with the arrays that belong to it.

    Attributes:
        progress: where training was.
        state: the training graph's state: parameters, Adam's moments, the step number.
        best: parameters after the best epoch; empty before the first has ended.
    """

    progress: Progress
    state: Arrays
    best: Arrays


class CheckpointStore:
    """Checkpoints of one training in one folder; the newest whole one counts."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove the older ones."""
        progress = checkpoint.progress
        target = self.folder / f"epoch-{progress.epoch:04d}-step-{progress.step:08d}"
        with files.staged_dir(target, replace=True) as staged:
            with (staged / "state.npz").open("wb") as file:
                np.savez(file, **_prefixed(state=checkpoint.state, best=checkpoint.best))
            files.write_json(
                staged / "progress.json",
                {"version": 1, "fingerprint": self.fingerprint, **vars(progress)},
            )
        for path in self._found():
            if path != target:
                shutil.rmtree(path, ignore_errors=True)
        files.sweep_staging(self.folder, older_than_s=0.0)

    def load(self) -> Checkpoint | None:
        """The newest checkpoint of this very training, or None.

        One of other data or hyper-parameters, or a broken one, is ignored with a line that
        says so.
        """
        for path in reversed(self._found()):
            try:
                content = files.read_json(path / "progress.json")
                if content.pop("version") != 1 or content.pop("fingerprint") != self.fingerprint:
                    log(f"checkpoint {path} is of other data or hyper-parameters: not used")
                    continue
                with np.load(path / "state.npz", allow_pickle=False) as arrays:
                    held = {name: arrays[name] for name in arrays.files}
                return Checkpoint(
                    Progress(**content), _without("state", held), _without("best", held)
                )
            except (
                ContractError,
                OSError,
                ValueError,
                KeyError,
                TypeError,
                EOFError,
                zipfile.BadZipFile,
            ) as error:
                log(f"checkpoint {path} cannot be read ({error}): not used")
        return None

    def clear(self) -> None:
        """Remove every checkpoint, and the folder when nothing else is in it."""
        for path in self._found():
            shutil.rmtree(path, ignore_errors=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _found(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(
            (path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)),
            key=lambda path: tuple(int(part) for part in path.name.split("-")[1::2]),
        )


def _prefixed(**groups: Arrays) -> dict[str, Any]:
    return {
        f"{group}/{name}": value for group, held in groups.items() for name, value in held.items()
    }


def _without(group: str, held: Arrays) -> Arrays:
    return {
        name.removeprefix(f"{group}/"): value
        for name, value in held.items()
        if name.startswith(f"{group}/")
    }
