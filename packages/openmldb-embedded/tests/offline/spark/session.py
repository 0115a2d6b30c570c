"""Statements to OpenMLDB's batch engine in one Spark session: JSON lines in, JSON lines out.

Runs in Spark's own Python. A request is ``{"tables": {name: parquet file}, "sql": ...}``, or
``{"load": source, "columns": [[name, type]]}`` with a source as the driver of an offline job takes
it; an answer ``{"columns": [[name, type]], "rows": [...]}`` or ``{"error": ...}``, and
with it the engine's ``resident`` memory in bytes. Times are milliseconds, dates text.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from py4j.protocol import Py4JNetworkError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as Spark's documents name it

sys.path.append(str(Path(__file__).parents[3] / "src/openmldb_embedded/offline/spark"))

import driver

PAGE = os.sysconf("SC_PAGE_SIZE")
TYPES = {"smallint": "smallint", "int": "int", "bigint": "bigint", "boolean": "bool"}


def main() -> None:
    builder = SparkSession.builder.master("local[2]")
    for name, value in json.loads(sys.argv[1]).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    api = spark._jvm.com._4paradigm.openmldb.batch.api
    session = api.OpenmldbSession(spark._jsparkSession)
    loader = driver.Engine(spark, {})
    java = spark._jvm.java.lang.ProcessHandle.current().pid()
    known: dict[str, str] = {}
    out = sys.stdout
    out.write("ready\n")
    out.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            for name, path in asked.get("tables", {}).items():
                if known.get(name) != path:
                    frame = spark.read.parquet(path).coalesce(1).cache()
                    session.registerTable("db", name, frame._jdf)
                    known[name] = path
            if "load" in asked:
                frame = loader.rows({"columns": asked["columns"], "sources": [asked["load"]]})
            else:
                frame = DataFrame(session.sql(asked["sql"]).getSparkDf(), spark._wrapped)
            columns = frame.dtypes
            frame = frame.toDF(*[f"c{at}" for at in range(len(columns))])
            plain = []
            for at, (_, kind) in enumerate(columns):
                column = F.col(f"c{at}")
                if kind == "timestamp":
                    column = F.expr(f"unix_millis(c{at})")
                elif kind in ("date", "void"):
                    column = column.cast("string")
                plain.append(column)
            rows = [list(row) for row in frame.select(*plain).collect()]
            answer = {"columns": [[n, TYPES.get(t, t)] for n, t in columns], "rows": rows}
        except (ConnectionError, Py4JNetworkError):
            return  # the engine died, and its Java machine with it
        except Exception as error:
            answer = {"error": str(error).split("\tat ")[0][:600]}
        answer["resident"] = int(Path(f"/proc/{java}/statm").read_text().split()[1]) * PAGE
        out.write(json.dumps(answer) + "\n")
        out.flush()


main()
