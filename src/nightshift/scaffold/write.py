"""Make a pipeline's folder and its DAG file, whole or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import yaml
from openmldb_sql.types import IndexDef

from nightshift import files
from nightshift.config.pipeline import NAME
from nightshift.errors import ConfigurationError
from nightshift.features import lineage, ttl
from nightshift.features.reach import Reach
from nightshift.features.tables import SourceTables
from nightshift.pipeline import names
from nightshift.scaffold import render
from nightshift.scaffold.render import Window
from nightshift.scaffold.roles import Roles
from nightshift.settings import Settings
from nightshift.zones import Zone

_ENOUGH_POSITIVES = 100
_MOST_HELD_DAYS = 7
_DAYS_A_HELD_DAY = 12
"""One of so many days that a night learns from is held out, and one validates, up to a week."""
_ENOUGH_ROWS = 200_000
"""Requests that a night learns from, where that takes more days than usual."""
_TRAIN_DAYS, _MOST_TRAIN_DAYS = 30, 180


def check_name(settings: Settings, name: str) -> Path:
    """The folder of a pipeline to be made.

    Raises:
        ConfigurationError: the name cannot be a pipeline's, or there is one already.
    """
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is not a pipeline's name: a-z, digits and _, a letter first, "
            "30 characters at most"
        )
    folder = settings.pipelines / name
    if folder.exists():
        raise ConfigurationError(f"{folder} exists already; choose another name or remove it")
    return folder


def window_of(
    roles: Roles,
    settle_days: int,
    positives: int | None = None,
    zone: Zone = Zone(),  # noqa: B008 (frozen)
) -> Window:
    """How the days of requests are used: most to learn from, the last ones to judge by.

    Args:
        roles: the tables.
        settle_days: days that a label needs.
        positives: requests with the label; None: unknown.
        zone: of the days.
    """
    column = roles.requests.column(roles.request_time)
    days = roles.requests.days
    first = min(days) if days else zone.day_of(column.least)
    last = max(days) if days else zone.day_of(column.greatest)
    span = (last - first).days + 1
    held = max(1, min(2, span // 6))
    if positives:
        # A few positives more make the verdict's interval narrower, up to a week.
        enough = -(-_ENOUGH_POSITIVES * span // positives)
        held = max(held, min(enough, _MOST_HELD_DAYS, span // 6))
    enough = -(-_ENOUGH_ROWS * span // max(1, roles.requests.rows))
    # Three quarters of the days, so that nights of the last days find their whole window.
    most = max(_TRAIN_DAYS, min(enough, _MOST_TRAIN_DAYS))
    usual = min(most + settle_days, span * 3 // 4)
    # Where days hold few requests, one differs much from the next.
    held = max(held, min(_MOST_HELD_DAYS, usual // _DAYS_A_HELD_DAY))
    train = max(2 * held + 1 + settle_days, usual)
    return Window(first, last, min(train, span), held, held, settle_days)


def contents(
    name: str,
    roles: Roles,
    window: Window,
    positives: int | None,
    zone: Zone = Zone(),  # noqa: B008 (frozen)
) -> dict[str, str]:
    """Text by file name.

    Raises:
        ConfigurationError: the proposed query cannot be read; a defect of the proposal.
    """
    query = render.features_sql(roles, zone, window)
    tables_text = render.tables_yaml(roles, window, zone)
    tables = SourceTables.parse(yaml.safe_load(tables_text), source="tables.yaml")
    create = render.create_tables(roles)
    reach = lineage.reach_of(
        query,
        tables=tables,
        columns=lineage.columns_of(create, tables, "create_tables.sql"),
        source="features.sql",
    )
    days = reach.lookback_days()
    lookback = {name: days.get(name, 0) for name in tables.events}
    if (_now().date() - window.last).days <= ttl.MARGIN_DAYS:
        create = render.create_tables(roles, _expiry(tables, reach, lookback))
    return {
        "pipeline.yaml": render.pipeline_yaml(name, roles, window, zone),
        "tables.yaml": tables_text,
        "create_tables.sql": create,
        "features.sql": query,
        "feature_spec.yaml": render.feature_spec_yaml(roles, window, lookback, zone),
        "gates.yaml": render.gates_yaml(roles, window, roles.requests.rows, positives),
        "hyperparameters.yaml": render.HYPERPARAMETERS,
    }


def _expiry(tables: SourceTables, reach: Reach, lookback: Mapping[str, int]) -> render.Expiry:
    """How long the indexes of a table that is fed each day keep rows."""
    needs = ttl.needs_of(reach, tables.label_table)

    def keeps(table: str, key: str, time: str | None) -> str:
        wanted = ttl.proposed(
            IndexDef((key,), time), table, needs, event=True, lookback_days=lookback[table]
        )
        return ttl.spelled(wanted)

    return keeps


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def write(settings: Settings, name: str, texts: dict[str, str]) -> Path:
    """Write the folder, then its DAG file.

    Raises:
        ConfigurationError: there is such a folder already.
    """
    folder = check_name(settings, name)
    with files.staged_dir(folder) as staged:
        for file, text in texts.items():
            files.write_text(staged / file, text)
    ensure_dag_file(settings, name)
    return folder


def ensure_dag_file(settings: Settings, name: str) -> bool:
    """Write `<name>.py` of `settings.dags` if it is not there; return whether it was written."""
    path = settings.dags / f"{name}.py"
    own = settings.dags != settings.project / "dags"
    if path.exists() or not (own or path.parent.is_dir()):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, render.dag_file(name))
    return True


def ensure_dag_files(settings: Settings) -> list[Path]:
    """Write the DAG file of each pipeline that has none; return what was written.

    Beside pipelines that lie elsewhere, `settings.dags` is given what the project's `dags/` holds
    for all pipelines.
    """
    written = [
        settings.dags / f"{name}.py" for name in names(settings) if ensure_dag_file(settings, name)
    ]
    project = settings.project / "dags"
    if settings.dags == project:
        return written
    for path in sorted(project.glob("*.py")):
        if not (settings.project / "pipelines" / path.stem).is_dir():
            settings.dags.mkdir(parents=True, exist_ok=True)
            files.write_text(settings.dags / path.name, path.read_text(encoding="utf-8"))
    return written
