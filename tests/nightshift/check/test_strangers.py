"""Slips in folders that `./nightshift new` makes of tables of other domains, as people make them.

Each is named within seconds: an error, or a warning where OpenMLDB and a night would take it.
"""

import argparse
import datetime as dt
import random
import shutil
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli import scaffold
from laptop.data import cli as data
from nightshift.check import check_pipeline
from nightshift.settings import Settings
from tests.nightshift.check.conftest import (
    CREATE,
    GATES,
    HYPER,
    PIPELINE,
    QUERY,
    SPEC,
    TABLES,
    expect,
    plant,
)

START = dt.datetime(2026, 9, 1)


def put(folder, day, **columns):
    path = folder / f"ds={START.date() + dt.timedelta(days=day)}" / "part-0.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def hospital(out, draw):
    """Appointments, of which some are missed; a column is called `order`."""
    people = [f"p{n}" for n in range(80)]
    for day in range(20):
        ids = [f"a{day}-{n}" for n in range(40)]
        who = draw.choices(range(80), k=40)
        at = [START + dt.timedelta(days=day, seconds=draw.randrange(80_000)) for _ in ids]
        put(out / "appointments", day, appointment=ids, patient=[people[n] for n in who],
            booked_at=pa.array(at, pa.timestamp("us")), order=draw.choices(["xray", "mri"], k=40),
            distance_km=[50 * draw.random() for _ in ids], first=draw.choices([True, False], k=40))  # fmt: skip
        put(out / "outcomes", day, appointment=ids,
            seen_at=pa.array([one + dt.timedelta(minutes=30) for one in at], pa.timestamp("us")),
            noshow=pa.array([int(n % 5 == 0) for n in who], pa.int32()))  # fmt: skip
    (out / "patients").mkdir()
    table = pa.table({"patient": people, "ward": draw.choices(["A", "B"], k=80)})
    pq.write_table(table, out / "patients" / "part-0.parquet")


def game(out, draw):
    """Tries of levels, ids as whole numbers; a win is a row."""
    for day in range(15):
        ids = range(100 * day, 100 * day + 50)
        player, level = draw.choices(range(40), k=50), draw.choices(range(30), k=50)
        at = [START + dt.timedelta(days=day, seconds=600 + draw.randrange(80_000)) for _ in ids]
        ms = pa.timestamp("ms")
        put(out / "tries", day, try_id=pa.array(ids), player_id=pa.array(player),
            level_id=pa.array(level), begun=pa.array(at, ms), lives=pa.array([n % 5 for n in ids], pa.int16()))  # fmt: skip
        put(out / "moves", day, player_id=pa.array(player),
            at=pa.array([one - dt.timedelta(seconds=60) for one in at], ms),
            kind=draw.choices(["jump", "shoot"], k=50))  # fmt: skip
        won = [n for n in range(50) if level[n] % 3 == 0]
        put(out / "wins", day, try_id=pa.array([ids[n] for n in won]),
            won_at=pa.array([at[n] + dt.timedelta(seconds=30) for n in won], ms))  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pipelines `noshow` and `levels`, with their data laid out."""
    root = tmp_path_factory.mktemp("strangers")
    settings = Settings(home=root / "home", pipelines=root / "pipelines")
    patch = pytest.MonkeyPatch()
    patch.setenv("NIGHTSHIFT_HOME", str(settings.home))
    patch.setenv("NIGHTSHIFT_PIPELINES", str(settings.pipelines))
    for name, make, requests, labels in (
        ("noshow", hospital, "appointments", "outcomes"),
        ("levels", game, "tries", "wins"),
    ):
        make(root / name, random.Random(3))
        asked = argparse.Namespace(
            name=name, folder=root / name, requests=requests, labels=labels, time_zone="UTC",
            label="noshow" if name == "noshow" else None, yes=True,
        )  # fmt: skip
        assert scaffold.run(settings, asked) == 0
        assert data.main(["load", "--pipeline", name, "--from", str(root / name)]) == 0
    patch.undo()
    return settings


SLIPS = [
    # pipeline, file, what is there, what is written instead, key, a word of message, of fix
    ("noshow", QUERY, r"`patients`\.`ward` AS", "`patients`.`wards` AS", "line 33", "wards", ""),
    ("noshow", QUERY, r"ON `appointments`\.`appointment` = `outcomes`", "ON `appointments`.`patient` = `outcomes`",
     "LAST JOIN outcomes", "share its label", "join by appointment"),
    ("noshow", QUERY, r"`outcomes`\.`noshow` AS label", "`outcomes`.`seen_at` AS label", "", "", ""),
    ("noshow", QUERY, r"`order` AS `order`", "order AS order", "line 11", "order", ""),
    ("noshow", QUERY, r"7d PRECEDING", "7 days PRECEDING", "line 25", "days", ""),
    ("noshow", QUERY, r"`booked_at` AS request_time", "`booked_at` + 1 AS request_time", "request_time", "is not appointments.booked_at", "select"),
    ("noshow", TABLES, r"appointments: booked_at", "appointments: booked_on", "events.appointments", "booked_on", "booked_at"),
    ("noshow", TABLES, r"snapshots: \[patients\]", "snapshots: [patient]", "", "patient,", "patients"),
    ("noshow", TABLES, r"outcomes: seen_at", "outcomes: noshow", "events.outcomes", "int32", "timestamp"),
    ("noshow", CREATE, r"`distance_km` double", "`distance_km` double DEFAULT 'far'", "", "the default 'far'", "of its type"),
    ("noshow", CREATE, r"`noshow` int", "`noshow` string", "noshow", "int32 in the file", ""),
    ("noshow", CREATE, r"INDEX\(key=`patient`, ttl=1", "INDEX(key=`ward`, ttl=1", "patients", "no index does", "key=patient"),
    ("noshow", SPEC, r"appointments: 7", "appointments: 1", "", "reaches back 7", "raise it"),
    ("noshow", SPEC, r"  patient: string", "  patient: int64", "patient", "is string in the query", "write type"),
    ("noshow", SPEC, r"label: label", "label: first", "", "given twice", "one role"),
    ("noshow", PIPELINE, r'time_zone: "UTC"', 'time_zone: "Europe/Berln"', "time_zone", "Berln", "offset"),
    ("noshow", PIPELINE, r"gates_run: .*", "gates_run: [data, fairness]", "gates_run", "fairness", "known"),
    ("noshow", PIPELINE, r"keep_releases: 3", "keep_release: 3", "keep_release", "unknown", "keep_releases"),
    ("noshow", GATES, r"min: \d+, level", "min: 180000, level", "data.rows.min", "would not pass", "lower it"),
    ("noshow", GATES, r"positives: .*", "positives: {min_share: 0.6, max_share: 0.9, level: fail}", "data.positives.min_share", "would not pass", "lower it"),
    ("noshow", GATES, r"positives: .*", "positives: {min_share: 0.001, max_share: 0.01, level: warn}", "data.positives.max_share", "warn every night", "raise it"),
    ("noshow", GATES, r"^consistency:.*\n(  .*\n?)*", "consistency: {sample: 100000, min_compared: {value: 90000, level: fail}}\n", "consistency.min_compared", "would not pass", "lower it"),
    ("noshow", QUERY, r"`order` AS `order`", "if(`order` = 1, 'x', `order`) AS `order`", "order = 1", "order is text", "'1' in quotes"),
    ("noshow", QUERY, r"`distance_km` AS `?distance_km`?", "`distance_km` / 0 AS distance_km", "distance_km / 0", "gives NULL", "column"),
    ("noshow", HYPER, r"family: deepfm", "family: deepfm\nlearning_rate: -0.1", "learning_rate", "-0.1", "greater"),
    ("noshow", HYPER, r"family: deepfm", "family: widedeep", "family", "widedeep", "deepfm"),
    ("levels", QUERY, r"`moves`\.`at` < `tries`\.`begun`", "`moves`.`at` > `tries`.`begun`", "LAST JOIN moves", "after it", "moves.at <= "),
    ("levels", QUERY, r"`moves`\.`at` < `tries`\.`begun`", "bigint(`moves`.`at`) < bigint(`tries`.`begun`) + 86400000",
     "LAST JOIN moves", "after it", "moves.at <= "),
    ("levels", QUERY, r"`moves`\.`at` < `tries`\.`begun`", "`moves`.`kind` = 'jump'", "LAST JOIN moves", "after it", "moves.at <= "),
    ("levels", QUERY, r"bigint\(`tries`\.`begun`\) - bigint\(`moves`\.`at`\)", "bigint(`wins`.`won_at`) - bigint(`tries`.`begun`)",
     "moves_ms_ago", "as the label does", "take it out"),
    ("levels", GATES, r"positives: .*", "positives: {min_share: 0.9, max_share: 0.95, level: fail}", "data.positives.min_share", "judged requests", "lower it"),
    ("levels", QUERY, r"`lives` AS `?lives`?", "`lives` % (2 - 2) AS lives", "lives % 2 - 2", "divides by 0", "column"),
    ("levels", TABLES, r"id: try_id", "id: player", "requests.id", "player", "player_id"),
    ("levels", TABLES, r"  table: tries", "  table: moves", "requests.id", "try_id", ""),
    ("levels", CREATE, r"`at` timestamp", "`at` bigint", "events.moves", "int64", "timestamp"),
    ("levels", CREATE, r"INDEX\(key=`player_id`, ts=`at`, ttl=0m", "INDEX(key=`player_id`, ts=`at`, ttl=1d", "moves", "ttl=1d", "reaches further"),
    ("levels", CREATE, r"`lives` smallint", "`lives` tinyint", "", "tinyint", "known"),
    ("levels", PIPELINE, r"^train_days: .*", "train_days: 11\nlive: {insert_requests: yes please}", "live.insert_requests", "yes please", "true or false"),
    ("levels", PIPELINE, r"^train_days: .*", "train_days: 11\nscore: {users: staff.csv}", "score.users", "staff.csv is not there", "all"),
    ("levels", PIPELINE, r'schedule: "0 2 \* \* \*"', 'schedule: "0 2 * *"', "schedule", "0 2 * *", "five parts"),
]  # fmt: skip


@pytest.fixture(scope="module")
def before(made):
    """What is said of the pipelines as they were made."""
    return {name: check_pipeline(made, name) for name in ("noshow", "levels")}


def test_what_new_makes_has_no_error(before):
    assert [one for found in before.values() for one in found if one.level == "error"] == []


@pytest.mark.parametrize("slip", SLIPS, ids=lambda s: f"{s[0]} {s[1]} {s[3]:.40}")
def test_a_slip_is_named_within_seconds(made, before, tmp_path, slip):
    name, file, old, new, key, word, fix = slip
    shutil.copytree(made.pipelines, tmp_path / "pipelines")
    settings = Settings(home=made.home, pipelines=tmp_path / "pipelines")
    plant(settings, file, old, new, name)
    begun = time.process_time()
    found = [one for one in check_pipeline(settings, name) if one not in before[name]]
    assert time.process_time() - begun < 5
    if key or word:
        expect(found, key, word, fix)
    assert found
