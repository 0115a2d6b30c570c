"""`./nightshift demo`: a whole night, from raw tables to a served prediction, and its report."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli import night
from cli.console import say, seconds, table
from cli.predict import post
from cli.report import report
from laptop.data import cli as data_cli
from laptop.data import jd, partitions
from laptop.data.generate import Spec
from laptop.services.supervisor import Supervisor
from nightshift import layout
from nightshift.commands import Overrides, check_overrides
from nightshift.data import reading
from nightshift.errors import ConfigurationError
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings

_LOOKBACK_DAYS = 14
"""Days of requests that only fill the windows of later ones (see include/feature_spec.yaml)."""


@dataclasses.dataclass
class Timer:
    """Seconds by step."""

    steps: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step and announce it."""
        say(f"\n{name}")
        began = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = time.monotonic() - began


def run(arguments: argparse.Namespace, setup_seconds: float) -> int:
    """Run the demo; 0 when the night succeeded and a prediction was answered.

    Services that run already are used and left running; those that the demo started are
    stopped at its end, unless `--keep`.
    """
    began = time.monotonic()
    settings = demo_settings(Settings.from_env(), arguments.data)
    # What reads the settings in this process must see the same ones.
    os.environ.update(settings.to_env())
    timer = Timer({"Set-up": setup_seconds})
    with timer.step("Data"):
        pipeline = Pipeline.load(settings)
        ds, conf = _make_data(pipeline, arguments)
    supervisor = Supervisor(settings)
    started: list[str] = []
    try:
        with timer.step("Services"):
            started = supervisor.up()
        with timer.step(f"Night of {ds}"):
            outcome = night.run(
                settings, night.retrain(pipeline.name), f"demo__{ds}", {"ds": ds, **conf}
            )
        if outcome.state != "success":
            say(f"\nThe night of {ds} failed after {seconds(outcome.seconds)}; see above.")
            return 1
        with timer.step("A live prediction"):
            request = example_request(pipeline.data, ds)
            say(f"  POST {settings.predict_url}/v1/pipelines/{pipeline.name}/predict")
            say(f"  {json.dumps(request, ensure_ascii=False)}")
            answer = post(pipeline, json.dumps(request).encode())
            say(f"  {json.dumps(answer, ensure_ascii=False)}")
        report(pipeline, ds, outcome.run_id)
        times(outcome, timer, setup_seconds + time.monotonic() - began)
        return 0
    finally:
        if started and not arguments.keep:
            say("\nStopping what the demo started (--keep leaves it up)")
            supervisor.down(started)
        elif started:
            say(
                f"\nThe services stay up: {settings.airflow_url} (user {settings.airflow_user}; "
                "./nightshift password shows the password); ./nightshift down stops them"
            )


def demo_settings(settings: Settings, folder: Path | None) -> Settings:
    """The settings of a demo: by hand only, and a home of its own for a given folder.

    Two sources in one home would mix in the online tables and among the releases, so a given
    folder gets the home `<home>-<folder's name>`, where `home` holds another source.
    """
    if not os.environ.get("NIGHTSHIFT_SCHEDULES"):
        settings = dataclasses.replace(settings, schedules="off")
    if folder is None:
        return settings
    source = partitions.source_of(Pipeline.load(settings).data)
    if source is not None and source.get("folder") == str(folder.resolve()):
        return settings
    if os.environ.get("NIGHTSHIFT_HOME") or os.environ.get("NIGHTSHIFT_DATA"):
        return settings  # chosen by the user; `claim` refuses if it holds something else
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "given"
    home = settings.home.with_name(f"{settings.home.name}-{name}")
    return dataclasses.replace(settings, home=home, data=home / "data")


def _make_data(pipeline: Pipeline, arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Make or lay out the tables; the date of the night and the run's Params."""
    wanted = None if arguments.ds is None else layout.parse_date(arguments.ds, what="--ds")
    if arguments.data is None:
        days = min(pipeline.config.train_days, arguments.days - _LOOKBACK_DAYS)
        try:
            check_overrides(pipeline, days, Overrides())
        except ConfigurationError as error:
            raise ConfigurationError(
                f"--days is {arguments.days}, of which windows look back {_LOOKBACK_DAYS}: {error}"
            ) from error
        end = wanted or data_cli.yesterday()
        spec = Spec(arguments.seed, arguments.rows_per_day)
        data_cli.make_tables(pipeline.data, spec, end, arguments.days)
        return end.isoformat(), {"train_days": days}
    if not arguments.data.is_dir():
        raise ConfigurationError(f"--data {arguments.data} is not a folder")
    data_cli.lay_out(pipeline.data, arguments.data)
    first = partitions.days_present(pipeline.data)[0]
    ds = wanted or jd.last_full_day(pipeline.data)
    # All there is, and two weeks to judge by: a day of the tutorial's tables has two or three orders.
    return ds.isoformat(), {
        "train_days": max(1, (ds - first).days + 1 - _LOOKBACK_DAYS),
        "valid_days": 14,
        "test_days": 14,
    }


def example_request(data: Path, ds: str) -> dict[str, Any]:
    """The last request of the day, as JSON takes it: timestamps are milliseconds.

    Raises:
        ConfigurationError: the day holds no request.
    """
    folder = layout.partition(data, "flattenRequest", dt.date.fromisoformat(ds))
    found = reading.parquet_files(folder)
    rows = reading.table(found).sort_by("eventTime") if found else None
    if rows is None or not rows.num_rows:
        raise ConfigurationError(f"{folder} holds no request")
    row: dict[str, Any] = rows.slice(rows.num_rows - 1).to_pylist()[0]
    time_utc = row["eventTime"].replace(tzinfo=dt.timezone.utc)
    return {**row, "eventTime": round(time_utc.timestamp() * 1000)}


def times(outcome: night.Outcome, timer: Timer, total: float) -> None:
    """Print how long each step took."""
    say("\nTimes")
    lines = []
    for name, took in timer.steps.items():
        lines.append((name, seconds(took)))
        if name.startswith("Night"):
            lines += [(f"  {task}", seconds(s)) for task, s in _by_task(outcome.task_seconds)]
    say("  " + table(("step", "took"), lines).replace("\n", "\n  "))
    say(f"  everything: {seconds(total)}")


def _by_task(task_seconds: dict[str, float]) -> list[tuple[str, float]]:
    """Seconds of each task; those of a mapped one's instances together."""
    total: dict[str, float] = {}
    for name, took in task_seconds.items():
        task = name.partition("[")[0]
        total[task] = total.get(task, 0.0) + took
    return list(total.items())
