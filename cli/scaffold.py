"""`./nightshift new`: a pipeline's folder from parquet files, asked for or guessed."""

from __future__ import annotations

import argparse
import sys

from cli.console import say
from nightshift.check import check_pipeline
from nightshift.errors import ConfigurationError
from nightshift.scaffold import labels
from nightshift.scaffold import roles as deciding
from nightshift.scaffold import survey as looking
from nightshift.scaffold import write as writing
from nightshift.scaffold.survey import Table
from nightshift.settings import Settings
from nightshift.zones import Zone


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Look at the files, decide, write, check; 0 where the folder passes the check."""
    writing.check_name(settings, arguments.name)
    zone = Zone.of(arguments.time_zone)
    tables = looking.survey(arguments.folder, zone.name)
    say(f"Tables of {arguments.folder}")
    for table in tables.values():
        days = f", {len(table.days)} days" if table.days else ""
        say(f"  {table.name}: {table.rows} rows{days}, {len(table.columns)} columns")
    given = {"requests": arguments.requests, "labels": arguments.labels, "label": arguments.label}
    if not arguments.yes:
        given = _ask(tables, given)
    roles = deciding.decide(tables, **given)
    settle, positives = labels.settle_days(arguments.folder, roles), labels.positives(roles)
    window = writing.window_of(roles, settle, positives, zone)
    texts = writing.contents(arguments.name, roles, window, positives, zone)
    say("\nGuessed (every one of these can be changed in the files)")
    for guess in roles.guesses:
        say(f"  {guess}")
    for table in tables.values():
        for column, meaning in table.meanings.items():
            if meaning.why:
                say(f"  {table.name}.{column}: {meaning.why}")
        for column, why in table.left_out.items():
            say(f"  {table.name}.{column} is left out: {why}")
    for name, why in roles.unused.items():
        say(f"  {name} is left out: {why}")
    say(
        f"  labels settle after {settle} day(s); a night learns from {window.train_days} days, "
        f"{window.valid_days} validate and {window.test_days} test"
    )
    folder = writing.write(settings, arguments.name, texts)
    say(f"\nMade {folder}: {', '.join(texts)}")
    problems = check_pipeline(settings, arguments.name)
    errors = [p for p in problems if p.level == "error"]
    for problem in errors:
        say(f"  {problem}")
    last = window.last
    say(
        "\nLook at features.sql (windows, joins), feature_spec.yaml (what is a number and what an "
        "id) and gates.yaml (thresholds), then:\n"
        f"  ./nightshift check {arguments.name}\n"
        f"  ./nightshift data load --pipeline {arguments.name} --from {arguments.folder}\n"
        f"  ./nightshift up\n"
        f"  ./nightshift run --pipeline {arguments.name} --ds {last.isoformat()}"
    )
    return 1 if errors else 0


def _ask(tables: dict[str, Table], given: dict[str, str | None]) -> dict[str, str | None]:
    """Ask for what was not given; an empty answer lets it be guessed."""
    if not sys.stdin.isatty():
        raise ConfigurationError("there is nobody to ask: give --yes, or run this in a terminal")
    questions = {
        "requests": f"Table whose rows are requests ({', '.join(tables)}; empty: guess): ",
        "labels": "Table that gives the label (empty: guess): ",
        "label": "Its column (empty: guess, or a row is a positive): ",
    }
    return {
        name: value if value is not None else (input(questions[name]).strip() or None)
        for name, value in given.items()
    }
