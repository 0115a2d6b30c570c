"""The feature specification: what each column of the feature query is to the model.

One YAML file (`include/feature_spec.yaml`) drives preprocessing, the predict server and the
model's vocabulary. This module reads and checks it; `nightshift.features.encoding` turns values into
ids by it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from nightshift.config.yamlfile import Problems, load_yaml_mapping, nearest
from nightshift.errors import ConfigurationError, ContractError

ENCODING_VERSION = 1
"""Raise it when the canonical text of any value changes: ids made before no longer fit."""

TYPES = ("bool", "int16", "int32", "int64", "float", "double", "string", "date", "timestamp")
"""SQL types that a column may have, as OpenMLDB's API server names them."""

NUMERIC_TYPES = ("int16", "int32", "int64", "float", "double")
"""Types that a numeric feature may have."""

MAX_DECIMALS = 15
"""A double holds no more decimal digits than these exactly."""

TRANSFORMS = ("auto", "standard", "minmax", "log1p", "signed_log1p", "quantile", "none", "hash")
"""What becomes of a numeric value; `nightshift.features.numbers` has the formulas."""

MISSING = ("indicator", "zero", "mean", "median")
"""What stands for a missing number, unless the specification gives a number."""

POOLINGS = ("mean", "sum")
"""How the embeddings of a multi-valued field's tokens become one."""

MAX_DAYS = 3660
MAX_BINS = 1024
MAX_TOKENS = 1000

ALIASES = {
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
    return ALIASES.get(lowered, lowered)


@dataclass(frozen=True)
class Number:
    """How a numeric field is fed as a number.

    Attributes:
        transform: one of `TRANSFORMS` other than `hash`; `auto` chooses by the training values.
        bins: quantile bins that stand beside the number, each an embedding; 0 for none, `auto`
            lets training choose.
        missing: one of `MISSING`, or the raw value that a missing number counts as.
        clip: raw values are held within these bounds, None leaves a side open.
    """

    transform: str = "auto"
    bins: int | str = "auto"
    missing: str | float = "indicator"
    clip: tuple[float | None, float | None] = (None, None)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "clip": list(self.clip)}


@dataclass(frozen=True)
class Tokens:
    """How a text that holds several values is split.

    Attributes:
        separator: what is between two tokens; blanks around a token are not part of it.
        most: the first so many tokens count.
        pool: one of `POOLINGS`.
        sequence: the order of the tokens means something; models that use it may.
        shares: a categorical field whose values the tokens are; they then share its embeddings.
    """

    separator: str
    most: int
    pool: str = "mean"
    sequence: bool = False
    shares: str | None = None


@dataclass(frozen=True)
class Field:
    """One feature of the model.

    Attributes:
        name: the column's name in the feature query.
        type: its SQL type, one of `TYPES`.
        kind: `categorical` or `numeric`.
        decimals: a `float` or `double` is rounded to so many decimals before anything else;
            None keeps the value whole.
        number: for a number that stays one; None where the value becomes an id.
        tokens: for a text of several values; None where it holds one.
    """

    name: str
    type: str
    kind: str
    decimals: int | None = None
    number: Number | None = None
    tokens: Tokens | None = None

    @property
    def width(self) -> int:
        """Columns of the encoded row that the field takes: one, or one a token."""
        return self.tokens.most if self.tokens else 1

    def to_json(self) -> dict[str, Any]:
        """Plain values, as a model folder keeps them."""
        value = asdict(self)
        if self.number:
            value["number"] = self.number.to_json()
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Field:
        """Read what `to_json` gave."""
        number, tokens = value["number"], value["tokens"]
        if number is not None:
            number = Number(**{**number, "clip": tuple(number["clip"])})
        return cls(
            value["name"],
            value["type"],
            value["kind"],
            value["decimals"],
            number,
            None if tokens is None else Tokens(**tokens),
        )


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
        fields: the features, categorical before numeric, in the file's order. Each takes
            `width` columns of an encoded row.
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
        version = reader.tried(lambda: reader.integer("version", minimum=1), 1)
        if version != 1:
            reader.problems.append(
                f"{source}: version is {version}; this Nightshift reads version 1"
            )
        empty: dict[str, Any] = {}
        fields: list[Field] = []
        for kind, read in (("categorical", _categorical), ("numeric", _numeric)):
            columns = reader.tried(partial(reader.mapping, kind, default={}), empty)
            for name, value in columns.items():
                made: Field | None = reader.tried(partial(read, source, name, value), None)
                if made is not None:
                    fields.append(made)
        if not fields and not reader.problems:
            reader.problems.append(f"{source}: no feature under categorical or numeric")
        lookback = reader.tried(lambda: reader.mapping("lookback_days", default={}), empty)
        for table, days in lookback.items():
            if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= MAX_DAYS:
                reader.problems.append(
                    f"{source}: lookback_days.{table} is {days!r}; give whole days, 0 to {MAX_DAYS}"
                )
        ignored = reader.tried(lambda: reader.mapping("ignored", {}), empty)
        spec = cls(
            source=source,
            version=version,
            label=reader.tried(lambda: reader.text("label"), ""),
            time=reader.tried(lambda: reader.text("time"), ""),
            keys=tuple(reader.tried(lambda: reader.names("keys"), [])),
            ignored={name: str(why) for name, why in ignored.items()},
            fields=tuple(fields),
            label_settle_days=reader.tried(
                lambda: reader.integer("label_settle_days", default=0), 0
            ),
            test_days=reader.tried(lambda: reader.integer("test_days", minimum=1), 1),
            valid_days=reader.tried(lambda: reader.integer("valid_days", minimum=1), 1),
            lookback_days=lookback,
        )
        reader.problems += [*spec._roles_given_twice(), *spec._shared_wrongly()]
        reader.end()
        return spec

    def _roles_given_twice(self) -> Iterator[str]:
        roles: dict[str, str] = {}
        listed = [(self.label, "label")]
        listed += [(name, "keys") for name in self.keys]
        listed += [(name, "ignored") for name in self.ignored]
        listed += [(field.name, field.kind) for field in self.fields]
        for name, role in listed:
            if name and name in roles:
                yield (
                    f"{self.source}: column {name} is given twice, under {roles[name]} and "
                    f"{role}; a column has one role"
                )
            roles.setdefault(name, role)
        if self.time and roles.get(self.time, "keys") not in ("keys", "ignored"):
            yield (
                f"{self.source}: time column {self.time} is also under {roles[self.time]}; the "
                "time orders the rows and is not learned"
            )

    def _shared_wrongly(self) -> Iterator[str]:
        single = {f.name for f in self.fields if f.kind == "categorical" and f.tokens is None}
        for field in self.fields:
            other = field.tokens.shares if field.tokens else None
            if other is not None and other not in single:
                yield (
                    f"{self.source}: categorical.{field.name} shares {other!r}, which is not a "
                    f"categorical field with one value{nearest(other, single)}"
                )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of the encoded row."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def expected_types(self) -> dict[str, str | None]:
        """Every column that the query must give: its SQL type, or None where any will do."""
        types: dict[str, str | None] = dict.fromkeys((*self.keys, *self.ignored, self.label))
        types[self.time] = "timestamp"
        types.update({field.name: field.type for field in self.fields})
        return types

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the encoded row's columns: a field's own, or `name#0`, `name#1` a token."""
        return tuple(
            name
            for field in self.fields
            for name in (
                [f"{field.name}#{at}" for at in range(field.width)]
                if field.tokens
                else [field.name]
            )
        )

    @property
    def width(self) -> int:
        """Number of columns of an encoded row."""
        return len(self.columns)

    def field_of_column(self, position: int) -> Field:
        """The field that a column of an encoded row belongs to."""
        for field in self.fields:
            if position < field.width:
                return field
            position -= field.width
        raise IndexError(position)

    @cached_property
    def schema_hash(self) -> str:
        """Hex SHA-256 over all that a model's input depends on.

        Encoding version; for each field, in order: name, type, kind, rounding, and every
        parameter of its encoding.
        """
        content = {
            "encoding": ENCODING_VERSION,
            "fields": [field.to_json() for field in self.fields],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def accepts(self, schema_hash: str) -> bool:
        """Whether what carries this schema hash was encoded as this specification says.

        Hashes made before numbers could stay numbers left out the kind. They are still taken
        where every field becomes an id, so that releases of that time can be rolled back to.
        """
        return schema_hash in (self.schema_hash, self._early_schema_hash)

    @cached_property
    def _early_schema_hash(self) -> str | None:
        if any(field.number or field.tokens for field in self.fields):
            return None
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


class _Reader(Problems):
    """Typed access to the top level of a specification."""

    def __init__(self, source: str, content: Mapping[str, Any]) -> None:
        super().__init__()
        self.source = source
        self.content = content
        self.problems += [
            f"{source}: unknown key {key!r}{nearest(key, _TOP_KEYS)}"
            for key in content
            if key not in _TOP_KEYS
        ]

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
    content = value if isinstance(value, dict) else {"type": value}
    place = f"{source}: categorical.{name}"
    known = ("type", "decimals", "split", "most", "pool", "sequence", "shares")
    type_name, decimals, told = _form(place, content, known, TYPES)
    tokens = told.tried(lambda: _tokens(place, content, type_name), None)
    told.end()
    return Field(name, type_name, "categorical", decimals, tokens=tokens)


def _form(
    place: str, content: dict[str, Any], known: tuple[str, ...], types: tuple[str, ...]
) -> tuple[str, int | None, Problems]:
    """Type and decimals of a column, and what is wrong with them and with its keys."""
    told = Problems()
    for key in content:
        if key not in known:
            told.problems.append(f"{place} has the unknown key {key!r}{nearest(str(key), known)}")
    type_name = told.tried(lambda: _type_of(place, content, types), "")
    decimals = told.tried(lambda: _decimals_of(place, content, type_name), None)
    return type_name, decimals, told


def _tokens(place: str, content: dict[str, Any], type_name: str) -> Tokens | None:
    separator = content.get("split")
    if separator is None:
        for key in ("most", "pool", "sequence", "shares"):
            if key in content:
                raise ConfigurationError(
                    f"{place} has {key} and no split; write {{type: string, split: ',', "
                    f"most: 3, ...}} for a text that holds several values"
                )
        return None
    if type_name not in ("string", ""):
        raise ConfigurationError(f"{place} is of type {type_name}; only a string can be split")
    if not isinstance(separator, str) or not separator:
        raise ConfigurationError(f"{place} has split {separator!r}; give the text between tokens")
    most = content.get("most", 10)
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MAX_TOKENS:
        raise ConfigurationError(
            f"{place} has most {most!r}; give how many tokens count, 1 to {MAX_TOKENS}"
        )
    pool = content.get("pool", "mean")
    if pool not in POOLINGS:
        raise ConfigurationError(f"{place} has pool {pool!r}; it must be {' or '.join(POOLINGS)}")
    sequence = content.get("sequence", False)
    if not isinstance(sequence, bool):
        raise ConfigurationError(f"{place} has sequence {sequence!r}; it must be true or false")
    shares = content.get("shares")
    if shares is not None and not isinstance(shares, str):
        raise ConfigurationError(f"{place} has shares {shares!r}; give a categorical field's name")
    return Tokens(separator, most, pool, sequence, shares)


def _numeric(source: str, name: str, value: Any) -> Field:
    content = value if isinstance(value, dict) else {"type": value}
    place = f"{source}: numeric.{name}"
    known = ("type", "decimals", "transform", "bins", "missing", "clip")
    type_name, decimals, told = _form(place, content, known, NUMERIC_TYPES)
    # A column that gives nothing but decimals is of the form that was there first.
    early = "decimals" in content and not content.keys() & {"transform", "bins", "missing", "clip"}
    transform = content.get("transform", "hash" if early else "auto")
    if transform == "hash":
        for key in ("bins", "missing", "clip"):
            if key in content:
                told.problems.append(f"{place} is hashed and cannot have {key}; remove it")
        if type_name in ("float", "double") and decimals is None:
            told.problems.append(
                f"{place} is of type {type_name}, is hashed, and needs decimals: without "
                "rounding nearly every value is an id of its own"
            )
        told.end()
        return Field(name, type_name, "numeric", decimals)
    if transform not in TRANSFORMS:
        told.problems.append(
            f"{place} has transform {transform!r}; it must be one of {', '.join(TRANSFORMS)}"
            f"{nearest(str(transform), TRANSFORMS)}"
        )
    number = told.tried(lambda: _number(place, content, str(transform)), Number())
    told.end()
    return Field(name, type_name, "numeric", decimals, number=number)


def _number(place: str, content: dict[str, Any], transform: str) -> Number:
    bins = content.get("bins", "auto")
    if bins != "auto" and (
        not isinstance(bins, int)
        or isinstance(bins, bool)
        or bins == 1
        or not 0 <= bins <= MAX_BINS
    ):
        raise ConfigurationError(
            f"{place} has bins {bins!r}; give auto, 0 for none, or 2 to {MAX_BINS}"
        )
    missing = content.get("missing", "indicator")
    if not _is_number(missing) and missing not in MISSING:
        raise ConfigurationError(
            f"{place} has missing {missing!r}; it must be a number or one of {', '.join(MISSING)}"
        )
    clip = content.get("clip", [None, None])
    if (
        not isinstance(clip, list)
        or len(clip) != 2
        or not all(bound is None or _is_number(bound) for bound in clip)
        or (None not in clip and clip[0] >= clip[1])
    ):
        raise ConfigurationError(
            f"{place} has clip {clip!r}; give [lowest, highest], null where a side is open"
        )
    low, high = (None if bound is None else float(bound) for bound in clip)
    return Number(
        transform=transform,
        bins=bins,
        missing=float(missing) if _is_number(missing) else missing,
        clip=(low, high),
    )


def _is_number(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every double
        return False


def _type_of(place: str, content: dict[str, Any], types: tuple[str, ...]) -> str:
    given = content.get("type")
    if not isinstance(given, str) or sql_type(given) not in types:
        raise ConfigurationError(
            f"{place} has type {given!r}; it must be one of {', '.join(types)}"
        )
    return sql_type(given)


def _decimals_of(place: str, content: dict[str, Any], type_name: str) -> int | None:
    decimals = content.get("decimals")
    if decimals is not None and (
        not isinstance(decimals, int)
        or isinstance(decimals, bool)
        or not 0 <= decimals <= MAX_DECIMALS
    ):
        raise ConfigurationError(f"{place} has decimals {decimals!r}; give 0 to {MAX_DECIMALS}")
    if type_name not in ("float", "double"):
        if decimals and type_name:
            raise ConfigurationError(
                f"{place} is of type {type_name} and cannot have {decimals} decimals"
            )
        return None
    return decimals
