"""What /docs shows: bodies are read by `rows`, by the live deployment's schema."""

from __future__ import annotations

from typing import Any

ABOUT = """Asks OpenMLDB's deployment for features and Triton for a score; every answer names
the release, the deployment and the model version that gave it. `GET /schema` tells the fields
of a row."""

_ROW = {
    "reqId": "200080_5505_2016-03-15 20:43:04",
    "eventTime": 1458045784000,
    "main_id": "681271",
    "pair_id": "200080_5505",
    "user_id": "200080",
    "sku_id": "5505",
    "time": 1458045784000,
    "split_id": 1,
    "time1": "2016-03-15 20:43:04",
}
_SHARED = ("eventTime", "main_id", "user_id", "time", "split_id", "time1")
_OBJECT = {"type": "object"}
_ROWS = {"type": "array", "items": {"anyOf": [_OBJECT, {"type": "array"}]}}

PREDICT_BODY: dict[str, Any] = {
    "schema": {
        "anyOf": [_OBJECT, _ROWS, {"type": "object", "properties": {"rows": _ROWS}}],
    },
    "example": _ROW,
}

RANK_BODY: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["candidates"],
        "properties": {
            "user": _OBJECT,
            "candidates": {"type": "array", "items": _OBJECT},
            "n": {"type": "integer", "minimum": 1, "default": 10},
        },
    },
    "example": {
        "user": {name: _ROW[name] for name in _SHARED},
        "candidates": [{name: _ROW[name] for name in _ROW if name not in _SHARED}],
        "n": 10,
    },
}

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is no JSON"},
    413: {"description": "The body or the number of rows is over the limit"},
    422: {"description": "A row does not fit; `detail` names row, field and what would"},
    502: {"description": "A part behind this server gave an answer that does not fit"},
    503: {"description": "No release is live, or a part behind this server is down"},
}


def body(content: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a JSON body."""
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
