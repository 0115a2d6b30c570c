"""What it takes to start a process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nightshift.settings import Settings


@dataclass(frozen=True)
class Launch:
    """Arguments, the whole environment, the working folder."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path


_ASTRAY = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "LD_PRELOAD", "AIRFLOW_HOME")


def base_env(settings: Settings, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment, with the settings, without what leads a service astray.

    Another Airflow's folders and options (`AIRFLOW_HOME`, `AIRFLOW__*`) are left out: this
    Airflow must never write into that one's database.
    """
    outer = os.environ if outer is None else outer
    env = {
        name: value
        for name, value in outer.items()
        if name not in _ASTRAY and not name.startswith("AIRFLOW__")
    }
    env.update(settings.to_env())
    env.update(
        PATH=os.pathsep.join(
            [
                str(settings.project / ".venv" / "bin"),
                env.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ]
        ),
        PYTHONUNBUFFERED="1",
        PYTHONNOUSERSITE="1",
    )
    return env
