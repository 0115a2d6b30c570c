"""The compiler's process by its own protocol: a line of JSON in, a line of JSON out."""

import json
import subprocess
import sys
from pathlib import Path

import openmldb_compiler
import pytest
from openmldb_compiler import wheel

CHILD = Path(openmldb_compiler.__file__).with_name("child.py")
CATALOG = {"db": {"t": [["a", "string"], ["id", "int32"], ["ts", "timestamp"]]}}
FINE = {"call": "judge", "seconds": 30, "db": "db", "catalog": CATALOG, "mode": "batch",
        "sql": "SELECT a FROM t"}  # fmt: skip
WINDOW = (
    "SELECT a, sum(id) OVER w AS s FROM t WINDOW w AS "
    "(PARTITION BY a ORDER BY ts ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW)"
)


@pytest.fixture(scope="module")
def answers():
    """Of a process of its own: the answers to several requests, all sent at once."""
    reason = wheel.unavailable_reason()
    if reason is not None:
        pytest.skip(reason)

    def of(*requests):
        lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in requests]
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(CHILD), str(wheel.native_folder())],
            input=b"".join(line + b"\n" for line in lines),
            capture_output=True,
            timeout=120,
            check=False,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return of


def test_each_request_gets_one_line_and_the_end_of_input_ends_it(answers):
    code, found, said = answers(
        FINE,
        {**FINE, "sql": "SELECT nothing FROM t"},
        {**FINE, "mode": "request", "sql": WINDOW},
        {**FINE, "call": "ddl", "sql": WINDOW},
        {**FINE, "call": "dependent_tables", "sql": WINDOW},
    )
    assert (code, said) == (0, b"")  # whatever the native library writes goes nowhere
    taken, refused, columns, ddl, tables = found
    assert taken == {"refused": []}
    assert any("nothing" in text for text in refused["refused"])
    assert columns == {"refused": [], "columns": [["a", "string"], ["s", "int32"]]}
    assert any("index(key=(a)" in text.lower().replace("`", "") for text in ddl["statements"])
    assert tables == {"tables": [["db", "t"]]}


def test_what_it_cannot_do_is_an_error_in_its_answer_and_it_goes_on(answers):
    code, found, _ = answers(
        {**FINE, "call": "nothing"},
        {key: FINE[key] for key in ("call", "seconds", "mode")},
        {**FINE, "catalog": {"db": {"t": [["a", "no type"]]}}},
        FINE,
    )
    assert code == 0
    assert [list(one) for one in found] == [["error"], ["error"], ["error"], ["refused"]]
    assert "sql" in found[1]["error"]


def test_long_names_and_texts_of_any_script_come_through(answers):
    name = "c" * 60
    catalog = {"db": {"t": [[name, "string"], ["名", "int32"]]}}
    code, (found,), _ = answers(
        {**FINE, "catalog": catalog, "mode": "request", "sql": f"SELECT {name}, `名` FROM t"}
    )
    assert code == 0
    assert [column for column, _ in found["columns"]] == [name, "名"]
