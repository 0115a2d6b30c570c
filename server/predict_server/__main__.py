"""`python -m predict_server`: serve until SIGTERM; requests in flight are answered first."""

from __future__ import annotations

import sys

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


if __name__ == "__main__":
    sys.exit(main())
