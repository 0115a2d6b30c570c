"""Tokens for SELECT, as sqlglot's parser takes them: our tokens under its names."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from sqlglot import tokens
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from openmldb_sql.errors import SyntaxError_
from openmldb_sql.tokens import Kind, place, scan

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


_VALUES = {Kind.STRING: TokenType.STRING, Kind.NAME: TokenType.IDENTIFIER}


class Lexer(tokens.Tokenizer):
    """OpenMLDB's lexical rules; sqlglot's own cutting of text is not used."""

    IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`"]
    SINGLE_TOKENS: ClassVar[dict[str, TokenType]] = {
        char: token
        for char, token in tokens.Tokenizer.SINGLE_TOKENS.items()
        if char in "(),.;=<>!~&|^+-*/%?[]"
    }
    KEYWORDS: ClassVar[dict[str, TokenType]] = {
        word: token
        for word, token in tokens.Tokenizer.KEYWORDS.items()
        if (word in RESERVED and word not in _PAIRS)
        or word in {"==", "||", ">=", "<=", "<>", "!=", "<=>"}
    } | {"&&": TokenType.DAMP, "MOD": TokenType.MOD}

    def tokenize(self, sql: str) -> list[Token]:
        """Cut ``sql`` into tokens; ``ORDER /* */ BY`` is one.

        Raises:
            TokenError: At characters, quotes or comments that are not the language's.
        """
        try:
            found = list(scan(sql))
        except SyntaxError_ as error:
            raise TokenError(error.reason, 0, 0) from error
        out: list[Token] = []
        for one in found:
            start, end, text = one.start, one.end - 1, one.text
            if one.kind in _VALUES:
                out.append(Token(_VALUES[one.kind], one.value, 1, 1, start, end))
            elif one.kind is Kind.NUMBER:
                out.append(Token(TokenType.NUMBER, text, 1, 1, start, end))
            elif one.kind is Kind.WORD:
                pair = _PAIRS.get(out[-1].text.upper()) if out and one.upper == "BY" else None
                if pair is not None and out[-1].token_type is TokenType.VAR:
                    before = out.pop()
                    out.append(Token(pair, sql[before.start : one.end], 1, 1, before.start, end))
                else:
                    kind = self.KEYWORDS.get(one.upper, TokenType.VAR)
                    out.append(Token(kind, text, 1, 1, start, end))
            elif text in ("<<", ">>"):
                kind = self.SINGLE_TOKENS[text[0]]
                out += [Token(kind, text[0], 1, 1, at, at) for at in (start, end)]
            elif (symbol := self.KEYWORDS.get(text) or self.SINGLE_TOKENS.get(text)) is not None:
                out.append(Token(symbol, text, 1, 1, start, end))
            else:
                _refuse(sql, start)
        return out


def _refuse(sql: str, at: int) -> NoReturn:
    snippet = sql[at : at + 20].split("\n")[0]
    raise TokenError(f"Syntax error: unexpected {snippet!r} {place(sql, at)}", at, at + 1)
