"""What a proposed query counts in a table of events."""

import datetime as dt
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.check import check_pipeline
from nightshift.pipeline import Pipeline
from nightshift.scaffold import roles as deciding
from nightshift.scaffold import survey as looking
from nightshift.scaffold import write as writing
from nightshift.scaffold.survey import Column, Table
from nightshift.scaffold.windows import aggregates, spans
from nightshift.settings import Settings
from testing.embedded import ServerProcess

START = dt.datetime(2026, 5, 1, 1, tzinfo=dt.timezone.utc)
DAYS, SHOWN, DONE = 12, 60, 300
ACTIONS = ("view", "add to cart", "加购", "it's", "buy")


def folder_of(root):
    """Shop windows shown, orders, and what visitors did: some of it at the instant of a request."""
    rng = np.random.default_rng(5)

    def when(n):
        seconds = np.sort(rng.integers(0, DAYS * 86_400 - 40_000, n))
        return np.datetime64("2026-05-01T01:00:00", "ms") + seconds * np.timedelta64(1, "s")

    n, m = DAYS * SHOWN, DAYS * DONE
    shown_at, done_at = when(n), when(m)
    done_at[::50] = shown_at[rng.integers(0, n, len(done_at[::50]))]
    tables = {
        "shown": (shown_at, {
            "shown_id": pa.array([f"s{i}" for i in range(n)]),
            "shown_at": pa.array(shown_at, pa.timestamp("ms")),
            "visitor": pa.array([f"v{i}" for i in rng.integers(0, 40, n)]),
            "visit_id": pa.array(np.arange(n) // 3, pa.int64()),
        }),
        "done": (done_at, {
            "visitor": pa.array([f"v{i}" for i in rng.integers(0, 40, m)]),
            "what": pa.array([ACTIONS[i] for i in rng.integers(0, len(ACTIONS), m)],
                             mask=rng.random(m) < 0.05),
            "done_at": pa.array(done_at, pa.timestamp("ms")),
            "amount": pa.array(rng.random(m) * 90, pa.float64(), mask=rng.random(m) < 0.2),
            "mobile": pa.array(rng.random(m) < 0.5),
            "page": pa.array([f"p{i}" for i in rng.integers(0, 70, m)]),
        }),
        "ordered": (shown_at, {
            "shown_id": pa.array([f"s{i}" for i in range(n)]),
            "ordered": pa.array(rng.random(n) < 0.2),
        }),
    }  # fmt: skip
    for name, (times, columns) in tables.items():
        days = times.astype("datetime64[D]")
        for day in np.unique(days):
            part = root / name / f"ds={day}"
            part.mkdir(parents=True)
            pq.write_table(pa.table(columns).filter(pa.array(days == day)), part / "part-0.parquet")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("from"))


@pytest.fixture(scope="module")
def proposed(folder):
    roles = deciding.decide(looking.survey(folder), requests="shown", labels="ordered")
    return roles, writing.contents("shop", roles, writing.window_of(roles, 0, 100), 100)


def test_a_query_with_windows_over_events_passes_the_check(folder, proposed, tmp_path):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shop").symlink_to(folder)
    settings = Settings(
        project=tmp_path, home=tmp_path / "home", data=tmp_path / "data",
        pipelines=tmp_path / "pipelines",
    )  # fmt: skip
    writing.write(settings, "shop", proposed[1])
    assert [p for p in check_pipeline(settings, "shop") if p.level == "error"] == []
    names = set(Pipeline.load(settings, "shop").features.spec.names)
    assert "done_ms_ago" in names
    assert {f"done_by_visitor_{what}_7d" for what in (
        "rows", "what_view", "what_add_to_cart", "amount_mean", "mobile", "page_distinct",
    )} <= names  # fmt: skip
    # Visits do not come again.
    assert "visit_id" not in names


@pytest.mark.services
def test_the_windows_count_what_lies_before_the_request(folder, proposed, tmp_path):
    """Against a loop over the rows: earlier than the request, at most so far back."""
    read = {n: pq.read_table(folder / n, partitioning=None).to_pylist() for n in ("shown", "done")}
    requests, events = read["shown"][-40:], read["done"]
    with_same_instant = [r for r in read["shown"] if any(
        e["done_at"] == r["shown_at"] and e["visitor"] == r["visitor"] for e in events)]  # fmt: skip
    requests += with_same_instant[:5]
    text = proposed[1]["features.sql"]
    part = re.search(
        r"LAST JOIN\n\(\n    -- Rows of done.*?\n    (SELECT.*)\n\) AS done", text, re.S
    )
    server = ServerProcess(tmp_path / "openmldb").start()
    try:
        server.do("CREATE DATABASE db")
        for statement in proposed[1]["create_tables.sql"].split(";")[:-1]:
            if "`shown`" in statement or "`done`" in statement:
                server.do(re.sub(r"(?m)^--.*", "", statement).strip())
        for name, rows in (("shown", requests), ("done", events)):
            put(server, name, rows)
        found = {row[0]: row[1:] for row in server.do(part[1])}
    finally:
        server.end()
    names = re.findall(r"AS `(done_by_visitor_\w+)`", part[1])[1:]
    for request in requests:
        got = dict(zip(names, found[request["shown_id"]], strict=True))
        for span in ("1d", "7d"):
            since = request["shown_at"] - dt.timedelta(days=int(span[:-1]))
            seen = [e for e in events if e["visitor"] == request["visitor"]
                    and since <= e["done_at"] < request["shown_at"]]  # fmt: skip
            assert got[f"done_by_visitor_rows_{span}"] == len(seen)
            for what, column in (("view", "view"), ("add to cart", "add_to_cart")):
                expected = sum(e["what"] == what for e in seen)
                assert got[f"done_by_visitor_what_{column}_{span}"] == expected
            paid = [e["amount"] for e in seen if e["amount"] is not None]
            mean = got[f"done_by_visitor_amount_mean_{span}"]
            assert mean == (pytest.approx(sum(paid) / len(paid), rel=1e-9) if paid else None)
            pages = {e["page"] for e in seen}
            # The request's own row is one more, of no page.
            assert got[f"done_by_visitor_page_distinct_{span}"] == len(pages) + 1
            assert got[f"done_by_visitor_mobile_{span}"] == sum(e["mobile"] for e in seen)


def seen_folder(root):
    """One flat table of 40 days: what a member was shown, and whether it was taken."""
    rng = np.random.default_rng(6)
    n = 1200
    at = np.datetime64("2026-05-01T01:00:00", "ms") + np.sort(
        rng.integers(0, 40 * 86_400, n)
    ) * np.timedelta64(1, "s")
    (root / "seen").mkdir(parents=True)
    columns = {
        "seen_id": pa.array(np.arange(n), pa.int64()),
        "seen_at": pa.array(at, pa.timestamp("ms")),
        "member": pa.array([f"m{i}" for i in rng.integers(0, 25, n)]),
        "taken": pa.array(rng.random(n) < 0.3, mask=rng.random(n) < 0.1),
    }
    pq.write_table(pa.table(columns), root / "seen" / "part-0.parquet")
    return root


@pytest.mark.services
def test_past_labels_are_counted_up_to_two_days_before_the_request(tmp_path):
    """Against a loop over the rows; a label that is not known is none of them."""
    folder = seen_folder(tmp_path / "from")
    roles = deciding.decide(looking.survey(folder), label="taken")
    assert roles.label_spans == {"member": "7d"}
    texts = writing.contents("seen", roles, writing.window_of(roles, 0, 300), 300)
    assert "delay: {days: 2}" in texts["tables.yaml"]
    assert "seen_label_by_member_taken_share_7d: {type: double}" in texts["feature_spec.yaml"]
    part = re.search(r"-- Labels known.*?\n    (SELECT.*)\n\) AS seen", texts["features.sql"], re.S)
    rows = pq.read_table(folder / "seen").to_pylist()
    labels = [{k: row[k] for k in ("seen_id", "seen_at", "member", "taken")} for row in rows]
    requests = [{k: row[k] for k in ("seen_id", "seen_at", "member")} for row in rows[::30]]
    server = ServerProcess(tmp_path / "openmldb").start()
    try:
        server.do("CREATE DATABASE db")
        for statement in texts["create_tables.sql"].split(";")[:-1]:
            server.do(re.sub(r"(?m)^--.*", "", statement).strip())
        for name, some in (("seen", requests), ("seen_label", labels)):
            put(server, name, some)
        found = {row[0]: row[1:] for row in server.do(part[1])}
    finally:
        server.end()
    for request in requests:
        since, until = (request["seen_at"] - dt.timedelta(days=days) for days in (7, 2))
        known = [
            row["taken"]
            for row in labels
            if row["member"] == request["member"]
            and since <= row["seen_at"] <= until
            and row["taken"] is not None
        ]
        share = sum(known) / len(known) if known else None
        assert found[request["seen_id"]] == [len(known), share]


def put(server, table, rows):
    def literal(value):
        if value is None:
            return "NULL"
        if isinstance(value, dt.datetime):
            return str(int(value.replace(tzinfo=dt.timezone.utc).timestamp() * 1000))
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, (int, float)) else '"' + value + '"'

    for at in range(0, len(rows), 500):
        values = ", ".join(
            "(" + ", ".join(literal(v) for v in row.values()) + ")" for row in rows[at : at + 500]
        )
        server.do(f"INSERT INTO {table} VALUES {values}")


def text(name, *common, distinct=None):
    return Column(name, "string", distinct or len(common), 0, common=common)


def of(*columns):
    return {a.name: a for a in aggregates(Table("t", columns, 1000, 1000), {"key", "at"})}


def test_values_that_sql_could_not_quote_are_left_out():
    found = of(text("what", "a'b", 'say "x"', "back\\slash", "line\nbreak", "plain"))
    assert set(found) == {"rows", "what_plain", "what_distinct"}


def test_values_whose_names_would_be_the_same_are_told_apart():
    found = of(text("what", "a b", "a-b", "加购", "收藏"))
    assert set(found) == {"rows", "what_a_b", "what_a_b_2", "what_value", "what_value_2"}


def test_keys_times_and_what_has_no_type_of_a_window_are_no_features():
    found = of(
        text("key", "x"), Column("at", "timestamp", 9, 0), Column("born", "date", 9, 0),
        text("note", distinct=900),
    )  # fmt: skip
    assert set(found) == {"rows"}


def test_a_mean_of_fractions_is_rounded_to_what_every_order_of_the_sum_gives():
    found = of(Column("paid", "double", 500, 0, 0.0, 12_345.6), Column("n", "int64", 500, 0, 0, 9))
    assert found["paid_mean"].decimals == 4
    assert found["n_mean"].decimals is None


def test_a_wide_table_gives_no_more_than_a_window_can_show():
    wide = of(*(text(f"c{i}", "a", "b", "c") for i in range(20)))
    assert len(wide) == 12


@pytest.mark.parametrize(
    ("days", "rows", "found"),
    [
        (200, 40_000, ("1d", "7d")),  # twice a day each
        (200, 1_200, ("7d", "30d")),  # each a few times a month
        (200, 150, ("30d", "90d")),
        (500, 250, ("30d", "180d")),  # once in 200 days each
        (40, 150, ("1d", "7d")),  # there are no 60 days that a window of 30 would need
        (9, 10, ("1d", "7d")),
    ],
)
def test_windows_reach_back_to_one_more_row_of_a_key(days, rows, found):
    end = START + dt.timedelta(days=days)
    columns = text("who", distinct=100), Column("at", "timestamp", rows, 0, START, end)
    assert spans(Table("t", columns, rows, rows), "who", "at") == found


def test_whole_numbers_that_are_amounts_have_a_mean_and_kinds_are_counted():
    found = of(
        Column("discs", "int32", 40, 0, 1, 90, tuple(range(1, 41))),
        Column("stars", "int32", 5, 0, 1, 5, (1, 2, 3, 4, 5)),
    )
    assert {"discs_mean", "stars_1", "stars_5"} <= set(found)
    assert "kind_distinct" in of(Column("kind", "int32", 40, 0, 1, 90, tuple(range(1, 41))))
