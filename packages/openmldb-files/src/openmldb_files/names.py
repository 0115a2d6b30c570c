"""Hadoop's path patterns, and which names stand for data."""

from __future__ import annotations

import re

MAX_ALTERNATIVES = 10_000
"""So many patterns may one pattern's braces stand for."""


def is_data_name(name: str) -> bool:
    """Whether Spark reads a file or folder of this name.

    It passes over `_x` (but not a partition folder `_k=v`), `.x`, and `x._COPYING_`, which
    Hadoop's shell is still writing (`InMemoryFileIndex.shouldFilterOutPathName`).
    """
    if name.startswith("_"):
        return "=" in name
    return not name.startswith(".") and not name.endswith("._COPYING_")


def is_partition_name(name: str) -> bool:
    """Whether a folder's name is `column=value`."""
    return "=" in name and not name.startswith("=")


def has_pattern(text: str) -> bool:
    """Whether a path holds any of Hadoop's pattern characters, unescaped."""
    return re.search(r"(?<!\\)[*?\[{]", text) is not None


def alternatives(pattern: str) -> list[str]:
    """The patterns that `{a,b}` stands for, nested ones too; each is without braces.

    Raises:
        ValueError: the braces stand for more than `MAX_ALTERNATIVES`.
    """
    done: list[str] = []
    todo = [pattern]
    while todo:
        current = todo.pop(0)
        match = re.search(r"(?<!\\)\{([^{}]*)\}", current)
        if match is None:
            done.append(current)
        else:
            todo.extend(
                current[: match.start()] + choice + current[match.end() :]
                for choice in match.group(1).split(",")
            )
        if len(todo) + len(done) > MAX_ALTERNATIVES:
            raise ValueError(f"the path's braces stand for more than {MAX_ALTERNATIVES} patterns")
    return list(dict.fromkeys(done))


def plain(text: str) -> str:
    """A path without its escapes."""
    return re.sub(r"\\(.)", r"\1", text)


def component(pattern: str) -> re.Pattern[str]:
    """One part of a path (no `/`) as a regular expression over whole names.

    `*` and `?` as usual, `[abc]`, `[a-c]`, `[^a]` and `[!a]`; a backslash takes the next
    character as it is.

    Raises:
        ValueError: a `[` that is not closed.
    """
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\" and at < len(pattern):
            out.append(re.escape(pattern[at]))
            at += 1
        elif char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "[":
            end = pattern.find("]", at + 1 if pattern[at : at + 1] not in "^!" else at + 2)
            if end < 0:
                raise ValueError(f"the pattern {pattern!r} has a [ that is not closed")
            inside = pattern[at:end]
            negated = inside[:1] in ("^", "!")
            chars = inside[negated:].replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
            out.append(f"[{'^' if negated else ''}{chars}]")
            at = end + 1
        else:
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)
