"""OpenMLDB's SELECT as a dialect of sqlglot: its grammar and the nodes it adds.

sqlglot cuts the text (`lexer.py`), walks the tokens and builds the nodes; what is overridden here is what
OpenMLDB (ZetaSQL's lexical rules, its own windows and joins) has otherwise, and what sqlglot
accepts too kindly: it reads the union of many dialects, while a statement taken here must be taken
by the real server too.  Only OpenMLDB's reserved words are key words, every function stays
`exp.Anonymous` with the name it was written with, and depth is counted so that a limit is met
before Python's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from sqlglot import exp, parser
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError
from sqlglot.tokenizer_core import Token, TokenType

from openmldb_sql.errors import AstError, PlanError
from openmldb_sql.lexer import RESERVED, Lexer
from openmldb_sql.tokens import NUMBER, UNITS, place

MAX_DEPTH = 64
"""Levels of nesting (parentheses, prefix operators, subqueries) a statement may have."""

MAX_CHAIN = 128
"""Operators of one precedence in a row; each makes the tree one level deeper."""

_MAX_DIGITS = 20


class BeyondLimitError(ParseError):
    """A statement that nests too deeply, or chains too many operators."""


_CAST_NAMES = {
    "bool", "smallint", "int16", "int", "int32", "bigint", "int64", "float", "double",
    "string", "timestamp", "date",
}  # fmt: skip

_CALLABLE = {"LEFT", "RIGHT", "MOD", "IF", "JOIN"}  # reserved, yet functions before a bracket


_JOINS = {"LEFT", "RIGHT", "JOIN"}


class Join(exp.Join):
    """A join; ``kind`` may be LAST, with the order that says which row is the last."""

    arg_types: ClassVar[dict[str, bool]] = {**exp.Join.arg_types, "order": False}


class Window(exp.Window):
    """A window's definition, or a call (``this``) over one."""

    arg_types: ClassVar[dict[str, bool]] = {
        **exp.Window.arg_types,
        "unions": False,
        "exclude_current_time": False,
        "exclude_current_row": False,
        "instance_not_in_window": False,
    }


class WindowSpec(exp.WindowSpec):
    """A frame; sides are PRECEDING, FOLLOWING, OPEN PRECEDING and OPEN FOLLOWING."""

    arg_types: ClassVar[dict[str, bool]] = {**exp.WindowSpec.arg_types, "maxsize": False}


class In(exp.In):
    """``this [NOT] IN (expressions)``."""

    arg_types: ClassVar[dict[str, bool]] = {**exp.In.arg_types, "negate": False}


class Between(exp.Between):
    """``this [NOT] BETWEEN low AND high``."""

    arg_types: ClassVar[dict[str, bool]] = {**exp.Between.arg_types, "negate": False}


class RLike(exp.RegexpLike):
    """``this [NOT] RLIKE expression``."""

    arg_types: ClassVar[dict[str, bool]] = {**exp.RegexpLike.arg_types, "negate": False}


class Array(exp.Array):
    """``[a, b]``, with the type of its elements where it is written."""

    arg_types: ClassVar[dict[str, bool]] = {**exp.Array.arg_types, "element": False}


_NEGATION = 3
_COMPARISON = 4
_OPERATORS: dict[TokenType, tuple[type[exp.Expr], int]] = {
    TokenType.OR: (exp.Or, 0),
    TokenType.XOR: (exp.Xor, 1),
    TokenType.AND: (exp.And, 2),
    TokenType.DAMP: (exp.And, 2),
    TokenType.EQ: (exp.EQ, _COMPARISON),
    TokenType.NEQ: (exp.NEQ, _COMPARISON),
    TokenType.LT: (exp.LT, _COMPARISON),
    TokenType.LTE: (exp.LTE, _COMPARISON),
    TokenType.GT: (exp.GT, _COMPARISON),
    TokenType.GTE: (exp.GTE, _COMPARISON),
    TokenType.IS: (exp.Is, _COMPARISON),
    TokenType.IN: (In, _COMPARISON),
    TokenType.BETWEEN: (Between, _COMPARISON),
    TokenType.LIKE: (exp.Like, _COMPARISON),
    TokenType.ILIKE: (exp.ILike, _COMPARISON),
    TokenType.RLIKE: (RLike, _COMPARISON),
    TokenType.PIPE: (exp.BitwiseOr, 5),
    TokenType.CARET: (exp.BitwiseXor, 6),
    TokenType.AMP: (exp.BitwiseAnd, 7),
    TokenType.PLUS: (exp.Add, 9),
    TokenType.DASH: (exp.Sub, 9),
    TokenType.DPIPE: (exp.DPipe, 9),
    TokenType.STAR: (exp.Mul, 10),
    TokenType.SLASH: (exp.Div, 10),
    TokenType.MOD: (exp.Mod, 10),
    TokenType.DIV: (exp.IntDiv, 10),
}
_SHIFTS = {TokenType.LT: exp.BitwiseLeftShift, TokenType.GT: exp.BitwiseRightShift}
_SHIFT = 8
_PREDICATES = {TokenType.IN, TokenType.BETWEEN, TokenType.LIKE, TokenType.ILIKE, TokenType.RLIKE}


class OpenMLDB(Dialect):
    """What OpenMLDB reads where sqlglot's common ground differs."""

    NORMALIZE_NOT_NULL = False

    Tokenizer = Lexer

    class Parser(parser.Parser):
        """The grammar of one SELECT statement."""

        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            "CAST": lambda self: self._parse_cast(strict=True),
        }
        NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            "CASE": lambda self: self._parse_case(),
        }
        PRIMARY_PARSERS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
            TokenType.STRING: lambda self, token: _literal(token, is_string=True),
            TokenType.NUMBER: lambda self, token: self._parse_quantity(token),
            TokenType.STAR: lambda self, _: exp.Star(),
            TokenType.NULL: lambda self, _: exp.Null(),
            TokenType.TRUE: lambda self, _: exp.Boolean(this=True),
            TokenType.FALSE: lambda self, _: exp.Boolean(this=False),
            TokenType.PLACEHOLDER: lambda self, _: self._parse_mark(),
            TokenType.L_PAREN: lambda self, _: self._parse_paren(),
            TokenType.L_BRACKET: lambda self, _: self._parse_array_items(None),
        }
        UNARY_PARSERS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
            TokenType.PLUS: lambda self: self._parse_unary(),
            TokenType.DASH: lambda self: exp.Neg(this=self._parse_unary()),
            TokenType.TILDE: lambda self: exp.BitwiseNot(this=self._parse_unary()),
            TokenType.NOT: lambda self: exp.Not(this=self._parse_unary()),
        }

        def reset(self) -> None:
            """Forget the statement before."""
            super().reset()
            self.depth = 0
            self.parameters = 0

        strict = False

        # -- errors

        def raise_error(self, message: str, token: Token | None = None) -> NoReturn:
            """Refuse the statement: what is wrong, near which word, where.

            Raises:
                ParseError: Always.
            """
            self._refuse(f"{message} near {self._got(token)}", token)

        def _refuse(
            self, message: str, token: Token | None = None, kind: type[ParseError] = ParseError
        ) -> NoReturn:
            token = token or self._curr
            at = token.start if token else len(self.sql)
            raise kind.new(f"Syntax error: {message} {place(self.sql, at)}")

        def _got(self, token: Token | None = None) -> str:
            token = token or self._curr
            if not token:
                return "end of statement"
            return repr(self._find_sql(token, token)[:40])

        def _wanted(self, what: str) -> NoReturn:
            self._refuse(f"expected {what} but got {self._got()}")

        def _expect(self, token_type: TokenType, what: str) -> None:
            if not self._match(token_type):
                self._wanted(what)

        def _match_l_paren(self, expression: exp.Expr | None = None) -> None:
            self._expect(TokenType.L_PAREN, '"("')

        def _match_r_paren(self, expression: exp.Expr | None = None) -> None:
            self._expect(TokenType.R_PAREN, '")"')

        def _enter(self) -> None:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                self._refuse(f"nested deeper than {MAX_DEPTH} levels", kind=BeyondLimitError)

        def _leave(self, levels: int = 1) -> None:
            self.depth -= levels

        # -- queries

        def _parse_statement(self) -> exp.Expr | None:
            query = self._parse_query()
            if self._match_text_seq("CONFIG"):
                self._match_l_paren()
                self._skip_brackets()
            if self._curr:
                self._wanted("end of statement")
            return query

        def _skip_brackets(self) -> None:
            """Go behind the bracket that closes the one just taken."""
            depth = 1
            while depth:
                if not self._curr:
                    self._wanted('")"')
                depth += self._curr.token_type is TokenType.L_PAREN
                depth -= self._curr.token_type is TokenType.R_PAREN
                self._advance()

        def _parse_query(self) -> exp.Expr:
            self._enter()
            ctes = self._parse_csv(self._parse_cte) if self._match(TokenType.WITH) else []
            query = self._parse_query_term()
            while self._match(TokenType.UNION):
                distinct = not self._match(TokenType.ALL)
                if distinct and not self._match(TokenType.DISTINCT) and self.strict:
                    self._wanted("keyword ALL or keyword DISTINCT")
                query = exp.Union(
                    this=query, expression=self._parse_query_term(), distinct=distinct
                )
            if ctes:
                query.set("with_", exp.With(expressions=ctes))
            query.set("order", self._parse_order())
            if self._match(TokenType.LIMIT):
                query.set("limit", exp.Limit(expression=self._parse_integer("a number of rows")))
            self._leave()
            return query

        def _parse_cte(self) -> exp.CTE:
            name = self._parse_name("name of a common table expression")
            self._expect(TokenType.ALIAS, "keyword AS")
            query = self._parse_wrapped(self._parse_query)
            return self.expression(exp.CTE(this=query, alias=exp.TableAlias(this=name)))

        def _parse_query_term(self) -> exp.Expr:
            if self._match(TokenType.L_PAREN):
                inner = self._parse_query()
                self._match_r_paren()
                return exp.Subquery(this=inner)
            self._expect(TokenType.SELECT, "keyword SELECT")
            distinct = exp.Distinct() if self._match(TokenType.DISTINCT) else None
            if distinct is None:
                self._match(TokenType.ALL)  # what a SELECT is without it
            items = [self._parse_expression()]
            while self._match(TokenType.COMMA):
                if self._match(TokenType.FROM, advance=False):  # a comma too many is accepted
                    break
                items.append(self._parse_expression())
            select = self.expression(exp.Select(expressions=items, distinct=distinct))
            if self._match(TokenType.FROM):
                table, joins = self._parse_joined()
                select.set("from_", exp.From(this=table))
                select.set("joins", joins)
            select.set("where", self._parse_where())
            select.set("group", self._parse_group())
            select.set("having", self._parse_having())
            select.set("windows", self._parse_window_clause())
            return select

        def _parse_expression(self) -> exp.Expr:
            """An item of the select list, its alias included."""
            if self._match(TokenType.STAR):
                return exp.Star()
            if self._match_pair(TokenType.VAR, TokenType.DOT, advance=False) or self._match_pair(
                TokenType.IDENTIFIER, TokenType.DOT, advance=False
            ):
                after = self._tokens[self._index + 2 : self._index + 3]
                if after and after[0].token_type is TokenType.STAR:
                    table = self._parse_name("a table")
                    self._advance(2)
                    return exp.Column(this=exp.Star(), table=table)
            item = self._parse_disjunction()
            if self._match(TokenType.ALIAS):
                return exp.Alias(this=item, alias=self._parse_alias_name())
            alias = self._parse_id_var()
            return exp.Alias(this=item, alias=alias) if alias else item

        def _parse_alias_name(self) -> exp.Expr:
            if self.strict and self._curr.token_type is TokenType.STRING:
                self._wanted("an alias")
            return self._parse_string_as_identifier() or self._parse_name("an alias")

        # -- names

        def _parse_id_var(self, any_token: bool = True, tokens: Any = None) -> exp.Expr | None:
            token = self._curr
            quoted = token.token_type is TokenType.IDENTIFIER
            if not quoted and (
                token.token_type is not TokenType.VAR or token.text.upper() in RESERVED
            ):
                return None
            self._advance()
            return exp.Identifier(this=token.text, quoted=quoted)

        def _parse_name(self, what: str) -> exp.Expr:
            return self._parse_id_var() or self._wanted(what)

        # -- tables

        def _parse_joined(self) -> tuple[exp.Expr, list[exp.Expr]]:
            table = self._parse_table()
            joins: list[exp.Expr] = []
            while (join := self._parse_join()) is not None:
                joins.append(join)
            self._leave(len(joins))
            if self._match(TokenType.COMMA, advance=False):
                self._refuse("comma joins are not supported (write LAST JOIN ... ON)")
            return table, joins

        def _parse_join(self, *_: Any, **__: Any) -> exp.Join | None:
            kind = self._parse_join_kind()
            if kind is None:
                return None
            self._enter()  # a chain of joins is a deep tree too; left when the chain ends
            table = self._parse_table()
            order = self._parse_order()
            on = self._parse_disjunction() if self._match(TokenType.ON) else None
            return self.expression(Join(this=table, kind=kind, order=order, on=on))

        def _parse_join_kind(self) -> str | None:
            if self._match_text_seq("LAST", "JOIN"):
                return "LAST"
            for kind in ("LEFT", "RIGHT", "FULL"):
                if self._match_text_seq(kind, "OUTER", "JOIN") or self._match_text_seq(
                    kind, "JOIN"
                ):
                    return kind
            if self._match_text_seq("INNER", "JOIN") or self._match(TokenType.JOIN):
                return "INNER"
            return "CROSS" if self._match_text_seq("CROSS", "JOIN") else None

        def _parse_table(self, *_: Any, **__: Any) -> exp.Expr:
            if not self._match(TokenType.L_PAREN):
                return self._parse_table_parts()
            self._enter()
            if self._curr.token_type in (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN):
                query = self._parse_query()
                self._match_r_paren()
                self._leave()
                return exp.Subquery(this=query, alias=self._parse_table_alias())
            table, joins = self._parse_joined()
            table.set("joins", joins)
            self._match_r_paren()
            self._leave()
            return exp.Paren(this=table)

        def _parse_table_parts(self, *_: Any, **__: Any) -> exp.Table:
            db, name = None, self._parse_name("a table")
            if self._match(TokenType.DOT):
                db, name = name, self._parse_name("a table")
            return self.expression(exp.Table(this=name, db=db, alias=self._parse_table_alias()))

        def _parse_table_alias(self, alias_tokens: Any = None) -> exp.TableAlias | None:
            named = self._match(TokenType.ALIAS)
            name = self._parse_alias_name() if named else self._parse_id_var()
            return exp.TableAlias(this=name) if name else None

        def _parse_ordered(self, parse_method: Any = None) -> exp.Ordered:
            this = self._parse_disjunction()
            descending = self._match(TokenType.DESC)
            if not descending:
                self._match(TokenType.ASC)
            return exp.Ordered(this=this, desc=descending, nulls_first=not descending)

        # -- windows

        def _parse_named_window(self) -> exp.Expr:
            name = self._parse_name("a window's name")
            self._expect(TokenType.ALIAS, "keyword AS")
            return self._parse_window_definition(name)

        def _parse_window(self, this: exp.Expr | None, alias: bool = False) -> exp.Expr | None:
            """A call, over the window that may follow it."""
            if not self._match(TokenType.OVER):
                return this
            if not self._match(TokenType.L_PAREN, advance=False):
                return Window(this=this, alias=self._parse_name("a window"))
            return self._parse_window_definition(this)

        def _parse_window_definition(self, this: exp.Expr | None) -> exp.Expr:
            if not self._match(TokenType.L_PAREN):
                return Window(this=this, alias=self._parse_name('a window definition in "("'))
            unions = self._parse_csv(self._parse_united) if self._match(TokenType.UNION) else []
            window = Window(
                this=this,
                unions=unions,
                partition_by=self._parse_partition_by(),
                order=self._parse_order(),
                spec=self._parse_frame(),
            )
            while True:
                if self._match_text_seq("EXCLUDE", "CURRENT_TIME"):
                    window.set("exclude_current_time", True)
                elif self._match_text_seq("EXCLUDE", "CURRENT_ROW"):
                    window.set("exclude_current_row", True)
                elif self._match_text_seq("INSTANCE_NOT_IN_WINDOW"):
                    window.set("instance_not_in_window", True)
                else:
                    break
            self._match_r_paren()
            return window

        def _parse_united(self) -> exp.Expr:
            table = self._parse_table()
            if self.strict and table.args.get("alias"):
                self._refuse("a united table takes no alias")
            return table

        def _parse_partition_by(self) -> list[exp.Expr]:
            if not self._match(TokenType.PARTITION_BY):
                return []
            return self._parse_csv(self._parse_disjunction)

        def _parse_frame(self) -> WindowSpec | None:
            if not self._match_texts(("ROWS", "ROWS_RANGE", "RANGE")):
                return None
            kind = self._prev.text.upper()
            if self.strict and kind == "RANGE":
                raise PlanError("Non-support FrameType RANGE, use ROWS or ROWS_RANGE")
            if self._match(TokenType.BETWEEN):
                start, start_side = self._parse_bound()
                self._expect(TokenType.AND, "keyword AND")
                end, end_side = self._parse_bound()
            else:
                if self.strict:
                    raise AstError(
                        "Un-support window frame with null end (write BETWEEN ... AND ...)"
                    )
                start, start_side = self._parse_bound()
                end, end_side = "CURRENT", None
            maxsize = self._parse_integer("a MAXSIZE") if self._match_text_seq("MAXSIZE") else None
            return WindowSpec(
                kind=kind,
                start=start,
                start_side=start_side,
                end=end,
                end_side=end_side,
                maxsize=maxsize,
            )

        def _parse_bound(self) -> tuple[exp.Expr | str, str | None]:
            """A frame's edge: UNBOUNDED, CURRENT or a distance, and on which side it lies."""
            if self._match_text_seq("UNBOUNDED"):
                if self.strict and self._match_text_seq("OPEN", advance=False):
                    self._wanted("keyword PRECEDING")
                side = self._parse_side()
                if side == "FOLLOWING":
                    self._refuse(
                        "UNBOUNDED FOLLOWING is not supported (windows end at a row)", self._prev
                    )
                return "UNBOUNDED", side
            for current in (
                ("CURRENT", "ROW"), ("CURRENT_ROW",), ("CURRENT", "TIME"), ("CURRENT_TIME",)
            ):  # fmt: skip
                if self._match_text_seq(*current):
                    return "CURRENT", None
            token = self._curr
            found = NUMBER.fullmatch(token.text) if token.token_type is TokenType.NUMBER else None
            if found is None or found.lastgroup != "interval":
                return self._parse_integer("a frame bound"), self._parse_side()
            self._check_digits(token.text[:-1], token)
            if int(token.text[:-1]) * UNITS[token.text[-1].lower()] >= 2**62:
                self._refuse(f"interval {token.text} is too long")
            self._advance()
            return _literal(token), self._parse_side()

        def _parse_side(self) -> str:
            opened = "OPEN " if self._match_text_seq("OPEN") else ""
            if not self._match_texts(("PRECEDING", "FOLLOWING")):
                self._wanted("PRECEDING")
            return opened + self._prev.text.upper()

        # -- expressions

        def _parse_disjunction(self) -> exp.Expr:
            self._enter()
            out = self._parse_operators(0)
            self._leave()
            return out

        def _parse_bitwise(self) -> exp.Expr:
            return self._parse_operators(_COMPARISON + 1)

        def _operator(self) -> tuple[type[exp.Expr], int, int] | None:
            """The binary operator that comes next, its precedence and its tokens."""
            kind, after = self._curr.token_type, self._next.token_type
            if kind is after and kind in _SHIFTS and self._curr.end + 1 == self._next.start:
                return _SHIFTS[kind], _SHIFT, 2
            apart = self._curr.text != "!" or self._next.start > self._curr.end + 1
            if kind is TokenType.NOT and after in _PREDICATES and apart:
                return _OPERATORS[after][0], _COMPARISON, 2
            found = _OPERATORS.get(kind)
            return (*found, 1) if found else None

        def _parse_operators(self, floor: int) -> exp.Expr:
            """Operands joined by operators that bind at least as tightly as ``floor``.

            One loop for all precedences (precedence climbing) instead of sqlglot's method for
            each: OpenMLDB's are others, and the stack stays shallow. ``!`` is NOT.
            """
            if floor <= _NEGATION and self._match(TokenType.NOT):
                self._enter()
                left: exp.Expr = exp.Not(this=self._parse_operators(_NEGATION))
                self._leave()
            else:
                left = self._parse_unary()
            links = 0
            compared = False  # whether the left side is a comparison without parentheses
            while (found := self._operator()) is not None:
                kind, level, width = found
                if level < floor:
                    break
                if self.strict and level == _COMPARISON and compared:
                    self.raise_error("Unexpected operator: comparisons do not chain,")
                compared = level == _COMPARISON
                links += 1
                if links > MAX_CHAIN:
                    self._refuse(
                        f"more than {MAX_CHAIN} operators in one chain", kind=BeyondLimitError
                    )
                if kind is exp.And or kind is exp.Or:
                    left = self._parse_connected(kind, level, left)
                    continue
                self._advance(width)
                if kind is exp.Is or self._prev.token_type in _PREDICATES:
                    left = self._parse_predicate(kind, left, negate=width == 2)
                else:
                    left = self.expression(
                        kind(this=left, expression=self._parse_operators(level + 1))
                    )
            return left

        def _parse_connected(self, kind: type[exp.Expr], level: int, first: exp.Expr) -> exp.Expr:
            """A run of ANDs or ORs as a balanced tree, so that long lists stay shallow."""
            parts = [first]
            while (found := self._operator()) is not None and found[0] is kind:
                self._advance()
                parts.append(self._parse_operators(level + 1))
            while len(parts) > 1:
                paired = [
                    self.expression(kind(this=a, expression=b))
                    for a, b in zip(parts[::2], parts[1::2], strict=False)
                ]
                parts = paired + parts[len(paired) * 2 :]
            return parts[0]

        def _parse_predicate(self, kind: type[exp.Expr], this: exp.Expr, negate: bool) -> exp.Expr:
            if kind is exp.Is:
                negate = self._curr.text != "!" and self._match(TokenType.NOT)
                self._expect(TokenType.NULL, "keyword NULL")
                return self.expression(exp.Is(this=this, expression=exp.Null(), negate=negate))
            if kind is In:
                items = self._parse_wrapped_csv(self._parse_disjunction)
                return self.expression(In(this=this, expressions=items, negate=negate))
            if kind is Between:
                low = self._parse_bitwise()
                self._expect(TokenType.AND, "keyword AND")
                high = self._parse_bitwise()
                return self.expression(Between(this=this, low=low, high=high, negate=negate))
            like = self.expression(kind(this=this, expression=self._parse_bitwise(), negate=negate))
            if self._match(TokenType.ESCAPE):
                if self._curr is None or self._curr.token_type is not TokenType.STRING:
                    self.raise_error("Expected string literal")
                return self.expression(exp.Escape(this=like, expression=self._parse_primary()))
            return like

        def _parse_unary(self) -> exp.Expr:
            kind = self._curr.token_type
            if kind not in self.UNARY_PARSERS or (kind is TokenType.NOT and self._curr.text != "!"):
                return self._parse_primary()
            self._advance()
            self._enter()
            out: exp.Expr = self.UNARY_PARSERS[kind](self)
            self._leave()
            return out

        def _parse_primary(self) -> exp.Expr:
            """An operand, with the ``[key]`` that may follow it."""
            token = self._curr
            if token.token_type in self.PRIMARY_PARSERS:
                self._advance()
                out: exp.Expr = self.PRIMARY_PARSERS[token.token_type](self, token)
            else:
                out = self._parse_typed_array() or self._parse_function() or self._parse_column()
            levels = 0
            while self._match(TokenType.L_BRACKET):
                self._enter()
                levels += 1
                out = exp.Bracket(this=out, expressions=[self._parse_disjunction()])
                self._expect(TokenType.R_BRACKET, '"]"')
            self._leave(levels)
            return out

        def _parse_typed_array(self) -> exp.Expr | None:
            """``ARRAY[...]`` and ``ARRAY<type>[...]``."""
            token, after = self._curr, self._next.token_type
            if token.token_type is not TokenType.VAR or token.text.upper() != "ARRAY":
                return None
            if after is TokenType.L_BRACKET:
                self._advance(2)
                return self._parse_array_items(None)
            if after is not TokenType.LT:
                return None
            self._advance(2)
            element = self._parse_types()
            self._expect(TokenType.GT, '">"')
            self._expect(TokenType.L_BRACKET, '"["')
            return self._parse_array_items(element)

        def _parse_array_items(self, element: exp.Expr | None) -> exp.Expr:
            self._enter()
            items: list[exp.Expr] = []
            if not self._match(TokenType.R_BRACKET):
                items = self._parse_csv(self._parse_disjunction)
                self._expect(TokenType.R_BRACKET, '"]"')
            self._leave()
            return Array(expressions=items, element=element)

        def _parse_paren(self) -> exp.Expr:
            inner = self._parse_disjunction()
            self._match_r_paren()
            return exp.Paren(this=inner)

        def _parse_quantity(self, token: Token) -> exp.Literal:
            found = NUMBER.fullmatch(token.text)
            kind = found.lastgroup if found else None
            if kind == "interval":
                self._retreat(self._index - 1)
                self._wanted("an expression")
            if kind in ("int", "long"):
                self._check_digits(token.text.rstrip("lL"), token)
            return _literal(token)

        def _parse_integer(self, what: str) -> exp.Literal:
            """A whole number; the literal's text holds the sign too."""
            sign = "-" if self._match(TokenType.DASH) else ""
            token = self._curr
            found = NUMBER.fullmatch(token.text) if token.token_type is TokenType.NUMBER else None
            if found is None or found.lastgroup not in ("int", "long"):
                self._wanted(what)
            digits = token.text.rstrip("lL")
            self._check_digits(digits, token)
            self._advance()
            return exp.Literal(this=sign + digits, is_string=False).update_positions(token)

        def _check_digits(self, digits: str, token: Token) -> None:
            if len(digits) > _MAX_DIGITS:
                self._refuse(f"integer of {len(digits)} digits is too large", token)

        def _parse_mark(self) -> exp.Placeholder:
            self.parameters += 1
            return exp.Placeholder(this=str(self.parameters - 1))

        def _parse_column(self) -> exp.Expr:
            """``name``, ``table.name`` or ``db.table.name``."""
            path = [self._parse_name("an expression")]
            while self._match(TokenType.DOT):
                path.append(self._parse_name("a column"))
                if len(path) > 3:
                    self._wanted("a column")
            parts = dict(zip(("this", "table", "db"), reversed(path), strict=False))
            return self.expression(exp.Column(**parts))

        def _parse_function(self, *_: Any, **__: Any) -> exp.Expr | None:
            token = self._curr
            quoted = token.token_type is TokenType.IDENTIFIER
            name = token.text.upper()
            if not quoted and name in self.NO_PAREN_FUNCTION_PARSERS:
                self._advance()
                out: exp.Expr = self.NO_PAREN_FUNCTION_PARSERS[name](self)
                return out
            if self._next.token_type is not TokenType.L_PAREN:
                return None
            if not quoted and name in _JOINS and self.strict:
                self._refuse(f"Unexpected keyword {name}", token)
            if not quoted and name not in _CALLABLE:
                if token.token_type is not TokenType.VAR or name in RESERVED:
                    return None
                if name in self.FUNCTION_PARSERS or name.lower() in _CAST_NAMES:
                    self._advance(2)
                    if name in self.FUNCTION_PARSERS:
                        out = self.FUNCTION_PARSERS[name](self)
                    else:
                        out = exp.Cast(this=self._parse_disjunction(), to=_type(token.text))
                    self._match_r_paren()
                    return out
            self._advance(2)
            distinct = self._match(TokenType.DISTINCT)
            args: list[exp.Expr] = []
            if not self._match(TokenType.R_PAREN):
                args = self._parse_csv(self._parse_disjunction)
                self._match_r_paren()
            if distinct:
                args = [exp.Distinct(expressions=args)]
            return self._parse_window(
                self.expression(exp.Anonymous(this=token.text, expressions=args))
            )

        def _parse_types(self, *_: Any, **__: Any) -> exp.Expr | None:
            name = self._parse_name("a type")
            if self._match(TokenType.L_PAREN):
                self._parse_integer("a length")
                self._match_r_paren()
            return _type(name.name)

        def _parse_case(self) -> exp.Expr:
            subject = None
            if not self._match(TokenType.WHEN, advance=False):
                subject = self._parse_disjunction()
            branches: list[exp.Expr] = []
            while self._match(TokenType.WHEN):
                condition = self._parse_disjunction()
                self._expect(TokenType.THEN, "keyword THEN")
                branches.append(exp.If(this=condition, true=self._parse_disjunction()))
            if not branches:
                self._wanted("WHEN")
            default = self._parse_disjunction() if self._match(TokenType.ELSE) else None
            self._expect(TokenType.END, "keyword END")
            return self.expression(exp.Case(this=subject, ifs=branches, default=default))


def _literal(token: Token, is_string: bool = False) -> exp.Literal:
    return exp.Literal(this=token.text, is_string=is_string).update_positions(token)


def _type(name: str) -> exp.DataType:
    """A type by the name it was written with; whether there is one is not the grammar's matter."""
    return exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=name)
