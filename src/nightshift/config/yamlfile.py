"""YAML files as plain mappings: safe, bounded, and a key given twice is an error."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from nightshift.errors import ConfigurationError, ContractError
from nightshift.files import read_plain

_Value = TypeVar("_Value")

MAX_BYTES = 1024 * 1024
"""Larger files are refused: no configuration of ours needs a tenth of it."""

MAX_NODES = 100_000
"""Values in a file once its aliases are expanded; more is an alias bomb."""


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe subset, in which a key given twice is an error rather than overwritten."""


class _QuickLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same with libyaml's parser, where PyYAML has it: ten times as fast."""


_MAX_QUICK = 2000
_NESTING = re.compile(r"[\[{]|[-?][ \t]")
"""What can open a level without a deeper indentation. libyaml's binding recurses in C, and a
text of 100,000 levels would crash the process: the slower loader raises RecursionError."""


def _unique_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        try:
            given = key in mapping
        except TypeError:
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be text", key_node.start_mark
            ) from None
        if given:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is given twice", key_node.start_mark
            )
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


for _loader in (UniqueKeyLoader, _QuickLoader):
    _loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def load_yaml_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        ConfigurationError: the file is absent, too large, not YAML, not a mapping with text
            keys, gives a key twice, or expands to too many values.
    """
    try:
        raw = read_plain(path, max_bytes=MAX_BYTES, links=True)
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is not there") from None
    except ContractError as error:
        raise ConfigurationError(str(error)) from None
    try:
        text = raw.decode("utf-8-sig")  # editors on Windows put a mark before the text
        content = _parse(text, path)
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not YAML: {_said(error)}") from error
    except ValueError as error:
        # Python's own words on a number of thousands of digits end with a hint for programmers.
        why = str(error).partition(";")[0]
        raise ConfigurationError(f"{path} holds a value that cannot be read: {why}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigurationError(
            f"{path} must hold a mapping with text keys; it holds {_form_of(content)}"
        )
    return content


def _form_of(content: Any) -> str:
    if content is None:
        return "nothing"
    if isinstance(content, dict):
        other = next(key for key in content if not isinstance(key, str))
        return f"the key {other!r}, which YAML does not read as text: write it in quotes"
    return "a list" if isinstance(content, list) else "one value"


def _parse(text: str, path: Path) -> Any:
    """The document's value; errors are those of PyYAML's own parser, whichever parses."""
    if len(text) < 64 * 1024 and len(_NESTING.findall(text)) <= _MAX_QUICK:
        with contextlib.suppress(yaml.YAMLError):
            return _construct(_QuickLoader(text), path)
    return _construct(UniqueKeyLoader(text), path)


def _construct(loader: Any, path: Path) -> Any:
    """Parse once; a subclass of SafeLoader constructs nothing but plain values."""
    try:
        root = loader.get_single_node()
        _bounded(root, path)
        return None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _said(error: Exception) -> str:
    """What YAML refuses, and where, in one line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or not problem:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _bounded(root: yaml.Node | None, path: Path) -> None:
    """Refuse aliases that expand to more than `MAX_NODES` values, or to themselves."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in open_nodes:
            raise ConfigurationError(f"{path}: an alias refers to itself")
        open_nodes.add(id(node))
        total = 1 + sum(size(child) for child in _children(node))
        open_nodes.discard(id(node))
        if total > MAX_NODES:
            raise ConfigurationError(
                f"{path} expands to more than {MAX_NODES} values; write fewer aliases"
            )
        sizes[id(node)] = total
        return total

    if root is not None:
        size(root)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint `; did you mean 'x'?`, or nothing when no known name is near."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


class Problems:
    """Keeps what is wrong with a file, so that all of it is told at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def tried(self, read: Callable[[], _Value], default: _Value) -> _Value:
        """What `read` gives; its error is kept."""
        try:
            return read()
        except ConfigurationError as error:
            self.problems.append(str(error))
            return default

    def end(self) -> None:
        """Raise what was kept.

        Raises:
            ConfigurationError: a reading failed; one line a problem.
        """
        if self.problems:
            raise ConfigurationError("\n".join(self.problems))
