"""``openmldb-embedded``: the command line of the server."""

from __future__ import annotations

import argparse
from pathlib import Path

from openmldb_embedded.lean import keep_pandas_out


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="openmldb-embedded",
        description="An embedded server that speaks OpenMLDB's API server protocol.",
    )
    found.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    found.add_argument("--port", type=int, default=9080, help="port to listen on (%(default)s)")
    found.add_argument("--data", type=Path, required=True, help="folder of the server's data")
    found.add_argument(
        "--root",
        action="append",
        help="folder that LOAD DATA may read and INTO OUTFILE may write; may be repeated; for "
        "--offline-engine spark also a URL, s3a://bucket/folder "
        "(default: the data folder's parent and the current folder)",
    )
    found.add_argument(
        "--token-file",
        type=Path,
        help="file (mode 0600) with the token that requests must carry, as a bearer token or as "
        "the password of basic authentication (default: none is demanded)",
    )
    found.add_argument(
        "--name",
        action="append",
        default=[],
        help="name that clients may call this server by, besides localhost, its address and, "
        "where it listens on all, any address; may be repeated",
    )
    found.add_argument(
        "--client-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="time for a request to arrive; a large body has more, by its size (%(default)s)",
    )
    found.add_argument(
        "--jobs", type=int, default=2, help="jobs at once, and as many big queries (%(default)s)"
    )
    found.add_argument(
        "--job-memory",
        type=int,
        default=0,
        help="memory of one job or big query in MiB (default: a quarter of the machine's)",
    )
    found.add_argument(
        "--max-rows",
        type=int,
        default=1_000_000,
        help="rows that an answer may hold (%(default)s)",
    )
    found.add_argument(
        "--repair",
        action="store_true",
        help="start although the log is damaged or its newest file is lost: what follows the damage "
        "is kept aside in <data>/log, and lost to the tables",
    )
    found.add_argument(
        "--snapshot-mib",
        type=float,
        default=32,
        help="size of the log at which a snapshot is taken, in MiB (%(default)s)",
    )
    found.add_argument(
        "--lenient",
        action="store_true",
        help="run queries that OpenMLDB 0.9.2 refuses and this engine can compute",
    )
    found.add_argument(
        "--consistent",
        action="store_true",
        help="show a job's end and a new index at once, where a cluster shows them late, and say so "
        "in the answer to GET /health",
    )
    found.add_argument(
        "--exact",
        action="store_true",
        help="refuse values that OpenMLDB would change (numbers that wrap around, impossible "
        "dates), and deployments to which every request fails",
    )
    found.add_argument(
        "--offline-engine",
        default="embedded",
        help="what runs the offline jobs: embedded, or spark: OpenMLDB's own batch engine "
        "(%(default)s)",
    )
    found.add_argument(
        "--taskmanager-properties",
        type=Path,
        metavar="FILE",
        help="settings of the offline engine, as OpenMLDB's TaskManager has them",
    )
    found.add_argument(
        "--taskmanager",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one of those settings, over the file's; may be repeated",
    )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the server until SIGTERM or SIGINT; the exit code is 1 where it cannot start."""
    given = parser().parse_args(arguments)
    keep_pandas_out()
    from openmldb_embedded.run import run  # after the line above

    return run(given)
