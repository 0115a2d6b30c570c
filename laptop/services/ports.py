"""Whether a port is free, and who holds it if not."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

from laptop.services.processes import command_line

_LISTEN = "0A"


def problem(host: str, port: int) -> str | None:
    """Why a server could not listen on `host:port`, or None if it could."""
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        return f"{host} is not an address of this machine ({error.strerror})"
    with socket.socket(address[0], socket.SOCK_STREAM) as sock:
        # As servers do: connections of an earlier server that linger in TIME_WAIT do not keep it taken.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address[4])
            sock.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port} is in use{holder(port)}"
            if error.errno == errno.EACCES:
                return f"port {port} is reserved for root"
            return f"{host}:{port} cannot be listened on ({error.strerror})"
    return None


def holder(port: int) -> str:
    """` by pid 12 (python -m http.server)`; empty where the holder cannot be seen."""
    inodes = _listening_inodes(port)
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for fd in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(fd.readlink()) in inodes:
                        return f" by pid {folder.name} ({command_line(int(folder.name))})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found
