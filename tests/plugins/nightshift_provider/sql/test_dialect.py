"""SQLAlchemy's view of OpenMLDB, without a server."""

import pytest
import sqlalchemy as sa
from nightshift_provider.sql.dialect import OpenMLDBHTTPDialect
from sqlalchemy.engine import make_url

DIALECT = OpenMLDBHTTPDialect()


def compiled(statement):
    return str(statement.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("openmldb+http://db:9527/shop", {"host": "db", "port": 9527, "database": "shop"}),
        ("openmldb+http:///shop", {"host": "127.0.0.1", "port": 9080, "database": "shop"}),
        (
            "openmldb+http://me:secret@db/?mode=online&timeout_s=2.5",
            {
                "host": "db", "port": 9080, "database": "", "login": "me", "password": "secret",
                "mode": "online", "timeout_s": 2.5,
            },
        ),
    ],
)  # fmt: skip
def test_a_url_says_where_and_how(url, found):
    assert DIALECT.create_connect_args(make_url(url)) == ([], found)


def test_the_driver_is_found_by_the_url_alone():
    engine = sa.create_engine("openmldb+http://127.0.0.1:1/x")
    assert engine.dialect.name == "openmldb"
    assert engine.dialect.driver == "http"


def test_names_are_quoted_since_the_server_distinguishes_case():
    table = sa.Table("Orders", sa.MetaData(), sa.Column("order", sa.BigInteger))
    assert compiled(sa.select(table)).split() == ["SELECT", "`Orders`.`order`", "FROM", "`Orders`"]


def test_types_are_openmldbs():
    columns = [
        sa.Column("a", sa.String(20)), sa.Column("b", sa.DateTime), sa.Column("c", sa.Boolean),
        sa.Column("d", sa.Text), sa.Column("e", sa.BigInteger),
    ]  # fmt: skip
    text = compiled(sa.schema.CreateTable(sa.Table("t", sa.MetaData(), *columns)))
    kinds = [line.split()[1].rstrip(",") for line in text.strip().splitlines()[1:-1]]
    assert kinds == ["STRING", "TIMESTAMP", "BOOL", "STRING", "BIGINT"]
