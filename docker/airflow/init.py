"""Set up Airflow once, again at every `up`: database, pools and the first user.

Everything here may be repeated. The user's password comes from the environment and goes into a
file that only Airflow's own user reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def run(*command: str) -> None:
    """Run a command; end with its exit code when it fails."""
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


def write_password(path: Path, user: str, password: str) -> None:
    """Give `user` this password, whole or not at all; other users keep theirs."""
    known = json.loads(path.read_text()) if path.exists() else {}
    staged = path.with_suffix(".tmp")
    staged.touch(mode=0o600)
    staged.write_text(json.dumps(known | {user: password}))
    staged.replace(path)


def main() -> None:
    """Migrate the metadata database, make the DAGs' pools, set the first user's password."""
    run("airflow", "db", "migrate")
    run("airflow", "pools", "import", f"{os.environ['NIGHTSHIFT_PROJECT']}/include/pools.json")
    write_password(
        Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]),
        os.environ["NIGHTSHIFT_AIRFLOW_USER"],
        os.environ["NIGHTSHIFT_AIRFLOW_PASSWORD"],
    )


if __name__ == "__main__":
    main()
