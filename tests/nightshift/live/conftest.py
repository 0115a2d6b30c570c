"""Spools as a worker writes them, without a server."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from nightshift.live import spool

REQUEST = (("reqId", "string"), ("eventTime", "timestamp"), ("user", "string"))
FEATURES = (("request_id", "string"), ("user", "string"), ("count", "int64"), ("rate", "float"))
HOUR_US = 1_700_000_000_000_000 // 3_600_000_000 * 3_600_000_000
"""2023-11-14T22:00Z."""


def context(**changes: Any) -> spool.Context:
    made = {
        "number": 1,
        "release": "2023-11-13.001",
        "deployment": "jd_a",
        "model": "jd",
        "model_version": 20231113001,
        "request": REQUEST,
        "features": FEATURES,
        "key": 0,
        "hashed": (),
        "omitted": (),
        **changes,
    }
    return spool.Context(**made)


def answer(
    number: int, at_us: int, *, count: int = 1, context: int = 1, **changes: Any
) -> spool.Answer:
    """An answer to `count` requests named `q<number>.<row>`."""
    made = {
        "context": context,
        "receipt": f"20231114T22-abc-{number}",
        "operation": "predict",
        "role": "live",
        "at_us": at_us,
        "began_us": at_us - 1000,
        "request_hash": f"{number:016x}",
        "feature_hash": f"{number + 1:016x}",
        "watermark": "{}",
        "order": None,
        "scores": struct.pack(f"<{count}f", *(0.1 * (r + 1) for r in range(count))),
        "rows": [[f"q{number}.{r}", 1000 * number, "u1"] for r in range(count)],
        "features": [[f"q{number}.{r}", "u1", number, 0.1] for r in range(count)],
        **changes,
    }
    return spool.Answer(**made)


def write(folder: Path, name: str, frames: list[Any], *, close: bool = True) -> spool.Spool:
    made = spool.Spool(folder / "spool" / name)
    made.append(b"".join(spool.frame(one) for one in frames))
    if close:
        made.close()
    return made
