"""Exit 0 when one part of Airflow is healthy, as the API server's monitor sees its heartbeat.

`health.py metadatabase|scheduler|triggerer|dag_processor [URL]`. An HTTP request: the command
`airflow jobs check` would import all of Airflow for each look. `metadatabase` asks of the API
server itself, so the API that running tasks report to must answer, too: its first request takes
seconds, which then no task waits for.
"""

import json
import sys
import urllib.request


def main(part: str, url: str) -> int:
    """Ask the monitor; say on stderr what is wrong."""
    if part == "metadatabase":
        urllib.request.urlopen(f"{url}/execution/health", timeout=10).close()  # noqa: S310
    with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=10) as answer:  # noqa: S310
        status = json.load(answer)[part]["status"]
    if status != "healthy":
        print(f"{part} is {status}", file=sys.stderr)  # noqa: T201
    return 0 if status == "healthy" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *(sys.argv[2:] or ["http://airflow-api-server:8080"])))
