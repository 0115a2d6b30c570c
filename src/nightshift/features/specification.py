"""The feature specification: what each column of the feature query is to the model.

One YAML file (`include/feature_spec.yaml`) drives preprocessing, the predict server and the
model's vocabulary. This module reads and checks it; `nightshift.features.encoding` turns values into
ids by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nightshift.config.yamlfile import load_yaml_mapping, nearest
from nightshift.errors import ConfigurationError, ContractError

ENCODING_VERSION = 1
"""Raise it when the canonical text of any value changes: ids made before no longer fit."""

TYPES = ("bool", "int16", "int32", "int64", "float", "double", "string", "date", "timestamp")
"""SQL types that a column may have, as OpenMLDB's API server names them."""

NUMERIC_TYPES = ("int16", "int32", "int64", "float", "double")
"""Types that a numeric feature may have."""

MAX_DECIMALS = 15
"""A double holds no more decimal digits than these exactly."""

_ALIASES = {
    "boolean": "bool",
    "smallint": "int16",
    "int": "int32",
    "integer": "int32",
    "bigint": "int64",
    "varchar": "string",
}

_TOP_KEYS = (
    "version",
    "label",
    "time",
    "label_settle_days",
    "test_days",
    "valid_days",
    "lookback_days",
    "keys",
    "ignored",
    "categorical",
    "numeric",
)


def sql_type(name: str) -> str:
    """The canonical name of a SQL type: `Int32`, `INT` and `int32` are all `int32`.

    An unknown name is returned in lower case, so that a message can show it.
    """
    lowered = name.strip().lower()
    return _ALIASES.get(lowered, lowered)


@dataclass(frozen=True)
class Field:
    """One feature of the model: one column of ids.

    Attributes:
        name: the column's name in the feature query.
        type: its SQL type, one of `TYPES`.
        kind: `categorical` or `numeric`.
        decimals: a `float` or `double` is rounded to so many decimals before it becomes an
            id; None keeps the value whole.
    """

    name: str
    type: str
    kind: str
    decimals: int | None = None


@dataclass(frozen=True)
class FeatureSpec:
    """The checked content of a feature specification.

    Attributes:
        source: the file it was read from, named in messages.
        version: the format's version, 1.
        label: column of the label; NULL there means no outcome is known.
        time: timestamp column that decides a row's day.
        keys: columns that name a row and are never learned.
        ignored: columns that the model does not see, each with the reason.
        fields: the features, categorical before numeric, in the file's order.
        label_settle_days: rows younger than this at the run's date are left out.
        test_days: last judged days, held out for the test.
        valid_days: days before those, for validation.
        lookback_days: days of history that the query's windows need, by table.
    """

    source: str
    version: int
    label: str
    time: str
    keys: tuple[str, ...]
    ignored: Mapping[str, str]
    fields: tuple[Field, ...]
    label_settle_days: int
    test_days: int
    valid_days: int
    lookback_days: Mapping[str, int]

    @classmethod
    def load(cls, path: str | Path) -> FeatureSpec:
        """Read and check a specification.

        Raises:
            ConfigurationError: the file is absent or wrong; the message names file and key.
        """
        path = Path(path)
        return cls.parse(load_yaml_mapping(path), source=str(path))

    @classmethod
    def parse(cls, content: Mapping[str, Any], *, source: str) -> FeatureSpec:
        """Check a specification's content; `source` is named in messages.

        Raises:
            ConfigurationError: a key is missing, unknown or of the wrong type, or a column is
                given two roles.
        """
        reader = _Reader(source, content)
        version = reader.integer("version", minimum=1)
        if version != 1:
            raise ConfigurationError(
                f"{source}: version is {version}; this Nightshift reads version 1"
            )
        categorical = reader.mapping("categorical", default={})
        numeric = reader.mapping("numeric", default={})
        fields = tuple(
            [_categorical(source, name, value) for name, value in categorical.items()]
            + [_numeric(source, name, value) for name, value in numeric.items()]
        )
        if not fields:
            raise ConfigurationError(f"{source}: no feature under categorical or numeric")
        lookback = reader.mapping("lookback_days", default={})
        for table, days in lookback.items():
            if not isinstance(days, int) or isinstance(days, bool) or days < 0:
                raise ConfigurationError(
                    f"{source}: lookback_days.{table} is {days!r}; give whole days, 0 or more"
                )
        spec = cls(
            source=source,
            version=version,
            label=reader.text("label"),
            time=reader.text("time"),
            keys=tuple(reader.names("keys")),
            ignored={name: str(why) for name, why in reader.mapping("ignored", {}).items()},
            fields=fields,
            label_settle_days=reader.integer("label_settle_days", default=0),
            test_days=reader.integer("test_days", minimum=1),
            valid_days=reader.integer("valid_days", minimum=1),
            lookback_days=lookback,
        )
        spec._check_roles()
        return spec

    def _check_roles(self) -> None:
        roles: dict[str, str] = {}
        listed = [(self.label, "label")]
        listed += [(name, "keys") for name in self.keys]
        listed += [(name, "ignored") for name in self.ignored]
        listed += [(field.name, field.kind) for field in self.fields]
        for name, role in listed:
            if name in roles:
                raise ConfigurationError(
                    f"{self.source}: column {name} is given twice, under {roles[name]} and "
                    f"{role}; a column has one role"
                )
            roles[name] = role
        if roles.get(self.time, "keys") not in ("keys", "ignored"):
            raise ConfigurationError(
                f"{self.source}: time column {self.time} is also under {roles[self.time]}; the "
                "time orders the rows and is not learned"
            )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of the id columns."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def expected_types(self) -> dict[str, str | None]:
        """Every column that the query must give: its SQL type, or None where any will do."""
        types: dict[str, str | None] = dict.fromkeys((*self.keys, *self.ignored, self.label))
        types[self.time] = "timestamp"
        types.update({field.name: field.type for field in self.fields})
        return types

    @cached_property
    def schema_hash(self) -> str:
        """Hex SHA-256 over what ids depend on: encoding version, fields, order, rounding."""
        content = {
            "encoding": ENCODING_VERSION,
            "fields": [[field.name, field.type, field.decimals] for field in self.fields],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def check_columns(self, names_and_types: Iterable[tuple[str, str]]) -> None:
        """Check that a feature query gives exactly the columns specified.

        Args:
            names_and_types: (column, SQL type) pairs; types in any of SQL's spellings.

        Raises:
            ContractError: a column is missing, unknown, given twice or of another type.
        """
        given: dict[str, str] = {}
        for name, type_name in names_and_types:
            if name in given:
                raise ContractError(f"the feature query gives column {name} twice")
            given[name] = sql_type(type_name)
        for name, expected in self.expected_types.items():
            if name not in given:
                hint = nearest(name, given.keys() - self.expected_types.keys())
                raise ContractError(
                    f"column {name} of {self.source} is not among the feature query's{hint}"
                )
            if expected is not None and given[name] != expected:
                raise ContractError(
                    f"column {name} is {given[name]} in the feature query and {expected} in "
                    f"{self.source}; make them one"
                )
        for name in given:
            if name not in self.expected_types:
                raise ContractError(
                    f"column {name} of the feature query is not in {self.source}; name it a "
                    "feature, a key or ignored"
                    + nearest(name, self.expected_types.keys() - given.keys())
                )


class _Reader:
    """Typed access to the top level of a specification."""

    def __init__(self, source: str, content: Mapping[str, Any]) -> None:
        self.source = source
        self.content = content
        for key in content:
            if key not in _TOP_KEYS:
                raise ConfigurationError(f"{source}: unknown key {key!r}{nearest(key, _TOP_KEYS)}")

    def _get(self, key: str, default: Any) -> Any:
        value = self.content.get(key)
        if value is None:
            if default is None:
                raise ConfigurationError(f"{self.source}: the key {key!r} is missing")
            return default
        return value

    def text(self, key: str) -> str:
        value = self._get(key, None)
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{self.source}: {key} is {value!r}; give a column's name")
        return value

    def integer(self, key: str, *, default: int | None = None, minimum: int = 0) -> int:
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise ConfigurationError(
                f"{self.source}: {key} is {value!r}; give a whole number, {minimum} or more"
            )
        return value

    def mapping(self, key: str, default: dict[str, Any]) -> dict[str, Any]:
        value = self._get(key, default)
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise ConfigurationError(f"{self.source}: {key} must be a mapping by column name")
        return value

    def names(self, key: str) -> list[str]:
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise ConfigurationError(f"{self.source}: {key} must be a list of column names")
        return value


def _categorical(source: str, name: str, value: Any) -> Field:
    if isinstance(value, dict):
        return _field(source, name, value, "categorical", TYPES)
    return _field(source, name, {"type": value}, "categorical", TYPES)


def _numeric(source: str, name: str, value: Any) -> Field:
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"{source}: numeric.{name} is {value!r}; write {{type: double, decimals: 2}}"
        )
    field = _field(source, name, value, "numeric", NUMERIC_TYPES)
    if field.type in ("float", "double") and field.decimals is None:
        raise ConfigurationError(
            f"{source}: numeric.{name} is of type {field.type} and needs decimals: without "
            "rounding nearly every value is an id of its own"
        )
    return field


def _field(
    source: str, name: str, value: dict[str, Any], kind: str, types: tuple[str, ...]
) -> Field:
    for key in value:
        if key not in ("type", "decimals"):
            raise ConfigurationError(
                f"{source}: {kind}.{name} has the unknown key {key!r}"
                f"{nearest(str(key), ('type', 'decimals'))}"
            )
    type_name = value.get("type")
    if not isinstance(type_name, str) or sql_type(type_name) not in types:
        raise ConfigurationError(
            f"{source}: {kind}.{name} has type {type_name!r}; it must be one of {', '.join(types)}"
        )
    decimals = value.get("decimals")
    if decimals is not None and (
        not isinstance(decimals, int)
        or isinstance(decimals, bool)
        or not 0 <= decimals <= MAX_DECIMALS
    ):
        raise ConfigurationError(
            f"{source}: {kind}.{name} has decimals {decimals!r}; give 0 to {MAX_DECIMALS}"
        )
    if sql_type(type_name) not in ("float", "double"):
        if decimals:
            raise ConfigurationError(
                f"{source}: {kind}.{name} is of type {type_name} and cannot have {decimals} "
                "decimals"
            )
        decimals = None
    return Field(name=name, type=sql_type(type_name), kind=kind, decimals=decimals)
