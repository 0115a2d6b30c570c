"""What the workers behind one port know of each other: a file each, in a folder they share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nightshift import files

FOLDER = "NIGHTSHIFT_PREDICT_CREW"
"""Variable that names the folder; the supervisor sets it."""


class Crew:
    """This worker's line, and the others'.

    Args:
        folder: shared by the workers of one supervisor; None: this process is alone.
        expected: how many workers there are to be.
    """

    def __init__(self, folder: Path | None, expected: int) -> None:
        self._folder = folder
        self._expected = expected
        self._told: dict[str, Any] | None = None

    @classmethod
    def from_env(cls, expected: int) -> Crew:
        """The crew that the supervisor's variable names."""
        name = os.environ.get(FOLDER, "")
        return cls(Path(name) if name else None, expected if name else 1)

    def tell(self, pipelines: dict[str, Any]) -> None:
        """Write what this worker follows, if it changed."""
        if pipelines == self._told:
            return
        self._told = pipelines
        if self._folder is not None:
            target = self._folder / f"{os.getpid()}.json"
            # Not synced to the disk: it is of no worth after a power cut.
            staged = files.staging_path(target)
            staged.write_text(json.dumps({"pid": os.getpid(), "pipelines": pipelines}))
            staged.replace(target)

    def leave(self) -> None:
        """Take this worker's line away."""
        if self._folder is not None:
            (self._folder / f"{os.getpid()}.json").unlink(missing_ok=True)

    def workers(self, pipeline: str) -> dict[str, Any]:
        """All workers, by what they follow of a pipeline.

        Returns:
            `expected`, how many there are to be; `serving`, how many there are; and `following`,
            a list of pid, release and problem.
        """
        found: list[dict[str, Any]] = [{"pid": os.getpid(), "pipelines": self._told or {}}]
        if self._folder is not None:
            for path in sorted(self._folder.glob("[0-9]*.json")):
                if path.stem == str(os.getpid()):
                    continue
                try:
                    found.append(json.loads(path.read_text()))
                except (OSError, ValueError):
                    continue  # it left at this moment
        following = [
            {"pid": line["pid"], **line["pipelines"].get(pipeline, {"release": None})}
            for line in sorted(found, key=lambda line: int(line["pid"]))
        ]
        return {"expected": self._expected, "serving": len(found), "following": following}
