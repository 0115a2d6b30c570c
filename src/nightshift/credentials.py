"""The secrets of an installation: what opens OpenMLDB, Triton's model control, Airflow's UI.

A secret is the variable `NIGHTSHIFT_<NAME>` where that is set, else the file
`<home>/secrets/<name>` (mode 0600, in a folder of mode 0700), which the laptop profile makes at
its first start. Where neither is there, none is sent: OpenMLDB's own API server knows no token.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from nightshift import files
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings

OPENMLDB_TOKEN = "openmldb_token"  # noqa: S105 (a name)
TRITON_KEY = "triton_key"
AIRFLOW_PASSWORD = "airflow_password"  # noqa: S105 (a name)

TRITON_HEADER = "nightshift-key"
"""Header of Triton's restricted HTTP requests; over gRPC it has the prefix below."""
TRITON_GRPC_PREFIX = "triton-grpc-protocol-"

_SOUND = re.compile(r"[\x21-\x7e]{1,512}")


def path(settings: Settings, name: str) -> Path:
    """The file of a secret, which need not exist."""
    return settings.home / "secrets" / name


def read(settings: Settings, name: str) -> str | None:
    """A secret; None where there is none.

    Raises:
        ConfigurationError: it holds blanks or nothing, its file cannot be read, or others can
            read it.
    """
    variable = f"NIGHTSHIFT_{name.upper()}"
    if value := os.environ.get(variable, ""):
        return _sound(value, variable)
    file = path(settings, name)
    try:
        with file.open(encoding="utf-8", errors="replace") as handle:
            status = os.fstat(handle.fileno())
            value = handle.read(1024).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"{file} holds a secret and others may read it: chmod 600 it")
    return _sound(value, str(file))


def ensure(settings: Settings, name: str) -> str:
    """A secret that a server of this home demands: its file is there when this returns.

    Made at random where there is none; of two callers at once both get the same.

    Raises:
        ConfigurationError: as `read`.
    """
    file = path(settings, name)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.parent.chmod(0o700)
    found = read(settings, name)
    if found is None:
        with contextlib.suppress(FileExistsError):
            files.write_private(file, f"{secrets.token_urlsafe(24)}\n".encode(), replace=False)
        found = read(settings, name)
        assert found is not None
    elif not file.exists() or file.read_text().strip() != found:
        files.write_private(file, f"{found}\n".encode())
    return found


def airflow_database() -> str | None:
    """Where Airflow's own tables are, for their upkeep: `NIGHTSHIFT_AIRFLOW_DATABASE`.

    Airflow hides its connection from tasks. An SQLAlchemy URL; it may hold blanks.
    """
    return os.environ.get("NIGHTSHIFT_AIRFLOW_DATABASE") or None


def openmldb_headers(settings: Settings) -> dict[str, str]:
    """What a request to this installation's OpenMLDB carries."""
    token = read(settings, OPENMLDB_TOKEN)
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def triton_headers(settings: Settings) -> dict[str, str]:
    """What a gRPC request to Triton's model control carries."""
    key = read(settings, TRITON_KEY)
    return {} if key is None else {TRITON_GRPC_PREFIX + TRITON_HEADER: key}


def _sound(value: str, where: str) -> str:
    if not _SOUND.fullmatch(value):
        raise ConfigurationError(
            f"{where} must be one word of printable ASCII; delete it to have a new one made"
        )
    return value
