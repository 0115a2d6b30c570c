"""Bring Intel's MKL, a faster BLAS for training, to whoever asks for it.

It comes from PyPI: about 300 MB to download, 950 MB on the disk.
"""

from __future__ import annotations

from pathlib import Path

from laptop.setup import environments
from laptop.setup.environments import Environment
from nightshift import files

ENVIRONMENT = Environment(
    ".venv-mkl",
    "MKL environment (.venv-mkl, about 300 MB to download)",
    ("tasks/mkl/uv.lock", "tasks/mkl/pyproject.toml"),
    ("--project", "tasks/mkl"),
)
"""`tasks.blas` looks for the library there."""

NEEDED_BYTES = 2 * 1024**3


def ensure(project: Path) -> None:
    """Make the environment; return at once where it is there.

    Args:
        project: the project folder.

    Raises:
        ConfigurationError: the machine or its disk is not fit for it.
        ServiceUnavailable: PyPI cannot be reached.
    """
    if environments.is_current(project, ENVIRONMENT):
        return
    environments.check_platform()
    with files.locked(project / ".cache" / "setup-mkl.lock", timeout_s=1800):
        if not environments.is_current(project, ENVIRONMENT):
            environments.check_disk(project, NEEDED_BYTES)
            environments.make(project, ENVIRONMENT, ("3.10", "3.11", "3.12", "3.13"))
