"""The release folder: where each release, the pointer and the log lie.

```
releases/
    live.json                 the pointer: the one release that serves
    history.jsonl             one line per switch, rejection, retirement and removal
    leases/<run token>.json   runs at work, whose half-made things are not leftovers
    <release id>/
        manifest.json         written once
        verdict.json          accepted or rejected, and why
        features.sql          the query of the deployment
        feature_spec.yaml     what the predict server encodes by
        data_card.json        what the next night's drift is measured against
        model/                parameters, vocabulary, golden rows
        reports/              what each check found
```
A release can be restored as long as its `model/` is there; retention takes that, and leaves the
manifest and the reports, a few kilobytes, as the record.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.errors import ContractError
from nightshift.registry import manifest as manifests
from nightshift.registry.manifest import Manifest
from nightshift.registry.names import version_of


def now() -> str:
    """The time, UTC, ISO 8601 with seconds."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class ReleaseFolder:
    """One release's folder."""

    root: Path

    @property
    def id(self) -> str:
        """The release id."""
        return self.root.name

    @property
    def manifest_path(self) -> Path:
        """`manifest.json`."""
        return self.root / "manifest.json"

    @property
    def verdict_path(self) -> Path:
        """`verdict.json`."""
        return self.root / "verdict.json"

    @property
    def sql(self) -> Path:
        """The feature query."""
        return self.root / "features.sql"

    @property
    def spec(self) -> Path:
        """The feature specification."""
        return self.root / "feature_spec.yaml"

    @property
    def data_card(self) -> Path:
        """Counts and distributions of the data that the model was trained on."""
        return self.root / "data_card.json"

    @property
    def model(self) -> Path:
        """The model folder, absent once retention took it."""
        return self.root / "model"

    @property
    def reports(self) -> Path:
        """Reports of the checks."""
        return self.root / "reports"

    def manifest(self) -> Manifest:
        """The verified manifest.

        Raises:
            ContractError: it is absent or broken.
        """
        found = manifests.load(self.manifest_path)
        if found.release_id != self.id:
            raise ContractError(
                f"{self.manifest_path} is the manifest of {found.release_id}, not of {self.id}; "
                "a release folder was renamed or copied: put it back"
            )
        return found

    def verdict(self) -> dict[str, Any] | None:
        """What the gates decided, None before they did."""
        if not self.verdict_path.is_file():
            return None
        value = files.read_json(self.verdict_path)
        if not isinstance(value, dict) or not isinstance(value.get("accepted"), bool):
            raise ContractError(
                f"{self.verdict_path} is no verdict; delete it and run the gates again"
            )
        return value

    @property
    def accepted(self) -> bool:
        """Whether the gates let it through."""
        verdict = self.verdict()
        return verdict is not None and verdict["accepted"] is True

    @property
    def restorable(self) -> bool:
        """Whether it was accepted and still holds its model."""
        return self.model.is_dir() and self.accepted


@dataclass(frozen=True)
class ReleaseStore:
    """All releases under one root (`Settings.releases`)."""

    root: Path

    @property
    def live_path(self) -> Path:
        """The pointer."""
        return self.root / "live.json"

    @property
    def history_path(self) -> Path:
        """The log."""
        return self.root / "history.jsonl"

    @property
    def lock_path(self) -> Path:
        """Held by whoever changes the pointer."""
        return self.root / ".switch.lock"

    @property
    def leases(self) -> Path:
        """Leases of runs at work."""
        return self.root / "leases"

    def folder(self, release_id: str) -> ReleaseFolder:
        """The folder of a release, which need not exist.

        Raises:
            ConfigurationError: `release_id` is no release id.
        """
        version_of(release_id)
        return ReleaseFolder(self.root / release_id)

    def releases(self) -> list[ReleaseFolder]:
        """Every release with a manifest, oldest version first."""
        found = []
        for path in self.root.glob("????-??-??.???/manifest.json"):
            folder = ReleaseFolder(path.parent)
            found.append((version_of(folder.id), folder))
        return [folder for _, folder in sorted(found, key=lambda item: item[0])]

    def log(self, event: str, **fields: Any) -> None:
        """Append one line to the log, durable when this returns."""
        line = json.dumps({"event": event, "at": now(), **fields}, sort_keys=True) + "\n"
        self.root.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.history_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = "\n" + line  # a writer was killed in mid-line
            os.write(fd, line.encode())
            os.fsync(fd)
        finally:
            os.close(fd)

    def events(self) -> Iterator[dict[str, Any]]:
        """The log's lines, oldest first; a torn line is passed over."""
        if not self.history_path.is_file():
            return
        with self.history_path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    value = json.loads(line)
                except ValueError:
                    continue
                if isinstance(value, dict) and isinstance(value.get("event"), str):
                    yield value
