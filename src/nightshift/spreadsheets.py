"""CSV for spreadsheets, which run a cell that looks like a formula.

An id or a text of somebody else's, `=HYPERLINK(...)`, becomes a formula where a person opens a
file of comma-separated values (OWASP, "CSV Injection"). Only a changed cell is safe there, and a
changed cell is wrong for a program: so it is done where it is asked for.
"""

from __future__ import annotations

import re

_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def inert(cell: str) -> str:
    """The cell, with an apostrophe before it where a spreadsheet would run it; numbers stay."""
    if cell.startswith(_BEGINS) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
