"""The single pointer to the live release, and the one door through which it changes."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from nightshift import files
from nightshift.errors import (
    ConfigurationError,
    ContractError,
    NightshiftError,
    ReleaseRejected,
)
from nightshift.families import FIRST, WITHOUT_FEATURES
from nightshift.registry.manifest import Manifest
from nightshift.registry.store import ReleaseFolder, ReleaseStore, moment_of, now

Promote = Literal["newer", "force"]
ANY = "*"
"""For `switch_live`: whatever is live may be replaced."""

WITHDRAWAL = "withdrawal: "
"""How the reason of a switch begins that took a release out of service for what it did there."""

_ABSENT = object()

Probe = Callable[[ReleaseFolder, Manifest], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class PairNames:
    """A pair that serves or is kept loaded.

    `database`, `deployment`, `feature_spec` and `spec_hash` are None for a model without
    features. `feature_spec` is the absolute path of the specification kept with the release and
    `spec_hash` its schema hash. `family` is the model's, a name of `nightshift.families`.
    """

    release_id: str
    ds: str
    database: str | None
    deployment: str | None
    model: str
    model_version: int
    feature_spec: str | None
    spec_hash: str | None
    manifest_checksum: str
    family: str


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """The pair that served before; until a time, UTC as in `now`, it scores in shadow."""

    pair: PairNames
    until: str

    def active(self, at: dt.datetime) -> bool:
        """Whether it still scores."""
        return at < _time(self.until)


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A candidate that answers the users whose keyed hash of `column` lies below `share`.

    `since` is when it began, UTC as in `now`.
    """

    pair: PairNames
    share: float
    column: str
    since: str


@dataclass(frozen=True, kw_only=True)
class LivePointer(PairNames):
    """The content of live.json: the live pair, and how it came to serve.

    `sequence` counts switches; `previous` is the release that served before, and `reason` is
    promotion, force or rollback. `shadow` and `canary` are other pairs that stay loaded; files
    without them are read, too.
    """

    switched_at: str
    sequence: int
    previous: str | None
    reason: str
    shadow: Shadow | None = None
    canary: Canary | None = None

    @property
    def names(self) -> PairNames:
        """The live pair."""
        return PairNames(**{item.name: getattr(self, item.name) for item in fields(PairNames)})

    def beside(self, pair: PairNames) -> LivePointer:
        """As if another pair were live, and nothing beside it."""
        return replace(self, **asdict(pair), shadow=None, canary=None)

    def warm(self, at: dt.datetime) -> list[PairNames]:
        """The pairs beside the live one that must stay loaded."""
        found = [self.canary.pair] if self.canary is not None else []
        if self.shadow is not None and self.shadow.active(at):
            found.append(self.shadow.pair)
        return found


_REPAIR = "trigger the pipeline's rollback DAG with the release that should serve"


def read_live(releases: Path) -> LivePointer | None:
    """The live release, or None before the first one.

    A pointer that was lost is made again from the log: the release that served keeps serving.

    Raises:
        ContractError: live.json is broken, or lost and what it named is broken; the message says
            how to repair it.
    """
    store = ReleaseStore(releases)
    path = store.live_path
    if not path.exists():
        return _lost(store)
    try:
        value = files.read_json(path)
    except ContractError as error:
        raise ContractError(f"{error}; {_REPAIR}") from None
    try:
        found = _read_fields(LivePointer, value)
        for name, part in (("shadow", Shadow), ("canary", Canary)):
            if value.get(name) is not None:
                found[name] = _read_part(part, value[name])
    except _Wrong as error:
        raise ContractError(
            f"{path} is not a live pointer: {error} is missing or of the wrong type; {_REPAIR}"
        ) from None
    return LivePointer(**found)


class _Wrong(Exception):
    """A field is missing or of the wrong type."""


_KINDS: Mapping[str, tuple[type, ...]] = {
    "model_version": (int,),
    "sequence": (int,),
    "share": (int, float),
    **dict.fromkeys(
        ("previous", "database", "deployment", "feature_spec", "spec_hash"), (str, type(None))
    ),
}
"""Types of fields that are not text."""


def _read_fields(kind: type, value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in fields(kind):
        if item.name in ("pair", "shadow", "canary"):
            continue
        one = value.get(item.name, _ABSENT) if isinstance(value, dict) else _ABSENT
        if item.name == "family" and one is _ABSENT:
            # Written before pointers named it.
            one = WITHOUT_FEATURES if found["deployment"] is None else FIRST
        if not isinstance(one, _KINDS.get(item.name, (str,))) or isinstance(one, bool):
            raise _Wrong(item.name)
        found[item.name] = one
    return found


def _read_part(kind: type[Shadow | Canary], value: Any) -> Shadow | Canary:
    found = _read_fields(kind, value)
    for name in ("until", "since"):
        if name in found:
            try:
                _time(found[name])
            except (ValueError, TypeError):
                raise _Wrong(name) from None
    if not 0 <= found.get("share", 0) <= 1:
        raise _Wrong("share")
    return kind(pair=PairNames(**_read_fields(PairNames, value.get("pair"))), **found)


def _time(text: str) -> dt.datetime:
    found = moment_of(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return found


def check_promote(promote: str) -> Promote:
    """`promote` as one of its allowed values.

    Raises:
        ConfigurationError: it is none.
    """
    for allowed in get_args(Promote):
        if promote == allowed:
            return allowed  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"promote is {promote!r}; it is 'newer' (a newer date only) or 'force'"
    )


def reason_not_to_promote(live: LivePointer | None, ds: str, promote: Promote) -> str | None:
    """Why a candidate of the date `ds` must not become live; None if it may."""
    if live is None or promote == "force" or ds > live.ds:
        return None
    return (
        f"its date {ds} is not newer than {live.ds} of the live release {live.release_id}; "
        "it is kept, and promote=force would make it live"
    )


def switch_live(
    releases: Path,
    release_id: str,
    *,
    probe: Probe,
    promote: Promote = "newer",
    reason: str = "promotion",
    actor: str = "unknown",
    champion: str | None = ANY,
    warm_s: float = 0.0,
    timeout_s: float = 60.0,
) -> LivePointer:
    """Make a release live in one atomic rename; readers see the old pointer or the new one.

    Switching to the release that is live already changes nothing. Whoever holds the lock and
    dies loses it with its process.

    Args:
        releases: root of the releases.
        release_id: the release; its folder is complete and its verdict is "accepted".
        probe: looks whether the pair can serve at this moment, under the lock; returns what is
            wrong, nothing if all is well.
        promote: "newer" refuses a date that is not after the live one's; "force" does not ask.
        reason: for the log: promotion, force, rollback.
        actor: for the log: who or what asked.
        champion: the release that the gates compared with (None: there was none); another one
            that became live meanwhile is not replaced unseen. ANY asks nothing.
        warm_s: how long the pair that is replaced stays loaded and scores in shadow.
        timeout_s: how long to wait for another switch.

    Raises:
        ReleaseRejected: not newer, not accepted, or not ready.
        ContractError: the manifest is broken.
        LockHeld: another live process is switching.
    """
    store = ReleaseStore(releases)
    with files.locked(store.lock_path, timeout_s=timeout_s):
        live = _settled(store, _readable_live(releases, force=promote == "force"))
        folder = store.folder(release_id)
        manifest = folder.manifest()
        if live is not None and live.release_id == release_id:
            if live.manifest_checksum != manifest.checksum:
                raise ContractError(
                    f"{folder.manifest_path} is not the manifest that {store.live_path} was "
                    "switched to; restore it from a backup"
                )
            return live
        refusal = reason_not_to_promote(live, manifest.ds, promote)
        if refusal:
            raise ReleaseRejected(f"{release_id} does not become live: {refusal}")
        if champion != ANY and (live.release_id if live else None) != champion:
            raise ReleaseRejected(
                f"{release_id} does not become live: the gates compared it with "
                f"{champion or 'nothing'}, and {live.release_id if live else 'nothing'} is live "
                "now; run its date again"
            )
        wrong = _unready(folder, manifest, probe)
        if wrong:
            raise ReleaseRejected(
                f"{release_id} does not become live, {live.release_id if live else 'nothing'} "
                f"keeps serving: {'; '.join(wrong)}"
            )
        pointer = _pointer(
            folder,
            manifest,
            switched_at=now(),
            sequence=live.sequence + 1 if live else _last_sequence(store) + 1,
            previous=live.release_id if live else None,
            reason=reason,
            shadow=_shadow(live, warm_s),
        )
        files.write_json(store.live_path, asdict(pointer))
        store.log("switched", **_line(pointer), actor=actor)
        if live is not None and live.canary and live.canary.pair.release_id != release_id:
            store.log(
                "canary ended",
                release_id=live.canary.pair.release_id,
                reason=f"{release_id} became live",
                actor=actor,
            )
        return pointer


def _unready(folder: ReleaseFolder, manifest: Manifest, probe: Probe) -> list[str]:
    wrong = [] if folder.accepted else [f"{folder.verdict_path} does not say accepted"]
    if manifest.features is not None and not folder.spec.is_file():
        wrong.append(f"{folder.spec} is not there")
    return wrong or list(probe(folder, manifest))


def _shadow(live: LivePointer | None, warm_s: float) -> Shadow | None:
    if live is None or live.deployment is None or warm_s <= 0:
        return None
    until = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=math.ceil(warm_s))
    return Shadow(pair=live.names, until=until.strftime("%Y-%m-%dT%H:%M:%SZ"))


def end_shadow(releases: Path) -> PairNames | None:
    """Take a shadow out of the pointer whose time is over; what it was, or None.

    Raises:
        LockHeld: a switch is under way.
    """
    store = ReleaseStore(releases)
    with files.locked(store.lock_path):
        live = read_live(releases)
        if live is None or live.shadow is None:
            return None
        if live.shadow.active(dt.datetime.now(dt.timezone.utc)):
            return None
        files.write_json(store.live_path, asdict(replace(live, shadow=None)))
        return live.shadow.pair


def begin_canary(
    releases: Path,
    release_id: str,
    *,
    share: float,
    column: str,
    probe: Probe,
    actor: str = "unknown",
    timeout_s: float = 60.0,
) -> LivePointer:
    """Give a release a share of the users; the live one keeps the others.

    Asked again with another share, the users that it has stay with it where the share grows.

    Args:
        releases: root of the releases.
        release_id: an accepted release whose pair is loaded.
        share: of the users, more than 0 and less than 1.
        column: of the request table: who a user is.
        probe: as for `switch_live`.
        actor: for the log.
        timeout_s: how long to wait for a switch.

    Raises:
        ConfigurationError: the share is none.
        ReleaseRejected: nothing is live, it is live itself, not accepted, or not ready.
        LockHeld: another live process is switching.
    """
    if not 0 < share < 1:
        raise ConfigurationError(
            f"the share of a canary is {share!r}; give more than 0, less than 1"
        )
    store = ReleaseStore(releases)
    with files.locked(store.lock_path, timeout_s=timeout_s):
        live = _settled(store, read_live(releases))
        folder = store.folder(release_id)
        manifest = folder.manifest()
        if live is None or live.deployment is None or manifest.features is None:
            raise ReleaseRejected(
                f"{release_id} cannot be a canary: no release with features is live beside it"
            )
        if live.release_id == release_id:
            raise ReleaseRejected(f"{release_id} cannot be a canary: it is live")
        wrong = _unready(folder, manifest, probe)
        if wrong:
            raise ReleaseRejected(f"{release_id} cannot be a canary: {'; '.join(wrong)}")
        known = live.canary
        same = known is not None and known.pair.release_id == release_id
        canary = Canary(
            pair=_pointer(
                folder, manifest, switched_at=now(), sequence=0, previous=None, reason="canary"
            ).names,
            share=share,
            column=column,
            since=known.since if same and known is not None else now(),
        )
        if live.canary == canary:
            return live
        pointer = replace(live, canary=canary)
        if known is not None and not same:
            store.log(
                "canary ended",
                release_id=known.pair.release_id,
                reason=f"{release_id} is the canary now",
                actor=actor,
            )
        store.log("canary", release_id=release_id, share=share, column=column, actor=actor)
        files.write_json(store.live_path, asdict(pointer))
        return pointer


def end_canary(releases: Path, release_id: str, *, reason: str, actor: str = "unknown") -> bool:
    """Give all users back to the live release; False where `release_id` is not a canary.

    Raises:
        LockHeld: a switch is under way.
    """
    store = ReleaseStore(releases)
    with files.locked(store.lock_path, timeout_s=60.0):
        live = read_live(releases)
        if live is None or live.canary is None or live.canary.pair.release_id != release_id:
            return False
        # First the log: whoever looks sees why, even if it is killed before the next line.
        if not _has_ended(store, release_id):
            store.log("canary ended", release_id=release_id, reason=reason, actor=actor)
        files.write_json(store.live_path, asdict(replace(live, canary=None)))
        return True


def _has_ended(store: ReleaseStore, release_id: str) -> bool:
    """Whether the log has the end of a canary already, by one that was killed after it."""
    ended = False
    for event in store.events():
        if event["event"] in ("canary", "canary ended") and event["release_id"] == release_id:
            ended = event["event"] == "canary ended"
    return ended


def withdraw(releases: Path, release_id: str) -> None:
    """Take the pointer away if it names `release_id`: the first release did not pass its probe.

    Raises:
        LockHeld: a switch is under way.
    """
    store = ReleaseStore(releases)
    with files.locked(store.lock_path):
        live = read_live(releases)
        if live is not None and live.release_id == release_id:
            # First the log: a pointer that the log does not know to be withdrawn counts as lost.
            store.log("withdrawn", release_id=release_id, sequence=live.sequence)
            _remove(store)


def complete_log(releases: Path) -> None:
    """Make pointer and log agree after a kill between the two, or the loss of the pointer.

    Raises:
        ContractError: as `read_live`.
        LockHeld: a switch is under way.
    """
    store = ReleaseStore(releases)
    with files.locked(store.lock_path):
        _settled(store, read_live(releases))


def _settled(store: ReleaseStore, live: LivePointer | None) -> LivePointer | None:
    """The live release, once pointer and log agree; under the lock."""
    if live is None:
        return None
    last = _last_switch(store)
    if last is None and _last_sequence(store) >= live.sequence:
        _remove(store)  # a withdrawal whose process was killed in its middle
        return None
    if _last_sequence(store) < live.sequence:
        store.log("switched", **_line(live), actor="unknown: killed after the switch")
    if not store.live_path.exists():
        files.write_json(store.live_path, asdict(live))
        store.log("restored", release_id=live.release_id, sequence=live.sequence)
    return live


def _remove(store: ReleaseStore) -> None:
    store.live_path.unlink(missing_ok=True)
    files.fsync_dir(store.root)


def _last_switch(store: ReleaseStore) -> dict[str, Any] | None:
    """The log's last switch; None where there is none, or it was withdrawn."""
    last: dict[str, Any] | None = None
    for event in store.events():
        if event["event"] == "switched" and (not last or event["sequence"] >= last["sequence"]):
            last = event
        elif event["event"] == "withdrawn" and last and event["release_id"] == last["release_id"]:
            last = None
    return last


def _lost(store: ReleaseStore) -> LivePointer | None:
    """The pointer that must have been where there is none."""
    last = _last_switch(store)
    if last is None:
        return None
    try:
        folder = store.folder(last["release_id"])
        return _pointer(
            folder,
            folder.manifest(),
            switched_at=str(last.get("switched_at") or last["at"]),
            sequence=last["sequence"],
            previous=last.get("previous"),
            reason=str(last.get("reason", "promotion")),
        )
    except NightshiftError as error:
        raise ContractError(
            f"{store.live_path} is lost, and {last['release_id']}, which served last, cannot be "
            f"read: {error}; trigger the pipeline's rollback DAG with the release that should serve"
        ) from error


def _pointer(folder: ReleaseFolder, manifest: Manifest, **switch: Any) -> LivePointer:
    features = manifest.features
    return LivePointer(
        release_id=folder.id,
        ds=manifest.ds,
        database=features.sql.database if features else None,
        deployment=features.sql.deployment if features else None,
        model=manifest.model.name,
        model_version=manifest.model.version,
        feature_spec=str(folder.spec.resolve()) if features else None,
        spec_hash=features.spec.schema_hash if features else None,
        manifest_checksum=manifest.checksum,
        family=manifest.family,
        **switch,
    )


def _readable_live(releases: Path, *, force: bool) -> LivePointer | None:
    try:
        return read_live(releases)
    except ContractError:
        if not force:
            raise
        return None  # a broken pointer is what `force` and a rollback repair


def _last_sequence(store: ReleaseStore) -> int:
    return max((int(e["sequence"]) for e in store.events() if e["event"] == "switched"), default=0)


def _line(pointer: LivePointer) -> dict[str, Any]:
    return {
        "release_id": pointer.release_id,
        "previous": pointer.previous,
        "sequence": pointer.sequence,
        "reason": pointer.reason,
        "switched_at": pointer.switched_at,
    }
