"""The driver of one offline job: runs in Spark's own Python, beside none of our packages.

    spark-submit driver.py FOLDER

It reads ``FOLDER/task.json``, has OpenMLDB's batch engine do it, and writes ``progress.json`` on
the way and ``result.json`` at the end; without the latter it was cut off. Python 3.9.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

CUT_OFF = 75
"""Exit code where Spark itself went away (EX_TEMPFAIL): the same job may pass when run again."""

_CUT_OFF = re.compile(
    r"ExecutorLostFailure|All masters are unresponsive|Master removed our application"
    r"|SparkContext (?:was|has been) shut ?down|stopped SparkContext|Connection refused"
    r"|FetchFailed|Block .* not found|Answer from Java side is empty|No space left on device"
)
_TOO_LARGE = re.compile(
    r"OutOfMemoryError|GC overhead limit|memory limits? exceeded|Cannot allocate"
)

_COLUMN_TYPES = {
    "bool": "kBool",
    "int16": "kSmallInt",
    "int32": "kInt",
    "int64": "kBigInt",
    "float": "kFloat",
    "double": "kDouble",
    "string": "kString",
    "date": "kDate",
    "timestamp": "kTimestamp",
}


def main(folder: Path) -> int:
    """Do the folder's task; the exit code is 0, 1 (refused or failed) or ``CUT_OFF``."""
    task = json.loads((folder / "task.json").read_text())
    sql = importlib.import_module("pyspark.sql")
    try:
        spark = sql.SparkSession.builder.appName(task["name"]).getOrCreate()
    except Exception as error:
        return _failed(folder, error)
    stopped = threading.Event()
    watch = threading.Thread(target=_watch, args=(spark, folder, stopped), daemon=True)
    watch.start()
    try:
        done = Engine(spark, task).do()
        _write(folder / "result.json", {"ok": True, **done})
        return 0
    except Exception as error:
        return _failed(folder, error)
    finally:
        stopped.set()
        watch.join(5)
        spark.stop()


def _failed(folder: Path, error: Exception) -> int:
    """Say why a task failed; what went away from under it is not a result."""
    text = str(error)
    sys.stderr.write(traceback.format_exc())
    if type(error).__name__ == "Py4JNetworkError" or (
        _CUT_OFF.search(text) and not _TOO_LARGE.search(text)
    ):
        _write(folder / "cut_off.json", {"message": _reason(error)})
        return CUT_OFF
    _write(
        folder / "result.json",
        {"ok": False, "too_large": bool(_TOO_LARGE.search(text)), "message": _reason(error)},
    )
    return 1


def _reason(error: Exception) -> str:
    """The innermost reason that Java gives, without its trace."""
    found = getattr(error, "java_exception", None)
    if found is None:
        return str(error).split("\n", 1)[0] or type(error).__name__
    try:
        seen: list[str] = []
        while found is not None and len(seen) < 20:
            seen.append(str(found.getMessage() or found.getClass().getName()))
            found = found.getCause()
    except Exception:
        return str(error).split("\n", 1)[0]
    lines = []
    for line in seen[-1].splitlines():
        if re.match(r"\s*(at \S+\(|Driver stacktrace)", line):
            break
        if not re.match(r"\s*\((At|Caused by)\b.*\)?$", line) and line.strip():
            lines.append(line.rstrip())
    return "\n".join(lines[:12])[:1500] or seen[-1][:1500]


class Engine:
    """OpenMLDB's batch engine over the tables of a task."""

    def __init__(self, spark: Any, task: dict[str, Any]) -> None:
        self.spark = spark
        self.task = task
        self.jvm = spark._jvm
        package = self.jvm.com._4paradigm.openmldb
        self.source = package.batch.utils.DataSourceUtil
        self.column = package.proto.Common.ColumnDesc
        self.types = package.proto.Type.DataType
        self.session = package.batch.api.OpenmldbSession(spark._jsparkSession)

    def do(self) -> dict[str, Any]:
        """Do the task; what is to be told of it."""
        kind = self.task["kind"]
        if kind == "load":
            (table,) = self.task["tables"]
            self._write(self.rows(table), self.task["target"])
            return {}
        for table in self.task["tables"]:
            self.session.registerTable(table["db"], table["name"], self.rows(table)._jdf)
        if kind == "export":
            # The engine's own SELECT INTO, so that the files are as it writes them.
            self.session.sql(self.task["sql"])
            return {}
        frame = self.frame(self.session.sql(self.task["sql"]).getSparkDf())
        frame = frame.toDF(*[f"c{place}" for place in range(len(frame.columns))])
        for name, kind in frame.dtypes:
            if kind in ("void", "null"):
                frame = frame.withColumn(name, frame[name].cast("string"))
        self._write(frame.limit(self.task["max_rows"] + 1), self.task["target"])
        return {}

    def frame(self, java: Any) -> Any:
        """A Java Dataset as Python knows it."""
        return importlib.import_module("pyspark.sql").DataFrame(java, self.spark._wrapped)

    def rows(self, table: dict[str, Any]) -> Any:
        """A table's rows, of its own types, read as the engine's LOAD DATA reads."""
        columns = self.jvm.java.util.ArrayList()
        for name, kind in table["columns"]:
            builder = self.column.newBuilder().setName(name)
            columns.add(builder.setDataType(self.types.valueOf(_COLUMN_TYPES[kind])).build())
        frames = [self._source(source, columns) for source in table["sources"]]
        if not frames:
            nothing = ", ".join(
                f"CAST(NULL AS {_SPARK_TYPES.get(kind, kind)}) AS `{name}`"
                for name, kind in table["columns"]
            )
            return self.spark.sql(f"SELECT {nothing} WHERE false")
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.union(frame)
        return whole

    def _source(self, source: dict[str, Any], columns: Any) -> Any:
        """The rows of some files, every one of which must be seen."""
        options = self._map(source["options"])
        found = self.frame(
            self.source.autoLoad(self.session, source["path"], source["format"], options, columns)
        )
        seen = len(set(found.inputFiles()))
        if seen != source.get("files", seen):
            raise RuntimeError(
                f"Spark sees {seen} of the {source['files']} files: {source['path']}"
            )
        return found

    def _map(self, options: dict[str, str]) -> Any:
        found = self.jvm.java.util.HashMap()
        for name, value in options.items():
            found.put(name, value)
        return self.jvm.org.apache.spark.api.python.PythonUtils.toScalaMap(found)

    @staticmethod
    def _write(frame: Any, target: str) -> None:
        frame.write.mode("overwrite").parquet(target)


_SPARK_TYPES = {"bool": "boolean", "int16": "smallint", "int32": "int", "int64": "bigint"}


def _watch(spark: Any, folder: Path, stopped: threading.Event) -> None:
    """Write how far the application is, whenever that changes."""
    context = spark.sparkContext
    tracker = context.statusTracker()
    jobs: set[int] = set()
    shown: dict[str, Any] = {}
    while True:
        try:
            jobs.update(tracker.getActiveJobsIds())
            found = {
                "application": context.applicationId,
                "ui": context.uiWebUrl,
                "text": _stages(tracker, jobs),
            }
            if found != shown:
                _write(folder / "progress.json", found)
                shown = found
        except Exception:
            if stopped.is_set():
                return
        if stopped.wait(0.5):
            return


def _stages(tracker: Any, jobs: set[int]) -> str:
    """``stage 3 of 5, 12 of 40 tasks``, over all stages of all jobs seen so far."""
    stages: set[int] = set()
    for job in jobs:
        info = tracker.getJobInfo(job)
        if info is not None:
            stages.update(info.stageIds)
    known = [info for info in map(tracker.getStageInfo, sorted(stages)) if info is not None]
    if not known:
        return ""
    done = sum(1 for info in known if info.numCompletedTasks >= info.numTasks)
    tasks = sum(info.numTasks for info in known)
    ended = sum(info.numCompletedTasks for info in known)
    return f"stage {min(done + 1, len(stages))} of {len(stages)}, {ended} of {tasks} tasks"


def _write(path: Path, value: dict[str, Any]) -> None:
    """Replace a file by JSON; a reader sees the old one or the new one."""
    staged = path.with_suffix(".new")
    with staged.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
