"""Whether a dataset fits into memory."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from nightshift.features.specification import FeatureSpec

BLOCK_ROWS = 65_536
"""Rows of a block where the data does not fit."""

SHARE = 0.5
"""The most of the free memory that the input may take."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def block_rows(card: dict[str, Any], spec: FeatureSpec, free: int) -> tuple[int, str]:
    """Rows of a block, and why; 0 where everything fits into memory.

    Args:
        card: the dataset's data card.
        spec: its specification.
        free: bytes of memory that may be used.
    """
    rows = sum(int(split.get("rows", 0)) for split in card["splits"].values())
    weighted = any(field.number or field.tokens for field in spec.fields)
    # An input is a row's number and perhaps its weight; a number has a dense value, and bins.
    numbers = sum(field.number is not None for field in spec.fields)
    need = rows * ((spec.width + numbers) * (8 if weighted else 4) + 4 * numbers)
    fits = need <= SHARE * free
    said = f"{rows} rows take {need / 1e6:.0f} MB of {free / 1e6:.0f} MB that are free"
    return (0 if fits else BLOCK_ROWS), said


def free_memory() -> int:
    """Bytes that this process may use: what the machine has free, within its group's limit."""
    found = 1 << 62
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found = int(line.split()[1]) * 1024
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found = min(found, int(Path(path).read_text()))
    return found
