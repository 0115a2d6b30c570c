"""A release as something that serves: its model in Triton and, with features, its deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nightshift import files, triton
from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature
from nightshift.data import reading
from nightshift.errors import ContractError, DataError
from nightshift.features.specification import FeatureSpec
from nightshift.openmldb import AbstractClient
from nightshift.openmldb import deployments as online
from nightshift.pipeline import Pipeline
from nightshift.recommend import artefact
from nightshift.registry.manifest import Manifest
from nightshift.registry.store import ReleaseFolder
from nightshift.triton import TritonControl
from nightshift.triton.repository import ServingOptions

if TYPE_CHECKING:
    import pyarrow as pa


def serving_options(pipeline: Pipeline) -> ServingOptions:
    """The part `serving` of the pipeline's file."""
    return ServingOptions(**pipeline.config.serving.model_dump())


def make(
    client: AbstractClient,
    control: TritonControl,
    pipeline: Pipeline,
    folder: ReleaseFolder,
    manifest: Manifest,
) -> tuple[bool, triton.Published]:
    """Deploy the query and load the model beside what serves; repeating it changes nothing.

    Returns:
        Whether the deployment was made, and what publication did.

    Raises:
        ContractError: the model does not load or does not answer as trained.
        OpenMLDBError: the query does not deploy.
        ServiceUnavailable: a server does not answer.
    """
    deployed = False
    if manifest.features is not None:
        sql = manifest.sql
        deployed = online.ensure_deployment(
            client, sql.database, sql.deployment, folder.sql.read_text(), serving=True
        )
    return deployed, publish(control, pipeline, folder, manifest)


def publish(
    control: TritonControl, pipeline: Pipeline, folder: ReleaseFolder, manifest: Manifest
) -> triton.Published:
    """Load a release's model in Triton beside what serves, and compare its golden examples.

    Raises:
        ContractError: it does not load or does not answer as trained; what served still does.
        ServiceUnavailable: Triton does not answer.
    """
    with files.locked(pipeline.releases / ".triton.lock", timeout_s=300.0):
        return triton.publish(
            control,
            pipeline.model_repo,
            manifest.model.name,
            manifest.model.version,
            folder.model,
            device=pipeline.settings.task_device,
            serving=serving_options(pipeline),
        )


def problems(
    client: AbstractClient, control: TritonControl, folder: ReleaseFolder, manifest: Manifest
) -> list[str]:
    """What keeps a release from serving at this moment; empty where nothing does.

    Asks the real thing: the deployment's columns against the specification, and an inference of
    the golden examples, because Triton calls a model READY whose process has died.

    Raises:
        ServiceUnavailable: a server does not answer; nothing is known.
    """
    found = _deployment_problems(client, folder, manifest) if manifest.features else []
    if manifest.recommend is not None:
        try:
            artefact.check(folder.recommend, manifest.recommend.sha256)
        except ContractError as error:
            found.append(str(error))
    model, version = manifest.model.name, manifest.model.version
    try:
        if control.ready(model, version):
            signature = ModelSignature.load(folder.model)
            control.check_golden(model, version, Golden.load(folder.model, signature), signature)
        else:
            found.append(f"Triton does not serve {model} version {version}")
    except ContractError as error:
        found.append(str(error))
    return found


def _deployment_problems(
    client: AbstractClient, folder: ReleaseFolder, manifest: Manifest
) -> list[str]:
    database, name = manifest.sql.database, manifest.sql.deployment
    if database not in client.databases() or name not in client.deployments(database):
        return [f"deployment {name} is not in database {database}"]
    try:
        spec = FeatureSpec.load(folder.spec)
        spec.check_columns(client.deployment(database, name).output_schema)
    except ContractError as error:
        return [f"deployment {name}: {error}"]
    return []


def request_rows(
    pipeline: Pipeline, columns: Sequence[str], count: int, *, until: str | None = None
) -> list[list[Any]]:
    """The last requests of the newest partition, as rows of the request table.

    Args:
        pipeline: its source partitions, and which table holds requests.
        columns: the columns asked for, a deployment's input.
        count: rows at most.
        until: no partition after this date, `YYYY-MM-DD`; None for any.

    Raises:
        DataError: there is no request, or a column is not among the partition's.
    """
    source = pipeline.data / pipeline.features.tables.request_table
    for folder in sorted(source.glob("ds=????-??-??"), reverse=True):
        if until is not None and folder.name > f"ds={until}":
            continue
        for path in reading.parquet_files(folder):
            table = reading.table([path], columns=columns)
            if len(table):
                return plain_rows(table.slice(max(len(table) - count, 0)))
    raise DataError(f"no request in the partitions under {source}")


def plain_rows(table: pa.Table) -> list[list[Any]]:
    """Rows of a parquet table as the API server's JSON takes them."""
    return [list(row) for row in zip(*(plain_values(c) for c in table.columns), strict=True)]


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """Values as the API server's JSON takes them: timestamps are milliseconds."""
    import pyarrow as pa
    from openmldb_files.normalise import milliseconds

    if pa.types.is_timestamp(column.type):
        column = milliseconds(column).cast(pa.int64())
    elif pa.types.is_date(column.type):
        return [None if d is None else f"{d.year}-{d.month}-{d.day}" for d in column.to_pylist()]
    return list(column.to_pylist())
