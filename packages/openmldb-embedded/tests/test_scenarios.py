"""The server answers a recorded conversation as the real API server did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scenarios import KNOWN, REFUSED, replay

from testing.embedded import ServerProcess

NAMES = (
    "indexes",
    "requests",
    "rows_and_deletes",
    "scripts_and_literals",
    "statements",
    "values",
    "windows_and_joins",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_conversation(
    name: str, shared: Path, new_server: Callable[..., ServerProcess]
) -> None:
    scenario = shared / "openmldb-protocol" / f"{name}.jsonl"
    if not scenario.is_file():
        pytest.skip(f"{scenario} is absent")
    compared, faults = replay(new_server().start().client, scenario)
    assert [f for f in faults if f.kind in ("accepted", "survived", "no answer")] == []
    faults = [f for f in faults if not (f.kind == "refused" and f.sql in REFUSED)]
    assert [f for f in faults if f.sql not in KNOWN] == []
    assert len(faults) <= 0.02 * compared
