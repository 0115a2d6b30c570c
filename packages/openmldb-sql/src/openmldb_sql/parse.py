"""Text to syntax tree: sqlglot parses (`dialect.py`), and its expressions become ours.

Downstream knows only `syntax.py`: what sqlglot's nodes look like, which changes between versions,
ends here.  A node or an argument that is not expected is refused, so that nothing sqlglot may take
is lost in silence.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import lru_cache
from typing import NoReturn

from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from openmldb_sql import dialect
from openmldb_sql.dialect import MAX_CHAIN, MAX_DEPTH, OpenMLDB
from openmldb_sql.errors import LimitError, SyntaxError_
from openmldb_sql.syntax import (
    Array,
    Between,
    Binary,
    Bound,
    Call,
    Case,
    Cast,
    ColumnRef,
    Element,
    Expr,
    Frame,
    InList,
    IsNull,
    Join,
    Like,
    Literal,
    NamedTable,
    OrderKey,
    Parameter,
    Query,
    Select,
    SelectItem,
    SelectTree,
    Star,
    Subquery,
    TableRef,
    Unary,
    Window,
)
from openmldb_sql.tokens import NUMBER, UNITS, place
from openmldb_sql.types import SqlType

__all__ = ["MAX_CHAIN", "MAX_DEPTH", "MAX_LENGTH", "parse_select"]

MAX_LENGTH = 1_000_000
"""Characters a statement may have."""

MAX_REMEMBERED = 50_000
"""Characters up to which a statement's tree is kept, so that a text is parsed once."""

_BINARY: dict[type[exp.Expr], str] = {
    exp.Or: "OR",
    exp.Xor: "XOR",
    exp.And: "AND",
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.BitwiseOr: "|",
    exp.BitwiseXor: "^",
    exp.BitwiseAnd: "&",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
    exp.Add: "+",
    exp.Sub: "-",
    exp.DPipe: "||",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
    exp.IntDiv: "DIV",
}
_LIKES: dict[type[exp.Expr], str] = {
    exp.Like: "LIKE",
    exp.ILike: "ILIKE",
    dialect.RLike: "RLIKE",
}


def parse_select(sql: str, *, strict: bool = False) -> SelectTree:
    """Parse one SELECT (with CTEs, UNION, CONFIG).

    ``strict`` refuses spellings that OpenMLDB 0.9.2 refuses: ``&&``, ``<=>``, hexadecimal
    integers, ``''`` inside a text, a text as an alias, UNION without ALL or DISTINCT.

    Raises:
        LimitError: The text is too long or nested too deep.
        SyntaxError_: It is not such a statement.
    """
    if len(sql) > MAX_LENGTH:
        raise LimitError(f"statement of {len(sql)} characters; the limit is {MAX_LENGTH}")
    return _parsed(sql, strict) if len(sql) <= MAX_REMEMBERED else _parse(sql, strict)


@lru_cache(maxsize=64)
def _parsed(sql: str, strict: bool) -> SelectTree:
    """The tree of a text that is asked for again and again: by the server, the plan, the docs."""
    return _parse(sql, strict)


def _parse(sql: str, strict: bool) -> SelectTree:
    openmldb = OpenMLDB()
    try:
        tokens = _one_statement(openmldb.tokenize(sql), sql)
        if strict:
            _refuse_spellings(tokens, sql)
        parser = OpenMLDB.Parser(error_level=ErrorLevel.IGNORE, dialect=openmldb)
        parser.strict = strict
        statements = parser.parse(tokens, sql)
        if len(statements) != 1 or statements[0] is None:
            raise SyntaxError_("Syntax error: expected one statement")
        return replace(_Tree(sql, strict=strict).query(statements[0]), parameters=parser.parameters)
    except dialect.BeyondLimitError as error:
        raise LimitError(str(error)) from error
    except (TokenError, ParseError) as error:
        raise SyntaxError_(str(error)) from error
    except RecursionError as error:
        raise LimitError("Syntax error: the statement is nested too deep") from error


def _one_statement(tokens: list[Token], sql: str) -> list[Token]:
    """The tokens without the semicolon at the end; sqlglot would read on after one."""
    if tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            at = place(sql, token.start)
            raise SyntaxError_(f"Syntax error: expected end of statement but got ';' {at}")
    return tokens


_BEFORE_NO_NOT = frozenset("XOR DIV MOD + - * / % = == < > <= >= != <> & | ^ ~".split())  # noqa: SIM905
"""Operators that bind closer than NOT: what follows them cannot begin with it."""


def _refuse_spellings(tokens: list[Token], sql: str) -> None:
    before = ""
    for token in tokens:
        if token.token_type is TokenType.NOT and before in _BEFORE_NO_NOT:
            raise SyntaxError_(
                f"Syntax error: Unexpected keyword NOT {place(sql, token.start)}: write brackets"
            )
        before = token.text.upper()
        text = sql[token.start : token.end + 1]
        at = place(sql, token.start)
        if token.token_type in (TokenType.DAMP, TokenType.NULLSAFE_EQ):
            raise SyntaxError_(f"Syntax error: Unexpected {text!r} {at}")
        if token.token_type is TokenType.STRING and text[0] in _inside(text):
            raise SyntaxError_(
                f"Syntax error: a quote inside a text is written with a backslash, not doubled {at}"
            )
        if token.token_type is TokenType.NUMBER and text[:2] in ("0x", "0X"):
            raise SyntaxError_(f"Un-support hex integer literal: {text} {at}")


def _inside(text: str) -> str:
    """A text literal without its quotes and without what a backslash escapes."""
    return _ESCAPED.sub("", text[1:-1])


_ESCAPED = re.compile(r"\\.", re.DOTALL)


class _Tree:
    """One statement's conversion."""

    def __init__(self, sql: str, *, strict: bool = False) -> None:
        self.sql = sql
        self.strict = strict

    def only(self, node: exp.Expr, *names: str) -> None:
        """Refuse arguments of a node that have no meaning here."""
        for name, value in node.args.items():
            if name not in names and value not in (None, False, []):
                raise SyntaxError_(f"Syntax error: {name} of {node.key} is not supported")

    # -- queries

    def query(self, node: exp.Expr) -> Query:
        terms: list[exp.Expr] = []
        distinct = False
        left = node
        while isinstance(left, exp.Union):
            self.only(left, "this", "expression", "distinct", "with_", "order", "limit")
            distinct = distinct or bool(left.args["distinct"])
            terms.append(left.expression)
            left = left.this
        terms.append(left)
        selects = tuple(self.term(term) for term in reversed(terms))
        order = self.order(node.args.get("order"))
        limit = self.limit(node.args.get("limit"))
        with_ = node.args.get("with_")
        ctes = (
            tuple((cte.alias, self.query(cte.this)) for cte in with_.expressions) if with_ else ()
        )
        first = selects[0]
        bare = not (ctes or order or limit is not None)
        if len(selects) == 1 and isinstance(first, Query) and bare:
            return first
        return Query(selects, distinct, ctes, order, limit)

    def term(self, node: exp.Expr) -> Select | Query:
        if isinstance(node, exp.Subquery):
            self.only(node, "this", "with_", "order", "limit")
            return self.query(node.this)
        if not isinstance(node, exp.Select):
            return self.unknown(node)
        self.only(
            node, "expressions", "distinct", "from_", "joins", "where", "group", "having",
            "windows", "with_", "order", "limit",
        )  # fmt: skip
        args = node.args
        where, having, group = args.get("where"), args.get("having"), args.get("group")
        if group is not None:
            self.only(group, "expressions")
            if not group.expressions:
                raise SyntaxError_("Syntax error: expected an expression after GROUP BY")
        windows: dict[str, Window] = {}
        for window in args.get("windows") or ():
            if window.name in windows:
                raise SyntaxError_(f"window {window.name} is defined twice")
            windows[window.name] = self.window(window)
        return Select(
            tuple(self.item(item) for item in node.expressions),
            self.joined(args["from_"].this, args["joins"]) if args.get("from_") else None,
            self.expr(where.this) if where else None,
            self.exprs(group.expressions) if group else (),
            self.expr(having.this) if having else None,
            windows,
            args.get("distinct") is not None,
        )

    def item(self, node: exp.Expr) -> SelectItem:
        if isinstance(node, exp.Alias):
            return SelectItem(self.expr(node.this), node.args["alias"].name)
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            return SelectItem(Star(node.table), None)
        return SelectItem(self.expr(node), None)

    def order(self, node: exp.Expr | None) -> tuple[OrderKey, ...]:
        if node is None:
            return ()
        return tuple(
            OrderKey(self.expr(key.this), bool(key.args["desc"])) for key in node.expressions
        )

    def limit(self, node: exp.Expr | None) -> int | None:
        if node is None:
            return None
        limit = int(node.expression.this)
        if limit < 0:
            raise SyntaxError_(f"LIMIT {limit}: the number of rows cannot be negative")
        return limit

    # -- tables

    def joined(self, node: exp.Expr, joins: list[exp.Expr]) -> TableRef:
        left = self.table(node)
        for join in joins:
            self.only(join, "this", "kind", "order", "on")
            on = join.args.get("on")
            left = Join(
                join.args["kind"],
                left,
                self.table(join.this),
                self.order(join.args.get("order")),
                self.expr(on) if on else None,
            )
        return left

    def table(self, node: exp.Expr) -> TableRef:
        alias = node.alias or None if node.args.get("alias") else None
        match node:
            case exp.Paren():
                return self.joined(node.this, node.this.args["joins"])
            case exp.Subquery():
                return Subquery(self.query(node.this), alias)
            case exp.Table():
                self.only(node, "this", "db", "alias", "joins")
                return NamedTable(node.db or None, node.name, alias)
        return self.unknown(node)

    # -- windows

    def window(self, node: exp.Expr) -> Window:
        self.only(
            node, "this", "alias", "unions", "partition_by", "order", "spec",
            "exclude_current_time", "exclude_current_row", "instance_not_in_window",
        )  # fmt: skip
        args = node.args
        if args.get("alias") is not None:
            return Window(base=args["alias"].name)
        spec = args.get("spec")
        frame = None
        if spec is not None:
            maxsize = spec.args.get("maxsize")
            frame = Frame(
                spec.args["kind"],
                self.bound(spec.args["start"], spec.args["start_side"]),
                self.bound(spec.args["end"], spec.args["end_side"]),
                int(maxsize.this) if maxsize else None,
            )
        return Window(
            tuple(self.table(table) for table in args["unions"]),
            self.exprs(args["partition_by"]),
            self.order(args["order"]),
            frame,
            "exclude_current_time" in args,
            "exclude_current_row" in args,
            "instance_not_in_window" in args,
        )

    def bound(self, value: exp.Expr | str, side: str | None) -> Bound:
        if value == "CURRENT" or side is None:
            return Bound(0)
        opened = side.startswith("OPEN ")
        if isinstance(value, str):
            if opened and self.strict:
                raise SyntaxError_(
                    "Syntax error: UNBOUNDED OPEN PRECEDING: write UNBOUNDED PRECEDING"
                )
            return Bound(None, opened)
        text = value.name
        unit = UNITS.get(text[-1].lower())
        distance = int(text) if unit is None else int(text[:-1]) * unit
        sign = -1 if side.endswith("FOLLOWING") else 1
        return Bound(sign * distance, opened, unit is not None)

    # -- expressions

    def exprs(self, nodes: list[exp.Expr]) -> tuple[Expr, ...]:
        return tuple(self.expr(node) for node in nodes)

    def expr(self, node: exp.Expr) -> Expr:
        while isinstance(node, exp.Paren):
            node = node.this
        if type(node) in _BINARY:
            return self.binary(node)
        if type(node) in _LIKES:
            return self.like(node, None)
        negated = bool(node.args.get("negate"))
        match node:
            case exp.Column():
                return ColumnRef(tuple(part.name for part in node.parts))
            case exp.Literal():
                return self.literal(node)
            case exp.Null():
                return Literal(None, SqlType.NULL)
            case exp.Boolean():
                return Literal(bool(node.this), SqlType.BOOL)
            case exp.Placeholder():
                return Parameter(int(node.this))
            case exp.Star():
                return Star()
            case exp.Not():
                return Unary("NOT", self.expr(node.this))
            case exp.BitwiseNot():
                return Unary("~", self.expr(node.this))
            case exp.Neg():
                return self.negative(node)
            case exp.Is():
                return IsNull(self.expr(node.this), negated)
            case dialect.In():
                return InList(self.expr(node.this), self.exprs(node.expressions), negated)
            case dialect.Between():
                low, high = self.expr(node.args["low"]), self.expr(node.args["high"])
                return Between(self.expr(node.this), low, high, negated)
            case exp.Escape():
                return self.like(node.this, node.expression)
            case exp.Case():
                subject, otherwise = node.args.get("this"), node.args.get("default")
                return Case(
                    self.expr(subject) if subject else None,
                    tuple((self.expr(b.this), self.expr(b.args["true"])) for b in node.args["ifs"]),
                    self.expr(otherwise) if otherwise else None,
                )
            case exp.Cast():
                self.only(node, "this", "to")
                name = node.args["to"].args["kind"]
                return Cast(self.expr(node.this), SqlType.from_sql_name(name), name.lower())
            case dialect.Array():
                element = node.args.get("element")
                return Array(
                    self.exprs(node.expressions),
                    None if element is None else SqlType.from_sql_name(element.args["kind"]),
                )
            case exp.Bracket():
                return Element(self.expr(node.this), self.expr(node.expressions[0]))
            case exp.Anonymous():
                return self.call(node)
            case dialect.Window():
                named = node.args.get("alias")
                return replace(
                    self.call(node.this), over=named.name if named else self.window(node)
                )
        return self.unknown(node)

    def binary(self, node: exp.Expr) -> Expr:
        """Operators of a chain lean to the left: walk down that side without recursion."""
        chain: list[exp.Expr] = []
        while type(node) in _BINARY:
            chain.append(node)
            node = node.this
        left = self.expr(node)
        for link in reversed(chain):
            left = Binary(_BINARY[type(link)], left, self.expr(link.expression))
        return left

    def like(self, node: exp.Expr, escape: exp.Expr | None) -> Expr:
        return Like(
            _LIKES[type(node)],
            self.expr(node.this),
            self.expr(node.expression),
            self.expr(escape) if escape else None,
            bool(node.args.get("negate")),
        )

    def call(self, node: exp.Expr) -> Call:
        args = node.expressions
        distinct = bool(args) and isinstance(args[0], exp.Distinct)
        return Call(
            str(node.this), self.exprs(args[0].expressions if distinct else args), None, distinct
        )

    def negative(self, node: exp.Expr) -> Expr:
        operand = self.expr(node.this)
        if isinstance(operand, Literal) and operand.value is not None:
            if operand.type in (SqlType.INT32, SqlType.INT64):
                # The type is that of the digits without the sign: -2147483648 is a BIGINT.
                return Literal(-operand.value, operand.type)
            if operand.type in (SqlType.DOUBLE, SqlType.FLOAT):
                return Literal(-operand.value, operand.type)
        return Unary("-", operand)

    def literal(self, node: exp.Expr) -> Literal:
        text = node.name
        if node.is_string:
            return Literal(text, SqlType.STRING)
        found = NUMBER.fullmatch(text)
        match found.lastgroup if found else None:
            case "int":
                return self.integer(int(text), node)
            case "long":
                return Literal(int(text[:-1]), SqlType.INT64)
            case "hex":
                return self.integer(int(text, 16), node)
            case "float":
                single = text[-1] in "fF"
                value = float(text[:-1] if single else text)
                if math.isinf(value):
                    raise SyntaxError_(f"number {text[:40]} is too large")
                return Literal(value, SqlType.FLOAT if single else SqlType.DOUBLE)
        return self.unknown(node)

    def integer(self, value: int, node: exp.Expr) -> Literal:
        if -(2**31) <= value < 2**31:
            return Literal(value, SqlType.INT32)
        if not -(2**63) <= value <= 2**63 - self.strict:  # 2**63 itself may yet be negated
            at = place(self.sql, node.meta.get("start", 0))
            raise SyntaxError_(f"integer {value} {at} does not fit 64 bits")
        return Literal(value, SqlType.INT64)

    def unknown(self, node: exp.Expr) -> NoReturn:
        raise SyntaxError_(f"Syntax error: {node.key} is not supported")
