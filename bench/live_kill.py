"""SIGKILL at random moments of live traffic: of ingest, reconcile, logging, ledger, withdrawal.

    .venv/bin/python bench/live_kill.py --kills 50 [--only ingest reconcile logging observe withdrawal]

Each kind works in a child process on a pipeline of its own beside an embedded OpenMLDB
(`testing/live_kills.py`); the child is killed at a moment drawn evenly over its work, the work is done again,
and what is there is compared with what must be. A line of JSON a kind; the exit code is 1 unless all
of them lost and doubled nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from laptop.services import catalogue  # noqa: E402
from nightshift import credentials  # noqa: E402
from nightshift.errors import NightshiftError  # noqa: E402
from nightshift.openmldb import OpenMLDBClient  # noqa: E402
from testing.live_kills import KINDS, Yard  # noqa: E402
from testing.serving import Process, serving_settings, wait_until  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--seed", type=int, default=10)
    options = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory(prefix="live-kill-") as name:
        settings = serving_settings(Path(name))
        server = Process(catalogue.openmldb(settings), Path(name) / "openmldb.log")
        # A yard has a home of its own, without the server's token.
        token = credentials.ensure(settings, credentials.OPENMLDB_TOKEN)
        os.environ["NIGHTSHIFT_OPENMLDB_TOKEN"] = token
        try:
            with OpenMLDBClient.of(settings) as client:
                wait_until(lambda: _lives(client), "OpenMLDB answers", 60)
                for kind in options.only:
                    yard = Yard.make(settings, settings.home / "data" / kind, client)
                    made = yard.kill(kind, options.kills, client, options.seed)
                    print(json.dumps(made.to_json()), flush=True)
                    well &= made.well
        finally:
            server.stop()
    return 0 if well else 1


def _lives(client: OpenMLDBClient) -> bool:
    try:
        client.databases()
    except NightshiftError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
