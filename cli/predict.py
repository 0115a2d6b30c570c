"""Post a request to the predict server, and an example of one that works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from nightshift.errors import ConfigurationError, ServiceUnavailable
from nightshift.serving.access import predict_access

if TYPE_CHECKING:
    from nightshift.pipeline import Pipeline


def post(pipeline: Pipeline, body: bytes) -> Any:
    """The server's answer, parsed.

    Args:
        pipeline: whom to ask; a tensor pipeline is asked by `/infer`.
        body: JSON. Of a ctr pipeline one row as an object, a list of rows, or `{"rows": [...]}`;
            of a tensor pipeline `{"inputs": {...}}`.

    Raises:
        ConfigurationError: the server refused the request; the message names row and field.
        ServiceUnavailable: nobody answered, or it has nothing live to answer with.
    """
    operation = "predict" if pipeline.has_features else "infer"
    settings = pipeline.settings
    access = predict_access(settings)
    url = f"{settings.predict_url}/v1/pipelines/{pipeline.name}/{operation}"
    try:
        answer = httpx.post(
            url,
            content=body,
            headers={"Content-Type": "application/json", **access.pop("headers", {})},
            timeout=60,
            **access,
        )
    except httpx.TransportError as error:
        raise ServiceUnavailable(
            f"no predict server at {url} ({error}); ./nightshift up starts it"
        ) from error
    if answer.status_code != 200:
        text = f"{url} answered {answer.status_code}: {answer.text}"
        raise (ServiceUnavailable if answer.status_code >= 500 else ConfigurationError)(text)
    return answer.json()


def example(pipeline: Pipeline) -> dict[str, Any]:
    """A request that the pipeline's predict server answers.

    A ctr pipeline's is the last request of the newest partition; a tensor pipeline's is the
    first golden example of the live release.

    Raises:
        DataError: there is no partition with a request.
        ConfigurationError: no release is live yet.
    """
    if pipeline.has_features:
        from nightshift.data.declared import declared_tables
        from nightshift.serving.pair import request_rows

        files = pipeline.features
        declared = declared_tables(files.tables, files.create_script(), str(files.create_tables))
        columns = list(declared[files.tables.request_table].columns)
        (row,) = request_rows(pipeline, columns, 1)
        return dict(zip(columns, row, strict=True))
    from nightshift.contract.golden import Golden
    from nightshift.contract.signature import ModelSignature
    from nightshift.registry.pointer import read_live

    live = read_live(pipeline.releases)
    if live is None:
        raise ConfigurationError(
            f"no release of {pipeline.name} is live; ./nightshift run --pipeline {pipeline.name} "
            "--ds YYYY-MM-DD makes one"
        )
    folder = pipeline.store.folder(live.release_id)
    signature = ModelSignature.load(folder.model)
    golden = Golden.load(folder.model, signature)
    return {
        "inputs": {
            name: {
                "shape": list((value[:1] if signature.batched else value).shape),
                "data": (value[:1] if signature.batched else value).reshape(-1).tolist(),
            }
            for name, value in golden.inputs.items()
        }
    }
