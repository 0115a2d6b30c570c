"""Bad partitions are seen by table, day and column before a night works on them."""

import dataclasses
import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_sql import statements

from nightshift.data.declared import declared_tables
from nightshift.data.scan import scan
from nightshift.features.tables import SourceTables
from nightshift.gates import partitions
from nightshift.zones import Zone

TABLES = SourceTables.parse(
    {
        "version": 1,
        "events": {"visit": "at", "click": "at", "bought": "at"},
        "snapshots": ["page"],
        "requests": {"table": "visit", "id": "id"},
        "label": "bought",
    },
    source="tables.yaml",
)
DECLARED = declared_tables(
    TABLES,
    """CREATE TABLE visit(id string, at timestamp, who string, spent double,
        INDEX(key=who, ts=at));
    CREATE TABLE click(who string, at timestamp, INDEX(key=who, ts=at));
    CREATE TABLE bought(id string, at timestamp, bought int, INDEX(key=id, ts=at));
    CREATE TABLE page(page string, INDEX(key=page));""",
)
DECLARED["bought"] = dataclasses.replace(DECLARED["bought"], label="bought")
DAYS = [dt.date(2026, 3, 1) + dt.timedelta(days=n) for n in range(6)]
US = pa.timestamp("us")


def at(day, hour=10):
    """An hour of a day in UTC+8, as UTC."""
    return dt.datetime.combine(day, dt.time(hour)) - dt.timedelta(hours=8)


class House:
    def __init__(self, root):
        self.root = root
        for n, day in enumerate(DAYS):
            ids = [f"r{n}-{i}" for i in range(3)]
            times = pa.array([at(day, 0), at(day, 12), at(day, 23)], US)
            self.write("visit", day, id=ids, at=times, who=["a", "b", "c"], spent=[0.5, 1.0, None])
            self.write("click", day, who=["a", "a"], at=times.slice(0, 2))
            self.write("bought", day, id=ids, at=times, bought=pa.array([0, 1, 0], pa.int32()))
        (root / "page").mkdir()
        pq.write_table(pa.table({"page": ["x"]}), root / "page" / "part-0.parquet")

    def write(self, table, day, **columns):
        path = self.root / table / f"ds={day}" / "part-0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)

    def change(self, table, day, **columns):
        path = self.root / table / f"ds={day}" / "part-0.parquet"
        rows = pq.ParquetFile(path).read()
        for name, values in columns.items():
            rows = rows.set_column(rows.column_names.index(name), name, values)
        pq.write_table(rows, path)

    def remove(self, table, day):
        folder = self.root / table / f"ds={day}"
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    def check(self, **options):
        there = {
            name: [str(d) for d in DAYS if (self.root / name / f"ds={d}").is_dir()]
            for name in TABLES.events
        }
        return partitions.check(
            self.root,
            DECLARED,
            TABLES,
            **{
                "ds": str(DAYS[-1]),
                "partitions": there,
                "lookback_days": {"click": 2},
                "train_days": 4,
                "settle_days": 1,
                **options,
            },
        )


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_whole_partitions_pass_with_their_counts(house):
    report = house.check()
    assert (report["status"], report["failures"], report["warnings"]) == ("pass", [], [])
    assert report["tables"]["visit"]["2026-03-06"] == {"files": 1, "rows": 3, "nulls": {"spent": 1}}


@pytest.mark.parametrize(("zone", "lost"), [("UTC", 1), ("+07:00", 1), ("+08:00", 0)])
def test_partitions_are_days_of_the_pipelines_zone(house, zone, lost):
    tables = dataclasses.replace(TABLES, zone=Zone.of(zone))
    declared = {k: dataclasses.replace(v, zone=tables.zone) for k, v in DECLARED.items()}
    found = scan(house.root, declared, {"visit": [str(d) for d in DAYS], "page": ["snapshot"]})
    for facts in found["visit"].values():
        assert sum(facts.other_days.values()) == lost  # 0:00 of UTC+8 is the day before


def spoiled(house, how):
    day, other = DAYS[4], DAYS[3]
    if how == "other_day":
        house.change("click", day, at=pa.array([at(other), at(day)], US))
    elif how == "utc":
        times = [dt.datetime.combine(day, dt.time(hour)) for hour in (1, 20)]
        house.change("click", day, at=pa.array(times, US))
    elif how == "no_time":
        house.change("click", day, at=pa.array([None, at(day)], US))
    elif how == "repeated_within":
        house.change("visit", day, id=pa.array(["x", "x", "y"]))
    elif how == "repeated_across":
        house.change("visit", day, id=pa.array(["r1-0", "x", "y"]))
    elif how == "no_id":
        house.change("visit", day, id=pa.array([None, "x", "y"]))
    elif how == "no_key":
        house.change("visit", day, who=pa.array([None, "x", "y"]))
    elif how == "not_finite":
        house.change("visit", day, spent=pa.array([float("nan"), float("-inf"), 1.0]))
    elif how == "empty_newest":
        house.write("visit", DAYS[-1], id=pa.array([], pa.string()), at=pa.array([], US),
                    who=pa.array([], pa.string()), spent=pa.array([], pa.float64()))  # fmt: skip
    elif how == "empty_days":
        house.write("visit", day, id=pa.array([], pa.string()), at=pa.array([], US),
                    who=pa.array([], pa.string()), spent=pa.array([], pa.float64()))  # fmt: skip
    elif how == "no_labels":
        house.remove("bought", other)
    elif how == "no_history":
        house.remove("click", DAYS[0])
    elif how == "null_labels":
        house.change("bought", other, bought=pa.array([None, 1, None], pa.int32()))
    elif how == "all_labels_null":
        house.change("bought", other, bought=pa.array([None] * 3, pa.int32()))
    elif how == "odd_labels":
        house.change("bought", day, bought=pa.array([2, -1, 2], pa.int32()))
    elif how == "same_key":
        pq.write_table(pa.table({"page": ["x", "y", "x", "x"]}),
                       house.root / "page" / "part-0.parquet")  # fmt: skip
    elif how == "future_day":
        house.write("click", dt.date(2062, 3, 7), who=["a"], at=pa.array([at(day)], US))
    elif how == "for ever":  # a time that means none, near the end of the calendar
        house.change(
            "click", day, at=pa.array([at(day), dt.datetime(9999, 12, 31, 23, 59, 59)], US)
        )
    elif how == "type":
        house.change("click", day, at=pa.array([1, 2]))
    elif how == "nanoseconds":
        house.change("click", day, at=pa.array([at(day), at(day)], US).cast(pa.timestamp("ns")))
    elif how == "cut":
        path = house.root / "click" / f"ds={day}" / "part-0.parquet"
        path.write_bytes(path.read_bytes()[:-20])
    elif how == "order":
        house.write("click", day, at=pa.array([at(day)], US), who=["a"])
    elif how == "empty_snapshot":
        pq.write_table(pa.table({"page": pa.array([], pa.string())}),
                       house.root / "page" / "part-0.parquet")  # fmt: skip


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        ("other_day", "fail", "click, 2026-03-05: 1 of 2 rows are of another day by at (2026-03-04: 1)"),
        ("for ever", "fail", "1 of 2 rows are of another day by at (9999-12-31: 1)"),
        ("utc", "fail", "by UTC all are of this day, but partitions are days of UTC+8"),
        ("no_time", "fail", "click, 2026-03-05: 1 of 2 rows have no at ("),
        ("repeated_within", "fail", "visit, 2026-03-05: 1 of 3 rows repeat a id"),
        ("repeated_across", "fail", "visit, 2026-03-05: 1 of 3 rows repeat a id"),
        ("no_id", "fail", "visit, 2026-03-05: 1 of 3 rows have no id"),
        ("no_key", "warn", "visit, 2026-03-05: 1 of 3 rows have no who, a key"),
        ("not_finite", "warn", "visit, 2026-03-05: 2 of 3 values of spent are NaN or infinite"),
        ("empty_newest", "fail", "visit, 2026-03-06: the newest partition holds no row"),
        ("empty_days", "warn", "visit: no row on 1 day(s) (2026-03-05)"),
        ("no_labels", "fail", "bought: no label on 1 settled day(s) that have requests (2026-03-04)"),
        ("null_labels", "warn", ("bought, 2026-03-04: 2 of 3 rows have no bought, the label, though "
         "settled; their requests are left out")),
        ("all_labels_null", "fail", "bought: no label on 1 settled day(s) that have requests (2026-03-04)"),
        ("odd_labels", "fail", ("bought, 2026-03-05: 3 of 3 rows have a bought, the label, other than 0 "
         "and 1 (-1: 1, 2: 2)")),
        ("same_key", "warn", "page: 2 of 4 rows repeat a page that is there already"),
        ("future_day", "warn", "click, 2062-03-07: the partition, of 1 rows, is of a day that has not"),
        ("no_history", "warn", "click: 1 of the 2 days before 2026-03-03 that windows look back on"),
        ("type", "fail", "column at: it is int64 in the file and timestamp in click"),
        ("nanoseconds", "fail", "column at: Spark 3.2 does not read times in nanoseconds"),
        ("cut", "fail", "part-0.parquet: the parquet file has no whole footer"),
        ("order", "fail", "column at: it is number 1 in the file, where click has who"),
        ("empty_snapshot", "fail", "page: the snapshot holds no row"),
    ],
)  # fmt: skip
def test_each_kind_of_bad_partition_is_seen(house, how, status, message):
    spoiled(house, how)
    report = house.check()
    assert report["status"] == status
    found = report["failures" if status == "fail" else "warnings"]
    assert any(message in text for text in found), found


def test_levels_are_a_setting(house):
    spoiled(house, "other_day")
    spoiled(house, "not_finite")
    report = house.check(levels={"other_day": "off", "not_finite": "fail"})
    assert len(report["failures"]) == 1
    assert "spent" in report["failures"][0]
    assert report["tables"]["click"]["2026-03-05"]["other_days"] == {"2026-03-04": 1}


@pytest.mark.parametrize(
    "how", ["null_labels", "odd_labels", "same_key", "future_day"]
)  # fmt: skip
def test_level_of_a_label_key_or_future_day_is_a_setting(house, how):
    spoiled(house, how)
    assert house.check(levels={how: "fail"})["status"] == "fail"
    report = house.check(levels={how: "off"})
    assert report["failures"] + report["warnings"] == []


def test_labels_that_have_not_settled_may_be_null(house):
    house.change("bought", DAYS[-1], bought=pa.array([None] * 3, pa.int32()))
    assert house.check()["status"] == "pass"


def test_a_day_is_future_by_the_clock_and_not_by_the_run(house):
    # A night of an older date, with later days at hand
    assert house.check(ds=str(DAYS[-2]), today=DAYS[-1], lookback_days={})["warnings"] == []
    told = house.check(ds=str(DAYS[-3]), today=DAYS[-2], lookback_days={})["warnings"]
    assert [text.partition(":")[0] for text in told] == [
        f"{name}, {DAYS[-1]}" for name in ("visit", "click", "bought")
    ]


@pytest.mark.parametrize(
    ("index", "keys", "same"),
    [
        ("INDEX(key=page)", ["x", "x"], 1),
        ("INDEX(key=page), INDEX(key=site)", ["x", "x"], 0),  # a row of each site
        ("INDEX(key=(page, site))", ["x", "x"], 0),
        ("INDEX(key=page, ts=at)", ["x", "x"], 0),  # the newest is taken
        ("INDEX(key=page)", [None, None], 0),  # no join finds them
    ],
)
def test_rows_of_a_snapshot_are_told_apart_by_an_index(tmp_path, index, keys, same):
    script = f"CREATE TABLE page(page string, site string, at timestamp, {index});"
    declared = {"page": dataclasses.replace(
        DECLARED["page"],
        columns={"page": "string", "site": "string", "at": "timestamp"},
        indexes=statements.parse(script.rstrip(";")).schema.indexes,
    )}  # fmt: skip
    (tmp_path / "page").mkdir()
    rows = {"page": pa.array(keys, pa.string()), "site": ["1", "2"],
            "at": pa.array([at(DAYS[0]), at(DAYS[1])], US)}  # fmt: skip
    pq.write_table(pa.table(rows), tmp_path / "page" / "part-0.parquet")
    found = scan(tmp_path, declared, {})
    assert found["page"]["snapshot"].same_key == same


def test_labels_that_have_not_settled_may_be_absent(house):
    house.remove("bought", DAYS[-1])
    assert house.check()["status"] == "pass"
    assert house.check(settle_days=0)["status"] == "fail"


def test_a_table_that_has_rows_once_a_week_may_end_with_an_empty_day(house):
    for day in DAYS[1:]:
        house.write("click", day, who=pa.array([], pa.string()), at=pa.array([], US))
    assert house.check()["status"] == "pass"


def test_hidden_copies_double_nothing(house):
    folder = house.root / "visit" / f"ds={DAYS[-1]}"
    content = (folder / "part-0.parquet").read_bytes()
    for name in (".part-0.parquet", "_part-0.parquet"):
        (folder / name).write_bytes(content)
    assert house.check()["tables"]["visit"][str(DAYS[-1])]["rows"] == 3


def test_files_that_nothing_reads_are_named(house):
    folder = house.root / "click"
    (folder / f"ds={DAYS[3]}").rename(folder / f"ds={DAYS[3]:%Y%m%d}")
    report = house.check()
    (told,) = [text for text in report["warnings"] if "nothing reads" in text]
    assert str(folder) in told
    assert "ds=20260304" in told
    assert "ds=YYYY-MM-DD" in told
    assert house.check(levels={"unread": "off"})["warnings"] == [
        text for text in report["warnings"] if text != told
    ]
