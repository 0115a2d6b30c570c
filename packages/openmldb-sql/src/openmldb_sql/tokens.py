"""Characters to tokens, the same for every statement.

The lexical rules are ZetaSQL's, OpenMLDB's parser: single and double quotes both write strings of
one line, tripled ones of several, backslash escapes (but not in ``r'...'``), backquotes write names,
``--``, ``#`` and ``/* */`` are comments.  A doubled quote is not an escape: it ends one string and
begins another.
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
    (?P<interval>\d+[smhdSMHD])
  | (?P<hex>0[xX][0-9a-fA-F]+)
  | (?P<float>(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?|\d+[eE][-+]?\d+[fF]?)
  | (?P<long>\d+[lL])
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
  | (?P<string>[rR]?(?:'{{3}}(?:[^'\\]|\\.|'(?!''))*'{{3}}|"{{3}}(?:[^"\\]|\\.|"(?!""))*"{{3}}
             |'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
  | (?P<name>`[^`]*`)
  | (?P<number>{NUMBER.pattern})
  | (?P<word>[^\W\d]\w*)
  | (?P<variable>@@?(?:[^\W\d]\w*)(?:\.(?:[^\W\d]\w*))?)
  | (?P<symbol><=>|<=|>=|<>|!=|\|\||<<|>>|&&|==|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"[^\W\d]")
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
    "b": "\b",
    "f": "\f",
    "a": "\a",
    "v": "\v",
    **{same: same for same in "\\?\"'`"},
}
_ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})|(.))", re.DOTALL
)


def unquote(text: str) -> str:
    """Decode a string literal, quotes included, to its value; ``r'...'`` is what it says.

    Raises:
        SyntaxError_: An escape that ZetaSQL does not have, or half a surrogate pair, which is no
            character.
    """
    raw, text = text[0] in "rR", text.lstrip("rR")
    width = 3 if len(text) >= 6 and text[:3] in ("'''", '"""') else 1
    body = text[width:-width]
    if raw or "\\" not in body:
        return body

    def decode(match: re.Match[str]) -> str:
        short, long, byte, octal, single = match.groups()
        if short or long or byte or octal:
            code = int(octal, 8) if octal else int(short or long or byte, 16)
            if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
                raise SyntaxError_(
                    f"Syntax error: Illegal escape sequence: Unicode value {match[0]} is invalid"
                )
            return chr(code)
        if single in _ESCAPES:
            return _ESCAPES[single]
        raise SyntaxError_(
            f"Syntax error: Illegal escape sequence: {match[0]}; a backslash itself is written \\\\"
        )

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
            try:
                value = unquote(text)
            except SyntaxError_ as error:
                raise SyntaxError_(f"{error.reason} {place(sql, begin)}") from None
        elif kind is Kind.NUMBER:
            # A letter at its end, as in 1L or 1.5f, or a dot ends a number; else a blank has to.
            closed = text[-1] in "lLfF." and text[1:2] not in ("x", "X")
            if not closed and _WORD.match(sql, position):
                raise SyntaxError_(
                    f"Syntax error: Missing whitespace between literal and alias "
                    f"{place(sql, position)}"
                )
        elif kind is Kind.NAME:
            value = text[1:-1]
        elif kind is Kind.SYMBOL:
            if text in "'\"":
                raise SyntaxError_(f"Syntax error: Unclosed string literal {place(sql, begin)}")
            if text == "`":
                raise SyntaxError_(f"Syntax error: Unclosed identifier literal {place(sql, begin)}")
            if text == "/" and sql.startswith("/*", begin):
                raise SyntaxError_(f"Syntax error: Unclosed comment {place(sql, begin)}")
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


_SHOWN = 80
"""Characters of a line that an error shows."""


def place(sql: str, position: int) -> str:
    """Show a place in a script as OpenMLDB's parser does.

    ``[at line:column]``, the line, and a caret below the place.
    """
    line = sql.count("\n", 0, position) + 1
    start = sql.rfind("\n", 0, position) + 1
    column = position - start
    end = sql.find("\n", start)
    text = (sql[start:] if end < 0 else sql[start:end]).replace("\t", " ")
    at = column
    if len(text) > _SHOWN:
        first = max(0, min(column - _SHOWN // 2, len(text) - _SHOWN + 3))
        cut = text[first : first + _SHOWN - 3 * (1 + (first > 0))]
        at = column - first + 3 * (first > 0)
        text = "..." * (first > 0) + cut + "..." * (first + len(cut) < len(text))
    return f"[at {line}:{column + 1}]\n{text}\n{' ' * at}^"
