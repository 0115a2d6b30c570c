"""Writes sql.md: the supported SQL, from the function registries and OpenMLDB's own cases.

    python packages/openmldb-embedded/docs/make_sql.py ../shared

``tests/test_docs.py`` fails while the file is not what this writes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from conformance import runner  # noqa: E402
from known_failures import KNOWN  # noqa: E402
from openmldb_embedded import aggregates, functions  # noqa: E402
from openmldb_sql import parse  # noqa: E402

FRAME = """\
# The SQL this engine understands

Made by `docs/make_sql.py` from the function registries and from OpenMLDB's own conformance cases;
do not edit it by hand.

A SELECT is read, checked and planned before anything runs: an unknown or ambiguous name, a type
that does not fit, a window or join that OpenMLDB refuses is an error whose message begins with
`create logic plan tree failed--` (code 1000 for syntax, 1001 otherwise). `EXPLAIN` shows the plan.

## Modes

| | batch | request (a deployment) |
|---|---|---|
| runs over | whole tables: offline jobs, and a plain SELECT over online tables | one request row \
and the online tables, through indexes |
| rows of one time | rows later in the table are not in the frame | every stored row of the \
request's time is |
| window keys | any type but lists | not FLOAT or DOUBLE |
| window order | TIMESTAMP or an integer | TIMESTAMP or BIGINT |
| GROUP BY, aggregates without OVER | yes | only inside a joined subquery |
| DISTINCT, UNION of results | yes | of what one request gives |
| parameters `?` | yes | no |

In both, ties at one time are broken alike: rows of united tables are older than rows of the main
table, and of several united tables the first listed is the newest. A test replays generated tables
row by row and demands the batch result from request mode.

The request table is the leftmost table of the plan. A subquery over the request table that is
joined to it stands for the request row; the bare table on the right of a join means stored rows.

## Clauses

`WITH`, `SELECT` (`DISTINCT`, `*`, `table.*`, aliases, a comma before `FROM`), `FROM` tables,
subqueries, `LAST JOIN ... [ORDER BY column [DESC]] ON`, `LEFT JOIN ... ON`, `WHERE`, `GROUP BY`,
`HAVING`, `WINDOW`, `LIMIT`, `UNION [ALL | DISTINCT]`, `CONFIG (...)`.

A window: `UNION t, (SELECT ...)`, `PARTITION BY` columns, `ORDER BY` one column, `ROWS` or
`ROWS_RANGE BETWEEN a AND b` (units s, m, h, d; a bare number is milliseconds; `OPEN`;
`UNBOUNDED`; an edge after the current row means the current row), `MAXSIZE` (ROWS_RANGE only,
before the attributes), `EXCLUDE CURRENT_TIME`, `EXCLUDE CURRENT_ROW`, `INSTANCE_NOT_IN_WINDOW`.
Windows may also be written after OVER. One select item uses one window.

Not supported, and refused: `ORDER BY` of a result, `RIGHT`, `FULL`, `INNER` and `CROSS JOIN`,
`f(DISTINCT x)`, `ORDER BY ... DESC` in a window, `UNBOUNDED FOLLOWING`, maps and arrays.

Operators: `OR XOR AND NOT`, `= == != <> < <= > >=`, `IS [NOT] NULL`, `[NOT] IN`, `[NOT] BETWEEN`,
`[NOT] LIKE`, `ILIKE` (with `ESCAPE`), `RLIKE`, `| ^ &`, `+ - ||`, `* / % MOD DIV`, unary
`- ~ ! +`, `CASE`, `CAST`. Text compares with any type, as text; TIMESTAMP and DATE otherwise only
with themselves.

Limits: {length:,} characters, {depth} levels of nesting, {chain} operators of one precedence in a
row (AND and OR are not counted): beyond them a statement is a syntax error.

## Meaning worth knowing

- Integers wrap at their own width; the wider operand decides an operator's type; two BOOLs compute
  as one-bit integers; `/` gives DOUBLE; division by zero is NULL.
- All date parts are in UTC+8, as on a cluster.
- `sum` keeps its argument's type; sums of FLOAT are added in 64 bits and rounded once.
- `distinct_count` counts NULL as the zero of its type, as OpenMLDB's own case says
  (`test_udaf_function.yaml#5` and `#6`); `count`, `top1_ratio` and `topn_frequency` skip NULL.
- `first_value` is the oldest row's value, `last_value` the newest's. `lag(x, n) OVER w` counts back
  from the current row whatever w's frame; nested in another function of the window it indexes the
  frame, 0 the newest.
- In batch mode a row whose order key is NULL is dropped, as the offline engine does; a request
  whose order key is NULL has itself alone in its frame.
- `LAST JOIN` without ORDER BY takes the newest row by the declared index on the join key, where the
  table has one with a time, else the row inserted last. NULL keys match NULL keys.
"""


AGGREGATES = """
## Aggregates

Over a window, or over a group. A `condition` is a BOOL; a `category` is an integer, TIMESTAMP,
DATE or STRING.
"""

LISTS = """
`window_split(x, separator)`, `window_split_by_key(x, separator, inner)` and
`window_split_by_value(x, separator, inner)` (also with `fz_`) turn the texts of a frame into one
list, newest row first: the argument of `count`, `distinct_count`, `top1_ratio`, `topn_frequency`
or `join`.

## OpenMLDB's own cases

Cases that expect an error count as passed when the checker refuses them. In request mode every row
of the request table is a request and is stored after its answer.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |" for r in rows]
    return "\n".join(lines)


def entries(registry: Mapping[str, object]) -> list[list[str]]:
    """Rows of names, signature and doc line, one for each function."""
    distinct = {id(e): e for e in registry.values()}.values()
    rows = []
    for e in sorted(distinct, key=lambda e: e.names[0]):  # type: ignore[attr-defined]
        names = ", ".join(f"`{n}`" for n in e.names)  # type: ignore[attr-defined]
        rows.append([names, e.signature, e.doc])  # type: ignore[attr-defined]
    return rows


def cases(shared: Path) -> str:
    """The cases passed, by file and mode."""
    load = runner(shared).load_all
    per: dict[str, Counter[str]] = {}
    for case in load(str(shared / "openmldb-cases")):
        count = per.setdefault(case.file, Counter())
        for mode in KNOWN:
            if mode == "request" and case.excluded("request-unsupport"):
                continue
            count[mode] += 1
            count[f"{mode} passed"] += f"{case.file}#{case.id}" not in KNOWN[mode]
    rows = [
        [f, *(f"{c[f'{m} passed']} of {c[m]}" for m in ("batch", "request"))]
        for f, c in sorted(per.items())
    ]
    total: Counter[str] = sum(per.values(), Counter())
    rows.append(["all", *(f"{total[f'{m} passed']} of {total[m]}" for m in ("batch", "request"))])
    return table(["file", "batch", "request"], rows)


def document(shared: Path) -> str:
    """The whole of sql.md."""
    failing = [
        [mode, name, reason] for mode, known in KNOWN.items() for name, reason in known.items()
    ]
    return "\n".join(
        [
            FRAME.format(length=parse.MAX_LENGTH, depth=parse.MAX_DEPTH, chain=parse.MAX_CHAIN),
            "## Functions\n",
            table(["name", "takes", "gives"], entries(functions.SCALARS)),
            AGGREGATES,
            table(["name", "takes", "gives"], entries(aggregates.AGGREGATES)),
            LISTS,
            cases(shared),
            "\n### Those that do not pass\n",
            table(["mode", "case", "reason"], failing),
            "",
        ]
    )


if __name__ == "__main__":
    (HERE / "sql.md").write_text(document(Path(sys.argv[1]).resolve()), encoding="utf-8")
