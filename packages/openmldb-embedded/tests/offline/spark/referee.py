"""One Spark session for many statements, and the comparison of its answers with ours."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from openmldb_embedded import worker
from openmldb_embedded.columns import Batch
from openmldb_embedded.load import LoadOptions
from openmldb_embedded.offline.spark import engine
from openmldb_sql.types import Schema

from testing import spark as spark_parts

CRASH = "the engine died"
ENOUGH = 3 << 30
"""Bytes of resident memory from where on the session starts anew: the engine keeps what it compiled
for each statement, some MiB each."""


class Referee:
    """The batch engine in a process of its own."""

    def __init__(self, folder: Path) -> None:
        values = spark_parts.settings()
        self.folder = folder
        jars = ":".join(map(str, sorted(Path(values["batchjob.jar.path"]).glob("openmldb-*.jar"))))
        conf = {
            "spark.driver.extraClassPath": jars,
            "spark.openmldb.jsdk.library.path": f"{values['batchjob.jar.path']}/libsql_jsdk.so",
            "spark.openmldb.default.db": "db",
            "spark.sql.session.timeZone": "+08:00",
            # Thousands of small plans: what compiles them takes longer than they do.
            "spark.driver.extraJavaOptions": "-Duser.timezone=GMT+08:00 -XX:TieredStopAtLevel=1",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MILLIS",
            "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
            "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
            "spark.sql.shuffle.partitions": "1",
            "spark.default.parallelism": "1",
            "spark.sql.adaptive.enabled": "false",
            "spark.ui.enabled": "false",
            "spark.driver.memory": "1500m",
            "spark.sql.warehouse.dir": f"{folder}/warehouse",
        }
        # Not by spark-submit: it gives a Python driver no standard input.
        script = Path(__file__).with_name("session.py")
        command = [values["spark.pyspark.driver.python"], str(script), json.dumps(conf)]
        self._command = command
        self._env = {
            **os.environ,
            "JAVA_HOME": values["java.home"],
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": values["spark.pyspark.driver.python"],
        }
        self.log = (folder / "spark.log").open("wb")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=self.folder,
            env=self._env,
        )
        assert self._answer(process, "ready"), (self.folder / "spark.log").read_text()[-3000:]
        return process

    @staticmethod
    def _answer(process: subprocess.Popen[str], wanted: str) -> str:
        """The session's next line that begins so; empty where it died."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(wanted):  # the engine itself writes there, too
                return line
        return ""

    def store(self, name: str, batch: Batch) -> str:
        """A table's rows as a file that the session reads."""
        path = self.folder / f"{name}.parquet"
        pq.write_table(batch.to_arrow(), path)
        return str(path)

    def ask(self, tables: dict[str, str], sql: str) -> dict[str, Any]:
        """The engine's answer; a statement that kills it is an error, and it starts anew."""
        return self._asked({"tables": tables, "sql": sql})

    def load(self, path: Path, schema: Schema, options: LoadOptions) -> dict[str, Any]:
        """The rows that the engine's LOAD DATA reads from a file."""
        source = engine._source(worker.Source((str(path),), options))
        columns = [[c.name, c.type.value] for c in schema.columns]
        return self._asked({"load": source, "columns": columns})

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self._answer(self.process, "{")
        if not line:
            self.process.wait()
            self.process = self._start()
            return {"error": CRASH}
        found: dict[str, Any] = json.loads(line)
        if found.pop("resident") > ENOUGH:
            self._stop()
            self.process = self._start()
        return found

    def end(self) -> None:
        """End the session."""
        self._stop()
        self.log.close()

    def _stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(180)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _float32(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def same(one: Any, other: Any, kind: str) -> bool:
    """Whether two values of a type are one: doubles to 1e-9, floats to 1e-6, the rest exactly."""
    if one is None or other is None or not isinstance(one, float):
        return type(one) is type(other) and one == other
    if not isinstance(other, float):
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if kind == "float":
        return _float32(one) == _float32(other) or math.isclose(one, other, rel_tol=1e-6)
    return one == other or math.isclose(one, other, rel_tol=1e-9)


def difference(
    columns: list[list[str]], ours: list[list[Any]], spark: dict[str, Any]
) -> str | None:
    """What differs between our rows and the engine's, compared as bags by their first column."""
    if [kind for _, kind in spark["columns"]] != [kind for _, kind in columns]:
        return f"types {columns} instead of {spark['columns']}"
    order = repr
    left = sorted(ours, key=lambda row: order(row[0]))
    right = sorted(spark["rows"], key=lambda row: order(row[0]))
    if len(left) != len(right):
        return f"{len(left)} rows instead of {len(right)}"
    for mine, real in zip(left, right, strict=True):
        for (name, kind), one, other in zip(columns, mine, real, strict=True):
            if not same(one, other, kind):
                return f"{name}: {one!r} instead of {other!r} in the row of {mine[0]!r}"
    return None


def by_column(names: list[str], ours: dict[str, Any], spark: dict[str, Any]) -> list[str]:
    """What differs in each column but the first; ``names`` are theirs."""
    found = []
    for at, name in enumerate(names, 1):
        mine, real = (
            {
                "columns": [answer["columns"][0], answer["columns"][at]],
                "rows": [[row[0], row[at]] for row in answer["rows"]],
            }
            for answer in (ours, spark)
        )
        what = difference(mine["columns"], mine["rows"], real)
        if what is not None:
            found.append(f"{name}: {what}")
    return found
