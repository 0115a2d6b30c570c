"""Keep what the server never uses out of its processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """An import hook that does not find pandas."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Refuse pandas, leave all else to the hooks that follow."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is kept out of this process", name=name)


def keep_pandas_out() -> None:
    """Let Arrow find no pandas.

    Where pandas is installed Arrow imports it at the first conversion of a list, which costs a
    second of processor time at each start, and memory in each process. Only for processes that are
    wholly ours.
    """
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas())
