"""`python -m predict_server`: serve until SIGTERM; SIGHUP replaces the workers one by one."""

from __future__ import annotations

import logging
import sys

from nightshift.errors import ConfigurationError
from nightshift.settings import Settings
from predict_server.supervisor import Failed, supervise


def main() -> int:
    """Run the server by the settings of the environment; return its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        supervise(Settings.from_env())
    except (ConfigurationError, Failed) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
