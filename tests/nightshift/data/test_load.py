"""`data load`: values come over as they are, or the load is refused and nothing appears."""

import dataclasses
import datetime as dt
import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openmldb_files import spark_faults

from nightshift import files
from nightshift.data import load as loading
from nightshift.data import publish
from nightshift.data.declared import declared_tables
from nightshift.errors import ConfigurationError, DataError
from nightshift.features.tables import SourceTables
from nightshift.zones import Zone

TABLES = SourceTables.parse(
    {
        "version": 1,
        "events": {"visit": "at", "click": "at"},
        "snapshots": ["page"],
        "requests": {"table": "visit", "id": "id"},
    },
    source="tables.yaml",
)
DECLARED = declared_tables(
    TABLES,
    """CREATE TABLE visit(id string NOT NULL, at timestamp, person string, spent float, n int);
    CREATE TABLE click(id string, at timestamp, clicked int);
    CREATE TABLE page(page string, born date, good bool);""",
)
AT = [
    dt.datetime(2026, 3, 1, 2),
    dt.datetime(2026, 3, 1, 15, 59, 59, 999_999),
    dt.datetime(2026, 3, 3),
]
US = pa.timestamp("us")


def tables():
    return {
        "visit": pa.table(
            {
                "id": ["a", "b", "c"],
                "at": pa.array(AT, US),
                "person": ["20000000001", None, "é"],
                "spent": pa.array([0.1, 1.5, None], pa.float32()),
                "n": pa.array([1, 2, None], pa.int32()),
            }
        ),
        "click": pa.table(
            {"id": ["a"], "at": pa.array(AT[:1], US), "clicked": pa.array([1], pa.int32())}
        ),
        "page": pa.table({"page": ["x"], "born": [dt.date(2020, 1, 1)], "good": [True]}),
    }


def change(table, column, values):
    return table.set_column(table.column_names.index(column), column, values)


class Case:
    def __init__(self, root):
        self.source, self.data = root / "source", root / "data"
        self.tables = tables()

    def write(self, **options):
        for name, table in self.tables.items():
            (self.source / name).mkdir(parents=True, exist_ok=True)
            pq.write_table(table, self.source / name / "part-0.parquet", **options)

    def csv(self, table, text, name="part-0.csv", encoding="utf-8"):
        folder = self.source / table
        for path in folder.iterdir():
            path.unlink()
        content = text.encode(encoding)
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    def load(self, *meanings, **options):
        return loading.load(
            self.data,
            self.source,
            DECLARED,
            loading.Options(meanings=loading.parse_meanings(meanings, DECLARED), **options),
        )

    def refuse(self, match, *meanings, **options):
        with pytest.raises(DataError, match=match) as caught:
            self.load(*meanings, **options)
        assert not list(self.data.rglob("*.parquet"))
        assert not list(self.data.glob(".tmp-*"))
        return str(caught.value)

    def rows(self, table):
        paths = sorted(self.data.joinpath(table).rglob("*.parquet"))
        return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


@pytest.fixture
def case(tmp_path):
    made = Case(tmp_path)
    made.write()
    return made


def test_rows_lie_on_their_day_and_files_are_the_tables(case):
    loaded = case.load()
    assert loaded.rows == {"visit": 3, "click": 1, "page": 1}
    days = [f"2026-03-0{n}" for n in (1, 2, 3)]
    assert [str(day) for day in loaded.days] == days
    for table in ("visit", "click"):
        assert sorted(p.name for p in (case.data / table).iterdir()) == [f"ds={d}" for d in days]
    first = pq.ParquetFile(case.data / "visit" / "ds=2026-03-01" / "part-0.parquet").read()
    assert first["at"].to_pylist() == AT[:2]
    assert case.rows("visit") == tables()["visit"].to_pylist()
    for path in case.data.rglob("*.parquet"):
        assert spark_faults(path) == []
        name = path.relative_to(case.data).parts[0]
        assert pq.read_schema(path).equals(DECLARED[name].arrow_schema())


def test_days_are_those_of_the_pipelines_time_zone(case):
    # 02:00 and 16:00 UTC of the 1st, midnight UTC of the 3rd.
    for zone, expected in (
        ("UTC", {"2026-03-01": 2, "2026-03-02": 0, "2026-03-03": 1}),
        ("America/New_York", {"2026-02-28": 1, "2026-03-01": 1, "2026-03-02": 1}),
        ("+14:00", {"2026-03-01": 1, "2026-03-02": 1, "2026-03-03": 1}),
    ):
        declared = {k: dataclasses.replace(v, zone=Zone.of(zone)) for k, v in DECLARED.items()}
        case.tables["visit"] = change(
            case.tables["visit"],
            "at",
            pa.array(
                [dt.datetime(2026, 3, 1, 2 if zone != "America/New_York" else 4), AT[1], AT[2]], US
            ),
        )
        case.write()
        loading.load(case.data / zone, case.source, declared)
        found = {
            path.name[3:]: sum(pq.ParquetFile(f).metadata.num_rows for f in path.iterdir())
            for path in (case.data / zone / "visit").iterdir()
        }
        assert found == expected, zone


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
@pytest.mark.parametrize("unit", [pa.timestamp("ns"), pa.timestamp("ms", "Asia/Tokyo")], ids=str)
def test_any_writers_text_and_times_are_the_same_rows(case, kind, unit):
    times = [at.replace(microsecond=at.microsecond // 1000 * 1000) for at in AT]
    visit = change(case.tables["visit"], "at", pa.array(times, US).cast(pa.int64()).cast(US))
    expected = visit.to_pylist()
    visit = change(visit, "person", visit["person"].cast(kind))
    ticks = visit["at"].cast(pa.int64())
    ticks = (
        pa.compute.multiply(ticks, 1000) if unit.unit == "ns" else pa.compute.divide(ticks, 1000)
    )
    case.tables["visit"] = change(visit, "at", ticks.cast(unit))
    case.write()
    case.load()
    assert case.rows("visit") == expected


@pytest.mark.parametrize(
    ("table", "column", "values", "match"),
    [
        ("visit", "at", pa.array([1, 2, 3]), r"whole numbers, not times.*s, ms, us, ns"),
        ("visit", "at", pa.array(["2026-03-01 10:00:00"] * 3), "times without a zone"),
        ("visit", "at", pa.array([dt.date(2026, 3, 1)] * 3), "days, which begin at another"),
        ("visit", "at", pa.array([1.5e9] * 3), "double, which is not a time"),
        ("visit", "at", pa.array([*AT[:2], None], US), "says the day of a row"),
        ("visit", "id", pa.array(["a", None, "b"]), "is NOT NULL"),
        ("visit", "person", pa.array([2e10 + 1, None, 3.0]), r"no one spelling.*say whole"),
        ("visit", "person", pa.array([b"a", b"b", b"\xff"]), "bytes, not text"),
        ("visit", "spent", pa.array([0.1, 1.5, None]), r"0\.1 is a double.*say nearest"),
        ("visit", "n", pa.array([1, 2**31, 3]), "do not fit int32"),
        ("visit", "n", pa.array([1.0, 1.5, 2.0]), r"1\.5 is not a whole number"),
        ("visit", "n", pa.array([1.0, float("nan"), 2.0]), "nan is not a whole number"),
        ("visit", "n", pa.array([float(2**60)] * 3), "digits are lost"),
        ("visit", "n", pa.array(["1", "2", "x"]), "'x' is not a whole number"),
        ("page", "good", pa.array([2]), "2 is neither 0 nor 1"),
        ("page", "born", pa.array([AT[1]], US), "not at midnight"),
        ("page", "born", pa.array(["2026-02-30"]), "not a day of the calendar"),
        ("page", "page", pa.array([[1]]), "which is not text"),
    ],
    ids=lambda value: str(getattr(value, "type", value))[:40],
)
def test_what_could_be_meant_otherwise_is_refused_with_file_and_column(
    case, table, column, values, match
):
    case.tables[table] = change(case.tables[table], column, values)
    case.write()
    message = case.refuse(match)
    assert f"{case.source}/{table}/part-0.parquet, column {column}: " in message


@pytest.mark.parametrize(
    ("table", "column", "values", "meaning", "seen"),
    [
        ("visit", "at", pa.array([1_772_332_200_000] * 3), "ms", [dt.datetime(2026, 3, 1, 2, 30)] * 3),
        ("visit", "at", pa.array(["2026-03-01 10:30"] * 3), "+08:00", [dt.datetime(2026, 3, 1, 2, 30)] * 3),
        ("visit", "at", pa.array(["2026-03-01T10:30:00.1234567"] * 3), "Asia/Shanghai",
         [dt.datetime(2026, 3, 1, 2, 30, 0, 123_456)] * 3),
        ("visit", "at", pa.array(["2026-03-01T10:30:00Z", "2026-03-01 10:30:00+0800", "2026-03-01 10:30+08"]), None,
         [dt.datetime(2026, 3, 1, 2, 30), dt.datetime(2026, 3, 1, 2, 30), dt.datetime(2026, 3, 1, 10, 30)]),
        ("visit", "at", pa.array(AT, US), "+08:00", [at - dt.timedelta(hours=8) for at in AT]),
        ("visit", "at", pa.array([dt.date(2026, 3, 1)] * 3), "UTC", [dt.datetime(2026, 3, 1)] * 3),
        ("visit", "person", pa.array([2e10 + 1, None, 3.0]), "whole", ["20000000001", None, "3"]),
        ("visit", "person", pa.array([2**53 + 1, None, -3]), None, [str(2**53 + 1), None, "-3"]),
        ("visit", "person", pa.array([b"a", None, "é".encode()]), "utf8", ["a", None, "é"]),
        ("visit", "n", pa.array([1.0, None, 3.0]), None, [1, None, 3]),
        ("visit", "n", pa.array([1, 2, 3], pa.uint8()), None, [1, 2, 3]),
        ("visit", "spent", pa.array([0.5, 2.25, None]), None, [0.5, 2.25, None]),
        ("visit", "n", pa.nulls(3), None, [None] * 3),
        ("page", "born", pa.array([dt.datetime(2026, 3, 1)], pa.timestamp("ns")), None, [dt.date(2026, 3, 1)]),
    ],
    ids=lambda value: str(getattr(value, "type", value))[:40],
)  # fmt: skip
def test_what_is_exact_or_said_comes_over(case, table, column, values, meaning, seen):
    case.tables[table] = change(case.tables[table], column, values)
    case.write()
    case.load(*([f"{table}.{column}={meaning}"] if meaning else []))
    rows = case.rows(table)
    found = [row[column] for row in rows]
    assert sorted(map(str, found)) == sorted(map(str, seen))


def test_a_time_that_clocks_showed_twice_is_refused(case):
    times = pa.array(["2026-10-25 02:30:00"] * 3)
    case.tables["visit"] = change(case.tables["visit"], "at", times)
    case.write()
    case.refuse("is not one moment in Europe/Berlin", "visit.at=Europe/Berlin")


def test_a_wrong_unit_is_caught_by_its_days(case):
    times = pa.array([1_772_332_200_000, 1_772_332_200_001, 1_000])
    case.tables["visit"] = change(case.tables["visit"], "at", times)
    case.write()
    message = case.refuse("the events span 20514 days, from 1970-01-01", "visit.at=ms")
    assert "column at" in message
    assert "--most-days" in message


def test_a_time_that_means_for_ever_is_no_event(case):
    times = pa.array([dt.datetime(2026, 3, 1), None, dt.datetime(9999, 12, 31, 23, 59, 59)])
    case.tables["visit"] = change(case.tables["visit"], "at", times.fill_null(times[0]))
    case.write()
    assert "to 9999-12-31" in case.refuse("the events span")


def test_every_problem_that_shows_at_the_beginning_is_said_at_once(case):
    case.tables["visit"] = change(case.tables["visit"], "at", pa.array([1, 2, 3]))
    case.tables["page"] = case.tables["page"].drop(["good"])
    case.write()
    (case.source / "click" / "part-0.parquet").unlink()
    message = case.refuse("column at")
    assert "column good: the file has no such column" in message
    assert "has no file of click" in message


def test_a_column_missing_in_the_second_file_is_refused_or_said_to_be_null(case):
    second = case.tables["visit"].drop(["n"])
    pq.write_table(second, case.source / "visit" / "part-1.parquet")
    case.refuse(r"part-1\.parquet, column n: the file has no such column.*null-if-missing")
    loaded = case.load("visit.n=null-if-missing")
    assert loaded.rows["visit"] == 6


def test_types_that_change_in_the_second_file_are_refused(case):
    second = change(case.tables["visit"], "at", pa.array([1, 2, 3]))
    pq.write_table(second, case.source / "visit" / "part-1.parquet")
    case.refuse(r"part-1\.parquet, column at: visit.at is timestamp: it holds whole numbers")


def test_a_bad_value_far_into_a_file_leaves_nothing(case):
    n = 200_000
    many = pa.table(
        {
            "id": [f"v{i}" for i in range(n)],
            "at": pa.array([AT[0]] * n, US),
            "person": ["p"] * n,
            "spent": pa.array([1.0] * (n - 1) + [0.1]),
            "n": pa.array([1] * n, pa.int32()),
        }
    )
    case.tables["visit"] = many
    case.write()
    case.refuse(r"column spent.*0\.1 is a double that float does not hold")


def test_another_spelling_of_a_column_is_named(case):
    case.tables["visit"] = case.tables["visit"].rename_columns(["ID", "at", "person", "spent", "n"])
    case.write()
    case.refuse("column id: the file has no such column; it has 'ID': rename it")


def test_extra_columns_are_left_out_and_said_or_refused(case):
    case.tables["page"] = case.tables["page"].append_column("colour", pa.array(["red"]))
    case.write()
    assert case.load().ignored == {"page": ["colour"]}
    with pytest.raises(DataError, match="column colour: page has no such column"):
        case.load(ignore_extra=False)


def test_hidden_files_do_not_count_and_empty_ones_are_named(case):
    part = case.source / "click" / "part-0.parquet"
    for name in (".part-0.parquet", "_part-0.parquet"):
        (case.source / "click" / name).write_bytes(part.read_bytes())
    (case.source / "click" / "._part-0.parquet").write_bytes(b"\0\5\26\7Mac OS X")
    (case.source / "click" / "_SUCCESS").touch()
    assert case.load().rows["click"] == 1
    (case.source / "click" / "part-1.parquet").touch()
    with pytest.raises(DataError, match=r"part-1\.parquet: the file is empty"):
        case.load()


def test_a_pipe_is_named_and_not_waited_for(case):
    os.mkfifo(case.source / "click" / "part-1.parquet")
    case.refuse(r"part-1\.parquet: it is not a plain file")


def test_the_files_of_other_formats_are_not_guessed_at(case):
    (case.source / "click" / "readme.txt").write_text("x")
    case.refuse(r"readme\.txt: its name ends in none of")


def test_partition_folders_of_the_source_are_read_through(case):
    folder = case.source / "visit"
    part = (folder / "part-0.parquet").read_bytes()
    (folder / "part-0.parquet").unlink()
    (folder / "ds=1999-01-01").mkdir()
    (folder / "ds=1999-01-01" / "part-0.parquet").write_bytes(part)
    case.load()
    assert (case.data / "visit" / "ds=2026-03-01").is_dir()
    assert not (case.data / "visit" / "ds=1999-01-01").exists()


CSV = 'id,at,person,spent,n\na,2026-03-01T02:00:00Z,"C:\\dir",0.1,1\nb\\,2026-03-02T02:00:00Z,,,\n'


@pytest.mark.parametrize("name", ["part-0.csv", "part-0.csv.gz"])
def test_csv_is_read_by_its_header_and_its_cells_as_they_are(case, name):
    shuffled = "\n".join(
        ",".join(line.split(",")[at] for at in (4, 0, 1, 2, 3)) for line in CSV.splitlines()
    )
    for text in (CSV, shuffled, "\ufeff" + CSV.replace("\n", "\r\n")):
        case.csv("visit", text, name)
        case.load()
        rows = case.rows("visit")
        assert [row["id"] for row in rows] == ["a", "b\\"]
        assert [row["person"] for row in rows] == ["C:\\dir", None]
        assert rows[0]["spent"] == pytest.approx(0.1, rel=1e-7)
        assert rows[1]["n"] is None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (CSV + "c,2026-03-01T02:00:00Z\n", "Expected 5 columns, got 2"),
        (CSV + "c,2026-03-01T02:00:00Z,a,1,1,1\n", "Expected 5 columns, got 6"),
        (CSV.replace("T02:00:00Z", " 02:00:00"), "times without a zone"),
        (CSV.replace("id,at", "ID,at"), "it has 'ID'"),
        (CSV.replace(",1\n", ",1.5\n"), "'1.5' is not a whole number"),
        (CSV.replace(",1\n", ", 1\n"), "' 1' is not a whole number"),
        (CSV.replace(",1\n", ",99999999999\n"), "do not fit int32"),
        (CSV.replace("n\n", "id\n", 1), "names the column twice"),
        ("\n".join(CSV.splitlines()[1:]), "column id: the file has no such column"),
    ],
)
def test_csv_that_means_something_else_is_refused(case, text, match):
    case.csv("visit", text)
    case.refuse(match)


def test_another_encoding_has_to_be_said(case):
    case.csv("visit", CSV.replace("b\\", "é"), encoding="latin-1")
    case.refuse("say its encoding")
    case.load(encoding="latin-1")
    assert [row["id"] for row in case.rows("visit")] == ["a", "é"]


def test_another_sources_tables_stay_until_replaced(case, tmp_path):
    case.load()
    other = Case(tmp_path)
    other.source = tmp_path / "other"
    other.tables["click"] = other.tables["click"].slice(0, 0)
    other.write()
    with pytest.raises(ConfigurationError, match=r"laid out from .*source.*--replace"):
        other.load()
    assert len(case.rows("click")) == 1
    other.load(replace=True)
    assert case.rows("click") == []
    assert json.loads((case.data / "SOURCE.json").read_text())["folder"] == str(other.source)


def test_a_failing_replacement_leaves_what_was_there(case, tmp_path):
    case.load()
    before = files.sha256_tree(case.data)
    other = Case(tmp_path)
    other.source = tmp_path / "other"
    other.tables["page"] = other.tables["page"].drop(["good"])
    other.write()
    with pytest.raises(DataError):
        other.load(replace=True)
    assert files.sha256_tree(case.data) == before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", range(12))
def test_a_kill_at_any_move_leaves_all_or_nothing(case, monkeypatch, after):
    case.load()
    case.tables["visit"] = change(case.tables["visit"], "n", pa.array([7, 8, 9], pa.int32()))
    case.tables["page"] = change(case.tables["page"], "page", pa.array(["y"]))
    case.write()
    left = after
    rename = type(case.data).rename

    def cut_off(self, target):
        nonlocal left
        if self.is_relative_to(case.data):
            left -= 1
            if left < 0:
                raise Killed
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(type(case.data), "rename", cut_off)
        with pytest.raises(Killed):
            case.load()
    publish.recover(case.data)
    assert [row["n"] for row in case.rows("visit")] == [7, 8, 9]
    assert case.rows("page")[0]["page"] == "y"
    assert not list(case.data.glob(".tmp-*"))


@pytest.mark.slow
def test_two_loads_at_once_are_refused(case):
    from nightshift.errors import LockHeld

    with files.locked(case.data / publish.LOCK), pytest.raises(LockHeld):
        case.load()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("visit.at", "write TABLE.COLUMN=MEANING"),
        ("vist.at=ms", "no table vist; did you mean 'visit'"),
        ("visit.att=ms", "no column att; did you mean 'at'"),
        ("visit.at=millis", "'millis' is not a meaning"),
    ],
)
def test_a_meaning_that_is_none_is_refused(text, match):
    with pytest.raises(ConfigurationError, match=match):
        loading.parse_meanings([text], DECLARED)
