"""The OpenAPI document, made from the shapes of requests and answers.

`python -m predict_server.specification` writes `openapi.json` beside this file, from which clients
are generated; a test keeps the two alike. Nothing here is served: the hot paths check rows by the
live deployment's schema, which no fixed document knows.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

from fastapi import FastAPI, Header, Path
from pydantic import BaseModel, ConfigDict, Field

import nightshift
from predict_server.documentation import FILE

ABOUT = """Predictions of all pipelines of a Nightshift installation. A pipeline of the family
`ctr` takes rows of its request table, asks OpenMLDB's deployment for features and Triton for
scores; one of the family `tensor` takes named tensors. Every answer names the release that gave
it. `GET .../schema` shows what a pipeline takes. The paths without a pipeline mean the default
one."""

Row = dict[str, Any] | list[Any]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Rows(_Closed):
    """Several rows of the request table."""

    rows: list[Row]


class RankRequest(_Closed):
    """One user's candidates; `user` holds the fields that all rows share."""

    user: dict[str, Any] = {}
    candidates: list[dict[str, Any]]
    n: int = Field(10, ge=1)


class Release(BaseModel):
    """The release that gave the answer."""

    release: str
    model: str
    model_version: int


class Receipt(BaseModel):
    """What names the answer in the request log; `./nightshift explain` shows all of it.

    `request` and `features` are hashes of the rows; `watermark` the newest streamed event that the
    online store held, by table, in milliseconds; `logged` whether the log has the answer.
    """

    id: str
    release: str
    request: str
    features: str
    watermark: dict[str, int]
    logged: bool


class RowsRelease(Release):
    """The release that gave the answer, with its deployment and the answer's receipt."""

    deployment: str
    receipt: Receipt


class Prediction(BaseModel):
    """One row's score; features and ids where `explain` asked for them."""

    score: float
    request_id: Any = None
    features: dict[str, Any] | None = None
    ids: dict[str, str] | None = None


class Predictions(RowsRelease):
    """A score a row, in the order of the request."""

    predictions: list[Prediction]


class Ranked(Prediction):
    """A candidate by its place; `candidate` counts from 0 in the request's order."""

    rank: int
    candidate: int


class Ranking(RowsRelease):
    """The best candidates, best first."""

    ranking: list[Ranked]


class RecommendRequest(_Closed):
    """A user, and what to leave out.

    `filter` holds conditions on the items' columns: `{"brand": "acme"}`, `{"brand": ["a", "b"]}`,
    `{"price": {"at_least": 10, "below": 20}}`, `{"brand": {"not": "a"}}`, `{"genres": {"has":
    "Comedy"}}`. `exclude` and `history` are item ids; `context` holds fields of the request table.
    """

    user: Any
    n: int = Field(10, ge=1)
    exclude_consumed: bool = True
    filter: dict[str, Any] = {}
    exclude: list[Any] = Field([], max_length=1000)
    history: list[Any] = Field([], max_length=1000)
    context: dict[str, Any] = {}
    fields: list[str] = []


class Recommendation(BaseModel):
    """An item by its place; `retrieved` gives, with `explain`, its rank by each retriever."""

    rank: int
    item: Any
    score: float
    fields: dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    ids: dict[str, str] | None = None
    retrieved: dict[str, int] | None = None


class Recommendations(Release):
    """The best items for the user, best first; `candidates` is how many were ranked.

    Without a candidate there is nothing to score, and no receipt.
    """

    deployment: str
    receipt: Receipt | None = None
    recommendations: list[Recommendation]
    user_known: bool
    candidates: int


class TensorsRequest(BaseModel):
    """Tensors by name: nested lists, or `{"shape", "data"}`; or KServe's list of tensors."""

    inputs: dict[str, Any] | list[dict[str, Any]]


class TensorsAnswer(BaseModel):
    """Tensors in the form of the request."""

    release: str
    outputs: dict[str, Any] | list[dict[str, Any]]


class Event(_Closed):
    """A row of an event table, and an id that no other event of the table has."""

    id: str = Field(min_length=1, max_length=200)
    row: Row


class EventBatch(_Closed):
    """Events of one table; all of them are taken, or none."""

    events: list[Event]


class EventAnswer(BaseModel):
    """How many events are new in the online store, and how many were in it already."""

    inserted: int
    duplicates: int


class Worker(BaseModel):
    """What one worker process follows."""

    pid: int
    release: str | None
    sequence: int | None = None
    problem: str | None = None


class Workers(BaseModel):
    """All workers behind the port."""

    expected: int
    serving: int
    following: list[Worker]


class Health(BaseModel):
    """Whether a prediction can be had now, by a probe of the live release."""

    status: str
    parts: dict[str, str]
    switch_problem: str | None
    release: str | None
    workers: Workers


class Pipeline(BaseModel):
    """One pipeline of the installation."""

    name: str
    family: str
    release: str | None
    sequence: int | None
    problem: str | None


class Pipelines(BaseModel):
    """All pipelines of the installation."""

    pipelines: list[Pipeline]
    default: str | None
    problem: str | None


class Problem(BaseModel):
    """One thing wrong with one field of one row."""

    row: int
    field: str
    problem: str


class Error(BaseModel):
    """Why there is no answer."""

    error: str
    message: str
    request_id: str
    detail: list[Problem] | None = None


_MEANINGS = {
    400: "The body is not JSON",
    401: "No token, or another",
    404: "No such pipeline, or not an operation of its family",
    413: "The body or the number of rows is over the limit",
    422: "A row does not fit; `detail` names row, field and what would",
    429: "Too many rows wait; `Retry-After` says when to try again",
    502: "A part behind this server gave an answer that does not fit",
    503: "No release is live, or a part behind this server is down; see `Retry-After`",
    504: "The deadline of `X-Request-Timeout` passed",
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "model": Error} for status, text in _MEANINGS.items()
}
_FILE = {"type": "string", "format": "binary"}
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": _FILE},
            "application/vnd.apache.parquet": {"schema": _FILE},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}
            },
        },
    }
}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file's rows with `score` and `error`, in the file's own format",
        "content": {
            "text/csv": {"schema": _FILE},
            "application/vnd.apache.parquet": {"schema": _FILE},
        },
    },
    415: {"description": "The file is neither csv nor parquet", "model": Error},
}

Timeout = Annotated[
    float | None, Header(alias="X-Request-Timeout", gt=0, description="seconds to answer in")
]
RequestId = Annotated[
    str | None, Header(alias="X-Request-Id", max_length=128, description="kept in the answer")
]


def predict(
    body: Rows | dict[str, Any] | list[Any],
    explain: bool = False,
    x_request_timeout: Timeout = None,
    x_request_id: RequestId = None,
) -> Any:
    """Score rows: one as an object, a list of them, or `{"rows": [...]}`."""


def rank(
    body: RankRequest,
    explain: bool = False,
    x_request_timeout: Timeout = None,
    x_request_id: RequestId = None,
) -> Any:
    """The `n` best candidates of one user, best first."""


def recommend(
    body: RecommendRequest,
    explain: bool = False,
    x_request_timeout: Timeout = None,
    x_request_id: RequestId = None,
) -> Any:
    """The `n` best items for a user; 404 where the live release has no retrieval."""


def infer(
    body: TensorsRequest, x_request_timeout: Timeout = None, x_request_id: RequestId = None
) -> Any:
    """Run a model of named tensors."""


def upload(spreadsheet: bool = False, x_request_id: RequestId = None) -> Any:
    """Score a csv or parquet file of request rows; a row that does not fit keeps its place.

    With `spreadsheet` a csv answer has an apostrophe before cells that would be formulas there.
    """


def events(
    body: EventBatch,
    table: Annotated[str, Path(description="an event table")],
    x_request_id: RequestId = None,
) -> Any:
    """Insert events into the online store, each once, however often its id is sent."""


def schema() -> Any:
    """What a request holds, and the limits."""


def health() -> Any:
    """Readiness, part by part; 503 when a prediction cannot be had now."""


def pipelines() -> Any:
    """All pipelines, and what each follows."""


def alive() -> Any:
    """Whether the process answers."""


def metrics() -> Any:
    """Prometheus' text format, for all workers."""


def build() -> dict[str, Any]:
    """The document."""
    api = FastAPI(title="Nightshift predict server", version=nightshift.__version__)
    api.description = ABOUT
    for prefix, suffix in (("/v1/pipelines/{pipeline}", ""), ("", "_default")):

        def add(
            method: str,
            path: str,
            endpoint: Any,
            model: Any = None,
            responses: Any = None,
            prefix: str = prefix,
            suffix: str = suffix,
            **more: Any,
        ) -> None:
            api.add_api_route(
                f"{prefix}/{path}",
                endpoint,
                methods=[method],
                operation_id=f"{endpoint.__name__}{suffix}",
                response_model=model,
                responses={**_ERRORS, **(responses or {})},
                **more,
            )

        add("POST", "predict", predict, Predictions)
        add("POST", "rank", rank, Ranking)
        add("POST", "recommend", recommend, Recommendations)
        add("POST", "infer", infer, TensorsAnswer)
        add("POST", "upload", upload, responses=_FILES, openapi_extra=_UPLOAD)
        add("GET", "schema", schema, dict[str, Any])
        add("GET", "health", health, Health, {503: {"description": "Not ready", "model": Health}})
    api.add_api_route(
        "/v1/pipelines/{pipeline}/events/{table}",
        events,
        methods=["POST"],
        operation_id="events",
        response_model=EventAnswer,
        responses=_ERRORS,
    )
    api.add_api_route("/v1/pipelines", pipelines, response_model=Pipelines)
    api.add_api_route("/health/live", alive, response_model=dict[str, str])
    plain: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
    }
    api.add_api_route("/metrics", metrics, responses=plain)
    document = api.openapi()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if "{pipeline}" in path:
                operation.setdefault("parameters", []).insert(0, _PIPELINE)
            # FastAPI's own form of a validation error, which this server does not give.
            if operation["responses"].get("422", {}).get("description") == "Validation Error":
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"token": []}]
    return document


_PIPELINE = {
    "name": "pipeline",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "a name of GET /v1/pipelines",
}


def text() -> str:
    """The document as the file holds it."""
    return json.dumps(build(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(FILE.write_text(text()) and 0)
