"""JSON schemas of `tables.yaml` and `feature_spec.yaml`, for editors.

The readers, `SourceTables` and `FeatureSpec`, decide; they run where pydantic is not installed. A
schema is built of their constants and refuses no file that they take. What needs two places of a
file compared (a table named that is not declared, a column given two roles) is the readers' alone.
"""

from __future__ import annotations

from typing import Any

from nightshift.features.specification import (
    ALIASES,
    MAX_BINS,
    MAX_DECIMALS,
    MAX_TOKENS,
    MISSING,
    NUMERIC_TYPES,
    POOLINGS,
    TRANSFORMS,
    TYPES,
)
from nightshift.features.tables import NAME, UNITS_MS

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DAYS = {"type": "integer", "minimum": 0}


def _object(
    properties: dict[str, Any], required: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    made = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": list(required)} if required else {}) | more


def tables_schema() -> dict[str, Any]:
    """Schema of `tables.yaml`."""
    name = {"type": "string", "pattern": f"^{NAME.pattern}$"}
    count = {"type": "integer", "minimum": 1}
    label = _object(
        {
            "table": name | {"description": "The table that gives the label and nothing else."},
            "from": _optional(
                name
                | {
                    "description": "The folder or file that `data load` takes it out of, where it has "
                    "none of its own."
                }
            ),
            "absent": {
                "enum": [0, 1, None],
                "description": "What a request without a row counts as once the label settled.",
            },
            "settles": _optional(_object({"days": _DAYS}, ("days",))),
            "arrival": _optional(name | {"description": "Its column that says when a label came."}),
            "delay": _optional(
                _object(
                    dict.fromkeys(UNITS_MS, count),
                    minProperties=1,
                    maxProperties=1,
                    description="How long after its own time a label row is known.",
                )
            ),
        },
        ("table",),
    )
    return {
        "$schema": _DRAFT,
        "title": "tables.yaml",
        **_object(
            {
                "version": {"const": 1},
                "events": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": name,
                    "additionalProperties": name,
                    "description": "Tables laid out as <table>/ds=YYYY-MM-DD/*.parquet, each with "
                    "the column that says which day a row belongs to.",
                },
                "snapshots": {
                    "type": "array",
                    "items": name,
                    "uniqueItems": True,
                    "description": "Tables laid out as <table>/*.parquet, replaced as a whole.",
                },
                "requests": _object(
                    {
                        "table": name | {"description": "The event table whose rows are requests."},
                        "id": name | {"description": "Its column that names a request."},
                    },
                    ("table", "id"),
                ),
                "label": {"anyOf": [name, {"type": "null"}, label]},
                "as": _optional(
                    {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                        "description": "By table.column what `data load` takes values for, as --as.",
                    }
                ),
            },
            ("version", "events", "requests"),
        ),
    }


def feature_spec_schema() -> dict[str, Any]:
    """Schema of `feature_spec.yaml`."""
    column = {"type": "string", "minLength": 1}
    decimals = {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_DECIMALS}
    categorical = _object(
        {
            "type": _type(TYPES),
            "decimals": decimals,
            "split": {**column, "type": ["string", "null"], "description": "Between two tokens."},
            "most": {"type": "integer", "minimum": 1, "maximum": MAX_TOKENS},
            "pool": {"enum": list(POOLINGS)},
            "sequence": {"type": "boolean", "description": "The tokens' order means something."},
            "shares": {"type": ["string", "null"], "description": "A categorical field."},
        },
        ("type",),
        dependentRequired={key: ["split"] for key in ("most", "pool", "sequence", "shares")},
    )
    bound = {"type": ["number", "null"]}
    numeric = _object(
        {
            "type": _type(NUMERIC_TYPES),
            "decimals": decimals,
            "transform": {"enum": list(TRANSFORMS)},
            "bins": {
                "anyOf": [
                    {"enum": ["auto", 0]},
                    {"type": "integer", "minimum": 2, "maximum": MAX_BINS},
                ]
            },
            "missing": {"anyOf": [{"enum": list(MISSING)}, {"type": "number"}]},
            "clip": {
                "type": "array",
                "items": bound,
                "minItems": 2,
                "maxItems": 2,
                "description": "[lowest, highest], null where a side is open.",
            },
        },
        ("type",),
    )
    return {
        "$schema": _DRAFT,
        "title": "feature_spec.yaml",
        **_object(
            {
                "version": {"const": 1},
                "label": column | {"description": "NULL there means no outcome is known."},
                "time": column | {"description": "The column that decides a row's day."},
                "label_settle_days": _optional(_DAYS),
                "test_days": {"type": "integer", "minimum": 1},
                "valid_days": {"type": "integer", "minimum": 1},
                "lookback_days": _by_column(_DAYS, "Days of history that windows need, by table."),
                "keys": {
                    "type": ["array", "null"],
                    "items": {"type": "string"},
                    "description": "Columns that name a row and are never learned.",
                },
                "ignored": _by_column({}, "Columns that the model does not see, and why."),
                "categorical": _by_column({"anyOf": [_type(TYPES), categorical]}, "Ids."),
                "numeric": _by_column({"anyOf": [_type(NUMERIC_TYPES), numeric]}, "Numbers."),
            },
            ("version", "label", "time", "test_days", "valid_days"),
            anyOf=[{"required": ["categorical"]}, {"required": ["numeric"]}],
        ),
    }


def _type(names: tuple[str, ...]) -> dict[str, Any]:
    """A SQL type in any of its spellings; editors propose the canonical ones."""
    spelt = [*names, *(alias for alias, name in ALIASES.items() if name in names)]
    letters = ["".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in n) for n in spelt]
    pattern = r"^\s*(" + "|".join(letters) + r")\s*$"
    return {"anyOf": [{"enum": list(names)}, {"type": "string", "pattern": pattern}]}


def _by_column(values: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "additionalProperties": values,
        "description": description,
    }


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}
