"""Read a YAML file into a pydantic model; a problem names file, key, value and fix."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from nightshift.config.yamlfile import load_yaml_mapping, nearest
from nightshift.errors import ConfigurationError

_SHOWN = 80
"""Characters of a wrong value that a message shows."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a configuration file.

    Attributes:
        file: the file.
        key: the place in it, parts joined by dots; empty for the file as a whole.
        message: what is wrong.
        fix: what to do about it; may be empty.
        level: `error` where a night would fail or go wrong, else `warning`.
    """

    file: str
    key: str
    message: str
    fix: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}: {self.key}: " if self.key else f"{self.file}: "
        return place + self.message + (f"; {self.fix}" if self.fix else "")

    def to_json(self) -> dict[str, str]:
        """Its parts as a JSON object."""
        return asdict(self)


class Strict(BaseModel):
    """Base of the configuration models: unknown keys are errors, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Misfit:
    """A key that does not fit the others: what a validator of the whole file found."""

    key: str
    message: str
    fix: str


def refusal(model: type[BaseModel], misfits: Sequence[Misfit]) -> ValidationError:
    """What a validator of the whole file raises, so that each problem names its own key."""
    return ValidationError.from_exception_data(
        model.__name__,
        [
            InitErrorDetails(
                type=PydanticCustomError(
                    "value_error", "{said}; {fix}", asdict(one) | {"said": one.message}
                ),
                loc=(one.key,),
                input=None,
            )
            for one in misfits
        ],
    )


def read(model: type[Model], path: Path) -> Model:
    """Read and check a file.

    Raises:
        ConfigurationError: with every problem of the file, one a line.
    """
    found, problems = inspect(model, path)
    if found is None:
        raise ConfigurationError("\n".join(map(str, problems)))
    return found


def inspect(model: type[Model], path: Path) -> tuple[Model | None, list[Problem]]:
    """The checked content of a file, or all its problems."""
    try:
        content = load_yaml_mapping(path)
    except ConfigurationError as error:
        text = str(error)
        return None, [Problem(str(path), "", text.removeprefix(str(path)).lstrip(": "))]
    return parse(model, content, source=str(path))


def parse(
    model: type[Model], content: Mapping[str, Any], *, source: str
) -> tuple[Model | None, list[Problem]]:
    """The checked content of a mapping, or all its problems; `source` names it in messages."""
    try:
        return model.model_validate(content), []
    except ValidationError as error:
        return None, [_problem(model, item, source) for item in error.errors(include_url=False)]


def _problem(model: type[BaseModel], item: Any, source: str) -> Problem:
    place = tuple(item["loc"])
    key = ".".join(str(part) for part in place)
    kind = item["type"]
    if kind == "extra_forbidden":
        known = _keys_at(model, place[:-1])
        hint = nearest(str(place[-1]), known).removeprefix("; ")
        fix = hint or (f"known keys: {', '.join(sorted(known))}" if known else "remove it")
        return Problem(source, key, "unknown key", fix)
    if kind == "invalid_key":
        return Problem(
            source, key, f"the key {place[-1]} is not text",
            "write it in quotes; a comma within a number splits it, so write 5000 for 5,000",
        )  # fmt: skip
    if kind == "missing":
        return Problem(source, key, "the key is missing", "add it")
    shown = repr(item.get("input"))
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "..."
    message = str(item["msg"]).removeprefix("Value error, ")
    if kind == "value_error":
        said, _, fix = message.rpartition("; ")
        return Problem(source, key, said or fix, fix if said else "")
    return Problem(source, key, f"is {shown}", _fix(kind, item, message))


_FIXES = {
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "bool_type": "give true or false",
    "string_type": "give text",
    "tuple_type": "give a list, such as [a, b]",
    "list_type": "give a list, such as [a, b]",
    "dict_type": "give keys and their values, one a line below it",
    "model_type": "give keys and their values, one a line below it",
    "greater_than": "give more than {gt:g}",
    "greater_than_equal": "give {ge:g} or more",
    "less_than": "give less than {lt:g}",
    "less_than_equal": "give {le:g} or less",
}
"""What to do about a value, by pydantic's name of what is wrong with it."""


def _fix(kind: str, item: Any, message: str) -> str:
    value, context = item.get("input"), item.get("ctx") or {}
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return "YAML does not read it as text; write it in quotes"
    if kind == "literal_error" and isinstance(value, str):
        hint = nearest(value, re.findall(r"'([^']*)'", str(context.get("expected"))))
        return f"give {context['expected']}{hint}"
    if kind in _FIXES:
        return _FIXES[kind].format(**context)
    return message.replace("Input should be", "give", 1)


def _keys_at(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """Keys that the model knows at a place of the file."""
    here: Any = model
    for part in place:
        models = _models(here)
        if not models:
            return []
        field = models[0].model_fields.get(str(part))
        here = field.annotation if field is not None else None
        if here is None:
            return []
    models = _models(here)
    return [field.alias or name for name, field in models[0].model_fields.items()] if models else []


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for arg in get_args(annotation) for found in _models(arg)]
    return []
