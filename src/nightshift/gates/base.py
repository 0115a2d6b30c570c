"""include/gates.yaml, read once and checked; and what a check found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nightshift import files
from nightshift.errors import ConfigurationError, ReleaseRejected
from nightshift.features.specification import load_yaml_mapping, nearest

Level = Literal["fail", "warn"]

_SHAPE: dict[str, Any] = {
    "data": {
        "rows": {"min": int, "level": Level},
        "day_rows": {"min_share": float, "max_share": float, "level": Level},
        "nulls": {"max_share": float, "level": Level, "except": dict},
        "positives": {"min_share": float, "max_share": float, "level": Level},
        "drift": {"warn_psi": float, "fail_psi": float, "except": list},
    },
    "quality": {
        "min_auc": {"value": float, "level": Level},
        "max_logloss_ratio": {"value": float, "level": Level},
        "calibration_ratio": {"min": float, "max": float, "level": Level},
        "max_calibration_error": {"value": float, "level": Level},
        "versus_live": {
            "auc_margin": float,
            "logloss_margin": float,
            "confidence": float,
            "resamples": int,
            "seed": int,
            "level": Level,
            "incomparable": Level,
        },
        "slices": list,
    },
    "rehearsal": {"requests": int, "latency": {"max_ratio": float, "level": Level}},
    "consistency": {
        "sample": int,
        "tolerance": float,
        "seed": int,
        "min_compared": {"value": int, "level": Level},
    },
}


def load_gates(path: Path) -> dict[str, Any]:
    """Read and check the thresholds.

    Returns:
        The file's content; every key of the shipped file is there.

    Raises:
        ConfigurationError: a key is missing, unknown or of the wrong type.
    """
    content = load_yaml_mapping(path)
    _check(content, _SHAPE, str(path))
    return content


def _check(value: Any, shape: Any, place: str) -> None:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise ConfigurationError(f"{place} must be a mapping with {', '.join(shape)}")
        for key in value:
            if key not in shape:
                raise ConfigurationError(f"{place}: unknown key {key!r}{nearest(str(key), shape)}")
        for key, inner in shape.items():
            if key not in value:
                raise ConfigurationError(f"{place}: the key {key!r} is missing")
            _check(value[key], inner, f"{place}: {key}")
    elif shape is Level:
        if value not in ("fail", "warn"):
            raise ConfigurationError(f"{place} is {value!r}; it is fail or warn")
    elif shape in (int, float):
        kinds = (int,) if shape is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or value < 0:
            raise ConfigurationError(
                f"{place} is {value!r}; give a {'whole ' if shape is int else ''}number, 0 or more"
            )
    elif not isinstance(value, shape):
        raise ConfigurationError(f"{place} must be a {shape.__name__}")


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


def write_report(reports: Path, value: Mapping[str, Any]) -> Path:
    """Write a report as `<reports>/<check>.json`, whole."""
    path = reports / f"{value['check']}.json"
    files.write_json(path, value)
    return path


def demand(value: Mapping[str, Any]) -> None:
    """Go on only where the report does not say fail.

    Raises:
        ReleaseRejected: with the report's failures.
    """
    failures: Sequence[str] = value["failures"]
    if failures:
        raise ReleaseRejected(f"{value['check']}: {'; '.join(failures)}")
