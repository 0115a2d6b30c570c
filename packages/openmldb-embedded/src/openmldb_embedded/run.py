"""The server in the foreground, from its lock to its last answer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import uvicorn
from http_arrival import ArrivalProtocol, limited
from openmldb_sql.errors import SqlError

from openmldb_embedded.guard import Guard, read_token
from openmldb_embedded.moods import AT_ONCE, VARIABLE, Mood
from openmldb_embedded.offline.registry import ENGINES
from openmldb_embedded.offline.spark.conf import ConfError, data_prefix, read_properties
from openmldb_embedded.paths import PathError, Roots, is_remote
from openmldb_embedded.server import App
from openmldb_embedded.service import Service, Settings
from openmldb_embedded.store import Store

LOG = logging.getLogger("openmldb_embedded")


class Arrival(ArrivalProtocol):
    """Refuses as OpenMLDB's API server does."""

    late = b'{"code":-1,"msg":"the request did not arrive in time"}'
    large = b'{"code":-1,"msg":"the headers are too large"}'


def run(given: argparse.Namespace) -> int:
    """Run the server until SIGTERM or SIGINT; the exit code is 1 where it cannot start."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    listener: socket.socket | None = None
    try:
        token = None if given.token_file is None else read_token(given.token_file)
        listener = _listen(given.host, given.port)
        taskmanager = _taskmanager(given)
        prefix = data_prefix(taskmanager)
        moods = os.environ.get(VARIABLE, "")
        mood = Mood(moods or (AT_ONCE if given.consistent else ""))
        store = Store(given.data, int(given.snapshot_mib * 2**20), prefix, repair=given.repair)
    except SqlError as error:
        return _refuse(error.message, listener)
    except OSError as error:
        reason = error.strerror or str(error)
        return _refuse(f"cannot listen on {given.host}:{given.port}: {reason}", listener)
    memory = given.job_memory * 2**20 or (
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    )
    settings = Settings(
        jobs_at_once=max(1, given.jobs),
        job_memory=memory,
        max_rows=given.max_rows,
        endpoint=f"{given.host}:{listener.getsockname()[1]}",
        offline_engine=given.offline_engine,
        taskmanager=taskmanager,
        exact=given.exact,
        lenient=given.lenient,
        mood=mood,
    )
    reached = taskmanager.get("spark.kerberos.access.hadoopFileSystems", "")
    urls = [url.strip() for url in reached.split(",") if is_remote(url.strip())]
    folders = given.root or [given.data.absolute().parent, Path.cwd()]
    try:
        roots = Roots([*folders, *urls], private=given.data)
        service = Service(store, roots, settings)
    except (ConfError, PathError) as error:
        store.close()
        return _refuse(error.message, listener)
    threading.Thread(target=_warm, args=(service,), daemon=True).start()
    config = uvicorn.Config(
        App(service, Guard(given.host, given.name, token), given.consistent and not moods),
        log_level="warning",
        access_log=False,
        lifespan="off",
        http=limited(given.client_timeout, Arrival),
        ws="none",
        timeout_keep_alive=75,  # clients poll jobs over one connection
        timeout_graceful_shutdown=5,
    )
    LOG.info(
        "listening on http://%s, data in %s, files below %s",
        settings.endpoint,
        store.data,
        ", ".join([*map(str, roots.roots), *roots.remote]),
    )
    LOG.info("%s", service.referee.describe())
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_serve(uvicorn.Server(config), listener, service))
    finally:
        service.close()
        LOG.info("stopped")
    return 0


def _taskmanager(given: argparse.Namespace) -> dict[str, str]:
    """The offline engine's settings: the file's, and over them those of the command line."""
    if given.offline_engine not in ENGINES:
        raise ConfError(
            f"--offline-engine {given.offline_engine}: there are {', '.join(sorted(ENGINES))}"
        )
    path = given.taskmanager_properties
    found = read_properties(path) if path else {}
    for text in given.taskmanager:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfError(f"--taskmanager {text}: write it as NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


def _warm(service: Service) -> None:
    with contextlib.suppress(OSError, EOFError):
        service.warm()


async def _serve(server: uvicorn.Server, listener: socket.socket, service: Service) -> None:
    """Serve until a signal; unlike uvicorn alone, the signal is not raised again at the end."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        loop.run_in_executor(None, service.interrupt)

    with contextlib.ExitStack() as stack:
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
            stack.callback(loop.remove_signal_handler, number)
        await server.serve([listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection; an answer's body must not wait for the ack of its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _refuse(message: str, listener: socket.socket | None) -> int:
    if listener is not None:
        listener.close()
    sys.stderr.write(f"openmldb-embedded: {message}\n")
    return 1
