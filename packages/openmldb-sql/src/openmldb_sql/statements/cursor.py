"""Reading the tokens of a statement."""

from __future__ import annotations

from openmldb_sql.errors import AstError, SyntaxError_
from openmldb_sql.statements.nodes import Duration, Literal, Long, Name, Single
from openmldb_sql.tokens import NUMBER, Kind, Token, place

_WHAT = {
    Kind.WORD: "identifier ",
    Kind.NAME: "identifier ",
    Kind.STRING: "string literal ",
    Kind.SYMBOL: "",
}


class Cursor:
    """The tokens of one statement, read from left to right: names, literals, options."""

    def __init__(self, sql: str, found: list[Token]) -> None:
        self.sql = sql
        self.found = found
        self.at = 0

    @property
    def token(self) -> Token:
        """The token to be read next."""
        return self.found[self.at]

    def fail(self, wanted: str) -> SyntaxError_:
        """The error that says what was wanted here and what there is."""
        token = self.token
        got = f"{_WHAT.get(token.kind, '')}{token.text[:60]}"
        if token.kind in (Kind.WORD, Kind.SYMBOL):
            got = f'{_WHAT[token.kind]}"{token.text[:60]}"'
        elif token.kind is Kind.END:
            got = "end of statement"
        return SyntaxError_(
            f"Syntax error: Expected {wanted} but got {got} {place(self.sql, token.start)}"
        )

    def peek(self, *words: str) -> bool:
        """Whether these words or symbols come next."""
        end = self.at + len(words)
        return end <= len(self.found) and all(
            token.upper == word and token.kind in (Kind.WORD, Kind.SYMBOL)
            for token, word in zip(self.found[self.at : end], words, strict=True)
        )

    def take(self, *words: str) -> bool:
        """Read these words if they come next."""
        if self.peek(*words):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Read these words, or fail."""
        for word in words:
            if not self.take(word):
                raise self.fail(f"{word}")

    def end(self) -> None:
        """Fail if something is left."""
        if self.token.kind is not Kind.END:
            raise self.fail("end of statement")

    def identifier(self, what: str) -> str:
        """Read a name."""
        token = self.token
        if token.kind not in (Kind.WORD, Kind.NAME) or not token.value:
            raise self.fail(what)
        self.at += 1
        return token.value

    def name(self, what: str = "a table name") -> Name:
        """Read a name that a database may stand before."""
        first = self.identifier(what)
        if self.take("."):
            return Name(first, self.identifier(what))
        return Name(None, first)

    def string(self, what: str) -> str:
        """Read quoted text."""
        token = self.token
        if token.kind is not Kind.STRING:
            raise self.fail(what)
        self.at += 1
        return token.value

    def integer(self, what: str) -> int:
        """Read a whole number."""
        token = self.token
        if token.kind is not Kind.NUMBER or not token.text.isdecimal() or len(token.text) > 19:
            raise self.fail(what)
        self.at += 1
        return int(token.text)

    def literal(self) -> Literal:
        """Read a constant."""
        token = self.token
        if token.kind is Kind.STRING:
            self.at += 1
            return token.value
        negative = False
        while token.kind is Kind.SYMBOL and token.text in "+-":
            negative ^= token.text == "-"
            self.at += 1
            token = self.token
        if token.kind is Kind.NUMBER:
            self.at += 1
            return self._number(token, negative)
        if token.kind is Kind.WORD and not negative:
            constant: dict[str, Literal] = {"NULL": None, "TRUE": True, "FALSE": False}
            if token.upper in constant:
                self.at += 1
                return constant[token.upper]
        raise self.fail("a literal")

    def _number(self, token: Token, negative: bool) -> int | float:
        text = token.text
        found = NUMBER.fullmatch(text)
        kind = found.lastgroup if found else None
        if kind == "hex":
            raise AstError(f"Un-support hex integer literal: {text[:40]}")
        if kind in ("int", "long"):
            return integer(text, negative=negative)
        if kind == "float":
            number = float(text.rstrip("fF"))
            number = -number if negative else number
            return Single(number) if text[-1] in "fF" else number
        self.at -= 1
        raise self.fail("a literal")

    def option_value(self) -> Literal:
        """A literal, a bare word, or a duration such as ``10d``."""
        token = self.token
        if token.kind in (Kind.WORD, Kind.NAME) and token.upper not in ("NULL", "TRUE", "FALSE"):
            return self.identifier("a value")
        number = NUMBER.fullmatch(token.text) if token.kind is Kind.NUMBER else None
        if number is not None and number.lastgroup == "interval":
            self.at += 1
            return Duration(token.text.lower())
        return self.literal()

    def options(self, keyword: str) -> dict[str, Literal]:
        """``KEYWORD (a=1, b='x')``; an absent list is an empty one."""
        found: dict[str, Literal] = {}
        if not self.take(keyword):
            return found
        self.expect("(")
        if self.take(")"):
            return found
        while True:
            key = self.identifier("an option name").lower()
            self.expect("=")
            if self.peek("[") or self.peek("("):
                found[key] = self._bracketed()
            else:
                found[key] = self.option_value()
            if self.take(")"):
                return found
            self.expect(",")

    def _bracketed(self) -> str:
        """The text of a bracketed value, such as DISTRIBUTION's: kept, not understood."""
        start = self.token.start
        depth = 0
        while True:
            token = self.token
            if token.kind is Kind.END:
                raise self.fail("a closing bracket")
            depth += (token.text in "[(") - (token.text in "])") if token.text else 0
            self.at += 1
            if depth == 0:
                return self.sql[start : token.end]


def integer(text: str, *, negative: bool = False) -> int:
    """The value of an integer literal; the literal itself must fit 64 bits, its sign aside.

    Raises:
        AstError: It does not.
    """
    digits = text.rstrip("lL")
    if len(digits) > 40 or int(digits) >= 2**63:
        raise AstError(f"Invalid integer literal<OUT_OF_RANGE: {digits[:40]} (overflow)>")
    wide = digits != text or int(digits) >= 2**31
    number = -int(digits) if negative else int(digits)
    return Long(number) if wide else number
