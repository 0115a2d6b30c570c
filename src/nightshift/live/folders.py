"""Where what is kept of live traffic lies."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from pathlib import Path

from nightshift import files
from nightshift.settings import Settings


def live_folder(settings: Settings, name: str) -> Path:
    """What is kept of a pipeline's live traffic."""
    return settings.home / "live" / name


def hiding_key(folder: Path) -> bytes:
    """The secret of a pipeline's hashed fields, made at the first call; `folder` is `live_folder`."""
    path = folder / "hiding.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another worker was faster
            files.write_private(path, secrets.token_hex(32).encode(), replace=False)
    return hashlib.sha256(path.read_bytes()).digest()
