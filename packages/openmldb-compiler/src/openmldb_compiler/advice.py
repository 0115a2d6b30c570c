"""What to tell who writes a query: what is wrong with it, and the indexes that it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from openmldb_sql import statements
from openmldb_sql.errors import SqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.tokens import Kind, scan
from openmldb_sql.types import IndexDef, Schema, SqlType

from openmldb_compiler.beyond import online_refusal, request_refusal
from openmldb_compiler.compiler import Compiler, Mode, Outcome, Tables, Verdict, shared
from openmldb_compiler.errors import CompilerError
from openmldb_compiler.hints import hint_for, place_in
from openmldb_compiler.parameters import bound

Use: TypeAlias = Literal["batch", "online", "request"]
"""What a query is for: ``batch``, an offline SELECT or export; ``online``, a SELECT over a
cluster's online tables; ``request``, a deployment."""


@dataclass(frozen=True)
class Problem:
    """Why OpenMLDB 0.9.2 refuses a query.

    Attributes:
        message: In OpenMLDB's words.
        hint: How to write it instead, where that is known.
        line: The line of the text that it concerns, from 1, where that is known.
    """

    message: str
    hint: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        return f"{where}{self.message}{'' if self.hint is None else f' ({self.hint})'}"


class QueryRefused(CompilerError):
    """A query that OpenMLDB refuses was to be worked with."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def check_query(
    sql: str, database: str, tables: Tables, mode: Use, *, compiler: Compiler | None = None
) -> list[Problem]:
    """What OpenMLDB 0.9.2 would refuse in a query; empty where it takes it.

    Args:
        sql: A SELECT, or a statement around one: DEPLOY, SELECT ... INTO OUTFILE, EXPLAIN. A
            statement without a SELECT has no problems here.
        database: The database of names without one.
        tables: What there is: schemas by ``table``, or ``database.table`` for another database.
        mode: What the query is for.
        compiler: Whom to ask; the process's own where none is given.

    Raises:
        CompilerUnavailable: OpenMLDB's compiler is not on this machine (``available()``).
    """
    text, above = _select_of(sql)
    if text is None:
        return []
    verdict = judge(text, database, tables, mode, compiler=compiler)
    return [] if verdict.accepted else [problem(text, verdict, mode, above)]


def judge(
    select_sql: str,
    database: str,
    tables: Tables,
    mode: Use,
    *,
    parameters: Sequence[SqlType] = (),
    compiler: Compiler | None = None,
) -> Verdict:
    """The verdict on a SELECT: the compiler's, and what a cluster refuses beyond it.

    Args:
        select_sql: One SELECT, without anything around it.
        database: The database of names without one.
        tables: As for ``check_query``.
        mode: What the query is for.
        parameters: The types of its ``?``; a deployment has none.
        compiler: Whom to ask; the process's own where none is given.

    Raises:
        CompilerUnavailable: OpenMLDB's compiler is not on this machine.
    """
    compile_mode: Mode = "request" if mode == "request" else "batch"
    text = select_sql if mode == "request" else bound(select_sql, parameters)
    verdict = (compiler or shared()).judge(text, database, tables, compile_mode)
    if verdict.accepted and mode != "batch":
        try:
            tree = parse_select(select_sql, strict=True)
        except (SqlError, RecursionError):
            return verdict  # what our parser cannot read, whoever runs it will say
        beyond = request_refusal(tree) if mode == "request" else online_refusal(tree)
        if beyond is not None:
            return Verdict(Outcome.REFUSED, beyond)
    return verdict


def problem(select_sql: str, verdict: Verdict, mode: Use, lines_above: int = 0) -> Problem:
    """A refusal with its hint and line.

    Args:
        select_sql: What was refused.
        verdict: The refusal.
        mode: What the query is for.
        lines_above: Lines of the user's text before the SELECT.
    """
    message = readable(verdict)
    hint = hint_for(select_sql, message, request=mode == "request")
    line = place_in(verdict.message)
    if line is None and hint is not None:
        line = hint.line
    return Problem(
        message,
        None if hint is None else hint.text,
        None if line is None else line + lines_above,
    )


def readable(verdict: Verdict) -> str:
    """OpenMLDB's message on one line, without the numbers that it gives to columns.

    Where the message names no expression and the trace does, that is added.
    """
    causes = re.findall(r"\(Caused by\) (.*)", verdict.trace)
    message = verdict.message or (causes[-1] if causes else "it does not compile")
    if message == "ok":  # its code generator fails on some CASE of constants, and says no more
        message = "it does not compile, and OpenMLDB gives no reason"
    inside = re.search(r"Lambdafy (.+) failed", verdict.trace)
    if inside and inside[1] not in message:
        message = f"{message} in {inside[1]}"
    plain = re.sub(r"#\d+:", "", message)
    return re.sub(r"\s+", " ", plain).strip()[:500]


def propose_indexes(
    sql: str, database: str, tables: Tables, *, compiler: Compiler | None = None
) -> dict[str, tuple[IndexDef, ...]]:
    """The indexes and TTLs that DEPLOY would make for a query, by OpenMLDB's own GenDDL.

    A table's time to live there is what the query's windows reach. Who reads further back, to
    check an older release or to go back to it, adds that.

    Args:
        sql: A SELECT, or a DEPLOY around one.
        database: The database of names without one.
        tables: As for ``check_query``; their own indexes are not looked at.
        compiler: Whom to ask; the process's own where none is given.

    Returns:
        For each table of ``tables`` that the query reads through an index: those indexes.

    Raises:
        QueryRefused: The query is none that can be deployed; it holds the problems.
        CompilerUnavailable: OpenMLDB's compiler is not on this machine.
    """
    problems = check_query(sql, database, tables, "request", compiler=compiler)
    text, _ = _select_of(sql)
    if problems or text is None:
        raise QueryRefused(problems or [Problem("there is no SELECT in the statement")])
    plain, names = _one_database(text, database, tables)
    schemas = {short: tables[name] for short, name in names.items()}
    found: dict[str, tuple[IndexDef, ...]] = {}
    for statement in (compiler or shared()).ddl(plain, schemas):
        made = statements.parse(statement)
        if isinstance(made, statements.CreateTable) and made.schema.indexes:
            found[names[made.table.name]] = made.schema.indexes
    return found


def _select_of(sql: str) -> tuple[str | None, int]:
    """The SELECT in a statement, and the lines before it."""
    try:
        statement = statements.parse(sql)
    except SqlError:
        return sql, 0  # OpenMLDB's own parser says what is wrong
    if not isinstance(
        statement,
        (statements.Select, statements.SelectInto, statements.Deploy, statements.Explain),
    ):
        return None, 0
    at = sql.find(statement.sql)
    return statement.sql, sql.count("\n", 0, max(at, 0))


def _one_database(sql: str, database: str, tables: Tables) -> tuple[str, dict[str, str]]:
    """The query as if all tables were in one database, and the tables' names by those it uses.

    GenDDL knows one database only.
    """
    names: dict[str, str] = {}
    short: dict[tuple[str, str], str] = {}
    for name in tables:
        db, dot, plain = name.partition(".")
        db, plain = (db, plain) if dot else (database, name)
        used = plain if plain not in names else f"{db}__{plain}"
        names[used] = name
        short[db, plain] = used
    found = list(scan(sql))
    out, at, place = [], 0, 0
    while place < len(found):
        three = found[place : place + 3]
        if (
            len(three) == 3
            and three[1].text == "."
            and all(t.kind in (Kind.WORD, Kind.NAME) for t in (three[0], three[2]))
            and (three[0].value, three[2].value) in short
        ):
            out.append(sql[at : three[0].start])
            out.append(f"`{short[three[0].value, three[2].value]}`")
            at = three[2].end
            place += 3
        else:
            place += 1
    return "".join([*out, sql[at:]]), names


def tables_of(schemas: Mapping[tuple[str, str], Schema]) -> dict[str, Schema]:
    """Schemas by (database, table) as ``check_query`` takes them."""
    return {f"{db}.{name}": schema for (db, name), schema in schemas.items()}
