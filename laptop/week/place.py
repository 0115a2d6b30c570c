"""Where the demo of a week lives: a home and ports of its own, made anew at each run."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket

from laptop.services import catalogue, ports
from laptop.services.supervisor import Supervisor
from nightshift import files
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings

MARK = "WEEK.json"
"""In a home that the demo made, and may remove."""


def settle(settings: Settings) -> Settings:
    """The settings of the demo: by hand only, an empty home, and ports that are free.

    The home is `<home>-week` unless `NIGHTSHIFT_HOME` names one. What an earlier run left in it
    is stopped and removed.

    Raises:
        ConfigurationError: `NIGHTSHIFT_HOME` holds something else.
    """
    home = settings.home
    if not os.environ.get("NIGHTSHIFT_HOME"):
        home = home.with_name(f"{home.name}-week")
    # As the variables would have it: folders that follow from the home follow.
    settings = Settings.from_env({**_given(), "NIGHTSHIFT_HOME": str(home)})
    settings = dataclasses.replace(settings, schedules="off")
    _clear(settings)
    return _free_ports(settings)


def _given() -> dict[str, str]:
    own = ("NIGHTSHIFT_HOME", "NIGHTSHIFT_DATA")
    return {k: v for k, v in os.environ.items() if k.startswith("NIGHTSHIFT_") and k not in own}


def _clear(settings: Settings) -> None:
    home = settings.home
    if home.is_dir() and any(home.iterdir()):
        if not (home / MARK).is_file():
            raise ConfigurationError(
                f"{home} is in use, and the demo of a week begins with an empty home; name another "
                "by NIGHTSHIFT_HOME, or leave it unset"
            )
        Supervisor(settings).down(None)
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    files.write_json(home / MARK, {"what": "made by ./nightshift demo --week, which removes it"})


def _free_ports(settings: Settings) -> Settings:
    """Other ports in place of those that are in use and that nobody chose."""
    changes: dict[str, int] = {}
    for service in catalogue.services(settings):
        for port in service.ports:
            name = port.variable.removeprefix("NIGHTSHIFT_").lower()
            if name in changes or os.environ.get(port.variable):
                continue
            if ports.problem(settings.bind, port.number) is not None:
                changes[name] = _free()
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]


def _free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
