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
_RELEASE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].[0-9][0-9][0-9]"


def installation_id(settings: Settings) -> str:
    """The id of the installation whose home this is; made at the first call and kept.

    `NIGHTSHIFT_INSTALLATION` overrides it. A home from before there were pipelines is laid out
    anew at the same moment: its releases and runs become the default pipeline's.

    Raises:
        ConfigurationError: the given id is not four to sixteen letters a-z and digits.
        ContractError: the file that keeps it is damaged.
    """
    if settings.installation:
        if not _ID.fullmatch(settings.installation):
            raise ConfigurationError(
                f"NIGHTSHIFT_INSTALLATION is {settings.installation!r}; "
                "give 4 to 16 letters a-z and digits"
            )
        return settings.installation
    path = settings.home / _FILE
    if not path.exists():
        with files.locked(settings.home / ".installation.lock", timeout_s=60.0):
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


def adopt_single_pipeline_home(settings: Settings) -> bool:
    """Move `releases/` and `runs/` of a home that knew one pipeline below that pipeline's name.

    Killed in the middle, the next call goes on. Source tables stay where they are: the layout
    of `NIGHTSHIFT_DATA` is the user's.

    Returns:
        Whether anything was moved.
    """
    name = settings.pipeline
    moved = False
    for root, pattern in ((settings.releases_root, _RELEASE), (settings.runs_root, "????-??-??")):
        old = [*root.glob(pattern), *(root / part for part in _PARTS if (root / part).exists())]
        for path in sorted(set(old)):
            target = root / name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                path.rename(target)
                moved = True
        _repoint(root / name / "live.json")
    return moved


_PARTS = ("history.jsonl", "leases", "live.json")


def _repoint(live: Path) -> None:
    """Let the pointer name the specification where it lies now."""
    if not live.is_file():
        return
    value = files.read_json(live)
    if isinstance(value, dict) and isinstance(value.get("release_id"), str):
        spec = live.parent / value["release_id"] / "feature_spec.yaml"
        if spec.is_file() and value.get("feature_spec") != str(spec.resolve()):
            files.write_json(live, {**value, "feature_spec": str(spec.resolve())})
