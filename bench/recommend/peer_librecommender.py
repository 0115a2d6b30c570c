"""LibRecommender's ItemCF and ALS on a csv of user, item; run by its own Python.

    uv venv peer --python 3.10
    uv pip install --python peer/bin/python librecommender==1.5.2 'numpy<2' pandas scikit-learn
    peer/bin/python bench/recommend/peer_librecommender.py train.csv users.json answers.json N

Its algorithms are imported together; TensorFlow and PyTorch, which these two do not use, are
stood in for by empty modules.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import sys
import time
import types
from pathlib import Path
from typing import Any


class Absent(types.ModuleType):
    """A module of which only the names exist."""

    __path__: list[str] = []  # noqa: RUF012
    __version__ = "2.10.0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {}) if name[0].isupper() else Absent(f"{self.__name__}.{name}")

    def __call__(self, *given: Any, **_: Any) -> Any:
        return given[0] if given and callable(given[0]) else self


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the absent frameworks."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.split(".")[0] in ("tensorflow", "torch", "dgl"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def main() -> None:
    """Fit both, and write the items of each user."""
    train, users_file, out, count = sys.argv[1:5]
    sys.meta_path.insert(0, Finder())
    import pandas as pd
    from libreco.algorithms import ALS, ItemCF  # type: ignore[import-not-found]
    from libreco.data import DatasetPure  # type: ignore[import-not-found]

    frame = pd.read_csv(train, dtype=str)
    frame["label"] = 1
    data, info = DatasetPure.build_trainset(frame)
    users = json.loads(Path(users_file).read_text())
    # k_sim as many neighbours as ours keeps; the weights are those of its own examples.
    made: dict[str, Any] = {
        "ItemCF": lambda: ItemCF("ranking", info, k_sim=50),
        "ALS": lambda: ALS("ranking", info, embed_size=32, n_epochs=15, reg=5.0, alpha=10),
    }
    answers: dict[str, Any] = {}
    for name, make in made.items():
        began = time.perf_counter()
        model = make()
        model.fit(data, neg_sampling=True, verbose=0)
        seconds = time.perf_counter() - began
        found = model.recommend_user(user=users, n_rec=int(count), cold_start="popular")
        answers[name] = {
            "fit_s": round(seconds, 2),
            "items": {user: [str(item) for item in found[user]] for user in users},
        }
    Path(out).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
