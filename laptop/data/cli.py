"""`./nightshift data`: make, lay out and list source tables."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.console import progress, say, seconds, table, warn
from laptop.data import arguments as arguments_module
from laptop.data import criteo, criteo_made, jd, movielens, partitions
from laptop.data.arguments import make_parser
from laptop.data.generate import Spec, generate
from nightshift import files, layout
from nightshift.data import load as loading
from nightshift.data import publish, reading
from nightshift.data import scan as scanning
from nightshift.data.declared import Declared, declared_tables
from nightshift.errors import ConfigurationError, DataError, NightshiftError, PartitionMissing
from nightshift.features.tables import SourceTables
from nightshift.gates import partitions as partition_gate
from nightshift.openmldb import OpenMLDBClient
from nightshift.openmldb.loads import reload_day
from nightshift.pipeline import Pipeline
from nightshift.plan import make_plan
from nightshift.settings import Settings
from nightshift.zones import Zone

OWN_PIPELINES = {"movielens": movielens.PIPELINE, "criteo": criteo.PIPELINE}
"""Commands that bring the data of one pipeline, which they mean without `--pipeline`."""


def yesterday() -> dt.date:
    """The last whole day in UTC+8, in which the tutorial's partitions are dated."""
    return Zone().yesterday()


def main(argv: Sequence[str]) -> int:
    """Run one of the `data` commands."""
    arguments = make_parser().parse_args(argv)
    settings = Settings.from_env()
    began = time.monotonic()
    try:
        own = OWN_PIPELINES.get(arguments.command)
        pipeline = Pipeline.load(settings, arguments.pipeline or own)
        data = pipeline.data
        if arguments.command == "generate":
            if pipeline.zone != Zone():
                raise ConfigurationError(
                    f"the tutorial's tables have days of {Zone().name}, and time_zone of the "
                    f"pipeline {pipeline.name} is {pipeline.zone.name}"
                )
            spec = Spec(arguments.seed, arguments.rows_per_day)
            written = make_tables(
                data, spec, _end(arguments.end), arguments.days, replace=arguments.replace
            )
            say(f"{written} partition(s) written in {seconds(time.monotonic() - began)}: {data}")
        elif arguments.command == "load":
            tables = declared(pipeline)
            made = lay_out(
                data,
                arguments.folder,
                replace=arguments.replace,
                tables=tables,
                options=load_options(arguments, tables, pipeline.features.tables),
            )
            report_loaded(data, made)
        elif arguments.command == "movielens":
            report_loaded(data, load_movielens(pipeline, replace=arguments.replace))
        elif arguments.command == "criteo":
            report_loaded(data, load_criteo(pipeline, arguments))
        elif arguments.command == "reload":
            with OpenMLDBClient.of(settings) as client:
                day = reload_day(
                    client, pipeline, arguments.table, layout.parse_date(arguments.ds, what="--ds")
                )
            say(
                f"{day.table}, {day.day}: {day.added} row(s) added, {day.removed} removed"
                f"{f'; {day.why}' if day.why else ''}"
            )
        elif arguments.command == "check":
            return check_tables(pipeline, arguments.ds, as_json=arguments.json)
        else:
            list_tables(data, pipeline.features.tables)
    except NightshiftError as error:
        warn(f"nightshift: {error}")
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        warn(f"nightshift: {error.filename}: {error.strerror}")
        return 1
    return 0


def make_tables(data: Path, spec: Spec, end: dt.date, days: int, *, replace: bool = False) -> int:
    """`generate` with progress shown."""
    now = ""

    def said(text: str) -> None:
        nonlocal now
        now = text

    title = f"Tables of {days} days up to {end}, {spec.rows_per_day} requests a day"
    with progress(title, lambda: now):
        return generate(data, spec, end=end, days=days, replace=replace, said=said)


def load_movielens(pipeline: Pipeline, *, replace: bool = False) -> loading.Loaded:
    """Bring MovieLens-100k and lay it out."""
    with progress("MovieLens-100k"):
        folder = movielens.fetch(pipeline.settings.project)
    with tempfile.TemporaryDirectory(prefix="nightshift-movielens-") as made:
        movielens.write_tables(folder, Path(made))
        options = loading.Options(replace=replace, origin=movielens.ORIGIN)
        return lay_out(
            *(pipeline.data, Path(made)),
            replace=replace,
            tables=declared(pipeline),
            options=options,
        )


def load_criteo(pipeline: Pipeline, arguments: argparse.Namespace) -> loading.Loaded:
    """Lay out files of Criteo's shape, or make one first.

    Raises:
        DataError: a file is not of the format.
        ConfigurationError: an option is out of its range.
    """
    if not 1 <= arguments.days <= arguments_module.MOST_DAYS:
        raise ConfigurationError(
            f"--days is {arguments.days}; it must be 1 to {arguments_module.MOST_DAYS}"
        )
    end = _end(arguments.end)
    now = ""

    def said(text: str) -> None:
        nonlocal now
        now = text

    place = arguments.folder
    if place is None:
        world = criteo_made.World(arguments.seed, arguments.positives)
        folder = arguments.out or pipeline.settings.home / "made" / pipeline.name
        with progress(f"A file of {arguments.generate} rows in {folder}", lambda: now):
            place = criteo_made.make(folder, world, arguments.generate, said)
    sources = criteo.files_of(place.resolve())
    pipeline.settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".criteo-", dir=pipeline.settings.home) as made:
        with progress(f"Rows of {place}", lambda: now):
            found = criteo.write_tables(
                sources, Path(made), end=end, days=arguments.days, said=said
            )
        say(
            f"{found.rows} rows in the format of {found.format}, {found.positives} positives "
            f"({found.positives / max(found.rows, 1):.2%}), {found.days} day(s) up to {end}"
        )
        origin = f"{place.resolve()} ({found.rows} rows, {found.days} days up to {end})"
        options = loading.Options(replace=arguments.replace, origin=origin)
        return lay_out(
            *(pipeline.data, Path(made)),
            replace=arguments.replace,
            tables=declared(pipeline),
            options=options,
        )


def _end(text: str | None) -> dt.date:
    return yesterday() if text is None else layout.parse_date(text, what="--end")


def report_loaded(data: Path, made: loading.Loaded) -> None:
    """Say what a load laid out, and what it left out."""
    for name, columns in made.ignored.items():
        warn(f"left out of {name}, which has no such columns: {', '.join(columns)}")
    span = f" ({made.days[0]} to {made.days[-1]})" if made.days else ""
    say(
        f"{sum(made.rows.values())} rows in {len(made.rows)} tables, {len(made.days)} days{span}: "
        f"{data}"
    )


def declared(pipeline: Pipeline) -> dict[str, Declared]:
    """The pipeline's tables, with their columns."""
    files = pipeline.features
    return declared_tables(files.tables, files.create_script(), str(files.create_tables))


def load_options(
    arguments: argparse.Namespace, tables: Mapping[str, Declared], sources: SourceTables
) -> loading.Options:
    """The options of `add_load_options`, checked.

    Raises:
        ConfigurationError: a table, column or meaning that is not known.
    """
    label, taken_from = sources.label_table, sources.label_from
    return loading.Options(
        others={label: taken_from} if label is not None and taken_from is not None else {},
        elsewhere={taken_from: list(tables[label].columns)} if label and taken_from else {},
        meanings=loading.declared_meanings(sources, tables)
        | loading.parse_meanings(arguments.meanings, tables),
        ignore_extra=arguments.extra_columns == "ignore",
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
        most_days=arguments.most_days,
        replace=arguments.replace,
    )


def lay_out(
    data: Path,
    folder: Path,
    *,
    replace: bool = False,
    tables: Mapping[str, Declared] | None = None,
    options: loading.Options | None = None,
) -> loading.Loaded:
    """`jd.load` with progress shown."""
    now = ""

    def said(text: str) -> None:
        nonlocal now
        now = text

    with progress(f"Tables of {folder}", lambda: now):
        return jd.load(data, folder, replace=replace, said=said, tables=tables, options=options)


def check_tables(pipeline: Pipeline, ds: str | None, *, as_json: bool = False) -> int:
    """Print what is wrong with the partitions, or missing; 1 where a night would end by it."""
    tables = pipeline.features.tables
    publish.recover(pipeline.data)
    days = {name: scanning.present_days(pipeline.data, name) for name in tables.events}
    every = sorted({day for found in days.values() for day in found})
    if not every:
        raise DataError(f"{pipeline.data} holds no partition; load some with ./nightshift data")
    today = pipeline.zone.today().isoformat()
    newest = max((day for day in every if day <= today), default=every[-1])
    last = newest if ds is None else layout.parse_date(ds, what="--ds").isoformat()
    if last < every[0]:
        raise DataError(
            f"--ds {last} is before the first partition under {pipeline.data}, {every[0]}"
        )
    report = partition_gate.of_pipeline(
        pipeline,
        last,
        {name: [day for day in found if day <= last] for name, found in days.items()},
        train_days=pipeline.config.train_days,
        levels=pipeline.gates["data"]["partitions"],
    )
    try:
        make_plan(pipeline, ds=last, run_id="check")
    except (PartitionMissing, DataError) as error:
        report["failures"] = [str(error), *report["failures"]]
        report["status"] = "fail"
    if as_json:
        say(files.dump_json(report).decode())
        return 1 if report["failures"] else 0
    rows = []
    for name, found in report["tables"].items():
        counts = [facts["rows"] for facts in found.values()] or [0]
        rows.append((name, str(len(found)), str(sum(counts)), str(min(counts)), str(max(counts))))
    say(table(("table", "partitions", "rows", "least", "most"), rows))
    for text in report["failures"]:
        say(f"FAIL  {text}")
    for text in report["warnings"]:
        say(f"warn  {text}")
    say(f"{last}: {report['status']}")
    return 1 if report["failures"] else 0


def list_tables(data: Path, tables: SourceTables) -> None:
    """Print rows and days of each table."""
    rows = []
    for name in tables.names:
        folder = data / name
        if not folder.is_dir():
            rows.append((name, "-", "-", "-"))
            continue
        days = sorted(p.name[3:] for p in folder.glob("ds=*"))
        folders = [folder / f"ds={day}" for day in days] or [folder]
        count = sum(reading.rows(reading.parquet_files(one)) for one in folders)
        span = f"{days[0]} to {days[-1]}" if days else "snapshot"
        rows.append((name, str(count), str(len(days) or "-"), span))
    say(f"{data}: {partitions.describe(partitions.source_of(data))}")
    say(table(("table", "rows", "days", "from to"), rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
