#!/usr/bin/env python3
"""Kill the embedded OpenMLDB at random moments, and check after each start what it kept.

Six clients insert, truncate, create, drop, deploy and load (online and offline) without pause; the
server is killed (SIGKILL; one time in ten SIGTERM) after 0.05 to 1 s and started again.
Snapshots are taken every 20 KiB of log, so that kills meet them in every stage. Acknowledged changes must be there,
an unanswered one wholly or not at all, and a job's row must say what became of its rows.

    .venv/bin/python bench/openmldb_kill.py [--kills 200] [--seed N]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from testing.embedded import ServerProcess, Shaken


def main() -> int:
    """Run; the exit code is 1 where something acknowledged was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="openmldb-kill-"))
    server = ServerProcess(folder / "data", "--root", str(folder), "--snapshot-mib", "0.02")
    shaken = Shaken(server, given.seed)
    started: list[float] = []
    try:
        server.start()
        shaken.prepare()
        for kill in range(given.kills):
            shaken.shake(shaken.random.uniform(0.05, 1.0))
            begin = time.perf_counter()
            server.start()
            started.append(time.perf_counter() - begin)
            shaken.check()
            if kill % 10 == 9:
                print(
                    f"{kill + 1} kills, {shaken.answered} changes acknowledged, nothing lost; "
                    f"slowest start {max(started):.1f} s",
                    flush=True,
                )
    except BaseException:
        print(f"the data folder is kept: {folder}", file=sys.stderr)
        raise
    finally:
        if server.process is not None and server.process.poll() is None:
            server.end()
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
