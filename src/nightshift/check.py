"""`./nightshift check`: all that can be known of a pipeline before a night, at once, in seconds."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift.config.gates import GatesConfig
from nightshift.config.pipeline import NAME, FeatureFiles, PipelineConfig
from nightshift.config.reading import Problem, inspect
from nightshift.config.yamlfile import nearest
from nightshift.errors import NightshiftError
from nightshift.pipeline import CONFIG, Pipeline, names
from nightshift.settings import Settings

if TYPE_CHECKING:
    from nightshift.data.declared import Declared
    from nightshift.features.specification import FeatureSpec

_INTEGERS = frozenset({"bool", "int16", "int32", "int64"})


def check_pipeline(settings: Settings, name: str) -> list[Problem]:
    """Every problem of a pipeline's folder and of the newest partitions it would read.

    Nothing is run and no server is asked. Later checks build on earlier ones: where a file
    cannot be read at all, what depends on it is not judged.

    Args:
        settings: the machine.
        name: the pipeline.
    """
    folder = settings.pipelines / name
    if not NAME.fullmatch(name) or not (folder / CONFIG).is_file():
        known = names(settings)
        hint = nearest(name, known).removeprefix("; ") or f"known: {', '.join(known) or 'none'}"
        return [Problem(str(folder / CONFIG), "", f"there is no pipeline {name!r}", hint)]
    config, problems = inspect(PipelineConfig, folder / CONFIG)
    if config is None:
        return problems
    if config.family == "ctr" and config.features is None:
        config = config.model_copy(update={"features": FeatureFiles()})
    pipeline = Pipeline(settings, name, folder, config)
    return [*problems, *_Checker(pipeline).run()]


class _Checker:
    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.problems: list[Problem] = []

    def run(self) -> list[Problem]:
        self._schedule()
        self._gates_run()
        gates = self._gates()
        self._hyperparameters()
        self._dag_file()
        if self.pipeline.has_features:
            self._features(gates)
        elif not self.pipeline.module.is_file():
            self.add(self.pipeline.module, "", "is not there", "write it, or name another `module`")
        return self.problems

    def add(
        self, file: Path | str, key: str, message: str, fix: str = "", *, warn: bool = False
    ) -> None:
        self.problems.append(Problem(str(file), key, message, fix, "warning" if warn else "error"))

    @contextlib.contextmanager
    def _told(self, file: Path) -> Iterator[None]:
        """What a reader raises becomes a problem of its file."""
        try:
            yield
        except NightshiftError as error:
            message, _, fix = str(error).removeprefix(str(file)).lstrip(": ").rpartition("; ")
            if not message:
                message, fix = fix, ""
            self.add(file, "", message, fix)

    # pipeline.yaml

    @property
    def _config_file(self) -> Path:
        return self.pipeline.folder / CONFIG

    def _schedule(self) -> None:
        schedule = self.pipeline.config.schedule
        if schedule == "off":
            return
        from croniter import croniter

        if not croniter.is_valid(schedule):
            self.add(
                self._config_file,
                "schedule",
                f"{schedule!r} is not a cron expression",
                "write minute, hour, day, month and weekday, such as '0 2 * * *', or off",
            )

    def _gates_run(self) -> None:
        from nightshift.gates.registry import GATES

        for name in self.pipeline.config.gates_run:
            gate = GATES.get(name)
            if gate is None:
                fix = nearest(name, GATES).removeprefix("; ") or f"known: {', '.join(GATES)}"
                self.add(self._config_file, "gates_run", f"there is no gate {name!r}", fix)
            elif self.pipeline.family not in gate.families:
                self.add(
                    self._config_file,
                    "gates_run",
                    f"the gate {name} cannot judge a pipeline of the family {self.pipeline.family}",
                    "leave it out",
                )

    def _dag_file(self) -> None:
        stub = self.pipeline.settings.project / "dags" / f"{self.pipeline.name}.py"
        if not stub.is_file():
            self.add(
                stub,
                "",
                "is not there, so Airflow has no DAG of this pipeline",
                "./nightshift up writes it",
                warn=True,
            )

    # gates.yaml, hyperparameters.yaml

    def _gates(self) -> GatesConfig | None:
        path = self.pipeline.gates_file
        if not path.exists():
            return GatesConfig()
        gates, problems = inspect(GatesConfig, path)
        self.problems += problems
        return gates

    def _hyperparameters(self) -> None:
        path = self.pipeline.hyperparameters
        if self.pipeline.family != "ctr" or not path.exists():
            return
        with self._told(path):
            importlib.import_module("tasks.ctr.train.hyperparameters").load(path)

    # The files of the features, alone and against each other

    def _features(self, gates: GatesConfig | None) -> None:
        files = self.pipeline.features
        declared = self._declared()
        spec: FeatureSpec | None = None
        with self._told(files.spec_file):
            spec = files.spec
        if gates is not None and spec is not None:
            self._names_in_gates(gates, spec)
        query = None
        with self._told(files.sql):
            query = files.query()
        if query is None or declared is None:
            return
        columns = self._query(query, declared)
        if spec is not None:
            self._lookback(spec)
            if columns is not None:
                self._columns(spec, columns)
        self._partitions(declared)

    def _declared(self) -> dict[str, Declared] | None:
        from nightshift.data.declared import declared_tables

        files = self.pipeline.features
        with self._told(files.tables_file):
            tables = files.tables
            with self._told(files.create_tables):
                script = files.create_script()
                return declared_tables(tables, script, str(files.create_tables))
        return None

    def _names_in_gates(self, gates: GatesConfig, spec: FeatureSpec) -> None:
        def known(key: str, given: Iterable[str]) -> None:
            for name in given:
                if name not in spec.names:
                    fix = nearest(name, spec.names).removeprefix("; ") or "remove it"
                    self.add(self.pipeline.gates_file, key, f"{name!r} is not a feature", fix)

        known("data.nulls.except", gates.data.nulls.except_)
        known("data.drift.except", gates.data.drift.except_)
        known("quality.slices", gates.quality.slices)

    def _lookback(self, spec: FeatureSpec) -> None:
        from nightshift.plan import check_lookback

        with self._told(Path(spec.source)):
            check_lookback(self.pipeline)

    def _query(
        self, query: str, declared: Mapping[str, Declared]
    ) -> tuple[tuple[str, str], ...] | None:
        """What OpenMLDB's compiler says; name and type of each output column where it knows."""
        from openmldb_compiler import advice, available, unavailable_reason

        files = self.pipeline.features
        if not available():
            self.add(
                files.sql,
                "",
                f"OpenMLDB's compiler is not on this machine ({unavailable_reason()}), so the "
                "query was not compiled",
                warn=True,
            )
            return None
        schemas = _schemas(files.create_script())
        database = "pipeline"
        told: set[str] = set()
        for mode in ("batch", "request"):
            for problem in advice.check_query(query, database, schemas, mode):
                text = str(problem.message)
                if text in told:
                    continue
                told.add(text)
                line = f"line {problem.line}" if problem.line else ""
                offline = "offline" if mode == "batch" else "as a deployment"
                self.add(
                    files.sql, line, f"OpenMLDB 0.9.2 refuses it {offline}: {text}",
                    problem.hint or "",
                )  # fmt: skip
        if told:
            return None
        verdict = advice.judge(query, database, schemas, "request")
        if verdict.columns is None:
            return None
        return tuple((name, str(getattr(kind, "value", kind))) for name, kind in verdict.columns)

    def _columns(self, spec: FeatureSpec, columns: tuple[tuple[str, str], ...]) -> None:
        """The specification against what the query gives, column by column."""
        from nightshift.features.specification import sql_type

        given: dict[str, str] = {}
        for name, kind in columns:
            if name in given:
                self.add(
                    self.pipeline.features.sql, name, "the query gives this column twice",
                    "give one of them another name with AS",
                )  # fmt: skip
            given[name] = sql_type(kind)
        file = spec.source
        for name, expected in spec.expected_types.items():
            if name not in given:
                hint = nearest(name, given.keys() - spec.expected_types.keys())
                self.add(
                    file, name, "the query does not give this column",
                    hint.removeprefix("; ") or "select it, or remove it here",
                )  # fmt: skip
            elif expected is not None and given[name] != expected:
                self.add(
                    file, name, f"is {given[name]} in the query and {expected} here",
                    f"write type {given[name]}, or cast it in the query",
                )  # fmt: skip
        for name in given:
            if name not in spec.expected_types:
                self.add(
                    file, name, "the query gives this column and nothing here names it",
                    "name it under categorical, numeric, keys or ignored",
                )  # fmt: skip
        if given.get(spec.time, "timestamp") != "timestamp":
            self.add(
                file, "time", f"{spec.time} is {given[spec.time]} in the query",
                "the time of a request must be a timestamp",
            )  # fmt: skip
        if given.get(spec.label, "int32") not in _INTEGERS:
            self.add(
                file, "label", f"{spec.label} is {given[spec.label]} in the query",
                "the label must be 0 or 1, or a boolean; cast it in the query",
            )  # fmt: skip

    # Partitions

    def _partitions(self, declared: Mapping[str, Declared]) -> None:
        """The newest files of each table against its declaration, by their footers."""
        from nightshift.data import reading

        data = self.pipeline.data
        if not data.is_dir():
            self.add(
                data, "", "there is no source table yet",
                f"./nightshift data load --pipeline {self.pipeline.name} --from FOLDER",
                warn=True,
            )  # fmt: skip
            return
        for name, table in declared.items():
            folder = data / name
            if table.time is not None:
                days = sorted(folder.glob("ds=????-??-??"))
                folder = days[-1] if days else folder
            found = reading.parquet_files(folder)
            if not found:
                self.add(
                    folder, "", f"table {name} has no partition with files",
                    f"./nightshift data load --pipeline {self.pipeline.name} --from FOLDER",
                    warn=True,
                )  # fmt: skip
            for path in found[-1:]:
                self._file(path, table)

    def _file(self, path: Path, table: Declared) -> None:
        from openmldb_files import columns_of, differences, spark_faults
        from openmldb_files.errors import FileError

        try:
            columns = columns_of(path)
            faults = spark_faults(path)
        except FileError as error:
            self.add(path, "", str(error).removeprefix(f"{path}: "))
            return
        for one in differences(columns, table.columns, table.name):
            self.add(path, one.column, one.reason)
        for fault in faults:
            if fault.column in table.columns:
                self.add(path, fault.column or "", f"Spark 3.2 does not read {fault.reason}")


def _schemas(script: str) -> dict[str, Any]:
    from openmldb_sql import statements

    return {
        made.table.name: made.schema
        for made in map(statements.parse, statements.split(script))
        if isinstance(made, statements.CreateTable)
    }
