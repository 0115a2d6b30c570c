"""The Spark engine: tasks to applications, and what an application left to an outcome."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from openmldb_sql.types import Schema, schema_of

from openmldb_embedded import export, load, worker
from openmldb_embedded.columns import type_from_arrow
from openmldb_embedded.durable import sync
from openmldb_embedded.errors import ExecutionError, ResourceLimitError, UnsupportedError
from openmldb_embedded.offline.base import Run
from openmldb_embedded.offline.spark.application import Application, Progress
from openmldb_embedded.offline.spark.conf import SparkConf, write_properties
from openmldb_embedded.paths import is_remote
from openmldb_embedded.stop import Detached, Lost, Stop, Stopped
from openmldb_embedded.store import Store
from openmldb_embedded.workers import Workers

POLL_S = 0.2
DRIVER = Path(__file__).with_name("driver.py")

_KILLED = (129, 130, 137, 143)
"""Exit codes of a driver that a signal ended."""
_CUT_OFF = 75
"""The driver's own exit code where Spark went away from under it."""
_UNCAUGHT = (3, 50, 51, 52)
"""Exit codes of a Java machine that an uncaught error ended."""
_TAIL_BYTES = 1 << 18


class SparkEngine:
    """Runs each task as a Spark application, which outlives the server."""

    name = "spark"
    outlives = True
    reaches = True

    def __init__(self, store: Store, workers: Workers, conf: SparkConf) -> None:
        self.conf = conf
        self.cluster = conf.master
        self._workers = workers
        self._jobs = store.data / "jobs"
        self._applications = store.data / "applications"
        self._applications.mkdir(mode=0o700, exist_ok=True)

    @classmethod
    def of(cls, store: Store, workers: Workers, given: Mapping[str, str]) -> SparkEngine:
        """An engine with the settings given; see ``SparkConf.of``."""
        return cls(store, workers, SparkConf.of(given))

    def _application(self, number: int) -> Application:
        return Application(self._applications / str(number))

    def folder(self, number: int) -> Path:
        """See ``OfflineEngine.folder``."""
        return self._applications / str(number) / "work"

    def begun(self, number: int) -> bool:
        """See ``OfflineEngine.begun``."""
        return self._application(number).begun

    def forget(self, number: int) -> None:
        """See ``OfflineEngine.forget``."""
        self._application(number).remove()

    def abandon(self, number: int) -> None:
        """See ``OfflineEngine.abandon``."""
        application = self._application(number)
        application.end()
        application.remove()

    def perform(self, task: worker.Task, run: Run) -> worker.Outcome:
        """See ``OfflineEngine.perform``."""
        application = self._application(run.number)
        if not application.begun:
            run.stop.check()
            self._launch(application, task, run)
        with run.stop.over(application):
            self._follow(application, run)
        if run.stop.asked:
            raise Stopped("stopped")
        self._check(application, self._jobs / f"{run.number}.log")
        return self._collect(task)

    # ---------------------------------------------------------------- the application

    def _launch(self, application: Application, task: worker.Task, run: Run) -> None:
        run.progress("starting Spark")
        folder = application.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = _task(task) | {"name": f"openmldb job {run.number}"}
        (folder / "task.json").write_text(json.dumps(told), encoding="utf-8")
        properties = self.conf.properties(folder, self._workers.memory_limit)
        if isinstance(task, worker.QueryTask):
            properties["spark.openmldb.default.db"] = task.db
        path = folder / "spark.properties"
        path.touch(mode=0o600)  # it may hold keys to a store
        path.write_text(write_properties(properties), encoding="utf-8")
        command = [
            str(self.conf.home / "bin" / "spark-submit"),
            *("--master", self.conf.master, "--properties-file", str(path)),
            *("--name", told["name"], str(DRIVER), str(folder)),
        ]
        run.log(f"$ {' '.join(command)}")
        application.launch(command, self.conf.env(), self._jobs / f"{run.number}.log")

    def _follow(self, application: Application, run: Run) -> None:
        """Show the progress until the application has ended.

        Raises:
            Detached: The server stops first.
        """
        shown = Progress()
        while application.running():
            if run.stop.detached and not run.stop.asked:
                raise Detached("the server stops; the application goes on")
            now = application.progress()
            if now.application and now.application != shown.application:
                run.started(now.application)
                run.log(f"application {now.application} on {self.conf.master}; Spark UI: {now.ui}")
            if now.text and now.text != shown.text:
                run.progress(now.text)
            shown = now
            time.sleep(POLL_S)

    def _check(self, application: Application, log: Path) -> None:
        """Return if the application did its task.

        Raises:
            Lost: It was cut off.
            ResourceLimitError: It has too little memory.
            ExecutionError: It failed.
        """
        result = application.result()
        code = application.exit_code()
        if result is not None and result.get("ok"):
            return
        if (result or {}).get("too_large") or (result is None and _no_memory(code, log)):
            where = "driver" if self.conf.is_local else "executors"
            name = "spark.driver.memory" if self.conf.is_local else "spark.executor.memory"
            raise ResourceLimitError(
                f"the job needs more memory than Spark's {where} have ({name}): raise it, give "
                f"Spark more partitions (spark.sql.shuffle.partitions), or take less data at once"
            )
        if result is not None:
            raise ExecutionError(str(result.get("message")))
        if code == _CUT_OFF:
            raise Lost("Spark went away while the job ran (see SHOW JOBLOG): run it again")
        if code is None or code in _KILLED:
            how = "it was killed" if code is None else f"signal {code - 128}"
            raise Lost(
                f"the Spark application's driver died ({how}): somebody ended it, or the machine "
                f"has no memory left; run it again"
            )
        raise ExecutionError(
            f"the Spark application ended with exit code {code} and no result: see SHOW JOBLOG"
        )

    # ---------------------------------------------------------------- its result

    def _collect(self, task: worker.Task) -> worker.Outcome:
        """Make what the application wrote durable, and what the caller expects."""
        if isinstance(task, worker.QueryTask) and task.target:
            return worker.Outcome(True)
        parts = Path(task.staging) / "parts"
        if not parts.exists():  # an earlier server gave them their place
            return worker.Outcome(True)
        for path in parts.glob(".*.crc"):
            path.unlink()
        files = sorted(path for path in parts.iterdir() if path.name.startswith("part-"))
        for path in files:
            sync(path)
        sync(parts)
        if isinstance(task, worker.LoadTask):
            _check_not_null(files, task.schema)
            names = tuple(f"parts/{path.name}" for path in files)
            return worker.Outcome(True, _rows(files), names)
        if task.export is not None:
            parquet = task.export.format == "parquet"
            return worker.Outcome(True, _rows(files) if parquet else _lines(files, task.export))
        return self._reply(task, files)

    def _reply(self, task: worker.QueryTask, files: list[Path]) -> worker.Outcome:
        """Turn the rows into the body of an answer, in a process of its own."""
        found = pq.read_schema(files[0])
        schema = schema_of((field.name, type_from_arrow(field.type)) for field in found)
        source = worker.Source(tuple(map(str, files)), load.LoadOptions(format="parquet"))
        rows = worker.TableData("spark", "result", schema, (source,))
        reply = worker.QueryTask(
            "SELECT * FROM result",
            "spark",
            (rows,),
            task.staging,
            max_rows=task.max_rows,
            null_for_nan=task.null_for_nan,
        )
        return self._workers.run(reply, Stop())


def _no_memory(code: int | None, log: Path) -> bool:
    """Whether a Java machine ended because its memory did: its last words say so."""
    if code not in _UNCAUGHT:
        return False
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return b"java.lang.OutOfMemoryError" in file.read()


def _task(task: worker.Task) -> dict[str, Any]:
    """A task as the driver reads it."""
    target = (Path(task.staging) / "parts").as_uri()
    mode = "overwrite"
    if isinstance(task, worker.QueryTask) and task.target and task.export is not None:
        target, mode = task.target, task.export.mode
    if isinstance(task, worker.LoadTask):
        table = worker.TableData("", "", task.schema, (task.source,))
        return {"kind": "load", "tables": [_table(table)], "target": target}
    if task.params:
        raise UnsupportedError("OpenMLDB's batch engine takes no parameters: write the values")
    found: dict[str, Any] = {
        "kind": "reply" if task.export is None else "export",
        "sql": task.sql,
        "tables": [_table(table) for table in task.tables],
        "target": target,
        "max_rows": task.max_rows,
    }
    if task.export is not None:
        given = task.export
        options: dict[str, str | int | bool] = {
            "format": given.format,
            "mode": mode,
            "delimiter": given.delimiter,
            "header": given.header,
            "null_value": given.null_value,
            "quote": given.quote,
            **({"coalesce": given.coalesce} if given.coalesce > 0 else {}),
        }
        if given.format == "parquet":
            options = {k: v for k, v in options.items() if k in ("format", "mode", "coalesce")}
        written = ", ".join(f"{name}={_literal(value)}" for name, value in options.items())
        found["sql"] = f"{task.sql} INTO OUTFILE {_literal(target)} OPTIONS({written})"
    return found


def _literal(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _table(table: worker.TableData) -> dict[str, Any]:
    return {
        "db": table.db,
        "name": table.name,
        "columns": [[c.name, c.type.value] for c in table.schema.columns],
        "sources": [_source(source) for source in _merged(table.sources) if source.files],
    }


def _merged(sources: tuple[worker.Source, ...]) -> Iterator[worker.Source]:
    """Sources of the same options as one: a table loaded day by day has many."""
    together: dict[load.LoadOptions, list[str]] = {}
    for source in sources:
        if is_remote(source.files[0]):
            yield source
            continue
        together.setdefault(source.options, []).extend(source.files)
    for options, files in together.items():
        yield worker.Source(tuple(files), options)


def _source(source: worker.Source) -> dict[str, Any]:
    given = source.options
    options = {}
    if given.format == "csv":
        options = {
            "header": "true" if given.header else "false",
            "delimiter": given.delimiter,
            "nullValue": given.null_value,
            "quote": given.quote or "\0",
        }
    found: dict[str, Any] = {"path": source.files[0], "format": given.format, "options": options}
    if not is_remote(source.files[0]):  # else only Spark knows which files there are
        found |= {"path": _glob(source.files), "files": len(source.files)}
    return found


def _glob(files: tuple[str, ...]) -> str:
    """One Hadoop path for these files and no others; absolute, so it must not begin by a brace.

    Raises:
        ExecutionError: A name holds what means something in such a path. Hadoop's escapes do not
            hold within braces: the file would be left out without a word.
    """
    odd = next((file for file in files if re.search(r"[\\*?\[\]{},]", file)), None)
    if odd is not None:
        raise ExecutionError(
            f"Spark cannot be given the file {odd}: its name holds one of \\ * ? [ ] {{ }} or a "
            f"comma; rename it"
        )
    if len(files) == 1:
        return files[0]
    folder = os.path.commonpath([os.path.dirname(file) for file in files])  # noqa: PTH120 - text
    names = ",".join(os.path.relpath(file, folder) for file in files)
    return f"{folder.rstrip('/')}/{{{names}}}"


def _rows(files: list[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in files)


def _lines(files: list[Path], options: export.ExportOptions) -> int:
    """Lines of CSV parts without their headers: rows, but for texts of several lines."""
    lines = 0
    for path in files:
        with path.open("rb") as file:
            count = sum(1 for _ in file)
        lines += max(0, count - 1) if options.header else count
    return lines


def _check_not_null(files: list[Path], schema: Schema) -> None:
    """Refuse NULLs where a table has none: the batch engine itself does not look."""
    for place, column in enumerate(schema.columns):
        if not column.not_null:
            continue
        for path in files:
            metadata = pq.read_metadata(path)
            for group in range(metadata.num_row_groups):
                statistics = metadata.row_group(group).column(place).statistics
                if statistics is not None and statistics.null_count:
                    raise ExecutionError(f"column {column.name} is NOT NULL but holds nulls")
