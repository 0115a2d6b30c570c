"""The OpenAPI document: the file is what the code makes, and answers are what it says."""

import json

import jsonschema
import pytest
from predict_server import specification
from predict_server.documentation import FILE

from tests.server.predict_server.conftest import row


def test_the_file_is_the_document():
    assert FILE.read_text() == specification.text(), (
        "run: PYTHONPATH=src:server .venv/bin/python -m predict_server.specification"
    )


def test_operations_have_names_of_their_own_and_references_lead_somewhere():
    document = json.loads(FILE.read_text())
    names = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if "operationId" in operation
    ]
    assert len(names) == len(set(names)) > 10
    schemas = document["components"]["schemas"]
    for reference in set(_references(document)):
        assert reference.removeprefix("#/components/schemas/") in schemas


def _references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)


@pytest.mark.parametrize(
    ("method", "path", "payload", "status"),
    [
        ("post", "/predict", row(1), 200),
        ("post", "/predict", [{}], 422),
        ("post", "/v1/pipelines/{pipeline}/predict", {"rows": [row(1)]}, 200),
        ("post", "/rank", {"candidates": [row(1)]}, 200),
        ("get", "/health", None, 200),
        ("get", "/schema", None, 200),
        ("get", "/v1/pipelines", None, 200),
    ],
)
def test_answers_are_as_the_document_says(live_first, method, path, payload, status):
    document = json.loads(FILE.read_text())
    answer = live_first.http.request(method, path.format(pipeline="jd"), json=payload)
    assert answer.status_code == status
    content = document["paths"][path][method]["responses"][str(status)]["content"]
    schema = {**content["application/json"]["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())
