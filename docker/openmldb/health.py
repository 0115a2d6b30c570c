"""Whether OpenMLDB can be given work: its API server, tablets and tables, not `/health` alone.

`/health` of the API server says OK while no tablet answers, and for a while after a tablet came
back its tables give partial rows. For the Python of OpenMLDB's image, so written for an old one.
"""

import json
import os
import sys
import urllib.request

URL = "http://127.0.0.1:" + os.environ.get("OPENMLDB_APISERVER_PORT", "9080")
PARTITIONS_AWAY = 8
WARNINGS = 13


def rows(sql):  # noqa: ANN001, ANN201 (old Pythons)
    """The rows of a statement."""
    body = json.dumps({"mode": "onsync", "sql": sql, "timeout": 5000}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(URL + "/dbs/INFORMATION_SCHEMA", body, headers)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=8) as answer:
        found = json.loads(answer.read().decode())
    if found.get("code") != 0:
        raise ValueError("%s: %s" % (sql, found.get("msg")))  # noqa: UP031
    return found.get("data", {}).get("data", [])


def problems():  # noqa: ANN201
    """What is wrong, one line each."""
    tablets = [row for row in rows("SHOW COMPONENTS") if row[1] == "tablet"]
    found = ["tablet %s is %s" % (row[0], row[3]) for row in tablets if row[3] != "online"]  # noqa: UP031
    if not tablets:
        found.append("there is no tablet")
    for row in rows("SHOW TABLE STATUS"):
        away = row[PARTITIONS_AWAY] if len(row) > PARTITIONS_AWAY else "0"
        if str(away) not in ("0", "", "NULL", "None"):
            found.append("%s partitions of %s.%s are away" % (away, row[2], row[1]))  # noqa: UP031
        if len(row) > WARNINGS and str(row[WARNINGS]).strip() not in ("", "NULL", "None"):
            found.append("%s.%s: %s" % (row[2], row[1], row[WARNINGS]))  # noqa: UP031
    return found


if __name__ == "__main__":
    try:
        wrong = problems()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        wrong = [repr(error)]
    for line in wrong[:20]:
        sys.stdout.write(line[:300] + "\n")
    sys.exit(1 if wrong else 0)
