"""The file of a tensor pipeline, read without running it.

Importing it would need OneFlow and take seconds. What is written plainly is judged: names, the
tensors' declarations, the parameters of its functions; what is computed otherwise is left alone.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nightshift.config.reading import Problem
from nightshift.config.yamlfile import nearest
from nightshift.contract.signature import ANY, DTYPES

NEEDED = ("INPUTS", "OUTPUTS", "build", "examples")
PARAMETERS = {
    "build": ("options",),
    "examples": ("seed",),
    "train": ("module", "context"),
}
KEYS = ("name", "dtype", "dims", "minimum", "maximum", "tolerance")
READ_OUTSIDE = frozenset({"seed"})
"""Options that training itself reads."""

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}


class _Unknown(Exception):
    """A value that is not written plainly."""


def module_problems(path: Path, options: Mapping[str, Any], options_file: Path) -> list[Problem]:
    """What is wrong with a pipeline's module, as far as its text says.

    Args:
        path: the file; it is there.
        options: the content of the hyper-parameters' file.
        options_file: that file, for messages.
    """
    file = str(path)
    try:
        tree = ast.parse(path.read_bytes(), filename=file)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        said = getattr(error, "msg", None) or str(error) or type(error).__name__
        return [
            Problem(file, f"line {line}" if line else "", f"is not Python: {said}", "correct it")
        ]
    defined = dict(_defined(tree))
    found = [
        Problem(
            file,
            name,
            "is not defined",
            nearest(name, defined).removeprefix("; ") or "see tasks/tensor/module.py for its form",
        )
        for name in NEEDED
        if name not in defined
    ]
    found += _functions(file, defined)
    values = _values(tree)
    names: list[str] = []
    for side in ("INPUTS", "OUTPUTS"):
        if side in values:
            found += _tensors(file, side, values[side], names)
    size = values.get("MAX_BATCH_SIZE", 0)
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        found.append(
            Problem(file, "MAX_BATCH_SIZE", f"is {size!r}", "give 0, or the rows of one request")
        )
    return [*found, *_options(tree, options, options_file)]


def batch_of(path: Path) -> int | None:
    """Rows of one request that a module declares, 0 without a batch; None where it is computed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    defined = dict(_defined(tree))
    if not {"MAX_BATCH_SIZE", "*"} & defined.keys():
        return 0
    size = _values(tree).get("MAX_BATCH_SIZE")
    return size if isinstance(size, int) else None


def _defined(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Names that the file gives, also inside `if` and `try`, with the statement that does it."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop(0)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], node
                if alias.name == "*":
                    yield from ((name, node) for name in NEEDED)
        else:
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id, node
            for name in ("body", "orelse", "handlers", "finalbody"):
                for inner in getattr(node, name, ()):
                    todo += inner.body if isinstance(inner, ast.ExceptHandler) else [inner]


def _functions(file: str, defined: Mapping[str, ast.stmt]) -> Iterator[Problem]:
    for name, wanted in PARAMETERS.items():
        node = defined.get(name)
        if not isinstance(node, ast.FunctionDef):
            continue
        given = [*node.args.posonlyargs, *node.args.args]
        needed = len(given) - len(node.args.defaults)
        required = [
            argument.arg
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            if default is None
        ]
        fits = needed <= len(wanted) and (len(given) >= len(wanted) or node.args.vararg)
        if not fits or required:
            yield Problem(
                file,
                name,
                f"takes ({', '.join([*(a.arg for a in given), *required])})",
                f"write def {name}({', '.join(wanted)})",
            )


def _values(tree: ast.Module) -> dict[str, Any]:
    """Values of the module's plain assignments, one after another."""
    values: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name):
            try:
                values[target.id] = _value(value, values)
            except _Unknown:
                values.pop(target.id, None)
    return values


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item, known) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_value(key, known) for key in node.keys if key is not None]
        if all(isinstance(key, (str, int)) for key in keys):
            return dict(zip(keys, (_value(item, known) for item in node.values), strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, known)
        if isinstance(value, (int, float)):
            return -value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        sides = _value(node.left, known), _value(node.right, known)
        if all(isinstance(side, (int, float)) and abs(side) < 2**63 for side in sides):
            try:
                return _OPERATORS[type(node.op)](*sides)
            except ArithmeticError:
                raise _Unknown from None
    raise _Unknown


def _tensors(file: str, side: str, value: Any, names: list[str]) -> Iterator[Problem]:
    if not isinstance(value, list) or not value or not all(isinstance(i, dict) for i in value):
        yield Problem(
            file,
            side,
            "is not a list of tensors",
            'write [{"name": "INPUT_0", "dtype": "FP32", "dims": [3]}]',
        )
        return
    for at, item in enumerate(value):
        where = f"{side}[{at}]"
        for key in item:
            if key not in KEYS:
                fix = nearest(str(key), KEYS).removeprefix("; ") or f"known: {', '.join(KEYS)}"
                yield Problem(file, f"{where}.{key}", "unknown key", fix)
        for key in KEYS[:3]:
            if key not in item:
                yield Problem(file, f"{where}.{key}", "the key is missing", "add it")
        yield from _tensor(file, where, item, names)


def _tensor(file: str, where: str, item: Mapping[str, Any], names: list[str]) -> Iterator[Problem]:
    name, dtype, dims = (item.get(key) for key in KEYS[:3])
    if name is not None and (not isinstance(name, str) or not name):
        yield Problem(file, f"{where}.name", f"is {name!r}", "give text")
    elif name in names:
        yield Problem(
            file, f"{where}.name", f"{name!r} is given twice", "a tensor has its own name"
        )
    elif name is not None:
        names.append(name)
    if dtype is not None and dtype not in DTYPES:
        same = [known for known, numpy in DTYPES.items() if numpy == str(dtype).lower()]
        fix = f"write {same[0]!r}" if same else f"give one of {', '.join(DTYPES)}"
        fix += "" if same else nearest(str(dtype), DTYPES)
        yield Problem(file, f"{where}.dtype", f"is {dtype!r}", fix)
    if dims is not None and not (isinstance(dims, list) and all(map(_is_size, dims))):
        yield Problem(
            file,
            f"{where}.dims",
            f"is {dims!r}",
            "give a list of sizes without the batch, such as [3, 256, 256]; -1: any size",
        )
    bounds = {key: item[key] for key in KEYS[3:] if item.get(key) is not None}
    for key, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or bound != bound:
            yield Problem(file, f"{where}.{key}", f"is {bound!r}", "give a number")
            return
    if bounds.get("tolerance", 0) < 0:
        yield Problem(
            file, f"{where}.tolerance", f"is {bounds['tolerance']}", "give a number, 0 or more"
        )
    if "minimum" in bounds and "maximum" in bounds and bounds["minimum"] > bounds["maximum"]:
        yield Problem(
            file,
            f"{where}.minimum",
            f"is {bounds['minimum']}, above the maximum {bounds['maximum']}",
            "exchange them",
        )


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and (size > 0 or size == ANY)


def _options(tree: ast.Module, options: Mapping[str, Any], file: Path) -> Iterator[Problem]:
    """Options that the module's text never names; a module may read them in a loop, too."""
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for key in options:
        if key not in texts | names | READ_OUTSIDE:
            hint = nearest(key, {text for text in texts if text.isidentifier()})
            yield Problem(
                str(file),
                key,
                "the module does not name this option",
                hint.removeprefix("; ") or "remove it, or read it in the module",
                "warning",
            )
