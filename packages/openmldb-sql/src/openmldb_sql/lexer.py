"""Characters to tokens, for SELECT: sqlglot's tokenizer with OpenMLDB's lexical rules.

These are ZetaSQL's: single and double quotes both write strings, backslash escapes, backquotes
write names, ``--``, ``#`` and ``/* */`` are comments.
"""

from __future__ import annotations

import re
from typing import ClassVar, NoReturn

from sqlglot import tokens
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

NUMBER = re.compile(
    r"""
    (?P<interval>\d+[smhdSMHD])
  | (?P<hex>0[xX][0-9a-fA-F]+)
  | (?P<float>(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?|\d+[eE][-+]?\d+[fF]?|\d+[fF])
  | (?P<long>\d+[lL])
  | (?P<int>\d+)
    """,
    re.VERBOSE | re.ASCII,
)
"""A number as OpenMLDB writes them, time spans included; the group's name is its kind."""

UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
"""Milliseconds of a time span's unit."""

_WORD = re.compile(r"[^\W\d]\w*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b"}

RESERVED = {
    "SELECT", "FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "LAST",
    "LEFT", "RIGHT", "INNER", "OUTER", "FULL", "CROSS", "JOIN", "ON", "AS", "AND", "OR", "NOT",
    "XOR", "CASE", "WHEN", "THEN", "ELSE", "END", "OVER", "PARTITION", "BY", "ROWS", "ROWS_RANGE",
    "RANGE", "BETWEEN", "PRECEDING", "FOLLOWING", "IN", "IS", "NULL", "LIKE", "ILIKE", "RLIKE",
    "DIV", "MOD", "MAXSIZE", "EXCLUDE", "INSTANCE_NOT_IN_WINDOW", "TRUE", "FALSE", "DISTINCT",
    "INTO", "CONFIG", "WITH", "ESCAPE", "DESC", "ASC", "ALL", "USING",
}  # fmt: skip
"""Words that cannot be names, whatever the clause."""

_PAIRS = {
    "GROUP": TokenType.GROUP_BY,
    "ORDER": TokenType.ORDER_BY,
    "PARTITION": TokenType.PARTITION_BY,
}


def place(sql: str, at: int) -> str:
    """Line and column of a position, both counted from 1."""
    line = sql.count("\n", 0, at) + 1
    return f"line {line}, column {at - (sql.rfind(chr(10), 0, at) + 1) + 1}"


def unquote(text: str) -> str:
    """The value of a quoted string literal."""
    quote = text[0]
    body = text[1:-1].replace(quote * 2, quote)
    if "\\" not in body:
        return body
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), body, flags=re.DOTALL)


class Lexer(tokens.Tokenizer):
    """ZetaSQL's lexical rules, with OpenMLDB's key words and time spans."""

    QUOTES: ClassVar[list[tuple[str, str] | str]] = ["'", '"']
    IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`"]
    STRING_ESCAPES: ClassVar[list[str]] = ["'", '"', "\\"]
    COMMENTS: ClassVar[list[str | tuple[str, str]]] = ["--", "#", ("/*", "*/")]
    NESTED_COMMENTS = False
    COMMENTS_TERMINATE_AT_NEWLINE_ONLY = True
    COMMANDS: ClassVar[set[TokenType]] = set()
    SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
        char: token
        for char, token in tokens.Tokenizer.SINGLE_TOKENS.items()
        if char in "(),.;=<>!~&|^+-*/%?#'\"`"
    }
    KEYWORDS: ClassVar[dict[str, TokenType]] = {
        word: token
        for word, token in tokens.Tokenizer.KEYWORDS.items()
        if (word in RESERVED and word not in _PAIRS)
        or word in {"==", "||", ">=", "<=", "<>", "!=", "<=>"}
    } | {"&&": TokenType.DAMP, "MOD": TokenType.MOD}

    def tokenize(self, sql: str) -> list[Token]:
        """Cut ``sql`` into tokens.

        sqlglot cuts first; then the parts of one lexical element are put together again
        (``14d``, ``0x1f``, ``.5``, ``ORDER /* */ BY``), strings get OpenMLDB's escapes, and
        what is no word of the language is refused.

        Raises:
            TokenError: At characters, quotes or comments that are not the language's.
        """
        try:
            found = super().tokenize(sql)
        except TokenError as error:
            at = self._core._start
            what = "comment" if sql.startswith("/*", at) else sql[at : at + 1]
            raise TokenError(
                f"Syntax error: unclosed {what} at {place(sql, at)}", at, at + 1
            ) from error
        out: list[Token] = []
        i = 0
        while i < len(found):
            token = found[i]
            i += 1
            while (
                token.token_type in (TokenType.NUMBER, TokenType.DOT)
                and i < len(found)
                and found[i].start == token.end + 1
                and NUMBER.fullmatch(sql, token.start, found[i].end + 1)
            ):
                token = _joined(token, found[i], TokenType.NUMBER, sql)
                i += 1
            pair = _PAIRS.get(token.text.upper()) if token.token_type is TokenType.VAR else None
            if pair and i < len(found) and sql[found[i].start : found[i].end + 1].upper() == "BY":
                token = _joined(token, found[i], pair, sql)
                i += 1
            self._check(token, sql)
            token.comments = []
            out.append(token)
        return out

    def _check(self, token: Token, sql: str) -> None:
        kind = token.token_type
        text = sql[token.start : token.end + 1]
        if kind is TokenType.STRING:
            token.text = unquote(text)
        elif kind is TokenType.NUMBER:
            if not NUMBER.fullmatch(text):
                _refuse(sql, token.start)
        elif kind is TokenType.VAR:
            word = _WORD.match(text)
            if word is None or word.end() < len(text):
                _refuse(sql, token.start + (word.end() if word else 0))
        elif kind in (TokenType.UNKNOWN, TokenType.HASH, TokenType.NATIONAL_STRING):
            _refuse(sql, token.start)


# sqlglot adds Jinja's comments to every tokenizer; in OpenMLDB a brace is no token at all.
Lexer._COMMENTS.pop("{#", None)


def _joined(first: Token, last: Token, kind: TokenType, sql: str) -> Token:
    text = sql[first.start : last.end + 1]
    return Token(kind, text, first.line, first.col, first.start, last.end)


def _refuse(sql: str, at: int) -> NoReturn:
    snippet = sql[at : at + 20].split("\n")[0]
    raise TokenError(f"Syntax error: unexpected {snippet!r} at {place(sql, at)}", at, at + 1)
