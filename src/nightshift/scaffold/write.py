"""Make a pipeline's folder and its file in `dags/`, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from nightshift import files
from nightshift.config.pipeline import NAME
from nightshift.errors import ConfigurationError
from nightshift.features import lineage
from nightshift.features.tables import SourceTables
from nightshift.scaffold import render
from nightshift.scaffold.render import Window
from nightshift.scaffold.roles import Roles
from nightshift.settings import Settings
from nightshift.zones import Zone


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


def window_of(roles: Roles, settle_days: int, zone: Zone = Zone()) -> Window:  # noqa: B008
    """How the days of requests are used: most to learn from, the last ones to judge by."""
    column = roles.requests.column(roles.request_time)
    days = roles.requests.days
    first = min(days) if days else zone.day_of(column.least)
    last = max(days) if days else zone.day_of(column.greatest)
    span = (last - first).days + 1
    held = max(1, min(2, span // 6))
    # Three quarters of the days, so that nights of the last days find their whole window.
    train = max(2 * held + 1 + settle_days, min(30, span * 3 // 4))
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
    create = render.create_tables(roles)
    query = render.features_sql(roles, zone)
    tables_text = render.tables_yaml(roles, window, zone)
    lookback = _lookback(create, query, tables_text)
    return {
        "pipeline.yaml": render.pipeline_yaml(name, roles, window, zone),
        "tables.yaml": tables_text,
        "create_tables.sql": create,
        "features.sql": query,
        "feature_spec.yaml": render.feature_spec_yaml(roles, window, lookback, zone),
        "gates.yaml": render.gates_yaml(roles, window, roles.requests.rows, positives),
        "hyperparameters.yaml": render.HYPERPARAMETERS,
    }


def _lookback(create: str, query: str, tables_text: str) -> dict[str, int]:
    import yaml

    tables = SourceTables.parse(yaml.safe_load(tables_text), source="tables.yaml")
    reach = lineage.reach_of(
        query,
        tables=tables,
        columns=lineage.columns_of(create, tables, "create_tables.sql"),
        source="features.sql",
    )
    found = reach.lookback_days()
    return {name: found.get(name, 0) for name in tables.events}


def write(settings: Settings, name: str, texts: dict[str, str]) -> Path:
    """Write the folder, then the file in `dags/`.

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
    """Write `dags/<name>.py` if it is not there; return whether it was written."""
    path = settings.project / "dags" / f"{name}.py"
    if path.exists() or not path.parent.is_dir():
        return False
    files.write_text(path, render.dag_file(name))
    return True
