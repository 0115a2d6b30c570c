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
        create_tables.sql     the online tables that the query reads
        tables.yaml           what each of them is
        data_card.json        what the next night's drift is measured against
        model/                parameters, vocabulary, golden rows
        judged/               of a refit: the model that the gates judged
        recommend/            retrieval, where the pipeline recommends
        reports/              what each check found
```
A release can be restored as long as its `model/` is there; retention takes that, and leaves the
manifest and the reports, a few kilobytes, as the record.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.errors import ContractError
from nightshift.registry import manifest as manifests
from nightshift.registry.manifest import Manifest
from nightshift.registry.names import version_of

MAX_LINE = 1 << 20
"""Bytes of a line of the log; a longer one is none of ours."""


def now() -> str:
    """The time, UTC, ISO 8601 with seconds."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment_of(text: str) -> dt.datetime:
    """The moment that `now` wrote.

    Raises:
        ValueError: the text is not a time.
    """
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


@dataclass(frozen=True)
class ReleaseFolder:
    """One release's folder."""

    root: Path

    @property
    def id(self) -> str:
        """Id of the release, which is the name of its folder."""
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
        """File with the text of the feature query."""
        return self.root / "features.sql"

    @property
    def spec(self) -> Path:
        """File with the feature specification that the model was trained with."""
        return self.root / "feature_spec.yaml"

    @property
    def create_tables(self) -> Path:
        """The script of the online tables; older releases have none."""
        return self.root / "create_tables.sql"

    @property
    def tables(self) -> Path:
        """The declaration of the source tables; older releases have none."""
        return self.root / "tables.yaml"

    @property
    def data_card(self) -> Path:
        """Counts and distributions of the data that the model was trained on."""
        return self.root / "data_card.json"

    @property
    def model(self) -> Path:
        """The model folder, absent once retention took it."""
        return self.root / "model"

    @property
    def judged(self) -> Path:
        """Of a refit, the model that the gates judged; absent once retention took it."""
        return self.root / "judged"

    @property
    def judged_model(self) -> Path:
        """The model that the gates judged, which has not seen its held-out days.

        Raises:
            ContractError: the manifest is absent or broken.
        """
        return self.model if self.manifest().refit is None else self.judged

    @property
    def recommend(self) -> Path:
        """The retrieval, where the release has one; absent once retention took it."""
        return self.root / "recommend"

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
                f"{self.verdict_path} is not a verdict; delete it and run the gates again"
            )
        return value

    @property
    def accepted(self) -> bool:
        """Whether the gates let it through."""
        verdict = self.verdict()
        return verdict is not None and verdict["accepted"] is True


@dataclass(frozen=True)
class ReleaseStore:
    """All releases under one root (`Settings.releases`)."""

    root: Path

    @property
    def live_path(self) -> Path:
        """File that names the live release."""
        return self.root / "live.json"

    @property
    def history_path(self) -> Path:
        """File with one line for each event of the releases."""
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
            ConfigurationError: `release_id` is not a release id.
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
        line = json.dumps({"event": event, "at": now(), **fields}, sort_keys=True)
        files.append_line(self.history_path, line.encode())

    def events(self) -> Iterator[dict[str, Any]]:
        """The log's lines, oldest first; lines that are not ours, or torn, are ignored."""
        if not self.history_path.is_file():
            return
        with self.history_path.open("rb") as file:
            whole = True
            while line := file.readline(MAX_LINE):
                begins, whole = whole, line.endswith(b"\n")
                if begins and (value := event_of(line)) is not None:
                    yield value


def event_of(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None where a reader could stumble over it."""
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    needed = _NEEDED.get(value.get("event", ""), {}) if _is_text(value.get("event")) else None
    if needed is None or not _is_text(value.get("at")):
        return None
    sound = needed.keys() <= value.keys() and all(
        check(value[name]) for name, check in {**_ALWAYS, **needed}.items() if name in value
    )
    return value if sound else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_ALWAYS: dict[str, Callable[[Any], bool]] = {
    "release_id": _is_name,
    "run_id": _is_name,
    "ds": _is_text,
    "previous": _is_name,
    "reason": _is_text,
    "switched_at": _is_text,
    "reasons": _is_texts,
    "sequence": _is_count,
}
"""Fields of any event, and what they hold where they are there."""

_NEEDED: dict[str, dict[str, Callable[[Any], bool]]] = {
    "switched": {"release_id": _is_text, "sequence": _is_count},
    "removed": {"release_id": _is_text},
    "withdrawn": {"release_id": _is_text},
    "canary": {"release_id": _is_text},
    "canary ended": {"release_id": _is_text, "reason": _is_text},
}
"""Fields that an event must have for its readers."""
