"""A SELECT in the form in which OpenMLDB's server gives it back (ZetaSQL's unparser).

The form is for reading, and for clients that show it: two texts are better compared by what they
compile to.
"""

from __future__ import annotations

from openmldb_sql.tokens import Kind, Token, tokens

_CLAUSES = {
    "FROM": "list",
    "WHERE": "list",
    "GROUP": "line",
    "HAVING": "line",
    "ORDER": "line",
    "LIMIT": "line",
    "WINDOW": "line",
}
_JOINS = ("LAST", "LEFT", "RIGHT", "FULL", "INNER", "CROSS")
_KEYWORDS = {
    "SELECT", "DISTINCT", "FROM", "WHERE", "GROUP", "BY", "HAVING", "ORDER", "LIMIT", "WINDOW",
    "AS", "AND", "OR", "NOT", "OVER", "PARTITION", "ROWS", "ROWS_RANGE", "BETWEEN", "PRECEDING",
    "FOLLOWING", "CURRENT", "ROW", "UNBOUNDED", "OPEN", "MAXSIZE", "EXCLUDE", "CURRENT_TIME",
    "CURRENT_ROW", "INSTANCE_NOT_IN_WINDOW", "UNION", "ALL", "LAST", "JOIN", "LEFT", "ON", "IN",
    "LIKE", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "DESC", "ASC", "WITH", "IS",
}  # fmt: skip
_PRESENT = ("SELECT", "WITH")


def pretty(sql: str) -> str:
    """The statement, one clause a line, its list items below it; without its ``;``.

    Raises:
        SyntaxError_: The text cannot be cut into tokens.
    """
    return _Printer(list(tokens(sql))).query(0)


class _Printer:
    def __init__(self, found: list[Token]) -> None:
        self.found = [token for token in found if token.kind is not Kind.END]
        self.at = 0

    def word(self, ahead: int = 0) -> str:
        place = self.at + ahead
        if place >= len(self.found):
            return ""
        token = self.found[place]
        return token.upper if token.kind in (Kind.WORD, Kind.SYMBOL) else ""

    def query(self, indent: int) -> str:
        """Clauses up to the closing bracket or the end."""
        pad = " " * indent
        lines: list[str] = []
        while self.at < len(self.found) and self.word() != ")":
            word = self.word()
            if word == "SELECT":
                self.at += 1
                head = "SELECT"
                if self.word() in ("DISTINCT", "ALL"):
                    head += f" {self.word()}"
                    self.at += 1
                lines += [f"{pad}{head}", self.items(indent + 2)]
            elif _CLAUSES.get(word) == "list":
                self.at += 1
                lines += [f"{pad}{word}", self.items(indent + 2)]
            elif word in _CLAUSES:
                lines.append(pad + self.line(indent))
            elif word == "UNION":
                self.at += 1
                more = self.word() in ("ALL", "DISTINCT")
                lines.append(f"{pad}UNION {self.word()}" if more else f"{pad}UNION")
                self.at += more
            elif word == "WITH":
                lines.append(pad + self.line(indent))
            else:
                lines.append(pad + self.line(indent))
        return "\n".join(lines)

    def items(self, indent: int) -> str:
        """A clause's list: an item a line, a join's parts a line each."""
        pad = " " * indent
        lines: list[str] = []
        joined = False
        while True:
            text = self.expression(indent, stop_at_comma=True)
            lines.append(pad + text)
            while joined and self.word() in ("ORDER", "ON"):
                lines.append(pad + self.line(indent))
            if self.word() == ",":
                lines[-1] += ","
                self.at += 1
                continue
            if self.word() in _JOINS and "JOIN" in (self.word(1), self.word(2)):
                words = []
                while self.word() != "JOIN":
                    words.append(self.word())
                    self.at += 1
                self.at += 1
                lines.append(f"{pad}{' '.join(words)} JOIN")
                joined = True
                continue
            return "\n".join(lines)

    def line(self, indent: int) -> str:
        """A clause on one line, its key word included."""
        first = self.word()
        head = [first or self.found[self.at].text]
        self.at += 1
        if first in ("GROUP", "ORDER") and self.word() == "BY":
            head.append("BY")
            self.at += 1
        rest = self.expression(indent, stop_at_comma=False)
        return " ".join([*head, rest]) if rest else " ".join(head)

    def expression(self, indent: int, *, stop_at_comma: bool) -> str:
        """Tokens up to the next clause, joined as ZetaSQL joins them."""
        out = ""
        before: Token | None = None
        while self.at < len(self.found):
            word = self.word()
            if word == ")" or (word == "," and stop_at_comma):
                break
            joins = word in _JOINS and "JOIN" in (self.word(1), self.word(2)[:4])
            if word in _CLAUSES or word in ("UNION", "ON") or joins:
                break
            token = self.found[self.at]
            if word == "(":
                piece = self.bracket(indent)
            else:
                piece = self.piece(token)
                self.at += 1
            out = _joined(out, piece, before)
            before = token
            if word in ("+", "-") and out[:-1].rstrip()[-1:] in ("", "(", ","):
                before = None  # a sign, not an operator
                if self.at < len(self.found) and self.word() != "(":
                    out += self.piece(self.found[self.at])
                    before = self.found[self.at]
                    self.at += 1
            if word == "OVER" and self.word() not in ("(", ""):
                out += f" ({self.piece(self.found[self.at])})"
                self.at += 1
        return out

    def bracket(self, indent: int) -> str:
        """``(...)``: a subquery, a window's definition, or arguments."""
        self.at += 1
        if self.word() in _PRESENT:
            inner = f"\n{self.query(indent + 2)}\n{' ' * indent}"
        elif self.word() in ("PARTITION", "UNION", "ORDER"):
            inner = self.window(indent)
        else:
            inner = self.expression(indent, stop_at_comma=False)
        self.at += self.word() == ")"
        return f"({inner})"

    def window(self, indent: int) -> str:
        out = ""
        before: Token | None = None
        while self.at < len(self.found) and self.word() != ")":
            token = self.found[self.at]
            word = self.word()
            if word == "(":
                piece = self.bracket(indent)
            else:
                piece = self.piece(token)
                self.at += 1
            breaks = word in ("ORDER", "PARTITION") and out
            out = f"{out}\n{' ' * (indent + 2)}{piece}" if breaks else _joined(out, piece, before)
            before = token
        return out

    @staticmethod
    def piece(token: Token) -> str:
        if token.kind is Kind.WORD and token.upper in _KEYWORDS:
            return token.upper
        if token.kind is Kind.WORD and token.upper == "IF":
            return f"`{token.text}`"
        if token.kind is Kind.NAME and token.value.isidentifier():
            return token.value if token.value.upper() not in _KEYWORDS else token.text
        return {"==": "=", "<>": "!="}.get(token.text, token.text)


_TIGHT_AFTER = ("(", ".")
_CALLS = (Kind.WORD, Kind.NAME)


def _joined(out: str, piece: str, before: Token | None) -> str:
    if not out or before is None:
        return piece
    if piece in (",", ".") or before.text == ".":
        return out + piece
    if piece.startswith("("):
        call = before.kind in _CALLS and before.upper not in _KEYWORDS - {"CAST", "LEFT"}
        return out + piece if call else f"{out} {piece}"
    return f"{out} {piece}"
