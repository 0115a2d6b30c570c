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

import vectors  # noqa: E402
from conformance import runner  # noqa: E402
from known_failures import KNOWN, VECTORS  # noqa: E402
from openmldb_embedded import aggregates, functions  # noqa: E402
from openmldb_embedded.functions import text  # noqa: E402
from openmldb_sql import parse  # noqa: E402

FRAME = """\
# The SQL this engine understands

Made by `docs/make_sql.py` from the function registries and from OpenMLDB's own conformance cases;
do not edit it by hand.

A SELECT is read, checked and planned before anything runs: an unknown or ambiguous name, a type
that does not fit, a window or join that OpenMLDB refuses is an error whose message begins with
`create logic plan tree failed--` (code 1000 for syntax, 1001 otherwise). `EXPLAIN` shows the plan.

In strict mode, the default, OpenMLDB 0.9.2's own compiler must accept a query, too, and refuses it
in its own words (codes 1000 to 1204). So these run with `--lenient` only: `IS [NOT] NULL`, `||`,
joins and ORDER BY over online tables, WHERE on a deployment's request table, and the functions
marked so below.

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
`f(DISTINCT x)`, `ORDER BY ... DESC` in a window, `UNBOUNDED FOLLOWING`, maps and arrays as results
(`map('a', 1)['a']`, `array_contains([1, 2], x)` and the like give values).

Strict mode refuses what OpenMLDB 0.9.2 refuses: `IS NULL`, `||`, `<<`, `&&`, hexadecimal integers,
`''` inside a text, functions marked below, an untyped NULL for most arguments, aggregates of
constants, RANGE, a frame without BETWEEN, FLOAT keys; and in a deployment LEFT JOIN, GROUP BY,
windows over subqueries that compute, filter or join twice.

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
- Times before 1970 are cut to whole seconds towards zero, and `hour`, `minute` and `second` of them
  are negative or zero; `dayofyear` and `last_day` of them are NULL.
- Functions of text work on bytes (`substr`, `reverse`, `char_length`, `_` in LIKE), so a result may
  be no UTF-8; `upper` and `lower` know A to Z only. Regular expressions are RE2's POSIX ones (no
  `\\d`); a bad one gives NULL.
- Operands of AND, OR, XOR and NOT: a number or time is true but for 0, a text but for '', a DATE
  always. A whole WHERE or HAVING of type STRING, DATE or TIMESTAMP is never true. CASE WHEN takes
  BOOL only.
- Branches of CASE, and arguments of `ifnull`: numbers widen (BIGINT beside FLOAT gives DOUBLE), an
  integer beside a TIMESTAMP becomes one, all other mixtures become text.
- Functions of mathematics give FLOAT for a FLOAT and DOUBLE else. A cast of text is NULL where the
  text does not fit the type; dates and times in texts begin in 1900.
- `sum` keeps its argument's type; FLOATs are added newest first in 32 bits. `sum_where` and
  `avg_where` leave zeros out; `drawdown` leaves negative values out.
- `distinct_count` counts NULL as the zero of its type, as OpenMLDB's own case says
  (`test_udaf_function.yaml#5` and `#6`); `count`, `top1_ratio` and `topn_frequency` skip NULL.
- `first_value` is the oldest row's value, `last_value` the newest's. `lag(x, n) OVER w`, standing
  alone, counts back from the current row whatever w's frame; inside an expression it indexes the
  frame, 0 the newest.
- A ROWS frame is cut to the MAXSIZE of a ROWS_RANGE frame over the same keys in one SELECT, where
  OpenMLDB reads both together: where the ROWS frame is unbounded, or reaches back no further than
  the MAXSIZE.
- In a deployment, a joined subquery whose window does not hold its own row (EXCLUDE CURRENT_TIME,
  or a ROWS_RANGE that ends before the current row) gives the newest row of the frame in its place,
  and NULLs where the frame is empty.
- In batch mode a row whose order key is NULL is dropped, as the offline engine does; a request
  whose order key is NULL has itself alone in its frame.
- Keys of two types in a join meet as OpenMLDB's indexes spell them: BIGINT and TIMESTAMP by
  milliseconds, TRUE and 'true', never a DATE and its text.
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
"""

ANSWERS = """
## What OpenMLDB's own engine answers

Functions over edge values, aggregates over windows and whole queries, as OpenMLDB 0.9.2's engine
answers them. `tests/test_vectors.py` demands the same values, types and names, and a refusal in
strict mode wherever OpenMLDB refuses.

{counts}

{different}
Deliberately different, or not defined by OpenMLDB:

- {crash} rows of the vectors end the real engine (the smallest integer `% -1`; a TIMESTAMP divided
  by NULL does too): here they are 0 and NULL.
- {undefined} rows of the vectors are left out, for OpenMLDB's answer is not defined: floats beyond
  the integer type they are cast to, and functions that leave their null flag unset (`add_months`,
  `unhex`, `upper`, `lower` and `reverse` of an empty text): here the value is given.
- Ties of an ORDER BY in batch mode, which `std::sort` leaves open, are broken by insertion.
- A date that no calendar has (`date('2020-02-31 00:00:00')`, or `add_months` beyond 9999) is NULL:
  a DATE of the real engine would hold it, and nothing else could read it.
- Texts grow to {text} MiB and not to 2 MiB, from where on the real engine gives NULL.
"""

OTHERWISE = """
## Answered otherwise than a cluster, on purpose

Of 970 recorded answers of an API server, these differ in more than the words of an error or the
order of rows:

| statement | a cluster | here, and why |
|---|---|---|
| `DEPLOY q SELECT 1` | accepts it | refused: it could never be dropped, and keeps TaskManager from starting |
| `DEPLOY q SELECT k FROM t WHERE v = 1`, with `--exact` | accepts it | refused: every request to it fails; without `--exact` as a cluster |
| `SELECT map('a', 1)` | a value of type Unknown | refused: no client can read it |
| `SELECT unhex('61')` | NULL | `a`, as OpenMLDB's engine alone answers: the cluster leaves the null flag unset |
| `SELECT DISTINCT` over online tables | DISTINCT is left out | distinct rows |
| `EXPLAIN` | hybridse's plan | this engine's own plan |
| `SHOW DEPLOYMENT` (2 of them) | the database's name, as wide as it is | the same: the database of the recording had a shorter name then |

Statements that OpenMLDB's compiler takes and that are refused here, by name and before anything runs:

| statement | here |
|---|---|
| `top_n_key_*_cate_where(v, c, k, n)` with a column as `n` | give a constant |
| `t LAST JOIN t ON t.k = t.k` | `t.k` is ambiguous: give one side an alias |
| `SELECT t.k FROM (SELECT k FROM t) AS u` | no table `t` here: write `u.k` |
| an aggregate inside another one with GROUP BY, `sum(sum(v))` | compute the inner one in a subquery |
| a number beyond DOUBLE, `1e400` | it is too large |

Of 83 recorded loads of files by OpenMLDB's batch engine on Spark 3.2, these differ:

| file | the batch engine | here, and why |
|---|---|---|
| CSV whose header has the table's names in another order | loads cells by position | refused: every column would be wrong |
| CSV with times as text (3 loads) | reads them in Spark's session time zone, UTC when recorded | UTC+8, OpenMLDB's own zone, which production pins (`spark.sql.session.timeZone=+08:00`) |

Further cells of CSV that no recorded load has (`test_second_referee.py` compares others with the
batch engine on Spark):

| cell | the batch engine | here, and why |
|---|---|---|
| a time of day alone in a TIMESTAMP (`15:56:29`) | that time on the day of the load | NULL: the same file would load otherwise tomorrow |
| a DATE before year 1 or after 9999 | that date | refused: neither Python nor Arrow has it |
| a folder whose files write times in different ways, some as milliseconds | the largest file decides for all; the others' times are NULL | each file by its own first time |
| a quoted cell within which a backslash follows a quote that ends nothing (`"a"\\b"`) | runs on into the next cell, without the delimiter | the quote is a character of the cell |
| a file packed as `.zst`, `.lz4`, `.snappy` or `.deflate` | unpacks it, where its Hadoop can | refused: pack it as `.gz` or `.bz2` |
"""

CASES = """
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
        instead = getattr(e, "instead", None)
        doc = f"{e.doc} (lenient mode only; OpenMLDB: `{instead}`)" if instead else e.doc  # type: ignore[attr-defined]
        rows.append([names, e.signature, doc])  # type: ignore[attr-defined]
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


def answers(shared: Path) -> str:
    """The vectors of OpenMLDB's own engine, by file and mode, and what of them is left out."""
    per: dict[tuple[str, str], Counter[str]] = {}
    out: Counter[str] = Counter()
    for vector in vectors.runner(shared).load(str(shared / "openmldb-vectors")):
        count = per.setdefault((vector["file"], vector["mode"]), Counter())
        count["refused" if "refused" in vector else "columns"] += len(vector.get("items", [1]))
        count["different"] += vector["id"] in VECTORS
        out["undefined"] += len(vector.get("undefined_rows", ()))
        out["crash"] += len(vector.get("crash_rows", ()))
    rows = [
        [file, mode, str(c["columns"]), str(c["refused"]), str(c["different"])]
        for (file, mode), c in sorted(per.items())
    ]
    head = ["vectors", "mode", "result columns", "refusals", "answered otherwise"]
    return ANSWERS.format(
        counts=table(head, rows),
        text=text.MAX_TEXT >> 20,
        undefined=out["undefined"],
        crash=out["crash"],
        different="".join(f"- `{name}`: {reason}\n" for name, reason in VECTORS.items()),
    )


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
            answers(shared),
            OTHERWISE,
            CASES,
            cases(shared),
            "\n### Those that do not pass\n",
            table(["mode", "case", "reason"], failing),
            "",
        ]
    )


if __name__ == "__main__":
    (HERE / "sql.md").write_text(document(Path(sys.argv[1]).resolve()), encoding="utf-8")
