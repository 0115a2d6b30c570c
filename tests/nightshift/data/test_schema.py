"""Which scripts make the same tables."""

import pytest

from nightshift.data.schema import tables_hash
from nightshift.errors import ConfigurationError

SCRIPT = """CREATE TABLE IF NOT EXISTS a(k string, at timestamp, INDEX(key=k, ts=at, ttl=9d));
CREATE TABLE b(k string, n int NOT NULL, INDEX(key=k, ttl=1, ttl_type=latest));"""


def test_layout_comments_order_and_spelling_do_not_count():
    first, second = SCRIPT.split("\n")
    other = (
        f"-- the tables\n{second.replace('string', 'STRING').replace('b(', '`b` (')}\n\n"
        f"{first.replace('ttl=9d', 'ttl=216h, ttl_type=absolute')}"
    )
    assert tables_hash(other) == tables_hash(SCRIPT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("k string, n", "k string, more int, n"),
        ("n int", "n bigint"),
        (" NOT NULL", ""),
        ("ttl=9d", "ttl=10d"),
        (", INDEX(key=k, ttl=1", ", INDEX(key=n, ttl=5, ttl_type=latest), INDEX(key=k, ttl=1"),
        ("TABLE b(", "TABLE c("),
        ("k string, at timestamp", "at timestamp, k string"),
    ],
)
def test_columns_types_indexes_ages_and_names_do(old, new):
    assert old in SCRIPT
    assert tables_hash(SCRIPT.replace(old, new)) != tables_hash(SCRIPT)


def test_a_script_that_is_not_openmldbs_is_named():
    with pytest.raises(ConfigurationError, match=r"mine\.sql: "):
        tables_hash("CREATE TABLE a(k strin, )", "mine.sql")
