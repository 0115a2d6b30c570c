"""`python -m socket_proxy`: listen on port 2375 before /var/run/docker.sock."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from socket_proxy.policy import Policy, PolicyError
from socket_proxy.server import Proxy, listen
from socket_proxy.wire import Engine

PORT = 2375


async def _run(policy: Policy) -> None:
    engine = Engine(os.environ.get("DOCKER_SOCKET_PATH", "/var/run/docker.sock"))
    server = await listen("0.0.0.0", PORT, Proxy(engine, policy))  # noqa: S104 (in its container)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with server:
        await stop.wait()


def main() -> int:
    """Run until SIGTERM; 1 where the environment is not as needed."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
    try:
        policy = Policy.from_env()
    except PolicyError as error:
        sys.stderr.write(f"socket_proxy: {error}\n")
        return 1
    asyncio.run(_run(policy))
    return 0


if __name__ == "__main__":
    sys.exit(main())
