"""DB-API, SQLAlchemy and common.sql against a real server."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from nightshift_provider.sql import dbapi

from nightshift.openmldb import OpenMLDBClient

NASTY = "a'; DROP TABLE t; -- \\ \" % 100%"


@pytest.fixture
def db(openmldb) -> str:
    name = f"sql{time.time_ns()}"
    with OpenMLDBClient(openmldb.url) as api:
        api.execute(name, f"CREATE DATABASE {name}")
        api.execute(
            name, "CREATE TABLE t(k string, v int, d date, ts timestamp, INDEX(key=k, ts=ts))"
        )
    return name


@pytest.fixture
def connection(openmldb, db):
    connection = dbapi.connect("127.0.0.1", openmldb.port, db)
    yield connection
    connection.close()


ROWS = [
    (NASTY, 1, dt.date(2016, 2, 1), dt.datetime(2016, 2, 1, 12, 30, 0, 5000)),
    ("b", None, None, dt.datetime(2016, 2, 2)),
]


def fill(connection) -> None:
    connection.cursor().executemany("INSERT INTO t VALUES (%s, %s, %s, %s)", ROWS)


def test_values_come_back_as_they_went(connection):
    fill(connection)
    cursor = connection.cursor()
    cursor.execute("SELECT * FROM t")
    assert sorted(cursor.fetchall(), key=str) == sorted(ROWS, key=str)
    assert [column[0] for column in cursor.description] == ["k", "v", "d", "ts"]
    assert cursor.description[0][1] == dbapi.STRING
    assert cursor.description[3][1] == dbapi.DATETIME
    cursor.execute("SELECT v FROM t WHERE k = %(key)s", {"key": NASTY})
    assert cursor.fetchone() == (1,)
    assert cursor.fetchone() is None


def test_errors_are_of_pep_249(connection, db):
    cursor = connection.cursor()
    with pytest.raises(dbapi.ProgrammingError, match="SELEC"):
        cursor.execute("SELEC 1")
    with pytest.raises(dbapi.ProgrammingError, match="one statement"):
        cursor.execute("SELECT 1; SELECT 2")
    with pytest.raises(dbapi.ProgrammingError, match="fit"):
        cursor.execute("SELECT %s, %s", (1,))
    with pytest.raises(dbapi.ProgrammingError, match="literal"):
        cursor.execute("SELECT %s", (object(),))
    with pytest.raises(dbapi.OperationalError, match="127.0.0.1:1"):
        dbapi.connect("127.0.0.1", 1, db).cursor().execute("SELECT 1")


def test_a_job_is_followed_and_its_failure_is_an_error(connection, openmldb):
    cursor = connection.cursor()
    with pytest.raises(dbapi.DatabaseError, match="FAILED"):
        cursor.execute(
            f"LOAD DATA INFILE '{openmldb.folder}/missing.csv' INTO TABLE t OPTIONS(mode='append')"
        )
    assert cursor.job_id is not None


def test_sqlalchemy(openmldb, db, connection):
    import sqlalchemy as sa
    from nightshift_provider.sql import dialect

    dialect.register()
    fill(connection)
    engine = sa.create_engine(f"openmldb+http://127.0.0.1:{openmldb.port}/{db}")
    inspector = sa.inspect(engine)
    assert inspector.get_table_names() == ["t"]
    assert db in inspector.get_schema_names()
    table = sa.Table("t", sa.MetaData(), autoload_with=engine)
    assert [column.name for column in table.columns] == ["k", "v", "d", "ts"]
    assert isinstance(table.c.ts.type, sa.TIMESTAMP)
    with engine.connect() as link:
        found = link.execute(sa.select(table.c.v).where(table.c.k == NASTY)).all()
        assert found == [(1,)]
        link.execute(table.insert(), [{"k": "c", "v": 3, "d": None, "ts": dt.datetime(2016, 3, 1)}])
        assert link.execute(sa.text("SELECT count(*) FROM t")).scalar() == 3


def test_pandas(openmldb, db, connection):
    import pandas as pd
    import sqlalchemy as sa
    from nightshift_provider.sql import dialect

    dialect.register()
    fill(connection)
    engine = sa.create_engine(f"openmldb+http://127.0.0.1:{openmldb.port}/{db}")
    frame = pd.read_sql("SELECT k, v AS w, ts FROM t", engine)
    assert list(frame.columns) == ["k", "w", "ts"]
    assert frame["ts"].max() == pd.Timestamp("2016-02-02")
