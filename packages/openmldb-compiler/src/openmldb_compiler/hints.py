"""From a refusal in OpenMLDB's words to how the query can be written.

Each rule looks at the message and at the query, and gives a hint or nothing; the first rule that
gives one wins. A new kind is one function with ``@_rule``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from openmldb_sql import syntax as s
from openmldb_sql.errors import SqlError
from openmldb_sql.parse import parse_select
from openmldb_sql.tokens import Kind, Token, scan

from openmldb_compiler.replacements import FUNCTIONS, REPLACEMENTS

N = TypeVar("N")


@dataclass(frozen=True)
class Hint:
    """How to write it instead.

    Attributes:
        text: What to write.
        line: The line of the query that it speaks of, from 1; None where that is not known.
    """

    text: str
    line: int | None = None


@dataclass(frozen=True)
class Refusal:
    """A refused SELECT: its text, OpenMLDB's message, whether it was to be a deployment."""

    sql: str
    message: str
    request: bool

    @cached_property
    def tree(self) -> s.Query | None:
        """The query as our parser reads it; None where it cannot."""
        try:
            return parse_select(self.sql)
        except (SqlError, RecursionError):
            return None

    @cached_property
    def tokens(self) -> list[Token]:
        """The query's tokens, as far as they can be read."""
        found: list[Token] = []
        try:
            found.extend(scan(self.sql))
        except SqlError:
            return found
        return found

    def first(self, kind: type[N]) -> N | None:
        """The first node of a kind in the tree."""
        return next((n for n in s.nodes(self.tree) if isinstance(n, kind)), None)

    def line_of(self, *words: str) -> int | None:
        """The line where these words first stand in a row; names match whatever their case."""
        wanted = [w.upper() for w in words]
        spelled = [t.value.upper() for t in self.tokens]
        for at in range(len(spelled) - len(wanted) + 1):
            if spelled[at : at + len(wanted)] == wanted and (
                self.tokens[at].kind is not Kind.STRING
            ):
                return self.sql.count("\n", 0, self.tokens[at].start) + 1
        return None


Rule = Callable[[Refusal], Hint | None]
_RULES: list[Rule] = []


def hint_for(sql: str, message: str, *, request: bool) -> Hint | None:
    """How a refused query can be written, where that is known."""
    refusal = Refusal(sql, message, request)
    for rule in _RULES:
        found = rule(refusal)
        if found is not None:
            return found
    return None


def _rule(rule: Rule) -> Rule:
    _RULES.append(rule)
    return rule


def place_in(message: str) -> int | None:
    """The line that a message of OpenMLDB's parser names: ``[at 2:15]``."""
    found = re.search(r"\[at (\d+):\d+\]", message)
    return int(found[1]) if found else None


@_rule
def _is_null(r: Refusal) -> Hint | None:
    if not re.search(r"binary operator: IS\b", r.message):
        return None
    node = r.first(s.IsNull)
    what = s.show(node.operand) if node is not None else "x"
    if node is not None and node.negated:
        return Hint(f"write NOT isnull({what}) for {what} IS NOT NULL", r.line_of("is", "not"))
    return Hint(f"write isnull({what}) for {what} IS NULL", r.line_of("is", "null"))


@_rule
def _concat(r: Refusal) -> Hint | None:
    if "binary operator: ||" not in r.message:
        return None
    pair = next((n for n in s.nodes(r.tree) if isinstance(n, s.Binary) and n.op == "||"), None)
    parts: list[str] = []

    def collect(e: s.Expr) -> None:
        if isinstance(e, s.Binary) and e.op == "||":
            collect(e.left)
            collect(e.right)
        else:
            parts.append(_quoted(e))

    if pair is not None:
        collect(pair)
    shown = ", ".join(parts or ["a", "b"])
    return Hint(f"write concat({shown}) for {' || '.join(parts or ['a', 'b'])}", r.line_of("||"))


@_rule
def _count_constant(r: Refusal) -> Hint | None:
    if "Illegal while condition" not in r.message:
        return None
    for n in s.nodes(r.tree):
        if isinstance(n, s.Call) and n.args and isinstance(n.args[0], s.Literal):
            name = n.name.lower()
            shown = s.show(n.args[0])
            instead = "count(*)" if name == "count" else f"{name}(column)"
            return Hint(
                f"write {instead} for {name}({shown}): over a window an aggregate takes a column",
                r.line_of(n.name, "(", shown),
            )
    return Hint("over a window an aggregate takes a column, not a constant: count(*) counts rows")


@_rule
def _function(r: Refusal) -> Hint | None:
    found = re.search(r"Fail to resolve expression: `?(\w+)\(", r.message)
    name = found[1].lower() if found else ""
    if not found or name in ("case", "cast"):
        return None
    line = r.line_of(found[1], "(")
    if name in REPLACEMENTS:
        return Hint(f"{name} is not in OpenMLDB 0.9.2: write {REPLACEMENTS[name]}", line)
    if name in FUNCTIONS:
        return Hint(f"{name} takes no such arguments: see their number and types", line)
    near = difflib.get_close_matches(name, FUNCTIONS, 3, 0.75)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return Hint(f"{name} is not a function of OpenMLDB 0.9.2{meant}", line)


@_rule
def _keyword_function(r: Refusal) -> Hint | None:
    found = re.search(r"Unexpected keyword (JOIN|IF|LEFT|RIGHT|REPLACE)\b", r.message)
    if not found:
        return None
    name, line = found[1].lower(), place_in(r.message)
    if name in ("join", "replace"):
        return Hint(
            f"{found[1]} is a keyword: call the function in backquotes, `{name}`(...)", line
        )
    return Hint(f"{name} is not in OpenMLDB 0.9.2: write {REPLACEMENTS[name]}", line)


@_rule
def _distinct(r: Refusal) -> Hint | None:
    if "Modifiers for function call" not in r.message:
        return None
    call = next((n for n in s.nodes(r.tree) if isinstance(n, s.Call) and n.distinct), None)
    name = "count" if call is None else call.name.lower()
    what = "x" if call is None else ", ".join(s.show(a) for a in call.args)
    if name == "count":
        return Hint(
            f"write distinct_count({what}) for count(DISTINCT {what}); unlike that it counts NULL "
            "as one more value",
            r.line_of("distinct"),
        )
    return Hint(f"{name}(DISTINCT {what}) has no replacement", r.line_of("distinct"))


@_rule
def _left_join(r: Refusal) -> Hint | None:
    join = r.first(s.Join)
    union = next(
        (n for n in s.nodes(r.tree) if isinstance(n, s.Query) and len(n.selects) > 1), None
    )
    if "non-row output type" in r.message:
        if any(isinstance(n, s.Join) and n.kind == "LEFT" for n in s.nodes(r.tree)):
            return Hint(
                "a deployment answers one row: write LAST JOIN ... ORDER BY time for LEFT JOIN",
                r.line_of("left"),
            )
        if union is not None:
            return Hint(
                "a deployment answers one row: rows of other tables come in by WINDOW w AS "
                "(UNION other_table PARTITION BY ...) or LAST JOIN",
                r.line_of("union"),
            )
    if re.search(r"unsupport join type", r.message) and join is not None:
        kind = next(
            (n.kind for n in s.nodes(r.tree) if isinstance(n, s.Join) and n.kind != "LAST"), ""
        )
        return Hint(
            f"OpenMLDB has LAST JOIN (one row of the right side) and, in batch, LEFT JOIN"
            f"{f', not {kind} JOIN' if kind not in ('', 'LEFT') else ''}",
            r.line_of(kind, "join") or r.line_of("join"),
        )
    return None


@_rule
def _grouped_request(r: Refusal) -> Hint | None:
    if "Aggregate over a table" in r.message or "HAVING Op in online serving" in r.message:
        return Hint(
            "a deployment has no GROUP BY: aggregate over a window, WINDOW w AS (PARTITION BY key "
            "ORDER BY time ROWS_RANGE BETWEEN ... PRECEDING AND CURRENT ROW)",
            r.line_of("group", "by") or r.line_of("having"),
        )
    return None


@_rule
def _sorted_result(r: Refusal) -> Hint | None:
    if "kSortPlan" not in r.message:
        return None
    return Hint("leave ORDER BY of the result out and sort the rows where you read them")


@_rule
def _online_join(r: Refusal) -> Hint | None:
    if "kJoinPlan Op in cluster online" not in r.message:
        return None
    return Hint(
        "an online SELECT cannot join: run it offline (mode offsync, or CONFIG "
        "(execute_mode='offline')), or DEPLOY it and send requests",
        r.line_of("join"),
    )


@_rule
def _request_filter(r: Refusal) -> Hint | None:
    if "on the request table" not in r.message:
        return None
    return Hint(
        "leave WHERE out and choose the requests where you send them, or write CASE WHEN "
        "condition THEN ... END in the select list",
        r.line_of("where"),
    )


@_rule
def _keys(r: Refusal) -> Hint | None:
    found = re.search(r"unsupported partition key: '([^']*)', type is (\w+)", r.message)
    if not found:
        return None
    name = found[1].split(".")[-1]
    return Hint(
        f"a key cannot be {found[2].upper()}: make {found[1]} a BIGINT (for example in hundredths) "
        "or a STRING in the table",
        r.line_of(name),
    )


@_rule
def _order(r: Refusal) -> Hint | None:
    if "Invalid Order column type" not in r.message:
        return None
    return Hint("ORDER BY takes one column of type TIMESTAMP, BIGINT, INT or SMALLINT")


@_rule
def _nested_window(r: Refusal) -> Hint | None:
    if "Do not support window on" not in r.message:
        return None
    return Hint(
        "a deployment's window stands on a table, or on a subquery that only chooses columns: "
        "compute after the aggregation, in the outer select list"
    )


@_rule
def _two_windows(r: Refusal) -> Hint | None:
    if "fail to resolved window" not in r.message:
        return None
    return Hint(
        "one select item uses one window: give each aggregate a column of its own in a subquery and "
        "combine them outside"
    )


@_rule
def _window_clauses(r: Refusal) -> Hint | None:
    if "WINDOW without PARTITION BY" in r.message:
        return Hint("add PARTITION BY a key column to the window")
    if "MAXSIZE non-support" in r.message:
        return Hint("MAXSIZE belongs to ROWS_RANGE: leave it out, ROWS counts rows already")
    if "Non-support FrameType RANGE" in r.message:
        return Hint(
            "write ROWS_RANGE BETWEEN 7d PRECEDING AND CURRENT ROW for RANGE", r.line_of("range")
        )
    if "window frame with null end" in r.message:
        return Hint("write both edges: ROWS BETWEEN 3 PRECEDING AND CURRENT ROW")
    if "frame can't be unbound" in r.message:
        return Hint("give the window a frame: ROWS_RANGE BETWEEN 7d PRECEDING AND CURRENT ROW")
    return None


@_rule
def _condition(r: Refusal) -> Hint | None:
    if "Condition must be boolean" not in r.message:
        return None
    return Hint("WHEN takes a BOOL: write the comparison out, x <> 0 or x <> ''")


@_rule
def _operands(r: Refusal) -> Hint | None:
    found = re.search(r"Invalid (\w+) Op type: lhs (\w+) rhs (\w+)", r.message)
    if not found:
        return None
    pair = {found[2], found[3]}
    if "timestamp" in pair and pair & {"int16", "int32", "int64"}:
        return Hint("cast one side: bigint(time) gives milliseconds, timestamp(number) a time")
    if pair == {"date", "timestamp"}:
        return Hint("cast one side: date(time), or timestamp(day)")
    if "string" in pair:
        return Hint("cast the text first: double(text), int(text)")
    return Hint(f"{found[2]} and {found[3]} do not go together there: cast one of them")


@_rule
def _text_aggregate(r: Refusal) -> Hint | None:
    if "Resolve udf signature failure" not in r.message or _removed_inside(r) is not None:
        return None
    return Hint("the aggregate has no meaning for that type: cast the column, or count(column)")


@_rule
def _tables(r: Refusal) -> Hint | None:
    found = re.search(
        r"table (?:\w+\.)?(\w+) not exists? in database|table [\w.]+ not exist", r.message
    )
    if not found:
        return None
    return Hint("create the table, or write database.table for one of another database")


@_rule
def _ambiguous(r: Refusal) -> Hint | None:
    found = re.search(r"Ambiguous column name (\S+)", r.message)
    if not found:
        return None
    return Hint(f"write table.{found[1]}: more than one table has the column", r.line_of(found[1]))


@_rule
def _column(r: Refusal) -> Hint | None:
    found = re.search(r"(?:Fail to find column|Column Not found:) \.?(\S+)", r.message)
    if not found:
        return None
    return Hint(
        "see the names of the table's columns, and that the table's alias stands before FROM's end",
        r.line_of(*re.split(r"(\.)", found[1])),
    )


@_rule
def _parameters(r: Refusal) -> Hint | None:
    if "parameter type with position" not in r.message or not r.request:
        return None
    return Hint("a deployment takes no parameters: its request row is its input", r.line_of("?"))


@_rule
def _removed_inside(r: Refusal) -> Hint | None:
    for n in s.nodes(r.tree):
        if isinstance(n, s.Call) and n.name.lower() in REPLACEMENTS:
            name = n.name.lower()
            return Hint(
                f"{name} is not in OpenMLDB 0.9.2: write {REPLACEMENTS[name]}",
                r.line_of(n.name, "("),
            )
    return None


def _quoted(e: s.Expr) -> str:
    """The expression as a query would write it."""
    if isinstance(e, s.Literal) and isinstance(e.value, str):
        return "'" + e.value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return s.show(e)
