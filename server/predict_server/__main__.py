"""`python -m predict_server`: serve until SIGTERM; requests in flight are answered first."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import uvicorn

from nightshift.errors import ConfigurationError
from nightshift.settings import Settings
from predict_server.app import create_app


def main() -> int:
    """Run the server by the settings of the environment; return its exit code."""
    try:
        settings = Settings.from_env()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    # uvicorn ends by raising the signal again, which by default is not a clean exit.
    signal.signal(signal.SIGTERM, _end)
    uvicorn.run(
        create_app(settings),
        host=settings.bind,
        port=settings.predict_port,
        access_log=False,
        log_level="info",
        timeout_graceful_shutdown=10,
        timeout_keep_alive=30,
    )
    return 0


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
