"""A refit to kill: the real training of a small model, whose end is known bit for bit."""

from __future__ import annotations

import json
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
    """The digest of a model's parameters; empty where there is no model."""
    card = model / "model_card.json"
    return str(json.loads(card.read_text())["model_sha256"]) if card.is_file() else ""
