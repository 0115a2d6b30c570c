"""TaskManager's settings: which are taken, which are refused, what Spark is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.export import ExportOptions
from openmldb_embedded.load import LoadOptions
from openmldb_embedded.offline.spark.conf import (
    ConfError,
    SparkConf,
    data_prefix,
    read_properties,
    write_properties,
)
from openmldb_embedded.offline.spark.engine import _glob as one_path
from openmldb_embedded.offline.spark.engine import _task as told
from openmldb_embedded.worker import QueryTask, Source, TableData
from openmldb_sql.types import SqlType, schema_of


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    """Settings that lead somewhere."""
    (tmp_path / "spark" / "bin").mkdir(parents=True)
    (tmp_path / "spark" / "bin" / "spark-submit").touch()
    (tmp_path / "jars").mkdir()
    for name in ("openmldb-native-0.9.0.jar", "openmldb-batch-0.9.0.jar", "other.jar"):
        (tmp_path / "jars" / name).touch()
    return {
        "spark.home": str(tmp_path / "spark"),
        "batchjob.jar.path": str(tmp_path / "jars"),
        "java.home": "/java",
    }


def test_a_taskmanagers_own_file_is_understood(given: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "taskmanager.properties"
    path.write_text(
        "# TaskManager\nserver.port=9902\nzookeeper.cluster=127.0.0.1:2181\njob.log.path=./logs/\n"
        "spark.master: yarn\nspark.default.conf=spark.executor.memory=4g;spark.yarn.queue=night\n"
        "spark.eventLog.dir  hdfs://logs\nhadoop.conf.dir=/etc/hadoop\n"
    )
    conf = SparkConf.of({**read_properties(path), **given})
    assert conf.master == "yarn"
    assert conf.spark["spark.executor.memory"] == "4g"
    assert conf.spark["spark.yarn.queue"] == "night"
    assert conf.spark["spark.eventLog.dir"] == "hdfs://logs"
    assert conf.env()["HADOOP_CONF_DIR"] == "/etc/hadoop"
    assert "SPARK_LOCAL_IP" not in conf.env()


def test_the_engine_stands_before_sparks_own_jars(given: dict[str, str], tmp_path: Path) -> None:
    conf = SparkConf.of({**given, "spark.driver.extraClassPath": "/mine.jar"})
    told = conf.properties(tmp_path, 3 << 30)
    first, second, last = told["spark.driver.extraClassPath"].split(":")
    assert first.endswith("openmldb-batch-0.9.0.jar")
    assert second.endswith("openmldb-native-0.9.0.jar")
    assert last == "/mine.jar"
    assert told["spark.executor.extraClassPath"] == f"{first}:{second}"


def test_what_the_answers_depend_on_is_not_to_be_changed(
    given: dict[str, str], tmp_path: Path
) -> None:
    conf = SparkConf.of(
        {
            **given,
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.parquet.outputTimestampType": "INT96",
            "spark.sql.shuffle.partitions": "3",
        }
    )
    told = conf.properties(tmp_path, 3 << 30)
    assert told["spark.sql.session.timeZone"] == "+08:00"
    assert told["spark.sql.parquet.outputTimestampType"] == "TIMESTAMP_MILLIS"
    assert told["spark.sql.shuffle.partitions"] == "3"
    assert told["spark.driver.memory"] == "3072m"


def test_nothing_listens_beyond_the_machine_in_local_mode(
    given: dict[str, str], tmp_path: Path
) -> None:
    conf = SparkConf.of(given)
    assert conf.master == "local[*]"
    assert conf.env()["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert conf.properties(tmp_path, 0)["spark.driver.bindAddress"] == "127.0.0.1"


def test_a_driver_unpacks_into_its_own_folder(given: dict[str, str], tmp_path: Path) -> None:
    told = SparkConf.of(given).properties(tmp_path / "a job", 0)
    assert (
        f'"-Djava.io.tmpdir={tmp_path / "a job" / "tmp"}"' in told["spark.driver.extraJavaOptions"]
    )
    assert "tmpdir" not in told["spark.executor.extraJavaOptions"]


def test_the_installations_own_defaults_stay(given: dict[str, str], tmp_path: Path) -> None:
    folder = Path(given["spark.home"]) / "conf"
    folder.mkdir()
    (folder / "spark-defaults.conf").write_text(
        "spark.hadoop.fs.s3a.endpoint  http://minio:9000\nspark.ui.port 4040\n"
    )
    told = SparkConf.of({**given, "spark.ui.port": "4050"}).properties(tmp_path, 0)
    assert told["spark.hadoop.fs.s3a.endpoint"] == "http://minio:9000"
    assert told["spark.ui.port"] == "4050"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spark.home": ""}, "needs spark.home"),
        ({"spark.home": "/nowhere"}, "/nowhere, which holds no bin/spark-submit"),
        ({"batchjob.jar.path": "/nowhere.jar"}, "names /nowhere.jar, which is not there"),
        ({"sprak.master": "yarn"}, "no setting 'sprak.master'"),
        ({"spark.default.conf": "memory=4g"}, "spark.default.conf holds 'memory=4g'"),
        ({"spark.submit.deployMode": "cluster"}, "must be client"),
    ],
)
def test_a_wrong_setting_is_named(
    given: dict[str, str], change: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfError, match=r".") as caught:
        SparkConf.of({**given, **change})
    assert reason in caught.value.message


def test_the_offline_data_lies_in_a_folder() -> None:
    assert data_prefix({}) is None
    assert data_prefix({"offline.data.prefix": "file:///mnt/nfs/offline"}) == Path(
        "/mnt/nfs/offline"
    )
    with pytest.raises(ConfError, match=r"must be a folder"):
        data_prefix({"offline.data.prefix": "s3a://bucket/offline"})


def test_properties_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "p"
    values = {"spark.a": "x y=z", "spark.b": "C:/d"}
    path.write_text(write_properties(values))
    assert read_properties(path) == values


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (["/a/b.parquet"], "/a/b.parquet"),
        (["/a/d=1/x", "/a/d=2/x"], "/a/{d=1/x,d=2/x}"),
        (["/a/x", "/b/y"], "/{a/x,b/y}"),
        (["/a/d=1/a b"], "/a/d=1/a b"),
    ],
)
def test_files_as_one_path_for_hadoop(files: list[str], path: str) -> None:
    assert one_path(tuple(files)) == path


@pytest.mark.parametrize("name", ["a*", "[1]", "{x", "x,y", "a?", "back\\slash"])
def test_a_name_that_hadoop_would_misread_is_refused(name: str) -> None:
    with pytest.raises(ExecutionError, match="rename it"):
        one_path((f"/data/{name}", "/data/b"))


def test_a_url_goes_to_spark_as_it_is(tmp_path: Path) -> None:
    local, here = str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")
    parquet = LoadOptions(format="parquet")
    sources = [Source((name,), parquet) for name in (local, "s3a://lake/t/ds={1,2}/*", here)]
    table = TableData("db", "t", schema_of([("id", SqlType.INT64)]), tuple(sources))
    options = ExportOptions.of({"format": "parquet", "mode": "append"})
    task = QueryTask("SELECT 1", "db", (table,), str(tmp_path), export=options)
    found = told(replace(task, target="hdfs://name:8020/out"))
    assert "INTO OUTFILE 'hdfs://name:8020/out' " in found["sql"]
    assert "mode='append'" in found["sql"]
    read = {source["path"]: source.get("files") for source in found["tables"][0]["sources"]}
    assert read == {"s3a://lake/t/ds={1,2}/*": None, f"{tmp_path}/{{a.parquet,b.parquet}}": 2}
    # What the server publishes itself, it lets Spark overwrite in its own staging folder.
    assert "mode='overwrite'" in told(task)["sql"]
