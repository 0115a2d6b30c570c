"""The checks of one pipeline, file by file and each file against the others."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openmldb_sql import statements, syntax
from openmldb_sql.errors import LimitError, SqlError
from openmldb_sql.parse import parse_select

from nightshift import layout
from nightshift.check import bounds, doubts, operands
from nightshift.check.module import batch_of, module_problems
from nightshift.check.places import hint, problems_of
from nightshift.check.spelling import unknown_names
from nightshift.config.gates import GatesConfig
from nightshift.config.pipeline import NAME, PipelineConfig
from nightshift.config.reading import Problem, inspect, parse
from nightshift.config.yamlfile import load_yaml_mapping, nearest
from nightshift.data.load import declared_meanings
from nightshift.errors import NightshiftError
from nightshift.modules import of_tasks
from nightshift.pipeline import CONFIG, Pipeline, names
from nightshift.release import canary
from nightshift.settings import Settings

if TYPE_CHECKING:
    from openmldb_sql.types import IndexDef, Schema

    from nightshift.data.declared import Declared
    from nightshift.features.reach import Output, Reach
    from nightshift.features.specification import FeatureSpec

_MOST_FILES = 20
"""Files of a partition whose schemas are looked at."""

_MOST_DAYS = 400
"""Days of a table whose columns are looked at."""

_MOST_NAMES = 8
"""Columns that are missing, each told by itself; more are told at once."""

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
        return [_no_pipeline(settings, name)]
    config, problems = inspect(PipelineConfig, folder / CONFIG)
    if config is None:
        config = _as_far_as_right(folder / CONFIG, problems)
        if config is None:
            return problems
    found = _Checker(Pipeline(settings, name, folder, config)).run()
    if problems:  # keys that were passed over have their defaults, which nobody wrote
        found = [one for one in found if one.file != str(folder / CONFIG)]
    return [*problems, *found]


def _no_pipeline(settings: Settings, name: str) -> Problem:
    """Why a name is no pipeline's."""
    file = settings.pipelines / name / CONFIG
    if file.is_file() and Path(name).name == name:
        why = f"{name!r} is not a valid pipeline name, so nothing reads this folder"
        return Problem(
            str(file),
            "",
            why,
            "rename it: a-z, digits and _, a letter first, 30 characters at most",
        )
    known = [one for one in names(settings) if one != name]
    fix = nearest(name, known).removeprefix("; ") or f"known: {', '.join(known) or 'none'}"
    return Problem(str(file), "", f"there is no pipeline {name!r}", fix)


def _as_far_as_right(path: Path, problems: Sequence[Problem]) -> PipelineConfig | None:
    """`pipeline.yaml` without the keys that are wrong, so that the other files are checked, too."""
    wrong = {problem.key.partition(".")[0] for problem in problems}
    if wrong & {"", "family", "features"}:
        return None
    try:
        content = load_yaml_mapping(path)
    except NightshiftError:
        return None
    kept = {key: value for key, value in content.items() if key not in wrong}
    return parse(PipelineConfig, {**kept, "version": 1}, source=str(path))[0]


class _Checker:
    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.problems: list[Problem] = []
        self._proposed: tuple[Mapping[str, Iterable[IndexDef]], Mapping[str, Any]] = ({}, {})

    @functools.cached_property
    def _requests(self) -> dict[dt.date, int]:
        """Requests by day of the newest window."""
        return doubts.requests_by_day(self.pipeline)

    def run(self) -> list[Problem]:
        self._schedule()
        self._names()
        self._gates_run()
        gates = self._gates()
        hyperparameters = self._hyperparameters()
        self._dag_file()
        if self.pipeline.has_features:
            self._features(gates, hyperparameters)
        if "module" in self.pipeline.config.kind.parts:
            self._module()
        return self.problems

    def _doubt(self, file: Path | str, found: Iterable[doubts.Doubt]) -> None:
        for one in found:
            self.add(file, one.key, one.why, one.fix, warn=True)

    def add(
        self, file: Path | str, key: str, message: str, fix: str = "", *, warn: bool = False
    ) -> None:
        self.problems.append(Problem(str(file), key, message, fix, "warning" if warn else "error"))

    @contextlib.contextmanager
    def _told(self, file: Path) -> Iterator[None]:
        """What a reader raises becomes problems of the file that each begins with, or else this."""
        try:
            yield
        except NightshiftError as error:
            self.problems += problems_of(str(error), [str(file), *map(str, self._files())])

    def _files(self) -> list[Path]:
        if not self.pipeline.has_features:
            return []
        files = self.pipeline.features
        return [files.sql, files.create_tables, files.tables_file, files.spec_file]

    # pipeline.yaml

    @property
    def _config_file(self) -> Path:
        return self.pipeline.folder / CONFIG

    def _schedule(self) -> None:
        schedule = self.pipeline.config.schedule
        if schedule == "off":
            self._doubt(self._config_file, doubts.of_config(self.pipeline.config))
            return
        from croniter import CroniterBadDateError, croniter

        fix = "write minute, hour, day, month and weekday, such as '0 2 * * *', or off"
        if not croniter.is_valid(schedule):
            self.add(self._config_file, "schedule", f"{schedule!r} is not a cron expression", fix)
            return
        try:
            croniter(schedule, dt.datetime(2024, 1, 1)).get_next()
        except CroniterBadDateError:
            self.add(self._config_file, "schedule", f"{schedule!r} names a day that never comes")
            return
        self._doubt(self._config_file, doubts.of_config(self.pipeline.config))

    def _names(self) -> None:
        """What another pipeline has taken."""
        mine = self.pipeline
        for name in names(mine.settings):
            if name == mine.name:
                continue
            other, _ = inspect(PipelineConfig, mine.settings.pipelines / name / CONFIG)
            if other is None:
                continue
            for key in ("model", "database"):
                value = getattr(mine.config, key)
                if value is not None and value == getattr(other, key):
                    self.add(
                        self._config_file, key, f"{value!r} is the pipeline {name}'s, too",
                        "choose another name, or leave the key out",
                    )  # fmt: skip

    def _gates_run(self) -> None:
        from nightshift.gates.registry import GATES

        chosen = self.pipeline.config.gates_run
        if not chosen:
            self.add(
                self._config_file, "gates_run", "no gate runs, so that every candidate goes live",
                "name some, or leave the key out", warn=True,
            )  # fmt: skip
        for name in sorted({name for name in chosen if chosen.count(name) > 1}):
            self.add(self._config_file, "gates_run", f"{name!r} is given twice", "remove one")
        for name in dict.fromkeys(chosen):
            gate = GATES.get(name)
            if gate is None:
                fix = nearest(name, GATES).removeprefix("; ") or f"known: {', '.join(GATES)}"
                self.add(self._config_file, "gates_run", f"there is no gate {name!r}", fix)
            elif self.pipeline.config.kind.lacks(gate.needs):
                self.add(
                    self._config_file,
                    "gates_run",
                    f"the gate {name} cannot judge a pipeline of the family {self.pipeline.family}",
                    "leave it out",
                )

    def _dag_file(self) -> None:
        stub = self.pipeline.settings.dags / f"{self.pipeline.name}.py"
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
        if not path.exists() and not self.pipeline.names_file("gates"):
            return GatesConfig()
        gates, problems = inspect(GatesConfig, path)
        self.problems += problems
        if gates is not None:
            unused = gates.model_fields_set - {"data", *self.pipeline.config.gates_run}
            for name in sorted(unused):
                self.add(
                    path, name, "the gate does not run, so that nothing is judged by these thresholds",
                    f"add {name} to gates_run of {CONFIG}, or remove the key", warn=True,
                )  # fmt: skip
            self._doubt(path, bounds.perfect(gates, self.pipeline.config.gates_run))
        return gates

    def _hyperparameters(self) -> Any:
        path = self.pipeline.hyperparameters
        if self.pipeline.config.kind.settings is None:
            if self.pipeline.names_file("hyperparameters") and not path.exists():
                self.add(path, "", "is not there", "write it, or leave the key out")
            return None
        with self._told(path):
            return self._settings().load(path)
        return None

    def _module(self) -> None:
        if not self.pipeline.module.is_file():
            self.add(self.pipeline.module, "", "is not there", "write it, or name another `module`")
            return
        options: Mapping[str, Any] = {}
        path = self.pipeline.hyperparameters
        if path.exists():
            with self._told(path):
                options = load_yaml_mapping(path)
        self.problems += module_problems(self.pipeline.module, options, path)
        if self.pipeline.config.serving.max_batch_size and batch_of(self.pipeline.module) == 0:
            self.add(
                self._config_file, "serving.max_batch_size",
                f"has no effect: {self.pipeline.module.name} declares no batch dimension",
                "leave it out, or let the module set MAX_BATCH_SIZE to the rows that it takes",
            )  # fmt: skip

    def _settings(self) -> Any:
        return of_tasks(self.pipeline.settings.project, str(self.pipeline.config.kind.settings))

    # The files of the features, alone and against each other

    def _features(self, gates: GatesConfig | None, hyperparameters: Any) -> None:
        files = self.pipeline.features
        declared = self._declared()
        spec: FeatureSpec | None = None
        with self._told(files.spec_file):
            spec = files.spec
        if gates is not None and spec is not None:
            self._names_in_gates(gates, spec)
        if spec is not None:
            self._days(spec)
            self._recommended_days(spec)
            if hyperparameters is not None:
                for key, message, fix in self._settings().problems(hyperparameters, spec.fields):
                    self.add(self.pipeline.hyperparameters, key, message, fix)
                device = self.pipeline.settings.task_device
                for key, message, fix in self._settings().on_device(hyperparameters, device):
                    self.add(self.pipeline.hyperparameters, key, message, fix)
                for key, message, fix in self._settings().unused(hyperparameters):
                    self.add(self.pipeline.hyperparameters, key, message, fix, warn=True)
            with contextlib.suppress(NightshiftError):  # told with the tables
                self._doubt(spec.source, doubts.settled_twice(files.tables, spec))
        query = None
        with self._told(files.sql):
            query = files.query()
        if declared is not None:
            with self._told(self._config_file):
                wrong = self.pipeline.recommend_problems()
                self.problems += wrong or self._liked(declared)
            given = self.pipeline.config.live.canary
            if given is not None:
                with self._told(self._config_file):
                    canary.check_column(self.pipeline, given.column)
            self._times(declared)
            with self._told(files.tables_file):
                declared_meanings(files.tables, declared)
            self._doubt(self._config_file, doubts.missing_lists(self.pipeline))
            with self._told(self.pipeline.data):
                self._doubt(self._config_file, doubts.missing_days(self.pipeline))
                if gates is not None:
                    least = gates.data.rows.min
                    few = doubts.too_few_rows(self._requests, least)
                    self._doubt(self.pipeline.gates_file, few)
            if spec is not None:
                self._hidden(declared, spec)
        schemas = self._created()
        if query is not None and schemas is not None:
            columns = self._query(query, schemas)
            if declared is not None:
                reach, outputs = self._reach(query, declared, spec)
                if gates is not None and spec is not None and reach is not None:
                    self._bounds(gates, spec, query, declared, reach, outputs)
            self._proposals(*self._proposed)
            if spec is not None and columns is not None:
                self._columns(spec, columns)
        if declared is not None:
            self._partitions(declared)

    def _created(self) -> dict[str, Schema] | None:
        """The tables of the script, whatever `tables.yaml` says of them."""
        with contextlib.suppress(SqlError, NightshiftError):
            return _schemas(self.pipeline.features.create_script())
        return None

    def _days(self, spec: FeatureSpec) -> None:
        """Whether the window leaves a day to learn from."""
        files, window = self.pipeline.features, self.pipeline.config.train_days
        settle = None
        with contextlib.suppress(NightshiftError):
            settle = files.tables.label_settle_days
        settle = spec.label_settle_days if settle is None else settle
        held = spec.valid_days + spec.test_days
        if window <= settle + held:
            self.add(
                self._config_file, "train_days",
                f"of {window} days {settle} have no settled label and {held} are held out "
                f"(valid_days {spec.valid_days}, test_days {spec.test_days} of {spec.source}), so "
                "that none is left to learn from",
                f"give at least {settle + held + 1}, or hold out fewer days",
            )  # fmt: skip

    def _recommended_days(self, spec: FeatureSpec) -> None:
        """Whether the retrievers of `recommend` are left a day to learn from."""
        options = self.pipeline.config.recommend
        if options is None:
            return
        window = options.days or self.pipeline.config.train_days
        held = options.test_days or spec.test_days
        if window <= held:
            key = "recommend.test_days" if options.test_days else "recommend.days"
            self.add(
                self._config_file, key,
                f"of {window} days of interactions {held} are held out, so that none is left to "
                "learn from",
                f"hold out fewer than {window}, or take more than {held} days",
            )  # fmt: skip

    def _liked(self, declared: Mapping[str, Declared]) -> list[Problem]:
        """Whether the values that make an interaction liked fit their columns' types."""
        from nightshift.recommend import filters

        options = self.pipeline.config.recommend
        if options is None or not options.interactions.where:
            return []
        table = options.interactions.table or self.pipeline.features.tables.request_table
        empty = declared[table].arrow_schema().empty_table()

        def judged(name: str, condition: Any) -> Problem | None:
            try:
                filters.mask(empty, {name: condition}, f"where of {table}")
            except NightshiftError as error:
                return Problem(
                    str(self._config_file),
                    f"recommend.interactions.where.{name}",
                    str(error),
                    "give values of the column's type; text stands in quotes, a number does not",
                )
            return None

        where = options.interactions.where
        return [one for name in where if (one := judged(name, where[name])) is not None]

    def _hidden(self, declared: Mapping[str, Declared], spec: FeatureSpec) -> None:
        """Columns that the request log hides are there: a slip would keep what must not be kept."""
        log = self.pipeline.config.live.log
        request = declared[self.pipeline.features.tables.request_table]
        known = {*request.columns, *spec.expected_types}
        for key in ("hashed", "omitted"):
            for name in getattr(log, key):
                if name not in known:
                    fix = nearest(name, known).removeprefix("; ")
                    self.add(
                        self._config_file, f"live.log.{key}",
                        f"{name!r} is not a column of a request or a feature row, so nothing is hidden",
                        fix or "name a column of the request table or the feature query",
                    )  # fmt: skip

    def _times(self, declared: Mapping[str, Declared]) -> None:
        """The columns that tables.yaml names, by their types."""
        files = self.pipeline.features
        tables = files.tables
        for name, table in declared.items():
            if table.time is not None and table.columns[table.time] != "timestamp":
                self.add(
                    files.tables_file, f"events.{name}",
                    f"{table.time} is {table.columns[table.time]} in {files.create_tables.name}",
                    "name the timestamp that says which day a row belongs to",
                )  # fmt: skip
        kind = declared[tables.request_table].columns[tables.request_id]
        if kind not in ("string", "int16", "int32", "int64"):
            self.add(
                files.tables_file, "requests.id",
                f"{tables.request_id} is {kind} in {files.create_tables.name}",
                "a request is named by a text or a whole number",
            )  # fmt: skip

    def _reach(
        self, query: str, declared: Mapping[str, Declared], spec: FeatureSpec | None
    ) -> tuple[Reach | None, Sequence[Output]]:
        """What the query reads: the indexes for it, the days it looks back, where columns come from."""
        from nightshift.check import indexes
        from nightshift.features import lineage

        files = self.pipeline.features
        columns = {name: list(table.columns) for name, table in declared.items()}
        self._distinct(query)
        self._text(query, declared, spec)
        reach: Reach | None = None
        outputs: Sequence[Output] = ()
        with self._told(files.sql):
            source = str(files.sql)
            reach = lineage.reach_of(query, tables=files.tables, columns=columns, source=source)
            outputs = lineage.outputs_of(query, tables=files.tables, columns=columns, source=source)
        for text in _unlike(declared, reach, files.tables.request_table):
            self.add(files.sql, "", text, "make them columns of one type")
        found = indexes.faults(declared, reach, files.tables.label_table)
        for fault in found:
            self.add(files.create_tables, fault.table, fault.why, fault.fix)
        if reach is not None and not found:
            self._expiry(declared, reach, spec)
        if reach is not None:
            self._instants(reach)
            self._doubt(files.sql, doubts.endless(reach))
            with self._told(self.pipeline.data):
                self._doubt(files.sql, doubts.shared_label(self.pipeline, reach))
            self._future(declared, reach)
            self._unordered(declared, reach)
        if reach is not None and spec is not None:
            self._lookback(spec)
            self._origins(spec, {output.name: output for output in outputs})
        return reach, outputs

    def _bounds(
        self,
        gates: GatesConfig,
        spec: FeatureSpec,
        query: str,
        declared: Mapping[str, Declared],
        reach: Reach,
        outputs: Sequence[Output],
    ) -> None:
        """Thresholds that the newest data, or what passed before, would not keep."""
        from nightshift.check import labels

        pipeline, file = self.pipeline, self.pipeline.gates_file
        tables = pipeline.features.tables
        with contextlib.suppress(NightshiftError):  # what cannot be read is told with the days
            requests = self._requests
            source = declared[tables.label_table or tables.request_table]
            found = labels.positives(pipeline, spec, query, reach, list(source.columns), requests)
            if found is not None and found.odd is not None:
                self.add(
                    pipeline.features.sql, spec.label,
                    f"the label is {found.odd!r} for requests of the newest days; a night fails on "
                    "what is not 0, 1 or NULL",
                    "compare it in the query, such as CASE WHEN ... THEN 1 ELSE 0 END",
                )  # fmt: skip
            elif found is not None:
                self._doubt(file, bounds.share_of_positives(gates, found))
            self._doubt(file, bounds.days_of_rows(gates, requests))
            self._doubt(file, bounds.nulls(pipeline, gates, outputs, requests))
            if requests and "consistency" in pipeline.config.gates_run:
                self._doubt(file, bounds.too_few_compared(gates, sum(requests.values())))
        told = frozenset(one.key for one in self.problems if one.file == str(file))
        self._doubt(file, bounds.of_the_past(pipeline, gates, spec, told))

    def _distinct(self, query: str) -> None:
        """DISTINCT, which the engines read differently."""
        with contextlib.suppress(SqlError, RecursionError):
            tree = syntax.nodes(parse_select(query, strict=False))
            if any(isinstance(node, syntax.Select) and node.distinct for node in tree):
                self.add(
                    self.pipeline.features.sql, "SELECT DISTINCT",
                    "OpenMLDB leaves DISTINCT out over online tables; the embedded server does not",
                    "remove it: a feature query gives one row for each request, and LAST JOIN takes "
                    "one row of a table", warn=True,
                )  # fmt: skip

    def _text(self, query: str, declared: Mapping[str, Declared], spec: FeatureSpec | None) -> None:
        columns = [name for table in declared.values() for name in table.columns]
        with contextlib.suppress(SqlError, RecursionError):
            tree = parse_select(query, strict=False)
            file = self.pipeline.features.sql
            kinds = {name: table.columns for name, table in declared.items()}
            self._doubt(file, operands.operands(tree, kinds))
            if spec is not None:
                self._doubt(file, doubts.constants(tree, spec, columns))
                self._doubt(file, doubts.rows_doubled(tree))
                self._doubt(file, doubts.months(query))

    def _expiry(
        self, declared: Mapping[str, Declared], reach: Reach, spec: FeatureSpec | None
    ) -> None:
        """Tables that keep rows for ever, or hardly longer than the query reaches."""
        from nightshift.check import expiry

        files = self.pipeline.features
        lookback = spec.lookback_days if spec is not None else {}
        for one in expiry.advice(self.pipeline, declared, reach, lookback):
            self.add(files.create_tables, one.table, one.why, one.fix, warn=True)

    def _instants(self, reach: Reach) -> None:
        """Windows that count, offline only, what a request led to at its own instant."""
        from nightshift.check import instants

        if self.pipeline.config.live.same_instant == "before":
            return
        with self._told(self.pipeline.data):
            for one in instants.shared(self.pipeline, reach):
                self.add(
                    self.pipeline.features.sql, one.window,
                    f"it ends at the request's own instant, which {one.requests} of {one.of} "
                    f"requests of {one.day} share with a row of {one.table}: training counts such "
                    "rows, and a request that is served does not see them yet",
                    "add EXCLUDE CURRENT_TIME to the window, or end it at 1s PRECEDING; or post such "
                    "events before the request and say live: {same_instant: before}; "
                    "`./nightshift observe` prices what live requests lack", warn=True,
                )  # fmt: skip

    def _future(self, declared: Mapping[str, Declared], reach: Reach) -> None:
        """Joins that take a row of any time: over history that is one from after the request."""
        files = self.pipeline.features
        for join in reach.joins:
            table = reach.read(join.read).table
            time = declared[table].time if table in declared else None
            if time is None or join.stands or join.before or table == files.tables.label_table:
                continue
            found = "by their key alone, whatever their" if join.whole else "whatever their"
            self.add(
                files.sql, f"LAST JOIN {table}",
                f"its rows are found {found} {time}: over history a "
                "request gets the newest row there is, also one from after it, and the model would "
                "learn from what is not known when a request is served",
                f"add AND {table}.{time} <= {files.tables.request_table}."
                f"{files.tables.request_time} to its condition", warn=True,
            )  # fmt: skip

    def _unordered(self, declared: Mapping[str, Declared], reach: Reach) -> None:
        """Joins of events without ORDER BY, which training and serving answer by other rows."""
        files = self.pipeline.features
        for join in reach.joins:
            table = reach.read(join.read).table
            time = declared[table].time if table in declared else None
            if time is None or join.order or join.stands or join.groups is not None:
                continue
            if table in (files.tables.label_table, files.tables.request_table):
                continue
            self.add(
                files.sql, f"LAST JOIN {table}",
                "it has no ORDER BY: of several rows that it finds training takes an arbitrary one, "
                "and a request that is served the newest",
                f"write LAST JOIN {table} ORDER BY {table}.{time} ON ...", warn=True,
            )  # fmt: skip

    def _origins(self, spec: FeatureSpec, outputs: Mapping[str, Output]) -> None:
        """Key, time and label are what they are called, and no feature knows the label."""
        files = self.pipeline.features
        tables = files.tables
        request = tables.request_table
        for role, name, column in (
            ("the first of keys", spec.keys[0] if spec.keys else "", tables.request_id),
            ("time", spec.time, tables.request_time),
        ):
            if name in outputs and outputs[name].origin != (request, column):
                self.add(
                    files.sql, name,
                    f"it is not {request}.{column}, but {Path(spec.source).name} has it as {role} "
                    f"and {tables.source} says that requests have that column for it",
                    f"select `{column}` AS {name}, or correct the name",
                )  # fmt: skip
        label = outputs.get(spec.label)
        if label is None:
            return
        source = tables.label_table
        if source is None and not label.tables <= {request}:
            other = ", ".join(sorted(label.tables - {request}))
            self.add(
                files.tables_file, "label",
                f"the label {spec.label} comes from {other}, which is not said to give it",
                f"write label: {other}",
            )  # fmt: skip
        elif source is not None and source not in label.tables:
            self.add(
                files.tables_file, "label",
                f"the label {spec.label} of {files.sql.name} does not come from {source}",
                f"it comes from {', '.join(sorted(label.tables)) or 'no table'}",
            )  # fmt: skip
        for name in spec.names:
            one = outputs.get(name)
            if one is not None and one.origin == (request, tables.request_id):
                self.add(
                    spec.source, name,
                    f"it is {request}.{tables.request_id}, which names a request: each row has a value "
                    "of its own, so that nothing is learned by it",
                    "put it under keys",
                )  # fmt: skip
            if one is not None and (
                source in one.tables or (one.origin is not None and one.origin == label.origin)
            ):
                self.add(
                    files.sql, name,
                    f"it comes from {source or request}, as the label does: the model would learn "
                    "from what is not known yet when a request is served",
                    f"take it out, or put it under ignored in {Path(spec.source).name}",
                )  # fmt: skip

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
        single = [f.name for f in spec.fields if f.number is None and f.tokens is None]
        for name in gates.quality.slices:
            if name in spec.names and name not in single:
                self.add(
                    self.pipeline.gates_file, "quality.slices",
                    f"{name!r} is not a field of one id a row, so that no row has a new value of it",
                    f"choose of {', '.join(single[:5]) or 'none'}",
                )  # fmt: skip

    def _lookback(self, spec: FeatureSpec) -> None:
        from nightshift.plan import check_lookback

        with self._told(Path(spec.source)):
            check_lookback(self.pipeline)

    def _query(self, query: str, schemas: dict[str, Schema]) -> tuple[tuple[str, str], ...] | None:
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
        with contextlib.suppress(SqlError):  # OpenMLDB's own parser says what is wrong
            if not isinstance(statements.parse(query), statements.Select):
                self.add(
                    files.sql, "", f"is not a SELECT: it begins with {' '.join(query.split())[:40]!r}",
                    "write the feature query, or name another file under features.sql",
                )  # fmt: skip
                return None
        try:
            parse_select(query)
        except LimitError:
            return None  # told with what the query reads; the compiler takes minutes over it
        except SqlError:
            pass
        database = "pipeline"
        told: set[str] = set()
        for mode in ("batch", "request"):
            for problem in advice.check_query(query, database, schemas, mode):
                text = " ".join(str(problem.message).split())
                if text in told:
                    continue
                told.add(text)
                line = f"line {problem.line}" if problem.line else ""
                offline = "offline" if mode == "batch" else "as a deployment"
                self.add(
                    files.sql, line, f"OpenMLDB 0.9.2 refuses it {offline}: {text}",
                    problem.hint or hint(text),
                )  # fmt: skip
        if told:
            for one in unknown_names(query, schemas):
                if not any(re.search(rf"\b{re.escape(one.name)}\b", text) for text in told):
                    line = f"line {one.line}" if one.line else ""
                    self.add(files.sql, line, f"there is no {one.kind} {one.name}", one.fix)
            return None
        self._offline_engine(query)
        self._proposed = (advice.propose_indexes(query, database, schemas), schemas)
        verdict = advice.judge(query, database, schemas, "request")
        if verdict.columns is None:
            return None
        return tuple((name, str(getattr(kind, "value", kind))) for name, kind in verdict.columns)

    def _offline_engine(self, query: str) -> None:
        """What the batch engine refuses: an error where it is set, else of a later cluster."""
        from openmldb_compiler.offline import offline_refusals

        chosen = self.pipeline.settings.offline_engine == "spark"
        for refusal in offline_refusals(query):
            self.add(
                self.pipeline.features.sql, "",
                f"OpenMLDB's batch engine on Spark refuses it: {refusal.message}",
                refusal.hint, warn=not chosen,
            )  # fmt: skip

    def _proposals(
        self, proposed: Mapping[str, Iterable[IndexDef]], schemas: Mapping[str, Any]
    ) -> None:
        """The indexes that OpenMLDB's own GenDDL gives a deployment and the tables do not have."""
        from nightshift.check import indexes

        file = self.pipeline.features.create_tables
        told = {p.key for p in self.problems if p.file == str(file)}
        for table, wanted in proposed.items():
            for index in wanted:
                if table in told or indexes.has(schemas[table].indexes, index):
                    continue
                self.add(
                    file, table,
                    "OpenMLDB's own GenDDL gives the deployment an index that the table does not "
                    "have; DEPLOY makes it, over rows that are there by then, in seconds to minutes",
                    f"add {indexes.spelled(index)}", warn=True,
                )  # fmt: skip

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
        missing: list[str] = []
        for name, expected in spec.expected_types.items():
            if name not in given:
                missing.append(name)
            elif expected is not None and given[name] != expected:
                self.add(
                    file, name, f"is {given[name]} in the query and {expected} here",
                    f"write type {given[name]}, or cast it in the query",
                )  # fmt: skip
        if len(missing) > _MOST_NAMES:
            self.add(
                file, missing[0],
                f"the query does not give this column, nor {len(missing) - 1} of the others that are "
                f"named here: {', '.join(missing[1:4])}, ...",
                f"select them in {self.pipeline.features.sql.name}, or remove them here",
            )  # fmt: skip
            missing = []
        for name in missing:
            near = nearest(name, given.keys() - spec.expected_types.keys())
            self.add(
                file, name, "the query does not give this column",
                near.removeprefix("; ") or "select it, or remove it here",
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
        from nightshift.check.days import fault as rows_of_other_days
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
            # A snapshot may be dated, too.
            days = sorted(path for path in folder.glob("ds=*") if layout.day_of(path.name))
            if table.time is not None and not days and folder.is_dir():
                self.add(
                    folder, "", f"event table {name} has no folder ds=YYYY-MM-DD" + _held(folder),
                    "lay its files in a folder for each day, as ds=2026-03-01, or let "
                    f"`./nightshift data load --pipeline {self.pipeline.name} --from FOLDER` do it",
                    warn=not any(folder.iterdir()),
                )  # fmt: skip
                continue
            folder = days[-1] if days else folder
            found = reading.parquet_files(folder)[-_MOST_FILES:]
            if not found:
                near = nearest(name, [path.name for path in data.iterdir()])
                self.add(
                    folder, "", f"table {name} has no partition with files" + _held(folder),
                    (near.removeprefix("; ") if not folder.is_dir() else "")
                    or f"./nightshift data load --pipeline {self.pipeline.name} --from FOLDER",
                    warn=True,
                )  # fmt: skip
            self._older(days[:-1], table)
            for path in found:
                self._file(path, table)
                wrong = None
                if table.time is not None:
                    wrong = rows_of_other_days(path, table, dt.date.fromisoformat(folder.name[3:]))
                if wrong is not None:
                    self.add(path, str(table.time), *wrong, warn=True)

    def _older(self, days: Sequence[Path], table: Declared) -> None:
        """Columns of the days before the newest, by one file of each: a fault is told once."""
        from openmldb_files import columns_of, differences
        from openmldb_files.errors import FileError

        from nightshift.data import reading

        told: dict[tuple[str, str], list[Path]] = {}
        for folder in reversed(days[-_MOST_DAYS:]):
            for path in reading.parquet_files(folder)[:1]:
                try:
                    faults = [
                        (one.column, one.reason)
                        for one in differences(columns_of(path), table.columns, table.name)
                    ]
                except FileError as error:
                    faults = [("", str(error).removeprefix(f"{path}: "))]
                for fault in faults:
                    told.setdefault(fault, []).append(path)
        for (column, reason), paths in told.items():
            more = f" (and so in {len(paths) - 1} older day(s))" if len(paths) > 1 else ""
            self.add(
                paths[0], column, reason + more,
                "load the day anew: `./nightshift data load` converts what can be converted",
            )  # fmt: skip

    def _file(self, path: Path, table: Declared) -> None:
        from openmldb_files import columns_of, differences, spark_faults
        from openmldb_files.errors import FileError

        try:
            columns = columns_of(path)
            faults = spark_faults(path)
        except FileError as error:
            self.add(path, "", str(error).removeprefix(f"{path}: "))
            return
        fix = (
            f"write the column as {self.pipeline.features.create_tables.name} declares it, or declare "
            "it as it is; `./nightshift data load` converts what can be converted"
        )
        for one in differences(columns, table.columns, table.name):
            self.add(path, one.column, one.reason, fix)
        for fault in faults:
            if fault.column in table.columns:
                self.add(
                    path, fault.column or "", f"Spark 3.2 does not read {fault.reason}",
                    "write it in another way; `./nightshift data load` writes what Spark reads",
                )  # fmt: skip


def _held(folder: Path) -> str:
    """What lies in a folder, for a message; empty where nothing does."""
    if not folder.is_dir():
        return ""
    names = sorted(path.name for path in folder.iterdir())
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"; it holds {listed}" if names else ""


def _unlike(declared: Mapping[str, Declared], reach: Reach | None, request: str) -> Iterator[str]:
    """Columns that the query finds rows by and that are of another type than what they equal."""
    if reach is None:
        return
    alike = {"int16", "int32", "int64", "timestamp"}
    for read in reach.reads:
        for name, column in read.keys:
            table = request if column.read == 0 else reach.read(column.read).table
            kinds = [
                declared[one].columns.get(key, "") if one in declared else ""
                for one, key in ((read.table, name), (table, column.name))
            ]
            if "" not in kinds and kinds[0] != kinds[1] and not set(kinds) <= alike:
                yield (
                    f"rows of {read.table} are found by {name} ({kinds[0]}) = "
                    f"{table}.{column.name} ({kinds[1]})"
                )


def _schemas(script: str) -> dict[str, Schema]:
    return {
        made.table.name: made.schema
        for made in map(statements.parse, statements.split(script))
        if isinstance(made, statements.CreateTable)
    }
