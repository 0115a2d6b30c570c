"""Where the demo of a week lives: a home and ports of its own, made anew at each run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import yaml

from laptop.services import catalogue, ports
from laptop.services.supervisor import Supervisor
from nightshift import files
from nightshift.config.yamlfile import load_yaml_mapping
from nightshift.errors import ConfigurationError
from nightshift.pipeline import CONFIG, Pipeline
from nightshift.settings import Settings

MARK = "WEEK.json"
"""In a home that the demo made, and may remove."""

SHADOW = {"hours": 48.0, "share": 1.0, "rows_per_s": 1000.0}
"""`live.shadow` of the demo: a day has few requests, so all of them are compared."""


def settle(settings: Settings) -> Settings:
    """The settings of the demo: by hand only, an empty home, own pipelines, ports that are free.

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
    return _free_ports(_own_pipelines(settings))


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


def _own_pipelines(settings: Settings) -> Settings:
    """Copies of the pipelines, of which the demo's has a shadow and withdraws."""
    own = settings.home / "pipelines"
    shutil.copytree(settings.pipelines, own)
    shared = settings.pipelines.parent / "include"
    if shared.is_dir():  # files that pipelines name by a relative path
        (settings.home / "include").symlink_to(shared.resolve())
    path = own / settings.pipeline / CONFIG
    value = load_yaml_mapping(path)
    value["live"] = {**(value.get("live") or {}), "shadow": SHADOW}
    value["monitor"] = {**(value.get("monitor") or {}), "action": "withdraw"}
    _write(path, value)
    return dataclasses.replace(settings, pipelines=own)


@contextlib.contextmanager
def lenient_gates(pipeline: Pipeline) -> Iterator[None]:
    """For a while the quality gate only warns, as if somebody had set it so."""
    path = pipeline.gates_file
    before = path.read_bytes()
    value = load_yaml_mapping(path)
    for rule in value["quality"].values():
        if isinstance(rule, dict) and "level" in rule:
            rule["level"] = "warn"
    _write(path, value)
    try:
        yield
    finally:
        files.write_bytes(path, before)


def _write(path: Path, value: object) -> None:
    files.write_text(path, yaml.safe_dump(value, sort_keys=False))


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
