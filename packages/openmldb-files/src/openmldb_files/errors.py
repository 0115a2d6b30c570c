"""What is wrong with a file."""

from __future__ import annotations

from pathlib import Path


class FileError(ValueError):
    """A file cannot be read as asked; the message names the file and, where known, the column.

    Attributes:
        path: the file or folder.
        column: the column, or None where the whole file is wrong.
        reason: what is wrong, without file and column.
        hint: what to do about it, or an empty text.
    """

    def __init__(
        self, path: str | Path, reason: str, *, column: str | None = None, hint: str = ""
    ) -> None:
        self.path = Path(path)
        self.column = column
        self.reason = reason
        self.hint = hint
        place = f"{path}, column {column}" if column is not None else str(path)
        super().__init__(f"{place}: {reason}" + (f"; {hint}" if hint else ""))
