"""The installation's id: what tells its things from another's in a shared OpenMLDB or Triton."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from nightshift import files
from nightshift.errors import ConfigurationError, ContractError
from nightshift.settings import Settings

_ID = re.compile(r"[a-z0-9]{4,16}")
_FILE = "installation.json"
_LOCK = ".installation.lock"
_RELEASE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].[0-9][0-9][0-9]"


def installation_id(settings: Settings) -> str:
    """The id of the installation whose home this is; made at the first call and kept.

    `NIGHTSHIFT_INSTALLATION` overrides it. A home from before there were pipelines is laid out
    anew at the same moment: its releases and runs become the default pipeline's.

    Raises:
        ConfigurationError: the given id is not four to sixteen letters a-z and digits.
        ContractError: the file that keeps it is damaged.
    """
    adopt(settings)
    if settings.installation:
        if not _ID.fullmatch(settings.installation):
            raise ConfigurationError(
                f"NIGHTSHIFT_INSTALLATION is {settings.installation!r}; "
                "give 4 to 16 letters a-z and digits"
            )
        return settings.installation
    path = settings.home / _FILE
    if not path.exists():
        with files.locked(settings.home / _LOCK, timeout_s=60.0):
            if not path.exists():
                adopt_single_pipeline_home(settings)
                files.write_json(path, {"version": 1, "id": secrets.token_hex(3)})
    value = files.read_json(path)
    found = value.get("id") if isinstance(value, dict) else None
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise ContractError(
            f"{path} holds no installation id; restore it from a backup, or set "
            "NIGHTSHIFT_INSTALLATION to the id in the names of your deployments"
        )
    return found


def is_single_pipeline_home(settings: Settings) -> bool:
    """Whether the home is still laid out as before there were pipelines."""
    return any((settings.releases_root / name).is_file() for name in ("history.jsonl", "live.json"))


def releases_of(settings: Settings, name: str) -> Path:
    """Where a pipeline's releases lie at this moment, for a reader that may not write.

    Until a home from before there were pipelines is laid out anew, its releases are read as the
    default pipeline's.
    """
    old, folder = settings.releases_root, settings.releases_root / name
    single = name == settings.pipeline and (old / "live.json").is_file()
    return old if single and not (folder / "live.json").is_file() else folder


def adopt(settings: Settings) -> bool:
    """Lay out a home from before there were pipelines anew; return whether anything was moved."""
    if not is_single_pipeline_home(settings):
        return False
    with files.locked(settings.home / _LOCK, timeout_s=60.0):
        return adopt_single_pipeline_home(settings)


def adopt_single_pipeline_home(settings: Settings) -> bool:
    """Move `releases/` and `runs/` of a home that knew one pipeline below that pipeline's name.

    Killed in the middle, the next call goes on: the pointer moves last. Source tables stay where
    they are: the layout of `NIGHTSHIFT_DATA` is the user's.

    Returns:
        Whether anything was moved.
    """
    runs, releases = settings.runs_root, settings.releases_root
    moved = [
        _move(path, runs / settings.pipeline)
        for path in sorted(runs.glob("????-??-??"))
        if path.is_dir()
    ]
    if is_single_pipeline_home(settings):
        parts = (*sorted(releases.glob(_RELEASE)), *(releases / part for part in _PARTS))
        target = releases / settings.pipeline
        moved += [_move(path, target) for path in parts if path.exists()]
        live = releases / "live.json"
        if live.exists() and not (target / live.name).exists():
            _repoint(live, target)
            moved.append(_move(live, target))
    return any(moved)


_PARTS = ("leases", "history.jsonl")


def _move(path: Path, folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / path.name
    if target.exists():
        return False
    path.rename(target)
    return True


def _repoint(live: Path, folder: Path) -> None:
    """Let the pointer name the specification where it lies now."""
    value = files.read_json(live)
    if isinstance(value, dict) and isinstance(value.get("release_id"), str):
        spec = folder / value["release_id"] / "feature_spec.yaml"
        if spec.is_file():
            files.write_json(live, {**value, "feature_spec": str(spec.resolve())})
