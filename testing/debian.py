"""Debian packages that tests need beside the project's own environments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


class PackagesUnavailable(Exception):
    """They are not there and cannot be installed; the message says why."""


def ensure(*packages: str, tools: tuple[str, ...]) -> None:
    """Install `packages`, unless every one of the programs `tools` is there.

    Raises:
        PackagesUnavailable: not root, not a Debian, or apt-get failed.
    """
    if all(Path(tool).exists() for tool in tools):
        return
    names = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PackagesUnavailable(f"install these Debian packages: {names}")
    # RUNLEVEL=1 keeps the packages' own scripts from starting services.
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-q"], install):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PackagesUnavailable(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
