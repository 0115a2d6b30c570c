"""Golden rows: ids and the scores that training gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.errors import ContractError

DEFAULT_TOLERANCE = 1e-5
"""Largest difference between a golden score and Triton's, where golden.json names none."""


@dataclass(frozen=True)
class Golden:
    """Rows of ids and the scores that training gave them: `golden.json`."""

    ids: list[list[int]]
    scores: list[float]
    tolerance: float

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read and check `golden.json`.

        Raises:
            ContractError: the file is absent or its parts do not fit.
        """
        return cls.parse(files.read_json(path), str(path))

    @classmethod
    def parse(cls, value: Mapping[str, Any], where: str = "golden rows") -> Golden:
        """Check what `golden.json` holds: `ids`, `scores` and perhaps `tolerance`.

        Raises:
            ContractError: a part is missing, of another length, or of a wrong type.
        """
        try:
            ids = [[int(i) for i in row] for row in value["ids"]]
            scores = [float(score) for score in value["scores"]]
            tolerance = float(value.get("tolerance", DEFAULT_TOLERANCE))
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"{where}: ids and scores are needed ({error!r})") from None
        widths = {len(row) for row in ids}
        if not ids or len(ids) != len(scores) or len(widths) != 1 or 0 in widths:
            raise ContractError(
                f"{where}: {len(ids)} rows of ids (widths {sorted(widths)}) and "
                f"{len(scores)} scores do not fit"
            )
        return cls(ids, scores, tolerance)

    @property
    def n_fields(self) -> int:
        """Ids of one row."""
        return len(self.ids[0])
