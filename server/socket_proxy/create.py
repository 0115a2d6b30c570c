"""The body of a create, rebuilt: only known keys with judged values reach the engine.

A key that is not known is refused unless its value is null, which says nothing. What keeps a task
contained is written by the proxy itself, whatever the body says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from socket_proxy import mounts
from socket_proxy.errors import Refused
from socket_proxy.policy import HOME_LABEL, LABEL, PIDS_MAX, SHM_MAX, Policy

Json = dict[str, Any]

TMPFS = re.compile(r"rw,nosuid,nodev,size=[1-9][0-9]{0,5}[kmg],mode=1777")
_TMP = "/tmp"  # noqa: S108 (in the container)
_LOG_SIZE = re.compile(r"[1-9][0-9]{0,2}[km]")
_LOG_FILES = re.compile(r"[1-5]")
_GPU = {"Driver": "", "Count": 1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
_MAX_ITEMS = 512
_MAX_MOUNTS = 16

_INERT = {
    "AttachStdin": (False,),
    "AttachStdout": (False, True),
    "AttachStderr": (False, True),
    "Tty": (False,),
    "OpenStdin": (False,),
    "StdinOnce": (False,),
    "NetworkDisabled": (False, True),
    "WorkingDir": ("",),
    "StopSignal": ("SIGTERM",),
}
"""Keys that the engine's client always sends, and the values that ask for nothing."""


def rebuild(body: Mapping[str, Any], policy: Policy) -> Json:
    """The body that the engine gets.

    Args:
        body: what the client sent.
        policy: what a task container may be.

    Raises:
        Refused: it asks for what a task container may not have, or does not ask for a limit.
    """
    given = _known(body, "", {*_INERT, "Image", "Cmd", "User", "Env", "Labels", "HostConfig"})
    for key, allowed in _INERT.items():
        if key in given and not _is_one_of(given[key], allowed):
            raise Refused(f"{key} may not be {_shown(given[key])}")
    if not isinstance(given.get("Image"), str) or given["Image"] not in policy.images:
        raise Refused("Image must be one of Nightshift's tasks")
    if given.get("User") != policy.user:
        raise Refused(f"User must be {policy.user} (NIGHTSHIFT_UID and NIGHTSHIFT_GID)")
    return {
        "Image": given["Image"],
        "Cmd": _texts(given.get("Cmd"), "Cmd"),
        "User": policy.user,
        "Env": _texts(given.get("Env", []), "Env"),
        "Labels": _labels(given.get("Labels"), policy),
        "AttachStdout": False,
        "AttachStderr": False,
        "StopSignal": "SIGTERM",
        "HostConfig": _host(given.get("HostConfig"), policy),
    }


def _host(value: Any, policy: Policy) -> Json:
    if not isinstance(value, dict):
        raise Refused("HostConfig must be given")
    demanded: dict[str, Callable[[Any], Any]] = {
        "NetworkMode": lambda v: _exactly(v, "none", "NetworkMode"),
        "ReadonlyRootfs": lambda v: _exactly(v, True, "ReadonlyRootfs"),
        "CapDrop": lambda v: _exactly(v, ["ALL"], "CapDrop"),
        "SecurityOpt": _security,
        "Memory": lambda v: _at_most(v, policy.memory, "Memory"),
        "MemorySwap": lambda v: _at_most(v, policy.memory, "MemorySwap"),
        "NanoCpus": lambda v: _at_most(v, policy.nano_cpus, "NanoCpus"),
        "PidsLimit": lambda v: _at_most(v, PIDS_MAX, "PidsLimit"),
        "LogConfig": _log,
        "Mounts": lambda v: [_mount(item, policy) for item in _items(v, "Mounts", _MAX_MOUNTS)],
    }
    optional: dict[str, Callable[[Any], Any]] = {
        "ShmSize": lambda v: _at_most(v, SHM_MAX, "ShmSize"),
        "Tmpfs": _tmpfs,
        "Init": lambda v: _exactly(v, True, "Init"),
        "DeviceRequests": lambda v: _gpus(v, policy),
        "Privileged": lambda v: _exactly(v, False, "Privileged"),
    }
    given = _known(value, "HostConfig.", demanded.keys() | optional.keys())
    for key in demanded:
        if key not in given:
            raise Refused(f"HostConfig.{key} must be given")
    made = {key: judge(given[key]) for key, judge in demanded.items()}
    made |= {key: judge(given[key]) for key, judge in optional.items() if key in given}
    if made["MemorySwap"] != made["Memory"]:
        raise Refused("HostConfig.MemorySwap must be what Memory is: no swap")
    targets = [item["Target"] for item in made["Mounts"]]
    if len(set(targets)) != len(targets):
        raise Refused("HostConfig.Mounts names a folder twice")
    return {
        **made,
        "Privileged": False,
        "PublishAllPorts": False,
        "IpcMode": "private",
        "CgroupnsMode": "private",
    }


def _known(value: Mapping[str, Any], where: str, keys: set[str]) -> Json:
    """`value` without nulls.

    Raises:
        Refused: it has a key that is not one of `keys`, in exactly this spelling.
    """
    given = {key: item for key, item in value.items() if item is not None}
    for key in given:
        if key not in keys:
            raise Refused(f"{where}{key[:60]} is not allowed")
    return given


def _mount(value: Any, policy: Policy) -> Json:
    if not isinstance(value, dict):
        raise Refused("a mount must be an object")
    given = _known(value, "Mounts.", {"Type", "Source", "Target", "ReadOnly"})
    source, read_only = given.get("Source"), given.get("ReadOnly", False)
    if given.get("Type") != "bind" or not isinstance(source, str):
        raise Refused("a mount must be of type bind and have a Source")
    if given.get("Target") != source:
        raise Refused(f"{source[:200]!r} must be mounted at its own path")
    if not isinstance(read_only, bool):
        raise Refused("ReadOnly must be true or false")
    mounts.check(source, read_only=read_only, policy=policy)
    # Not recursive: what is mounted below the folder on the host stays out.
    return {
        "Type": "bind",
        "Source": source,
        "Target": source,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "private", "NonRecursive": True},
    }


def _labels(value: Any, policy: Policy) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > 64:
        raise Refused("Labels must be an object of at most 64")
    for key, item in value.items():
        if not key.startswith(LABEL) or not isinstance(item, str):
            raise Refused(f"label {key[:60]!r} must begin with {LABEL} and be a text")
    if value.get(HOME_LABEL) != policy.home_label:
        raise Refused(f"label {HOME_LABEL} must be {policy.home_label}: that of this installation")
    return dict(value)


def _security(value: Any) -> list[str]:
    if value not in (["no-new-privileges"], ["no-new-privileges:true"]):
        raise Refused("HostConfig.SecurityOpt must be no-new-privileges alone")
    return ["no-new-privileges"]


def _log(value: Any) -> Json:
    if not isinstance(value, dict) or value.keys() != {"Type", "Config"}:
        raise Refused("HostConfig.LogConfig must have Type and Config")
    config = value["Config"]
    sound = (
        value["Type"] == "json-file"
        and isinstance(config, dict)
        and config.keys() == {"max-size", "max-file"}
        and all(isinstance(item, str) for item in config.values())
        and _LOG_SIZE.fullmatch(config["max-size"])
        and _LOG_FILES.fullmatch(config["max-file"])
    )
    if not sound:
        raise Refused("HostConfig.LogConfig must be json-file with a bounded max-size and max-file")
    return {"Type": "json-file", "Config": dict(config)}


def _tmpfs(value: Any) -> Json:
    options = value.get(_TMP) if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(options, str) or not TMPFS.fullmatch(options):
        raise Refused("HostConfig.Tmpfs may be /tmp, rw,nosuid,nodev with a size and mode=1777")
    return {_TMP: options}


def _gpus(value: Any, policy: Policy) -> list[Json]:
    if value == []:
        return []
    if not policy.gpu or not _same(value, [_GPU]):
        raise Refused("DeviceRequests may be one GPU, where NIGHTSHIFT_TASK_DEVICE is cuda")
    return [dict(_GPU)]


def _texts(value: Any, what: str) -> list[str]:
    found = _items(value, what, _MAX_ITEMS)
    if not all(isinstance(item, str) for item in found):
        raise Refused(f"{what} must be an array of texts")
    return found


def _items(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise Refused(f"{what} must be an array of at most {most}")
    return list(value)


def _exactly(value: Any, wanted: Any, what: str) -> Any:
    if not _same(value, wanted):
        raise Refused(f"HostConfig.{what} must be {_shown(wanted)}")
    return wanted


def _at_most(value: Any, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise Refused(f"HostConfig.{what} must be a whole number from 1 to {most}")
    return value


def _is_one_of(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(_same(value, item) for item in allowed)


def _same(value: Any, wanted: Any) -> bool:
    """Equal and of the same types: 0 is not False."""
    if type(value) is not type(wanted):
        return False
    if isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(_same(value[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_same, value, wanted))
    return bool(value == wanted)


def _shown(value: Any) -> str:
    return repr(value)[:60]
