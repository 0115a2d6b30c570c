"""A pipeline proposed from a folder of ad clicks passes the check; refusals say what to give."""

import datetime as dt
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.check import check_pipeline
from nightshift.errors import ConfigurationError, DataError
from nightshift.pipeline import Pipeline
from nightshift.scaffold import roles as deciding
from nightshift.scaffold import survey as looking
from nightshift.scaffold import write as writing
from nightshift.settings import Settings
from nightshift.zones import Zone
from testing.embedded import ServerProcess

DAYS, ROWS = 8, 400


def impressions(rng):
    n = DAYS * ROWS
    start = np.datetime64("2026-05-01T01:00:00", "ms")
    times = start + np.repeat(np.arange(DAYS), ROWS) * np.timedelta64(1, "D")
    times = times + rng.integers(0, 10 * 3_600_000, n).astype("timedelta64[ms]")
    return pa.table(
        {
            "impression_id": pa.array(np.arange(n) + (1 << 40), pa.int64()),
            "shown_at": pa.array(times, pa.timestamp("ms")),
            "user_id": pa.array(rng.integers(0, 90, n) + (1 << 35), pa.int64()),
            "campaign_id": pa.array(rng.integers(0, 30, n), pa.int64()),
            "bid": pa.array(rng.random(n), pa.float64(), mask=rng.random(n) < 0.1),
            "is_mobile": pa.array(rng.random(n) < 0.5),
            "city": pa.array([("Zürich", "北京", "O'Fallon", None)[i % 4] for i in range(n)]),
        }
    )


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(3)
    shown = impressions(rng)
    tables = {"impressions": shown}
    clicked = shown.filter(pa.array(rng.random(len(shown)) < 0.1))
    tables["clicks"] = pa.table(
        {"impression_id": clicked["impression_id"], "clicked_at": clicked["shown_at"]}
    )
    tables["campaigns"] = pa.table(
        {
            "campaign_id": pa.array(range(30), pa.int64()),
            "begins": pa.array([dt.date(2026, 4, 1 + i % 28) for i in range(30)], pa.date32()),
            "budget": pa.array([None if i % 7 == 0 else i * 1.5 for i in range(30)]),
            "theme": pa.array([("naïve", "スポーツ", None)[i % 3] for i in range(30)]),
        }
    )
    root = tmp_path / "from"
    for name, table in tables.items():
        if name == "campaigns":
            (root / name).mkdir(parents=True)
            pq.write_table(table, root / name / "part-0.parquet")
            continue
        column = "shown_at" if name == "impressions" else "clicked_at"
        days = np.array(table[column].to_numpy(), "datetime64[D]")
        for day in np.unique(days):
            part = root / name / f"ds={day}"
            part.mkdir(parents=True)
            pq.write_table(table.filter(pa.array(days == day)), part / "part-0.parquet")
    return root


@pytest.fixture
def settings(tmp_path, folder):
    (tmp_path / "pipelines").mkdir()
    return Settings(
        project=tmp_path, home=tmp_path / "home", data=tmp_path / "data",
        pipelines=tmp_path / "pipelines",
    )  # fmt: skip


def propose(folder, **given):
    return deciding.decide(looking.survey(folder), **given)


def test_the_proposed_folder_passes_the_check(settings, folder):
    roles = propose(folder, requests="impressions", labels="clicks")
    assert (roles.request_id, roles.request_time) == ("impression_id", "shown_at")
    assert roles.label is None  # a row is a click
    assert {j.table.name for j in roles.joined} == {"campaigns"}
    texts = writing.contents("ads", roles, writing.window_of(roles, 1), 300)
    made = writing.write(settings, "ads", texts)
    assert sorted(p.name for p in made.iterdir()) == sorted(texts)
    settings.data.mkdir()
    (settings.data / "ads").symlink_to(folder)
    problems = [p for p in check_pipeline(settings, "ads") if p.level == "error"]
    assert problems == []


def test_a_pipeline_outside_of_the_project_leaves_its_dags_alone(settings, folder, tmp_path):
    project = tmp_path / "project"
    for name in ("pipelines/jd", "dags"):
        (project / name).mkdir(parents=True)
    (project / "dags" / "jd.py").write_text("jd")
    (project / "dags" / "all.py").write_text("every pipeline")
    elsewhere = replace(settings, project=project)
    roles = propose(folder, requests="impressions", labels="clicks")
    texts = writing.contents("ads", roles, writing.window_of(roles, 1), 300)
    writing.write(elsewhere, "ads", texts)
    assert writing.ensure_dag_files(elsewhere) == []
    assert sorted(p.name for p in (project / "dags").iterdir()) == ["all.py", "jd.py"]
    own = elsewhere.home / "dags"
    assert sorted(p.name for p in own.iterdir()) == ["ads.py", "all.py"]
    assert 'pipeline_dags("ads")' in (own / "ads.py").read_text()
    assert not [p for p in check_pipeline(elsewhere, "ads") if p.file.endswith("ads.py")]


@pytest.mark.parametrize(
    ("zone", "hour"),
    [
        ("UTC", "bigint(`shown_at`) - 28800000"),
        ("Asia/Tokyo", "hour(timestamp(bigint(`shown_at`) + 3600000))"),
        ("Asia/Shanghai", "hour(`shown_at`)"),
    ],
)
def test_days_and_hours_are_those_of_a_given_zone(settings, folder, zone, hour):
    roles = propose(folder, requests="impressions", labels="clicks")
    chosen = Zone.of(zone)
    texts = writing.contents("ads", roles, writing.window_of(roles, 1, zone=chosen), 300, chosen)
    assert hour in texts["features.sql"]
    writing.write(settings, "ads", texts)
    assert Pipeline.load(settings, "ads").zone == chosen
    assert [p for p in check_pipeline(settings, "ads") if p.level == "error"] == []


@pytest.mark.services
def test_hours_follow_the_clocks_of_a_zone_that_changes_them(settings, folder, tmp_path):
    roles = propose(folder, requests="impressions", labels="clicks")
    zone = Zone.of("America/New_York")
    texts = writing.contents("ads", roles, writing.window_of(roles, 1, zone=zone), 300, zone)
    found = re.search(r"hour\((timestamp.*?END\))\) AS request_hour", texts["features.sql"], re.S)
    # Around the changes of clocks of 2026 and 2035, and on the day of the data.
    moments = [
        int(dt.datetime(*at, tzinfo=dt.timezone.utc).timestamp() * 1000)
        for at in (
            (2026, 3, 8, 6, 59), (2026, 3, 8, 7, 1), (2026, 11, 1, 5, 59), (2026, 11, 1, 6, 1),
            (2026, 5, 3, 0, 0), (2035, 7, 1, 12, 0), (2035, 12, 24, 12, 0),
        )
    ]  # fmt: skip
    rows = ", ".join(f"('a', {moment})" for moment in moments)
    server = ServerProcess(tmp_path / "openmldb").start()
    try:
        server.do("CREATE DATABASE db")
        server.do("CREATE TABLE t(k string, shown_at timestamp, INDEX(key=k, ts=shown_at))")
        server.do(f"INSERT INTO t VALUES {rows}")
        hours = dict(server.do(f"SELECT shown_at, hour({found[1]}) AS h FROM t"))
    finally:
        server.end()
    assert [hours[moment] for moment in moments] == [1, 3, 1, 1, 20, 8, 7]
    writing.write(settings, "ads", texts)
    assert [p for p in check_pipeline(settings, "ads") if p.level == "error"] == []


def test_roles_are_guessed_from_names_and_counts(folder):
    roles = propose(folder)
    assert (roles.requests.name, roles.labels.name) == ("impressions", "clicks")
    assert any("impression_id" in guess for guess in roles.guesses)


def test_a_larger_table_of_events_with_an_id_of_its_own_is_not_taken_for_the_requests(folder):
    n = 2 * DAYS * ROWS
    times = np.datetime64("2026-05-01T01:00:00", "ms") + np.arange(n) * np.timedelta64(60, "s")
    views = {
        "view_id": pa.array(np.arange(n), pa.int64()),
        "user_id": pa.array(np.arange(n) % 90 + (1 << 35), pa.int64()),
        "seen_at": pa.array(times, pa.timestamp("ms")),
        # Each value once, and no id: a double names nothing.
        "seconds": pa.array(np.random.default_rng(1).random(n)),
    }
    (folder / "views").mkdir()
    for columns in (views, {k: v for k, v in views.items() if k != "view_id"}):
        pq.write_table(pa.table(columns), folder / "views" / "part-0.parquet")
        assert propose(folder).requests.name == "impressions"


def test_refusals_name_what_to_give(settings, folder):
    with pytest.raises(ConfigurationError, match=r"--requests impression:.*impressions"):
        propose(folder, requests="impression")
    with pytest.raises(ConfigurationError, match=r"--labels nothing"):
        propose(folder, requests="impressions", labels="nothing")
    with pytest.raises(ConfigurationError, match="name it by --label"):
        propose(folder, requests="impressions", labels="impressions")
    with pytest.raises(DataError, match="has no column 'klick'"):
        propose(folder, requests="impressions", labels="clicks", label="klick")
    with pytest.raises(DataError, match="none is not there"):
        looking.survey(folder / "none")
    with pytest.raises(ConfigurationError, match="not a pipeline's name"):
        writing.check_name(settings, "Ads")
    (settings.pipelines / "ads").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        writing.check_name(settings, "ads")


def test_columns_that_are_called_as_the_querys_own_are_given_another_name(settings, folder):
    path = folder / "impressions"
    for part in path.glob("*/*.parquet"):
        table = pq.read_table(part)
        names = {"bid": "label", "city": "Request_Hour", "is_mobile": "user_id_requests_1d"}
        pq.write_table(table.rename_columns([names.get(n, n) for n in table.column_names]), part)
    roles = propose(folder, requests="impressions", labels="clicks")
    texts = writing.contents("ads", roles, writing.window_of(roles, 1), 300)
    writing.write(settings, "ads", texts)
    assert [p for p in check_pipeline(settings, "ads") if p.level == "error"] == []
    spec = Pipeline.load(settings, "ads").features.spec
    assert {"impressions_label", "impressions_Request_Hour", "impressions_user_id_requests_1d"} <= {
        *spec.names
    }


def spoil(folder, change):
    for part in (folder / "impressions").glob("*/*.parquet"):
        pq.write_table(change(pq.read_table(part)), part)


def twice(table):
    half = pa.array([n // 2 for n in table["impression_id"].to_pylist()], pa.int64())
    return table.set_column(0, "impression_id", half)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (twice, "no repeats"),
        (lambda t: t.drop_columns(["shown_at"]), "no timestamp"),
        (lambda t: t.slice(0, 0), "no rows"),
    ],
)
def test_impressions_that_cannot_be_requests_do_not_become_the_labels(folder, change, why):
    spoil(folder, change)
    with pytest.raises(ConfigurationError, match=f"impressions cannot be the requests: .*{why}"):
        propose(folder)


def test_labels_of_every_request_are_refused_where_a_row_is_a_positive(folder):
    for part in (folder / "impressions").glob("*/*.parquet"):
        clicks = folder / "clicks" / part.parent.name / part.name
        table = pq.read_table(part)
        pq.write_table(
            pa.table({"impression_id": table["impression_id"], "clicked_at": table["shown_at"]}),
            clicks,
        )
    with pytest.raises(ConfigurationError, match="nothing is a negative"):
        propose(folder, requests="impressions", labels="clicks")


def test_a_name_that_sql_does_not_take_is_refused_with_file_and_column(tmp_path):
    (tmp_path / "shown").mkdir()
    pq.write_table(pa.table({"user-id": [1]}), tmp_path / "shown" / "part-0.parquet")
    with pytest.raises(DataError, match=r"part-0\.parquet.*user-id.*rename"):
        looking.survey(tmp_path)


@pytest.mark.parametrize(
    ("days", "rows", "positives", "train", "held"),
    [
        (60, 600_000, 30_000, 30, 2),  # full days: 30 are enough to learn from
        (240, 48_000, 24_000, 180, 7),  # few requests a day: a twelfth of 180 is a week at most
        (120, 24_000, 12_000, 90, 7),
        (30, 30_000, 9_000, 22, 2),
        (30, 30_000, 300, 22, 5),  # but 100 positives take more, a sixth of the days at most
    ],
)
def test_days_of_few_requests_are_held_out_up_to_a_week(folder, days, rows, positives, train, held):
    roles = propose(folder, requests="impressions", labels="clicks")
    first = dt.datetime(2026, 1, 1, 8, tzinfo=dt.timezone.utc)
    last = first + dt.timedelta(days=days - 1)
    columns = [
        replace(c, least=first, greatest=last) if c.name == "shown_at" else c
        for c in roles.requests.columns
    ]
    requests = replace(roles.requests, columns=tuple(columns), rows=rows, days=())
    window = writing.window_of(replace(roles, requests=requests), 0, positives)
    assert (window.train_days, window.test_days, window.valid_days) == (train, held, held)
