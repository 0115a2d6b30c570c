"""Which models Triton may start with: `python -m nightshift.triton.startable REPOSITORY`.

Prints a name a line. A version that is damaged is a reason to leave its model out: beside others of
a load it can crash the server (2.51), again at every start. `nightshift.triton.revive` then loads
what is whole.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nightshift.errors import NightshiftError
from nightshift.triton import repository


def startable(repo: Path) -> list[str]:
    """Models whose pinned versions are all as they were published, and no candidate of one.

    Args:
        repo: Triton's model repository; it need not be there.
    """
    return [
        model
        for model in repository.models(repo)
        if not model.endswith(repository.CANDIDATE) and _is_whole(repo, model)
    ]


def _is_whole(repo: Path, model: str) -> bool:
    try:
        pins = repository.pins(repo, model)
        return bool(pins) and not repository.damaged(repo, model, pins)
    except (NightshiftError, OSError) as error:
        sys.stderr.write(f"{model} is left out: {error}\n")
        return False


if __name__ == "__main__":
    for name in startable(Path(sys.argv[1])):
        sys.stdout.write(f"{name}\n")
