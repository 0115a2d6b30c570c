"""Characters to tokens, the same for every statement.

The lexical rules are ZetaSQL's, OpenMLDB's parser: single and double quotes both write strings,
backslash escapes, backquotes write names, ``--``, ``#`` and ``/* */`` are comments.  One kindness
over ZetaSQL: a doubled quote inside a string stands for the quote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from openmldb_sql.errors import SyntaxError_

MAX_DEPTH = 200
"""How deep parentheses may nest before a statement is refused."""


class Kind(Enum):
    """What a token is."""

    WORD = "word"
    NAME = "quoted name"
    STRING = "string"
    NUMBER = "number"
    VARIABLE = "variable"
    SYMBOL = "symbol"
    END = "end of statement"


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its text as written, its decoded value and its place in the script."""

    kind: Kind
    text: str
    value: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The text in upper case for a bare word, the text itself otherwise."""
        return self.text.upper() if self.kind is Kind.WORD else self.text


NUMBER = re.compile(
    r"""
    (?P<interval>\d+[smhdSMHD](?!\w))
  | (?P<hex>0[xX][0-9a-fA-F]+(?!\w))
  | (?P<float>(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?(?:[fF](?!\w))?
             |\d+[eE][-+]?\d+(?:[fF](?!\w))?|\d+[fF](?!\w))
  | (?P<long>\d+[lL](?!\w))
  | (?P<int>\d+)
    """,
    re.VERBOSE | re.ASCII,
)
"""A number as OpenMLDB writes them, time spans included; the group's name is its kind."""

UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
"""Milliseconds of a time span's unit."""

_PATTERN = re.compile(
    rf"""
    (?P<space>\s+|--[^\n]*|\#[^\n]*|/\*.*?\*/)
  | (?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
  | (?P<name>`[^`]*`)
  | (?P<number>{NUMBER.pattern})
  | (?P<word>[^\W\d]\w*)
  | (?P<variable>@@?(?:[^\W\d]\w*)(?:\.(?:[^\W\d]\w*))?)
  | (?P<symbol><=>|<=|>=|<>|!=|\|\||<<|>>|&&|==|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS = {
    "string": Kind.STRING,
    "name": Kind.NAME,
    "number": Kind.NUMBER,
    "word": Kind.WORD,
    "variable": Kind.VARIABLE,
    "symbol": Kind.SYMBOL,
}
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "0": "\0",
    "b": "\b",
    "f": "\f",
    "a": "\a",
    "v": "\v",
}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))|''|\"\"", re.DOTALL)


def unquote(text: str) -> str:
    """Decode a string literal, quotes included, to its value.

    Raises:
        SyntaxError_: An escape names half a surrogate pair, which is no character.
    """
    quote, body = text[0], text[1:-1]
    if "\\" not in body and quote not in body:
        return body

    def decode(match: re.Match[str]) -> str:
        unicode, byte, single = match.groups()
        if unicode or byte:
            code = int(unicode or byte, 16)
            if 0xD800 <= code <= 0xDFFF:
                raise SyntaxError_(f"Syntax error: illegal escape \\u{unicode} in a string")
            return chr(code)
        if single is not None:
            return _ESCAPES.get(single, single)
        doubled = match.group(0)
        return quote if doubled[0] == quote else doubled

    return _ESCAPE.sub(decode, body)


def scan(sql: str, start: int = 0) -> Iterator[Token]:
    """Cut ``sql`` into tokens from ``start`` on; a symbol may be any character.

    Raises:
        SyntaxError_: An unclosed string, name or comment.
    """
    position = start
    length = len(sql)
    match_at = _PATTERN.match
    while position < length:
        match = match_at(sql, position)
        if match is None:  # pragma: no cover - the last alternative takes any character
            raise SyntaxError_(f"Syntax error: unexpected character {place(sql, position)}")
        group = match.lastgroup or "symbol"
        text = match.group()
        begin, position = position, match.end()
        if group == "space":
            continue
        kind = _KINDS[group]
        value = text
        if kind is Kind.STRING:
            value = unquote(text)
        elif kind is Kind.NAME:
            value = text[1:-1]
        elif kind is Kind.SYMBOL:
            if text in "'\"`":
                raise SyntaxError_(f"Syntax error: unclosed {text} {place(sql, begin)}")
            if text == "/" and sql.startswith("/*", begin):
                raise SyntaxError_(f"Syntax error: unclosed comment {place(sql, begin)}")
        yield Token(kind, text, value, begin, position)


def tokens(sql: str, start: int = 0) -> Iterator[Token]:
    """The tokens of one statement: up to the first ``;``, or the end.

    The last token is always of kind END; its ``start`` is where the statement ends.

    Raises:
        SyntaxError_: An unclosed string, name, comment or bracket, or brackets too deep.
    """
    depth = 0
    for token in scan(sql, start):
        if token.kind is Kind.SYMBOL:
            if token.text == ";":
                yield Token(Kind.END, "", "", token.start, token.end)
                return
            depth += (token.text == "(") - (token.text == ")")
            if depth > MAX_DEPTH:
                raise SyntaxError_(
                    f"Syntax error: brackets nest deeper than {MAX_DEPTH} {place(sql, token.start)}"
                )
            if depth < 0:
                raise SyntaxError_(f'Syntax error: Unexpected ")" {place(sql, token.start)}')
        yield token
    if depth > 0:
        raise SyntaxError_("Syntax error: Unexpected end of statement, a bracket is not closed")
    yield Token(Kind.END, "", "", len(sql), len(sql))


def place(sql: str, position: int) -> str:
    """Name a place in a script as OpenMLDB's parser does: ``[at line:column]``."""
    line = sql.count("\n", 0, position) + 1
    column = position - (sql.rfind("\n", 0, position) + 1) + 1
    return f"[at {line}:{column}]"
