"""A release as something that serves: what keeps it from it, and rows to ask it."""

import dataclasses
import datetime as dt
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import files
from nightshift.contract.signature import ctr_signature
from nightshift.errors import ContractError, DataError
from nightshift.openmldb import OpenMLDBClient
from nightshift.pipeline import Pipeline
from nightshift.registry.manifest import ModelStamp, Sql
from nightshift.serving import pair
from nightshift.settings import PROJECT, Settings
from testing.releases import put_release


@pytest.fixture
def pipeline(tmp_path):
    settings = Settings(project=PROJECT, home=tmp_path / "home", installation="test00")
    return Pipeline.load(settings, "jd")


def lay(pipeline, day, name="part-0.parquet", **columns):
    folder = pipeline.data / "flattenRequest" / f"ds={day}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / name)


def test_rows_are_the_last_of_the_newest_partition_that_has_any(pipeline):
    lay(pipeline, "2026-11-08", reqId=["old"], n=[0])
    lay(pipeline, "2026-11-09", reqId=["a", "b", "c"], n=[1, 2, 3])
    lay(pipeline, "2026-11-10", reqId=pa.array([], pa.string()), n=pa.array([], pa.int64()))
    assert pair.request_rows(pipeline, ["n", "reqId"], 2) == [[2, "b"], [3, "c"]]
    assert pair.request_rows(pipeline, ["reqId"], 9) == [["a"], ["b"], ["c"]]
    assert pair.request_rows(pipeline, ["reqId"], 1, until="2026-11-08") == [["old"]]
    with pytest.raises(DataError, match="no request in the partitions"):
        pair.request_rows(pipeline, ["reqId"], 1, until="2026-11-07")
    with pytest.raises(DataError, match="nothing"):
        pair.request_rows(pipeline, ["nothing"], 1)


def test_a_file_without_rows_and_hidden_files_are_passed_over(pipeline):
    lay(pipeline, "2026-11-09", "_hidden.parquet", reqId=["hidden"])
    lay(pipeline, "2026-11-09", "part-0.parquet", reqId=pa.array([], pa.string()))
    lay(pipeline, "2026-11-09", "part-1.parquet", reqId=["shown"])
    assert pair.request_rows(pipeline, ["reqId"], 5) == [["shown"]]


def test_values_are_those_of_the_api_servers_json():
    moment = dt.datetime(2026, 11, 9, 12, 0, 0, 123_456, tzinfo=dt.timezone.utc)
    millis = int(moment.timestamp() * 1000)
    table = pa.table(
        {
            "us": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "ns": pa.array([moment, None], pa.timestamp("ns")),
            "day": pa.array([dt.date(2026, 3, 4), None], pa.date32()),
            "text": ["北京", None],
            "flag": [True, None],
            "real": [0.5, None],
        }
    )
    assert pair.plain_rows(table) == [
        [millis, millis, "2026-3-4", "北京", True, 0.5],
        [None] * 6,
    ]


SQL = "SELECT id AS request_id, `at` AS request_time, who AS user FROM t"


@pytest.fixture
def served(openmldb_server, serving_home, triton, trained, tmp_path):
    """A release whose deployment and model are there, and the clients."""
    database = f"pair_{random.randrange(1 << 40)}"
    model, version = triton.new_model(), 20260401001
    with OpenMLDBClient.of(serving_home) as client:
        client.execute(database, f"CREATE DATABASE {database}")
        client.execute(
            database,
            "CREATE TABLE t(id string, `at` timestamp, who string, INDEX(key=who, ts=`at`))",
        )
        folder = put_release(
            tmp_path, "2026-04-01", model=ModelStamp(name=model, version=version, sha256="0" * 64)
        )
        manifest = folder.manifest()
        features = dataclasses.replace(
            manifest.features, sql=Sql(sha256="0" * 64, database=database, deployment="d")
        )
        manifest = dataclasses.replace(manifest, features=features)
        files.write_text(folder.sql, SQL)
        files.write_text(
            folder.spec,
            "version: 1\nlabel: request_id\ntime: request_time\ntest_days: 1\nvalid_days: 1\n"
            "keys: [request_time]\ncategorical: {user: string}\n",
        )
        for name in ("golden.npz", "signature.json"):
            files.write_bytes(folder.model / name, (trained.models[0] / name).read_bytes())
        settings = dataclasses.replace(triton.settings, home=tmp_path / "home")
        pipeline = dataclasses.replace(Pipeline.load(settings, "jd"), settings=settings)
        yield client, triton, pipeline, folder, manifest, trained
    triton.control.unload(model)


def test_a_pair_is_made_once_and_each_missing_half_is_named(served, monkeypatch):
    client, triton, _, folder, manifest, trained = served
    name, model = manifest.sql.deployment, manifest.model

    def problems():
        return pair.problems(client, triton.control, folder, manifest)

    assert problems() == [
        f"deployment d is not in database {manifest.sql.database}",
        f"Triton does not serve {model.name} version {model.version}",
    ]
    client.execute(manifest.sql.database, f"DEPLOY {name} {SQL}", "online")
    from nightshift import triton as publishing

    publishing.publish(triton.control, triton.repo, model.name, model.version, trained.models[0])
    assert problems() == []

    # The deployment answers other columns than the specification reads.
    spec = folder.spec.read_text()
    files.write_text(folder.spec, spec.replace("{user: string}", "{user: string, sex: string}"))
    (problem,) = problems()
    assert problem.startswith("deployment d: ")
    assert "sex" in problem
    files.write_text(folder.spec, spec)

    # The model answers otherwise than it did where it was trained.
    other = trained.models[1] / "golden.npz"
    files.write_bytes(folder.model / "golden.npz", other.read_bytes())
    (problem,) = problems()
    assert "golden example" in problem
    (folder.model / "golden.npz").unlink()
    assert len(problems()) == 1


def test_a_model_is_published_from_its_release_folder(served):
    _, triton, pipeline, folder, manifest, trained = served
    here = dataclasses.replace(
        pipeline, settings=dataclasses.replace(pipeline.settings, model_repo=triton.repo)
    )
    files.write_json(folder.model / "signature.json", ctr_signature(6).to_json())
    with pytest.raises(ContractError):  # the folder holds no model yet
        pair.publish(triton.control, here, folder, manifest)
    import shutil

    shutil.rmtree(folder.model)
    shutil.copytree(trained.models[0], folder.model)
    done = pair.publish(triton.control, here, folder, manifest)
    assert done.pinned == (manifest.model.version,)
    again = pair.publish(triton.control, here, folder, manifest)
    assert again.pinned == done.pinned
    assert triton.control.ready(manifest.model.name, manifest.model.version)
