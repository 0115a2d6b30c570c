"""Text to syntax tree: OpenMLDB's SELECT, by hand-written recursive descent.

A grammar of its own rather than a dialect of a general parser: ROWS_RANGE with time units, MAXSIZE,
window UNION, INSTANCE_NOT_IN_WINDOW and LAST JOIN touch every corner of one, and depth can be
limited here before Python's own limit is met.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import NoReturn

from openmldb_embedded.errors import SyntaxError_
from openmldb_embedded.syntax import (
    Between,
    Binary,
    Bound,
    Call,
    Case,
    Cast,
    ColumnRef,
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
from openmldb_embedded.types import SqlType

MAX_DEPTH = 64
"""Levels of nesting (parentheses, prefix operators, subqueries) a statement may have."""

MAX_CHAIN = 128
"""Operators of one precedence in a row; each makes the tree one level deeper."""

MAX_LENGTH = 1_000_000
"""Characters a statement may have."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|\#[^\n]*)
  | (?P<comment>/\*)
  | (?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
  | (?P<quoted>`[^`]*`)
  | (?P<interval>\d+[smhdSMHD]\b)
  | (?P<hex>0[xX][0-9a-fA-F]+\b)
  | (?P<float>(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?|\d+[eE][-+]?\d+[fF]?|\d+[fF]\b)
  | (?P<long>\d+[lL]\b)
  | (?P<int>\d+)
  | (?P<word>[^\W\d]\w*)
  | (?P<op><=>|<>|!=|==|<=|>=|\|\||<<|>>|&&|[-+*/%(),.;=<>!~&|^?\[\]:@])
    """,
    re.VERBOSE | re.DOTALL,
)

_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b"}

_CAST_NAMES = {
    "bool", "smallint", "int16", "int", "int32", "bigint", "int64", "float", "double",
    "string", "timestamp", "date",
}  # fmt: skip

_RESERVED = {
    "SELECT", "FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "LAST",
    "LEFT", "RIGHT", "INNER", "OUTER", "FULL", "CROSS", "JOIN", "ON", "AS", "AND", "OR", "NOT",
    "XOR", "CASE", "WHEN", "THEN", "ELSE", "END", "OVER", "PARTITION", "BY", "ROWS", "ROWS_RANGE",
    "RANGE", "BETWEEN", "PRECEDING", "FOLLOWING", "IN", "IS", "NULL", "LIKE", "ILIKE", "RLIKE",
    "DIV", "MOD", "MAXSIZE", "EXCLUDE", "INSTANCE_NOT_IN_WINDOW", "TRUE", "FALSE", "DISTINCT",
    "INTO", "CONFIG", "WITH", "ESCAPE", "DESC", "ASC", "ALL", "USING",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    upper: str


def _tokens(sql: str) -> list[_Token]:
    out: list[_Token] = []
    at = 0
    while at < len(sql):
        m = _TOKEN.match(sql, at)
        if m is None:
            snippet = sql[at : at + 20].split("\n")[0]
            raise SyntaxError_(f"Syntax error: unexpected {snippet!r} at {_place(sql, at)}")
        kind = m.lastgroup or ""
        if kind == "comment":
            end = sql.find("*/", at + 2)
            if end < 0:
                raise SyntaxError_(f"Syntax error: unclosed comment at {_place(sql, at)}")
            at = end + 2
            continue
        if kind != "space":
            text = m.group()
            out.append(_Token(kind, text, at, text.upper() if kind == "word" else text))
        at = m.end()
    out.append(_Token("end", "", len(sql), ""))
    return out


def _place(sql: str, at: int) -> str:
    line = sql.count("\n", 0, at) + 1
    return f"line {line}, column {at - (sql.rfind(chr(10), 0, at) + 1) + 1}"


def unquote(text: str) -> str:
    """The value of a quoted string literal."""
    quote = text[0]
    body = text[1:-1].replace(quote * 2, quote)
    if "\\" not in body:
        return body
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), body, flags=re.DOTALL)


def parse_select(sql: str) -> SelectTree:
    """Parse one SELECT (with CTEs, UNION, CONFIG).

    Raises:
        SyntaxError_: The text is not such a statement, is too long or nested too deep.
    """
    if len(sql) > MAX_LENGTH:
        raise SyntaxError_(f"statement of {len(sql)} characters; the limit is {MAX_LENGTH}")
    parser = _Parser(sql)
    query = parser.query(top=True)
    parser.accept_op(";")
    parser.expect_end()
    return replace(query, parameters=parser.parameters)


_COMPARE = {"=", "!=", "<", "<=", ">", ">="}
_PREDICATES = {"IS", "IN", "BETWEEN", "LIKE", "ILIKE", "RLIKE"}
_NEGATION = 3
_COMPARISON = 4
_BINARY: dict[str, tuple[str, int]] = {
    "OR": ("OR", 0), "XOR": ("XOR", 1), "AND": ("AND", 2), "&&": ("AND", 2),
    "=": ("=", 4), "==": ("=", 4), "<>": ("!=", 4), "!=": ("!=", 4),
    "<": ("<", 4), "<=": ("<=", 4), ">": (">", 4), ">=": (">=", 4),
    "|": ("|", 5), "^": ("^", 6), "&": ("&", 7), "<<": ("<<", 8), ">>": (">>", 8),
    "+": ("+", 9), "-": ("-", 9), "||": ("||", 9),
    "*": ("*", 10), "/": ("/", 10), "%": ("%", 10), "DIV": ("DIV", 10), "MOD": ("%", 10),
}  # fmt: skip


class _Parser:
    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.tokens = _tokens(sql)
        self.i = 0
        self.depth = 0
        self.parameters = 0

    # -- tokens

    @property
    def token(self) -> _Token:
        return self.tokens[self.i]

    def peek(self, ahead: int = 1) -> _Token:
        return self.tokens[min(self.i + ahead, len(self.tokens) - 1)]

    def fail(self, wanted: str) -> NoReturn:
        t = self.token
        got = "end of statement" if t.kind == "end" else repr(t.text[:40])
        raise SyntaxError_(
            f"Syntax error: expected {wanted} but got {got} at {_place(self.sql, t.at)}"
        )

    def accept(self, *words: str) -> bool:
        """Take a sequence of key words if it is next."""
        for k, word in enumerate(words):
            t = self.peek(k)
            if t.kind != "word" or t.upper != word:
                return False
        self.i += len(words)
        return True

    def at_word(self, *words: str) -> bool:
        return self.token.kind == "word" and self.token.upper in words

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.accept(word):
                self.fail(f"keyword {word}")

    def accept_op(self, op: str) -> bool:
        if self.token.kind == "op" and self.token.text == op:
            self.i += 1
            return True
        return False

    def expect_op(self, op: str) -> None:
        if not self.accept_op(op):
            self.fail(f'"{op}"')

    def expect_end(self) -> None:
        if self.token.kind != "end":
            self.fail("end of statement")

    def identifier(self, what: str) -> str:
        t = self.token
        if t.kind == "quoted":
            self.i += 1
            return t.text[1:-1]
        if t.kind == "word" and t.upper not in _RESERVED:
            self.i += 1
            return t.text
        return self.fail(what)

    def integer(self, what: str) -> int:
        negative = self.accept_op("-")
        t = self.token
        if t.kind not in ("int", "long"):
            self.fail(what)
        self.i += 1
        value = _int(t.text.rstrip("lL"), self.sql, t.at)
        return -value if negative else value

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise SyntaxError_(
                f"Syntax error: nested deeper than {MAX_DEPTH} levels at "
                f"{_place(self.sql, self.token.at)}"
            )

    def leave(self) -> None:
        self.depth -= 1

    # -- queries

    def query(self, top: bool = False) -> Query:
        self.enter()
        ctes: list[tuple[str, Query]] = []
        if self.accept("WITH"):
            while True:
                name = self.identifier("name of a common table expression")
                self.expect("AS")
                self.expect_op("(")
                ctes.append((name, self.query()))
                self.expect_op(")")
                if not self.accept_op(","):
                    break
        selects: list[Select | Query] = [self.query_term()]
        distinct = False
        while self.at_word("UNION"):
            self.i += 1
            if not self.accept("ALL"):
                self.accept("DISTINCT")
                distinct = True
            selects.append(self.query_term())
        order: tuple[OrderKey, ...] = ()
        if self.accept("ORDER", "BY"):
            order = self.order_keys()
        limit = None
        if self.accept("LIMIT"):
            limit = self.integer("a number of rows")
            if limit < 0:
                raise SyntaxError_(f"LIMIT {limit}: the number of rows cannot be negative")
        if top and self.accept("CONFIG"):
            self.config()
        self.leave()
        if (
            len(selects) == 1
            and isinstance(selects[0], Query)
            and not (ctes or order or limit is not None)
        ):
            return selects[0]
        return Query(tuple(selects), distinct, tuple(ctes), order, limit)

    def config(self) -> None:
        self.expect_op("(")
        while not self.accept_op(")"):
            if self.token.kind == "end":
                self.fail('")"')
            self.i += 1

    def query_term(self) -> Select | Query:
        if self.accept_op("("):
            inner = self.query()
            self.expect_op(")")
            return inner
        return self.select()

    def select(self) -> Select:
        self.expect("SELECT")
        distinct = self.accept("DISTINCT")
        items = [self.item()]
        while self.accept_op(","):
            if self.at_word("FROM"):  # a comma too many is accepted
                break
            items.append(self.item())
        source = self.table_refs() if self.accept("FROM") else None
        where = self.expr() if self.accept("WHERE") else None
        group: tuple[Expr, ...] = ()
        if self.accept("GROUP", "BY"):
            group = self.exprs()
        having = self.expr() if self.accept("HAVING") else None
        windows: dict[str, Window] = {}
        if self.accept("WINDOW"):
            while True:
                name = self.identifier("a window's name")
                if name in windows:
                    raise SyntaxError_(f"window {name} is defined twice")
                self.expect("AS")
                windows[name] = self.window()
                if not self.accept_op(","):
                    break
        return Select(tuple(items), source, where, group, having, windows, distinct)

    def item(self) -> SelectItem:
        if self.accept_op("*"):
            return SelectItem(Star(), None)
        t, dot, star = self.token, self.peek(1), self.peek(2)
        if t.kind in ("word", "quoted") and dot.text == "." and star.text == "*":
            table = self.identifier("a table")
            self.i += 2
            return SelectItem(Star(table), None)
        expr = self.expr()
        alias: str | None = None
        if self.accept("AS"):
            alias = self.alias()
        elif self.token.kind == "quoted" or (
            self.token.kind == "word" and self.token.upper not in _RESERVED
        ):
            alias = self.identifier("an alias")
        return SelectItem(expr, alias)

    def alias(self) -> str:
        t = self.token
        if t.kind == "string":
            self.i += 1
            return unquote(t.text)
        return self.identifier("an alias")

    def table_refs(self) -> TableRef:
        ref = self.joins()
        if self.accept_op(","):
            raise SyntaxError_("comma joins are not supported: write LAST JOIN ... ON")
        return ref

    def joins(self) -> TableRef:
        left = self.table_primary()
        links = 0
        while True:
            kind = self.join_kind()
            if kind is None:
                self.depth -= links
                return left
            self.enter()  # a chain of joins is a deep tree too
            links += 1
            right = self.table_primary()
            order: tuple[OrderKey, ...] = ()
            if self.accept("ORDER", "BY"):
                order = self.order_keys()
            condition = self.expr() if self.accept("ON") else None
            left = Join(kind, left, right, order, condition)

    def join_kind(self) -> str | None:
        if self.accept("LAST", "JOIN"):
            return "LAST"
        for kind in ("LEFT", "RIGHT", "FULL"):
            if self.accept(kind, "OUTER", "JOIN") or self.accept(kind, "JOIN"):
                return kind
        if self.accept("INNER", "JOIN") or self.accept("JOIN"):
            return "INNER"
        if self.accept("CROSS", "JOIN"):
            return "CROSS"
        return None

    def table_primary(self) -> TableRef:
        if self.accept_op("("):
            self.enter()
            if self.at_word("SELECT", "WITH") or self.token.text == "(":
                query = self.query()
                self.expect_op(")")
                self.leave()
                return Subquery(query, self.table_alias())
            ref = self.joins()
            self.expect_op(")")
            self.leave()
            return ref
        name = self.identifier("a table")
        db: str | None = None
        if self.accept_op("."):
            db, name = name, self.identifier("a table")
        return NamedTable(db, name, self.table_alias())

    def table_alias(self) -> str | None:
        if self.accept("AS"):
            return self.alias()
        t = self.token
        if t.kind == "quoted" or (t.kind == "word" and t.upper not in _RESERVED):
            return self.identifier("an alias")
        return None

    def order_keys(self) -> tuple[OrderKey, ...]:
        keys = []
        while True:
            expr = self.expr()
            descending = self.accept("DESC")
            if not descending:
                self.accept("ASC")
            keys.append(OrderKey(expr, descending))
            if not self.accept_op(","):
                return tuple(keys)

    # -- windows

    def window(self) -> Window:
        if not self.accept_op("("):
            return Window(base=self.identifier('a window definition in "("'))
        unions: list[TableRef] = []
        if self.accept("UNION"):
            unions.append(self.table_primary())
            while self.accept_op(","):
                unions.append(self.table_primary())
        partition: tuple[Expr, ...] = ()
        if self.accept("PARTITION", "BY"):
            partition = self.exprs()
        order: tuple[OrderKey, ...] = ()
        if self.accept("ORDER", "BY"):
            order = self.order_keys()
        frame: Frame | None = None
        if self.at_word("ROWS", "ROWS_RANGE", "RANGE"):
            kind = self.token.upper
            self.i += 1
            if self.accept("BETWEEN"):
                start = self.bound()
                self.expect("AND")
                end = self.bound()
            else:
                start, end = self.bound(), Bound(0)
            maxsize = self.integer("a MAXSIZE") if self.accept("MAXSIZE") else None
            frame = Frame(kind, start, end, maxsize)
        time = row = instance = False
        while True:
            if self.accept("EXCLUDE", "CURRENT_TIME"):
                time = True
            elif self.accept("EXCLUDE", "CURRENT_ROW"):
                row = True
            elif self.accept("INSTANCE_NOT_IN_WINDOW"):
                instance = True
            else:
                break
        self.expect_op(")")
        return Window(tuple(unions), partition, order, frame, time, row, instance)

    def bound(self) -> Bound:
        if self.accept("UNBOUNDED"):
            return self.direction(Bound(None))
        if self.accept("CURRENT", "ROW") or self.accept("CURRENT_ROW"):
            return Bound(0)
        if self.accept("CURRENT", "TIME") or self.accept("CURRENT_TIME"):
            return Bound(0)
        t = self.token
        if t.kind == "interval":
            self.i += 1
            ms = _int(t.text[:-1], self.sql, t.at) * _UNITS[t.text[-1].lower()]
            if ms >= 2**62:
                raise SyntaxError_(f"interval {t.text} at {_place(self.sql, t.at)} is too long")
            return self.direction(Bound(ms, has_unit=True))
        return self.direction(Bound(self.integer("a frame bound")))

    def direction(self, bound: Bound) -> Bound:
        if self.accept("PRECEDING"):
            sign = 1
        elif self.accept("FOLLOWING"):
            if bound.offset is None:
                raise SyntaxError_("UNBOUNDED FOLLOWING is not supported: windows end at a row")
            sign = -1
        elif self.accept("OPEN", "PRECEDING"):
            return replace(bound, open=True)
        elif self.accept("OPEN", "FOLLOWING"):
            sign = -1
            bound = replace(bound, open=True)
        else:
            self.fail("PRECEDING")
        if bound.offset is None:
            return bound
        return replace(bound, offset=sign * bound.offset)

    # -- expressions

    def exprs(self) -> tuple[Expr, ...]:
        out = [self.expr()]
        while self.accept_op(","):
            out.append(self.expr())
        return tuple(out)

    def expr(self) -> Expr:
        self.enter()
        out = self.climb(0)
        self.leave()
        return out

    def operator(self) -> tuple[str, int] | None:
        """The binary operator that comes next, and its precedence."""
        t = self.token
        if t.kind not in ("op", "word"):
            return None
        found = _BINARY.get(t.upper)
        if found is None and t.kind == "word":
            if t.upper in _PREDICATES:
                return t.upper, _COMPARISON
            if t.upper == "NOT" and self.peek().upper in _PREDICATES:
                return "NOT", _COMPARISON
        return found

    def climb(self, floor: int) -> Expr:
        """Operands joined by operators that bind at least as tightly as ``floor``."""
        if floor <= _NEGATION and self.accept("NOT"):
            self.enter()
            left: Expr = Unary("NOT", self.climb(_NEGATION))
            self.leave()
        else:
            left = self.unary()
        links = 0
        while (found := self.operator()) is not None:
            op, level = found
            if level < floor:
                break
            links += 1
            if links > MAX_CHAIN:
                raise SyntaxError_(
                    f"Syntax error: more than {MAX_CHAIN} operators in one chain at "
                    f"{_place(self.sql, self.token.at)}"
                )
            if op in ("AND", "OR"):
                left = self.connect(op, level, left)
                continue
            if level == _COMPARISON and op not in _COMPARE:
                left = self.predicate(left)
                continue
            self.i += 1
            left = Binary(op, left, self.climb(level + 1))
        return left

    def connect(self, op: str, level: int, first: Expr) -> Expr:
        """A run of ANDs or ORs as a balanced tree, so that long lists stay shallow."""
        parts = [first]
        while (found := self.operator()) is not None and found[0] == op:
            self.i += 1
            parts.append(self.climb(level + 1))
        while len(parts) > 1:
            paired: list[Expr] = [
                Binary(op, a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)
            ]
            parts = paired + parts[len(paired) * 2 :]
        return parts[0]

    def predicate(self, left: Expr) -> Expr:
        if self.accept("IS"):
            negated = self.accept("NOT")
            self.expect("NULL")
            return IsNull(left, negated)
        negated = self.accept("NOT")
        if self.accept("IN"):
            self.expect_op("(")
            items = self.exprs()
            self.expect_op(")")
            return InList(left, items, negated)
        if self.accept("BETWEEN"):
            low = self.climb(_COMPARISON + 1)
            self.expect("AND")
            return Between(left, low, self.climb(_COMPARISON + 1), negated)
        op = self.token.upper
        self.i += 1
        pattern = self.climb(_COMPARISON + 1)
        escape = self.climb(_COMPARISON + 1) if self.accept("ESCAPE") else None
        return Like(op, left, pattern, escape, negated)

    def unary(self) -> Expr:
        t = self.token
        if t.kind == "op" and t.text in "-+~!" and t.text:
            self.i += 1
            self.enter()
            operand = self.unary()
            self.leave()
            if t.text == "+":
                return operand
            if t.text == "!":
                return Unary("NOT", operand)
            if t.text == "-" and isinstance(operand, Literal) and operand.value is not None:
                if operand.type in (SqlType.INT32, SqlType.INT64):
                    return _int_literal(-operand.value, self.sql, t.at)
                if operand.type in (SqlType.DOUBLE, SqlType.FLOAT):
                    return Literal(-operand.value, operand.type)
            return Unary(t.text, operand)
        return self.primary()

    def primary(self) -> Expr:
        t = self.token
        match t.kind:
            case "int" | "long":
                self.i += 1
                whole = _int(t.text.rstrip("lL"), self.sql, t.at)
                if t.kind == "long":
                    return Literal(whole, SqlType.INT64)
                return _int_literal(whole, self.sql, t.at)
            case "hex":
                self.i += 1
                return _int_literal(int(t.text, 16), self.sql, t.at)
            case "float":
                self.i += 1
                single = t.text[-1] in "fF"
                value = float(t.text[:-1] if single else t.text)
                if math.isinf(value):
                    raise SyntaxError_(f"number {t.text[:40]} is too large")
                return Literal(value, SqlType.FLOAT if single else SqlType.DOUBLE)
            case "string":
                self.i += 1
                return Literal(unquote(t.text), SqlType.STRING)
            case "interval":
                self.fail("an expression")
            case "op" if t.text == "?":
                self.i += 1
                self.parameters += 1
                return Parameter(self.parameters - 1)
            case "op" if t.text == "(":
                self.i += 1
                inner = self.expr()
                self.expect_op(")")
                return inner
            case "op" if t.text == "*":
                self.i += 1
                return Star()
            case "word":
                special = self.keyword_expr()
                if special is not None:
                    return special
        return self.named()

    def keyword_expr(self) -> Expr | None:
        if self.accept("NULL"):
            return Literal(None, SqlType.NULL)
        if self.accept("TRUE"):
            return Literal(True, SqlType.BOOL)
        if self.accept("FALSE"):
            return Literal(False, SqlType.BOOL)
        if self.accept("CASE"):
            return self.case()
        if self.at_word("CAST") and self.peek().text == "(":
            self.i += 2
            operand = self.expr()
            self.expect("AS")
            type_, spelled = self.type_name()
            self.expect_op(")")
            return Cast(operand, type_, spelled)
        if self.peek().text == "(" and self.token.text.lower() in _CAST_NAMES:
            spelled = self.token.text.lower()
            self.i += 2
            operand = self.expr()
            self.expect_op(")")
            return Cast(operand, SqlType.from_sql_name(spelled), spelled)
        return None

    def type_name(self) -> tuple[SqlType, str]:
        name = self.identifier("a type")
        if self.accept_op("("):
            self.integer("a length")
            self.expect_op(")")
        return SqlType.from_sql_name(name), name.lower()

    def case(self) -> Expr:
        subject = None if self.at_word("WHEN") else self.expr()
        branches: list[tuple[Expr, Expr]] = []
        while self.accept("WHEN"):
            condition = self.expr()
            self.expect("THEN")
            branches.append((condition, self.expr()))
        if not branches:
            self.fail("WHEN")
        otherwise = self.expr() if self.accept("ELSE") else None
        self.expect("END")
        return Case(subject, tuple(branches), otherwise)

    def named(self) -> Expr:
        t = self.token
        callable_word = t.kind == "word" and self.peek().text == "("
        if callable_word and t.upper in {"LEFT", "RIGHT", "MOD", "IF", "JOIN"}:
            self.i += 1
            return self.call(t.text)
        name = self.identifier("an expression")
        if self.token.text == "(" and self.token.kind == "op":
            return self.call(name)
        path = [name]
        while self.accept_op("."):
            path.append(self.identifier("a column"))
            if len(path) > 3:
                self.fail("a column")
        return ColumnRef(tuple(path))

    def call(self, name: str) -> Expr:
        self.expect_op("(")
        distinct = self.accept("DISTINCT")
        args: list[Expr] = []
        if not self.accept_op(")"):
            args.append(self.expr())
            while self.accept_op(","):
                args.append(self.expr())
            self.expect_op(")")
        over: str | Window | None = None
        if self.accept("OVER"):
            over = self.window() if self.token.text == "(" else self.identifier("a window")
        return Call(name, tuple(args), over, distinct)


def _int(text: str, sql: str, at: int) -> int:
    if len(text) > 20:
        raise SyntaxError_(f"integer of {len(text)} digits at {_place(sql, at)} is too large")
    return int(text)


def _int_literal(value: int, sql: str, at: int) -> Literal:
    if -(2**31) <= value < 2**31:
        return Literal(value, SqlType.INT32)
    if not -(2**63) <= value <= 2**63:  # 2**63 itself may yet be negated
        raise SyntaxError_(f"integer {value} at {_place(sql, at)} does not fit 64 bits")
    return Literal(value, SqlType.INT64)
