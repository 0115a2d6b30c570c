"""The thresholds of the gates, and what a check found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.config.gates import GatesConfig, Level
from nightshift.config.reading import read
from nightshift.errors import ReleaseRejected


def load_gates(path: Path) -> dict[str, Any]:
    """Read and check the thresholds.

    Returns:
        Thresholds by gate; what the file leaves out has its default.

    Raises:
        ConfigurationError: a key is unknown or a value is wrong; every problem is named.
    """
    return read(GatesConfig, path).model_dump(by_alias=True)


@dataclass(frozen=True)
class Finding:
    """One breach: what was measured, and how bad it is."""

    check: str
    level: Level
    message: str


def report(name: str, findings: Iterable[Finding], **figures: Any) -> dict[str, Any]:
    """The JSON report of a check: `status` is pass, warn or fail."""
    found = list(findings)
    levels = {finding.level for finding in found}
    return {
        "check": name,
        "status": "fail" if "fail" in levels else "warn" if levels else "pass",
        "failures": [f.message for f in found if f.level == "fail"],
        "warnings": [f.message for f in found if f.level == "warn"],
        **figures,
    }


def demand(value: Mapping[str, Any]) -> None:
    """Go on only where the report does not say fail.

    Raises:
        ReleaseRejected: with the report's failures.
    """
    failures: Sequence[str] = value["failures"]
    if failures:
        raise ReleaseRejected(f"{value['check']}: {'; '.join(failures)}")
