"""The online store holds what the partition holds, whatever happened to either."""

import datetime as dt
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import layout
from nightshift.data.declared import declared_tables
from nightshift.errors import ContractError, ServiceUnavailable
from nightshift.features.tables import SourceTables
from nightshift.openmldb import OpenMLDBClient, reconcile, rows

CREATE = """CREATE TABLE visit(id string, at timestamp, who string, n bigint, f float, d double,
    ok bool, born date, INDEX(key=who, ts=at));
CREATE TABLE click(who string, page string, at timestamp, INDEX(key=who, ts=at),
    INDEX(key=page, ts=at));"""
TABLES = SourceTables.parse(
    {"version": 1, "events": {"visit": "at", "click": "at"},
     "requests": {"table": "visit", "id": "id"}},
    source="tables.yaml",
)  # fmt: skip
DECLARED = declared_tables(TABLES, CREATE)
DAY, NEXT = dt.date(2026, 3, 1), dt.date(2026, 3, 2)
START = layout.day_start_ms(DAY)
QUICK = reconcile.Waiting(healthy_s=1.0, doubt_s=0.5, between_s=0.0, poll_s=0.02, settle_s=0.0)


class House:
    def __init__(self, client, database, folder):
        self.client, self.database, self.folder = client, database, folder
        client.execute(database, f"CREATE DATABASE {database}")
        for statement in CREATE.split(";")[:-1]:
            client.execute(database, statement)
        self.data, self.work = folder / "data", folder / "work"
        self.known = {}

    def write(self, table, made, day=DAY):
        folder = layout.partition(self.data, table, day)
        folder.mkdir(parents=True, exist_ok=True)
        schema = DECLARED[table].arrow_schema()
        columns = list(zip(*made, strict=True)) or [[] for _ in schema]
        arrays = [
            pa.array(values, pa.int64()).cast(pa.timestamp("ms")).cast(item.type)
            if pa.types.is_timestamp(item.type)
            else pa.array(values, item.type)
            for values, item in zip(columns, schema, strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), folder / "part-0.parquet")

    def run(self, table="visit", days=(DAY,), **options):
        made = reconcile.reconcile(
            self.client, self.database, data=self.data, declared=DECLARED,
            days={table: list(days)}, work=self.work, known=self.known, waiting=QUICK, **options,
        )  # fmt: skip
        assert not list(self.work.glob("*"))
        return made if len(made) > 1 else made[0]

    def first(self, table="visit", day=DAY):
        return reconcile.reload(
            self.client, self.database, data=self.data, declared=DECLARED, table=table, day=day,
            work=self.work, waiting=QUICK,
        )  # fmt: skip

    def stored(self, table="visit", day=DAY):
        start = layout.day_start_ms(day)
        columns = DECLARED[table].columns
        return rows.stored_rows(
            self.client, self.database, table, columns, "at", start, start + layout.DAY_MS
        )


@pytest.fixture
def house(openmldb_server, serving_home, request):
    name = f"reconcile_{random.randrange(1 << 40)}"
    with OpenMLDBClient(serving_home.openmldb_url) as client:
        yield House(client, name, serving_home.home / "data" / name)


def visit(n, **changes):
    row = {
        "id": f"v{n}", "at": START + 1000 * n, "who": "abc"[n % 3], "n": n, "f": 0.1 * n,
        "d": 1 / (n + 1), "ok": n % 2 == 0, "born": dt.date(2000, 1, 1 + n % 28),
    }  # fmt: skip
    return tuple({**row, **changes}.values())


def same(one, two):
    return sorted(map(rows.digest, one)) == sorted(map(rows.digest, as_kept(two)))


def as_kept(made):
    """Rows as OpenMLDB keeps them: FLOAT has 32 bits."""
    return [(*row[:4], rows._float(row[4]), *row[5:]) if len(row) == 8 else row for row in made]


ROWS = [visit(n) for n in range(20)]
NULLS = (None, START + 5, None, None, None, None, None, None)


@pytest.fixture
def loaded(house):
    house.write("visit", ROWS)
    report = house.first()
    assert (report.how, report.added) == ("rows", 20)
    assert same(house.stored(), ROWS)
    return house


def test_a_day_that_is_equal_is_left_alone_and_not_read_again(loaded, monkeypatch):
    assert loaded.run().how == "equal"
    monkeypatch.setattr(reconcile, "stored_rows", None)
    assert loaded.run().how == "unchanged"


def test_a_correction_of_the_same_length_reaches_the_store(loaded):
    changed = [visit(3, d=99.5), *ROWS[:3], *ROWS[4:]]
    loaded.run()
    loaded.write("visit", changed)
    report = loaded.run()
    assert (report.how, report.added, report.removed) == ("rows", 1, 1)
    assert same(loaded.stored(), changed)


@pytest.mark.parametrize(
    ("wanted", "how", "added", "removed"),
    [
        (ROWS[:15], "rows", 0, 5),
        (ROWS[:2], "day", 2, 20),
        ([], "day", 0, 20),
        ([*ROWS, visit(30), visit(31)], "rows", 2, 0),
        ([*ROWS, ROWS[0], ROWS[0]], "rows", 2, 0),
        ([*ROWS[1:], visit(0, who="d'x\\y\n")], "rows", 1, 1),
        ([*ROWS, NULLS], "rows", 1, 0),
        ([visit(0, at=START + 7), *ROWS[1:]], "rows", 1, 1),
        ([visit(n, f=float(n)) for n in range(20)], "day", 20, 20),
    ],
    ids=["fewer", "most gone", "none left", "more", "twice", "odd key", "nulls", "moved", "all"],
)
def test_the_store_follows_the_partition(loaded, wanted, how, added, removed):
    loaded.write("visit", wanted)
    report = loaded.run()
    assert (report.how, report.added, report.removed) == (how, added, removed)
    assert same(loaded.stored(), wanted)
    assert loaded.run().how in ("equal", "unchanged")


def test_rows_that_were_loaded_twice_go_once(loaded):
    table = reconcile._Table(
        loaded.client, loaded.database, DECLARED["visit"], loaded.data, loaded.work, QUICK,
        lambda s: None,
    )  # fmt: skip
    table.add(ROWS[:4])
    assert len(loaded.stored()) == 24
    report = loaded.run()
    assert (report.how, report.removed) == ("rows", 4)
    assert same(loaded.stored(), ROWS)


def test_rows_that_share_key_and_time_with_a_surplus_one_stay(house):
    shared = [visit(n, at=START + 1, who="a") for n in range(6)]
    house.write("visit", shared)
    house.first()
    house.write("visit", shared[1:])
    report = house.run()
    assert (report.how, report.removed) == ("rows", 1)
    assert same(house.stored(), shared[1:])


def test_a_surplus_row_without_a_key_replaces_the_day(loaded):
    loaded.write("visit", [*ROWS, NULLS])
    loaded.run()
    loaded.write("visit", ROWS)
    assert loaded.run().how == "day"
    assert same(loaded.stored(), ROWS)


def test_values_that_are_not_finite_are_equal_and_stay(house):
    odd = [visit(0, d=float("nan"), f=float("inf")), visit(1)]
    house.write("visit", odd)
    house.first()
    assert house.run().how == "equal"


def test_two_indexes_lose_the_same_rows(house):
    clicks = [("abc"[n % 3], "xy"[n % 2], START + n) for n in range(12)]
    house.write("click", clicks)
    house.first("click")
    house.write("click", clicks[:8])
    assert house.run("click").how == "rows"
    assert same(house.stored("click"), clicks[:8])
    for column, at in (("who", 0), ("page", 1)):
        for value in {row[at] for row in clicks}:
            found = house.client.execute(
                house.database, f"SELECT count(*) FROM click WHERE {column} = '{value}'"
            ).rows
            assert found == [[sum(row[at] == value for row in clicks[:8])]]


def test_other_days_are_not_touched(loaded):
    tomorrow = [visit(n, at=START + layout.DAY_MS + n) for n in range(5)]
    loaded.write("visit", tomorrow, NEXT)
    assert loaded.run(days=[NEXT]).how == "absent"
    loaded.first(day=NEXT)
    loaded.write("visit", ROWS[:3])
    loaded.run()
    assert same(loaded.stored(day=NEXT), tomorrow)


def test_a_day_without_a_partition_is_left_as_it_is(loaded):
    for path in layout.partition(loaded.data, "visit", DAY).iterdir():
        path.unlink()
    report = loaded.run()
    assert (report.how, report.why) == ("absent", "there is no partition")
    assert len(loaded.stored()) == 20


def test_rows_of_another_day_are_refused_before_anything_changes(loaded):
    loaded.write("visit", [*ROWS, visit(0, at=START - 1)])
    with pytest.raises(ContractError, match="1 of 21 rows of .* are of another day by at"):
        loaded.run()
    assert same(loaded.stored(), ROWS)


def test_a_partition_written_again_with_the_same_rows_is_equal(loaded):
    loaded.run()
    loaded.write("visit", list(reversed(ROWS)))
    assert loaded.run().how == "equal"


@pytest.mark.parametrize("cut", ["delete", "load"])
def test_what_a_kill_leaves_is_completed_by_the_next_run(loaded, monkeypatch, cut):
    wanted = [visit(3, d=99.5), *ROWS[:3], *ROWS[4:], visit(40)]
    loaded.write("visit", wanted)

    class Killed(BaseException):
        pass

    def killed(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patched:
        name = "single_deletes" if cut == "delete" else "load"
        patched.setattr(reconcile._Table, name, killed)
        with pytest.raises(Killed):
            loaded.run()
    loaded.run()
    assert same(loaded.stored(), wanted)


class Moody:
    """A client whose server is on a bad day; everything else is the real one's."""

    def __init__(self, client, *, unalive=0, partial=0):
        self._client, self.unalive, self.partial = client, unalive, partial
        self.changes = []

    def __getattr__(self, name):
        return getattr(self._client, name)

    def execute(self, db, sql, mode="onsync", **options):
        result = self._client.execute(db, sql, mode, **options)
        if sql.startswith("SHOW TABLE STATUS") and self.unalive:
            self.unalive -= 1
            for row in result.rows:
                row[8] = "1"
        elif sql.startswith("SELECT count") and self.partial:
            self.partial -= 1
            result.rows[0][0] -= self.partial + 1
        elif sql.startswith(("DELETE", "LOAD")):
            self.changes.append(sql)
        return result


@pytest.mark.parametrize("mood", [{"unalive": 3}, {"partial": 3}, {"unalive": 2, "partial": 2}])
def test_a_table_that_is_loading_is_waited_for(loaded, mood):
    loaded.client = Moody(loaded.client, **mood)
    assert loaded.run().how == "equal"
    assert loaded.client.changes == []


def test_a_table_that_stays_away_changes_nothing(loaded):
    loaded.client = Moody(loaded.client, unalive=10**6)
    with pytest.raises(ServiceUnavailable, match=r"visit did not come to rest.*not alive"):
        loaded.run()
    assert loaded.client.changes == []


def test_any_history_ends_in_agreement(house):
    draw = random.Random(5)
    universe = [visit(n, at=START + draw.randrange(6), who=draw.choice(["a", "b", None]))
                for n in range(12)]  # fmt: skip
    house.write("visit", universe[:6])
    house.first()
    for _ in range(12):
        wanted = draw.choices(universe, k=draw.randrange(12))
        house.write("visit", wanted)
        house.first() if not house.stored() else house.run()
        assert same(house.stored(), wanted)


def test_rows_are_carried_into_a_table_that_is_written_to_meanwhile(house):
    other = House(house.client, f"{house.database}_to", house.folder.parent / "to")
    made = [("ann", f"p{n}", START + n) for n in range(5)]

    def put(database, who, page, at):
        house.client.execute(database, f"INSERT INTO click VALUES ('{who}', '{page}', {at})")

    for row in made:
        put(house.database, *row)
    for row in made[:2]:
        put(other.database, *row)
    newer = [("bob", f"q{n}", START + 100 + n) for n in range(200)]
    written = []

    def sleep(seconds):
        written.append(newer.pop())
        put(other.database, *written[-1])

    added = reconcile.carry(
        house.client, house.database, DECLARED, other.database, DECLARED,
        since={"click": START}, until_ms=START + layout.DAY_MS, work=other.work,
        waiting=QUICK, sleep=sleep,
    )  # fmt: skip

    assert written  # between two readings
    assert added == {"click": 3}
    assert sorted(other.stored("click")) == sorted([*made, *written])
