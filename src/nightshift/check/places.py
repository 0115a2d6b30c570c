"""The text of an error as problems: file, key, message and fix, each at its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nightshift.config.reading import Problem

_KEYS = (
    # line 7: Syntax error: ...
    re.compile(r"(?P<key>line \d+): (?P<rest>.+)", re.DOTALL),
    # unknown key 'requests.key', unknown hyper-parameter 'learning_rat'
    re.compile(r"(?P<rest>unknown (?:key|hyper-parameter)) '(?P<key>[^']+)'", re.DOTALL),
    # categorical.sku_id has the unknown key 'splt'
    re.compile(r"(?P<key>[A-Za-z_]+\.[\w.]+) (?P<rest>has .+)", re.DOTALL),
    # events.action is 'x'; the key alone, or with a column's or a table's name
    re.compile(r"(?P<key>[A-Za-z_]\w*(?:\.[\w.-]+)?) (?P<rest>is .+)", re.DOTALL),
)
"""How messages of our readers begin that name a key of their file."""

_HINTS = {
    r'end of statement but got (?:identifier|keyword) "?CREATE': "end the statement before it with ;",
    r"expected keyword SELECT but got": "the file holds one SELECT, and nothing before or after it",
    r"got string literal": "write a name plain or in backquotes, and close the quotes before it",
    r"Illegal input character|unexpected ['\"][“”‘’]": "write quotes as ' and names in `, not “ ”",
    r"Unclosed string literal": "close the quote",
    r"nested (?:deeper|too deep)|operators in one chain|brackets nest deeper": (
        "compute parts of it in a subquery, and use its columns"
    ),
    r"unit|PRECEDING but got|Missing whitespace between literal": (
        "a window reaches back in s, m, h or d, such as 14d PRECEDING"
    ),
    r"[Ee]xpected .+ but got|unexpected ": (
        "look at what stands there and before it: a comma, a bracket or a word is missing or too much"
    ),
}
"""What to do about an error of a parser, which has no words for it."""


def problems_of(text: str, files: Sequence[str], known: Sequence[str] = ()) -> Iterator[Problem]:
    """The problems that the text of an error names, one a line of it.

    Args:
        text: lines `<file>: [<key> ]<message>[; <fix>]`; one that begins with no file goes on.
        files: files that a line may name; the first is meant where it names none.
        known: keys of the files, where an unknown one has no near name.
    """
    for line in _each(text, files):
        named = next((one for one in files if line.startswith(one)), None)
        said = line if named is None else line.removeprefix(named).lstrip(": ")
        message, _, fix = said.rpartition("; ")
        if not message:
            message, fix = fix, ""
        key, message = _split(message)
        fix = fix or hint(message)
        if not fix and message.startswith("unknown key"):
            fix = f"known: {', '.join(known)}" if known and "." not in key else "remove it"
        yield Problem(named or files[0], key, message, fix)


def _split(message: str) -> tuple[str, str]:
    """(key, the rest) of a message that begins with a key; else no key and all of it."""
    for pattern in _KEYS:
        match = pattern.fullmatch(message)
        if match is not None and match["key"] != "it":
            return match["key"], match["rest"]
    return "", message


def hint(message: str) -> str:
    """What to do about what a parser of SQL refuses; empty where there is nothing to add."""
    return next((fix for pattern, fix in _HINTS.items() if re.search(pattern, message)), "")


def _each(text: str, files: Sequence[str]) -> list[str]:
    """The problems of an error's text: a line that begins with a file begins another one."""
    found: list[str] = []
    for line in text.splitlines():
        if found and not line.startswith(tuple(f"{one}: " for one in files)):
            found[-1] += f" {line.strip()}"
        else:
            found.append(line)
    return found
