"""Bodies of a container's create: a good one, and what an attacker makes of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from nightshift_provider.runners.base import home_id

Body = dict[str, Any]

_MEMORY = 256 << 20


def create_body(home: Path, project: Path, image: str) -> Body:
    """A create in the task operator's form."""
    run = str(home / "runs" / "2026-01-31" / "0badcafe")
    return _body(run, str(project / "include"), image, home_id(home))


def _body(run: str, include: str, image: str, label: str) -> Body:
    return {
        "Image": image,
        "Cmd": ["python", "-m", "tasks.ctr.preprocess", "--help"],
        "Env": ["A=b"],
        "User": "10001:10001",
        "Tty": False,
        "Entrypoint": None,
        "Labels": {"nightshift.home": label},
        "HostConfig": {
            "Mounts": [
                {"Type": "bind", "Source": include, "Target": include, "ReadOnly": True},
                {"Type": "bind", "Source": run, "Target": run, "ReadOnly": False},
            ],
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Memory": _MEMORY,
            "MemorySwap": _MEMORY,
            "NanoCpus": 10**9,
            "PidsLimit": 4096,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "32m", "max-file": "2"}},
            "Tmpfs": {"/tmp": "rw,nosuid,nodev,size=1g,mode=1777"},
            "Init": True,
        },
        "StopSignal": "SIGTERM",
    }


_KEYS = st.sampled_from(
    (
        "Privileged", "privileged", "Binds", "Mounts", "mounts", "NetworkMode", "networkMode",
        "User", "user", "CapAdd", "CapDrop", "Devices", "DeviceRequests", "GroupAdd", "PidMode",
        "IpcMode", "UTSMode", "UsernsMode", "CgroupParent", "CgroupnsMode", "Runtime", "Volumes",
        "VolumesFrom", "SecurityOpt", "MaskedPaths", "ReadonlyPaths", "Ma\u017fkedPaths",
        "ReadonlyRootfs", "Sysctls", "PortBindings", "PublishAllPorts", "Memory", "MemorySwap",
        "NanoCpus", "PidsLimit", "Ulimits", "Tmpfs", "Init", "LogConfig", "RestartPolicy",
        "AutoRemove", "Annotations", "StorageOpt", "Entrypoint", "Image", "Labels", "Cmd", "Env",
        "HostConfig", "hostconfig", "NetworkingConfig", "Type", "Source", "Target", "ReadOnly",
        "BindOptions", "VolumeOptions", "OomKillDisable", "ShmSize", "Isolation", "ContainerIDFile",
    )
)  # fmt: skip
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from((0, 1, -1, 10**9, 4096, 1 << 40, 10**400)),
    st.sampled_from(
        (
            "", "host", "none", "container:x", "root", "0", "0:0", "10001:10001", "10001:0", "/",
            "/etc", "/var/run/docker.sock", "@HOME@", "@HOME@/runs", "@HOME@/runs/../..",
            "@HOME@/runs/2026-01-31/0badcafe", "@HOME@/releases", "@PROJECT@/include", "@IMAGE@",
            "bind", "volume", "ALL", "SYS_ADMIN", "seccomp=unconfined", "no-new-privileges",
            "no-new-privileges:false", "/:/host", "rshared", "@LABEL@", "\ud800", "\0",
        )
    ),
    st.text(max_size=6),
)  # fmt: skip
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=6,
)


def _objects(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            found += _objects(item)
    return found


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """A body as text, with @HOME@, @PROJECT@, @IMAGE@ and @LABEL@ to fill in.

    The good one, with keys set, removed and doubled anywhere in it.
    """
    body = copy.deepcopy(
        _body("@HOME@/runs/2026-01-31/0badcafe", "@PROJECT@/include", "@IMAGE@", "@LABEL@")
    )
    for _ in range(draw(st.integers(0, 3))):
        target = draw(st.sampled_from(_objects(body)))
        if draw(st.booleans()) or not target:
            target[draw(st.one_of(_KEYS, st.sampled_from(sorted(target) or ["x"])))] = draw(_VALUES)
        else:
            del target[draw(st.sampled_from(sorted(target)))]
    text = json.dumps(body)
    if draw(st.integers(0, 4)) == 0:
        twice = json.dumps({draw(_KEYS): draw(_VALUES)})[1:-1]
        text = text.replace("{", "{" + twice + ", ", draw(st.integers(1, 3)))
    return text
