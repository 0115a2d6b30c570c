"""The demo of a week, day by day: traffic, night, ledger, quality."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow.compute as pc

from cli import night
from cli.console import say, seconds, warn
from laptop.data.generate import Spec
from laptop.services.supervisor import Supervisor
from laptop.week import place, report
from laptop.week.feed import FAULT_LATE, LATE_TABLE, Week
from nightshift import files, layout
from nightshift.errors import ConfigurationError
from nightshift.live.folders import live_folder
from nightshift.live.log import RequestLog
from nightshift.live.stream import play
from nightshift.pipeline import Pipeline
from nightshift.registry import history
from nightshift.registry.pointer import read_live
from nightshift.settings import Settings
from nightshift.zones import Zone

HISTORY_DAYS = 31
"""Days of requests before the week; the windows of the first 14 are not full."""

LEARNED_DAYS = 17
LOG_S = 60.0

LEAST_ROWS = 300
"""Requests of a day; of fewer the shadow's comparison says little."""

BAD = {
    "label_smoothing": 0.95,
    "learning_rate": 0.003,
    "monitor": "auc",
    "linear_start": "zero",
    "trees": 0,
}
"""Hyper-parameters of the planted bad release: its scores lie about 0.5, whatever the request.

Early stopping would take it back to a start at the baseline, and its trees know what they learned.
"""


@dataclass
class Run:
    """What is known so far.

    Attributes:
        reports: the ledger's report of each day.
        problems: what went wrong; the demo fails by it.
        rejected: dates of nights whose candidate did not pass its gates.
        withdrawn: releases that the monitor took out of service, each with the reason.
    """

    week: Week
    settings: Settings
    speed: float
    reports: dict[dt.date, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    rejected: list[dt.date] = field(default_factory=list)
    withdrawn: dict[str, str] = field(default_factory=dict)

    @property
    def pipeline(self) -> Pipeline:
        """The demo's pipeline."""
        return self.week.pipeline


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 when all succeeded, the fault was named, the bad release withdrawn."""
    if arguments.data is not None:
        raise ConfigurationError("--week plays made tables; leave --data out")
    if not 3 <= arguments.week_days <= 31:
        raise ConfigurationError(f"--week-days is {arguments.week_days}; give 3 to 31")
    if arguments.rows_per_day < LEAST_ROWS:
        raise ConfigurationError(
            f"--rows-per-day is {arguments.rows_per_day}; a week needs {LEAST_ROWS}, since the "
            "shadow compares releases by at least 200 requests"
        )
    if arguments.speed < 0:
        raise ConfigurationError(f"--speed is {arguments.speed:g}; give 0 (no pause) or more")
    began = time.monotonic()
    last = layout.parse_date(arguments.ds, what="--ds") if arguments.ds else Zone().yesterday()
    settings = place.settle(Settings.from_env())
    if not os.environ.get("NIGHTSHIFT_RETIRE_GRACE_S"):
        settings = replace(settings, retire_grace_s=2.0)
    os.environ.update(settings.to_env())
    say(f"A home of its own: {settings.home}")
    week = Week.make(
        Pipeline.load(settings),
        Spec(arguments.seed, arguments.rows_per_day),
        last=last,
        days=arguments.week_days,
        history=HISTORY_DAYS,
    )
    supervisor = Supervisor(settings)
    started: list[str] = []
    try:
        say("\nServices")
        started = supervisor.up()
        made = Run(week, settings, arguments.speed)
        _play_week(made)
        say("\n" + report.as_text(made))
    finally:
        if started and not arguments.keep:
            say("\nStopping what the demo started (--keep leaves it up)")
            supervisor.down(started)
    say(f"\n{seconds(time.monotonic() - began)} for {len(week.days)} days")
    if arguments.keep:
        say(
            f"The services stay up: {settings.airflow_url}/plugin/nightshift-live "
            f"(user {settings.airflow_user}).\n"
            f"NIGHTSHIFT_HOME={settings.home} ./nightshift password shows the password, "
            "./nightshift demo --week again stops them"
        )
    for problem in made.problems:
        warn(f"failed: {problem}")
    return 1 if made.problems else 0


def _play_week(made: Run) -> None:
    week = made.week
    say(f"\nThe night of {week.first}: the first release")
    if not _night(made, week.first):
        made.problems.append(f"the night of {week.first} made no release; nothing can be served")
        return
    for number, day in enumerate(week.days, 1):
        fault = ""
        if day in week.faulty:
            share, late_s = FAULT_LATE[0]
            fault = f"; planted: {share:.0%} of {LATE_TABLE} come {late_s / 3600:g} hours late"
        say(f"\nDay {number}, {day:%A} {day}{fault}")
        _traffic(made, day)
        missing = week.land(day)
        say(f"  its partitions land; {missing} orders of the week are not known yet")
        # Before the night: afterwards the model that served is no longer there to price by, and
        # another release is live.
        _observe(made, day)
        _monitor(made)
        if day == week.bad:
            _bad_night(made, day)
        else:
            _night(made, day)
    for day in sorted(week.faulty):
        if day in made.reports and not report.names_the_fault(made.reports[day]):
            made.problems.append(f"{day}: the ledger does not name the late events")
    made.problems += report.wrongly_judged(made.withdrawn, week.bad)


def _traffic(made: Run, day: dt.date) -> None:
    """Play a day, and see that each of its requests is in the log."""
    before = _answered(made)
    moments = made.week.moments(day)
    began = time.monotonic()
    played = play(made.week.whole, moments, speed=made.speed)
    say(
        f"  {played.requests} requests answered, {played.events} events inserted "
        f"in {seconds(time.monotonic() - began)}"
    )
    deadline = time.monotonic() + LOG_S
    logged = 0
    while logged < played.requests:
        logged = _answered(made) - before
        if logged < played.requests and time.monotonic() > deadline:
            made.problems.append(f"{day}: {logged} of {played.requests} requests are in the log")
            return
        time.sleep(0.5)


def _answered(made: Run) -> int:
    """Requests in the log, without what was scored in shadow."""
    answers = pc.field("role") == "live"
    return len(RequestLog.of(made.pipeline).read(columns=["role"], where=answers))


def _bad_night(made: Run, day: dt.date) -> None:
    settings = ", ".join(f"{name}={value}" for name, value in BAD.items())
    say(f"  planted: trained with {settings}; promoted by force past a gate that only warns")
    with place.lenient_gates(made.pipeline):
        _night(made, day, promote="force", hyperparameters=BAD)


def _night(made: Run, day: dt.date, **params: Any) -> bool:
    """A night through Airflow; whether a release serves after it."""
    pipeline = made.pipeline
    conf = {"ds": f"{day}", "train_days": LEARNED_DAYS, **params}
    dag_id = night.retrain(pipeline.name)
    outcome = _dag(made, dag_id, f"week__{day}", conf, explains=False)
    row = next((r for r in history.rows(pipeline.releases)[::-1] if r.ds == f"{day}"), None)
    live = read_live(pipeline.releases)
    serving = live.release_id if live else "nothing"
    if outcome.state == "success" and row is not None:
        auc = "" if row.auc is None else f", held-out AUC {row.auc:.4f}"
        say(
            f"  night: release {row.release_id}{auc}; {serving} serves ({seconds(outcome.seconds)})"
        )
    elif row is not None and row.state == "rejected":
        made.rejected.append(day)
        say(f"  night: rejected, {row.why}; {serving} goes on serving")
    else:
        night.explain(made.settings, dag_id, outcome.run_id)
        made.problems.append(f"the night of {day} failed; its log is above")
    return live is not None


def _observe(made: Run, day: dt.date) -> None:
    outcome = _dag(made, night.observe(made.pipeline.name), f"week__{day}", {"from": f"{day}"})
    if outcome.state != "success":
        made.problems.append(f"the ledger of {day} failed; its log is above")
        return
    folder = live_folder(made.settings, made.pipeline.name) / "skew"
    found: dict[str, Any] = files.read_json(folder / f"{day}_{day}.json")
    made.reports[day] = found
    say(
        f"  ledger: {found['compared']} requests, {found['rows_differing']} with values unlike "
        f"training's, {found['unexplained']} unexplained"
    )
    for line in (*report.causes(found), *report.served_against_training(found)):
        say(f"    {line}")
    wrong = report.served_differs(found) if day not in made.week.faulty else ""
    if wrong:
        made.problems.append(wrong)
    if found["status"] != "explained":
        made.problems.append(f"{day}: the ledger has values that nothing explains")


def _monitor(made: Run) -> None:
    outcome = _dag(made, night.monitor(made.pipeline.name), "week", {})
    if outcome.state != "success":
        made.problems.append("measuring the served scores failed; its log is above")
    for row in history.rows(made.pipeline.releases):
        if row.why.startswith("withdrawn") and row.release_id not in made.withdrawn:
            made.withdrawn[row.release_id] = row.why
            live = read_live(made.pipeline.releases)
            say(
                f"  monitor: {row.release_id} {report.reason(row.release_id, row.why)}; "
                f"{live.release_id if live else 'nothing'} serves again"
            )


def _dag(
    made: Run, dag_id: str, label: str, conf: dict[str, Any], *, explains: bool = True
) -> night.Outcome:
    """Run a DAG through Airflow; what its tasks do is shown where it fails."""
    return night.run(made.settings, dag_id, label, conf, said=lambda text: None, explains=explains)
