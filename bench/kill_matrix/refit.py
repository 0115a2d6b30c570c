"""A refit to kill: the real training of a small model, whose end is known bit for bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

from testing.workshop import Workshop

SETTINGS = (
    *("--set", "batch_size=64", "--set", "hidden=[16, 8]", "--set", "epochs=8"),
    *("--set", "learning_rate=0.001", "--set", "trees=10", "--set", "threads=1"),
    *("--set", "checkpoint_steps=5", "--set", "importance_rows=0"),
)


def make(root: Path) -> str:
    """Train a judged model below `root`, refit it once undisturbed, and give that one's digest."""
    root.mkdir()
    shop = Workshop(root)
    features = shop.features(rows_a_day=400)
    shop.preprocess(features)
    shop.run("preprocess", *shop.preprocess_arguments(features, "--refit", out="all"))
    shop.train("dataset", *SETTINGS)
    out = root / "undisturbed"
    shop.run("train", *arguments(root, out), "--result", out.with_suffix(".json"))
    return digest(out / "model")


def arguments(root: Path, out: Path) -> list[str]:
    """Arguments of `tasks.ctr.train` for a refit into `out`, but for its result."""
    return [
        *("--dataset", f"{root}/all", "--spec", f"{root}/spec.yaml"),
        *("--refit-of", f"{root}/model", "--device", "cpu"),
        *("--out", f"{out}/model", "--checkpoint", f"{out}/checkpoint"),
    ]


def digest(model: Path) -> str:
    """The digest of a model's parameters; empty where there is no model.

    The graph is left out: its text names lines of the code that made it, which may be changed while
    the bench runs.
    """
    found = [path for path in sorted((model / "model").rglob("*")) if path.suffix != ".mlir"]
    made = hashlib.sha256()
    for path in found:
        if path.is_file():
            made.update(path.relative_to(model).as_posix().encode())
            made.update(path.read_bytes())
    return made.hexdigest() if found else ""
