"""What a feature query reaches, in whatever style it is written."""

from dataclasses import replace

import pytest

from nightshift.errors import ConfigurationError
from nightshift.features import lineage as query
from nightshift.features.reach import Column, Join, Read, Source, Window
from nightshift.features.specification import FeatureSpec
from nightshift.features.tables import SourceTables
from nightshift.settings import PROJECT

SCRIPT = """
CREATE TABLE IF NOT EXISTS requests(
    id string, at timestamp, user string, sku string, shop int, note string,
    INDEX(key=user, ts=at, ttl=0m, ttl_type=absolute)
) OPTIONS (PARTITIONNUM=1);
-- Two tables of one layout; the key of the second one has another name in features.
create table `clicks`(buyer string, seen timestamp, item string);
create table sales(client string, sold timestamp, product string); /* the end */
CREATE TABLE product(sku string, since timestamp, brand string, valid bool);
CREATE TABLE brands(name string, country string);
"""
TABLES = SourceTables(
    "tables.yaml",
    {"requests": "at", "clicks": "seen", "sales": "sold"},
    ("product", "brands"),
    "requests",
    "id",
)
COLUMNS = query.columns_of(SCRIPT, TABLES)


def reach(sql, tables=TABLES):
    return query.reach_of(sql, tables=tables, columns=COLUMNS)


def of_request(*names):
    return tuple((name, Column(0, name)) for name in names)


def only_window(sql):
    found = reach(sql)
    (window,) = found.windows
    return found, window


PAST = """SELECT id, at, count(item) OVER w AS clicks_before FROM
(SELECT id, at AS seen, user AS buyer, '' AS item, at FROM requests)
WINDOW w AS (UNION (SELECT '' AS id, seen, buyer, item, seen AS at FROM clicks)
    PARTITION BY buyer ORDER BY seen
    {frame} INSTANCE_NOT_IN_WINDOW)"""


def test_a_window_may_take_labels_that_are_known_by_then():
    labelled = replace(TABLES, label_table="clicks", label_delay_ms=86_400_000)
    sql = PAST.format(frame="ROWS_RANGE BETWEEN 7d PRECEDING AND 1d PRECEDING")
    found = reach(sql, labelled)
    (window,) = found.windows
    assert found.read(window.unions[0].read).table == "clicks"
    assert (window.start, window.end) == (7 * 86_400_000, 86_400_000)
    assert found.lookback_days() == {"clicks": 7}
    # What is joined of the label goes, what stands in windows stays.
    assert found.without("clicks", keep_windows=True) == found
    assert found.without("clicks").windows[0].unions == ()
    for wrong in (
        "ROWS_RANGE BETWEEN 7d PRECEDING AND 0s PRECEDING",
        "ROWS_RANGE BETWEEN 7d PRECEDING AND 23h PRECEDING",
        "ROWS BETWEEN 90 PRECEDING AND 1 PRECEDING",
    ):
        with pytest.raises(ConfigurationError, match=r"only 1d after.*AND 1d PRECEDING"):
            reach(PAST.format(frame=wrong), labelled)
    with pytest.raises(ConfigurationError, match=r"label\.delay"):
        reach(sql, replace(labelled, label_delay_ms=None))


def test_columns_of_a_script():
    assert COLUMNS == {
        "requests": ["id", "at", "user", "sku", "shop", "note"],
        "clicks": ["buyer", "seen", "item"],
        "sales": ["client", "sold", "product"],
        "product": ["sku", "since", "brand", "valid"],
        "brands": ["name", "country"],
    }
    with pytest.raises(
        ConfigurationError, match=r"create_tables.sql: Syntax error: Unexpected end"
    ):
        query.columns_of("CREATE TABLE t(a string,", TABLES)
    with pytest.raises(ConfigurationError, match="table t is made without columns"):
        query.columns_of("CREATE TABLE t LIKE PARQUET '/x'", TABLES)


def test_what_follows_from_the_requests_time_alone():
    sql = """SELECT id, moment, early, dayofweek(timestamp(moment)) AS weekday, earlier,
        CASE WHEN hour(moment) > 6 THEN early ELSE 0 END AS awake,
        if (sku == 'a', hour(moment), 0) AS mixed, 1 AS one, sku
    FROM (SELECT id, at AS moment, sku, hour(at) < 6 AS early, count(at) OVER w AS earlier
        FROM requests
        WINDOW w AS (PARTITION BY user ORDER BY at ROWS BETWEEN 5 PRECEDING AND CURRENT ROW))"""
    found = query.outputs_of(sql, tables=TABLES, columns=COLUMNS)
    assert [one.name for one in found if one.of_time] == ["moment", "early", "weekday", "awake"]
    joined = """SELECT id, at, hour(since) AS other FROM requests
        LAST JOIN product ON requests.sku = product.sku"""
    found = query.outputs_of(joined, tables=TABLES, columns=COLUMNS)
    assert [one.name for one in found if one.of_time] == ["at"]


def test_the_jd_query():
    include = PROJECT / "include"
    tables = SourceTables.load(PROJECT / "pipelines" / "jd" / "tables.yaml")
    found = query.reach_of(
        (include / "sql" / "features.sql").read_text(),
        tables=tables,
        columns=query.columns_of((include / "sql" / "create_tables.sql").read_text(), tables),
    )
    assert {(read.table, read.keys) for read in found.reads} == {
        ("flattenRequest", of_request("user_id")),
        ("flattenRequest", of_request("reqId")),
        ("action", of_request("reqId")),
        ("bo_product", of_request("sku_id")),
        ("bo_user", of_request("user_id")),
        ("bo_comment", of_request("sku_id")),
        ("bo_action", of_request("pair_id")),
    }
    day = 86_400_000
    assert [
        (found.read(w.sources[0].read).table, w.requests is not None, w.start, w.cuts)
        for w in found.windows
    ] == [
        ("flattenRequest", True, None, (10,)),
        ("flattenRequest", True, 14 * day, (199,)),
        ("bo_comment", False, 64 * day, (99,)),
        ("bo_comment", False, None, (10,)),
        ("bo_action", False, 10 * 3_600_000, (99,)),
        ("bo_action", False, 7 * day, (99,)),
        ("bo_action", False, 14 * day, (99,)),
    ]
    # What the shipped specification declares: days of time frames, and none for what is joined.
    declared = FeatureSpec.load(PROJECT / "pipelines" / "jd" / "feature_spec.yaml").lookback_days
    assert found.lookback_days() | {"action": 0} == declared
    label = found.without("action")
    assert len(label.joins) == len(found.joins) - 1
    assert "action" not in label.tables()
    for join in label.joins:
        assert label.read(join.read).table in ("flattenRequest", "bo_product", "bo_user")


@pytest.mark.parametrize(
    "sql",
    [
        # Named, as the style guide writes it.
        """SELECT id, count(sku) OVER w AS n FROM requests WINDOW w AS (
             PARTITION BY `user` ORDER BY `at` ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)""",
        # After OVER, in lower case, with a shorter frame clause, names qualified by an alias.
        """select r.id, count(r.sku) over (partition by r.user order by r.at rows between
             10 preceding and 0 preceding) n from requests r""",
        # Two names for one window; key words in strings, comments and names change nothing.
        """SELECT id AS `PARTITION BY sku`, 'UNION clicks PARTITION BY sku' AS x, -- LAST JOIN
             count(sku) OVER w /* PARTITION BY sku ( */ FROM requests
           WINDOW v AS (PARTITION BY user ORDER BY at ROWS BETWEEN 10 PRECEDING AND CURRENT ROW),
                  w AS v""",
        # Through a subquery and a CTE that rename.
        """WITH r AS (SELECT id, user AS who, at AS t, sku FROM requests)
           SELECT count(sku) OVER (PARTITION BY who ORDER BY t ROWS BETWEEN 10 PRECEDING AND
             CURRENT ROW) FROM (SELECT * FROM r) AS again""",
        # The aggregate deep in an expression.
        """SELECT CASE WHEN !isnull(at(sku, 0)) OVER w THEN 1 + count(sku) OVER w ELSE 0 END
           FROM requests WINDOW w AS (PARTITION BY user ORDER BY at
             ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)""",
    ],
)
def test_styles_of_one_window(sql):
    found, window = only_window(sql)
    assert found.reads == (Read("requests", of_request("user")),)
    assert (window.requests, window.unions, window.time) == (Source(1, "at"), (), "at")
    assert (window.start, window.end, window.cuts) == (None, 0, (10,))
    assert window.current_time


def test_a_window_that_nothing_uses_reaches_nothing():
    found = reach(
        "SELECT id FROM requests WINDOW w AS (PARTITION BY user ORDER BY at "
        "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    )
    assert found.reads == found.windows == ()


@pytest.mark.parametrize(
    ("frame", "start", "end", "cuts", "current_time"),
    [
        ("ROWS BETWEEN 3 PRECEDING AND CURRENT ROW", None, 0, (3,), True),
        ("ROWS BETWEEN 3 OPEN PRECEDING AND CURRENT ROW", None, 0, (2,), True),
        ("ROWS BETWEEN 5 PRECEDING AND 3 PRECEDING", None, 0, (5, 2), True),
        ("ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING", None, 0, (), True),
        ("ROWS_RANGE BETWEEN 2s PRECEDING AND CURRENT ROW", 2000, 0, (), True),
        ("ROWS_RANGE BETWEEN 2s OPEN PRECEDING AND 0s OPEN PRECEDING", 1999, 1, (), True),
        ("ROWS_RANGE BETWEEN 2d PRECEDING AND 1d PRECEDING MAXSIZE 5",
         172_800_000, 86_400_000, (5,), True),
        ("ROWS_RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW MAXSIZE 5", None, 0, (4,), True),
        ("ROWS_RANGE BETWEEN 9 PRECEDING AND CURRENT ROW MAXSIZE 5 EXCLUDE CURRENT_ROW",
         9, 0, (5,), True),
        ("ROWS_RANGE BETWEEN 9 PRECEDING AND CURRENT ROW MAXSIZE 5 EXCLUDE CURRENT_TIME",
         9, 0, (4,), False),
        ("ROWS BETWEEN 3 PRECEDING AND CURRENT ROW EXCLUDE CURRENT_ROW", None, 0, (3,), True),
    ],
)  # fmt: skip
def test_frames(frame, start, end, cuts, current_time):
    _, window = only_window(
        f"SELECT count(id) OVER (PARTITION BY user ORDER BY at {frame}) FROM requests"
    )
    assert (window.start, window.end, window.cuts) == (start, end, cuts)
    assert window.current_time == current_time


def test_united_tables_are_keyed_by_their_own_columns_in_their_place():
    found, window = only_window(
        """SELECT count(item) OVER w FROM (SELECT user AS buyer, at AS seen, sku AS item
                                           FROM requests) AS r
           WINDOW w AS (UNION clicks, sales AS s,
                              (SELECT product AS buyer, sold AS seen, client AS item FROM sales)
             PARTITION BY buyer, item ORDER BY seen
             ROWS_RANGE BETWEEN 1d PRECEDING AND CURRENT ROW MAXSIZE 20 INSTANCE_NOT_IN_WINDOW)"""
    )
    user, sku = Column(0, "user"), Column(0, "sku")
    assert found.reads == (
        Read("clicks", (("buyer", user), ("item", sku))),
        Read("sales", (("client", user), ("product", sku))),
        Read("sales", (("client", sku), ("product", user))),
    )
    assert window == Window(
        "window w",
        None,
        (Source(1, "seen"), Source(2, "sold"), Source(3, "sold")),
        "at",
        86_400_000,
        0,
        (19,),
    )


def test_a_filter_or_a_computed_key_is_known_to_hide_rows():
    found, window = only_window(
        """SELECT count(item) OVER (UNION (SELECT upper(buyer) AS buyer, seen, item FROM clicks)
             PARTITION BY buyer, item ORDER BY seen ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
           FROM (SELECT user AS buyer, at AS seen, sku AS item FROM requests WHERE shop = 1)"""
    )
    # Rows of `clicks` are found by what is plain of the key.
    assert found.reads == (
        Read("requests", of_request("sku", "user")),
        Read("clicks", (("item", Column(0, "sku")),)),
    )
    assert window.requests == Source(1, "at", whole=False)
    assert window.unions == (Source(2, "seen", whole=False),)


def test_a_window_over_a_join_reaches_what_is_joined_to_its_requests():
    for source in (
        "requests LAST JOIN product ORDER BY product.since ON requests.sku = product.sku",
        (
            "(SELECT requests.*, brand FROM requests LAST JOIN product ORDER BY product.since "
            "ON requests.sku = product.sku) AS requests"
        ),
    ):
        found, window = only_window(
            f"""SELECT distinct_count(brand) OVER (PARTITION BY requests.user ORDER BY requests.at
                  ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM {source}"""
        )
        assert found.reads == (
            Read("product", of_request("sku")),
            Read("requests", of_request("user")),
            Read("product", (("sku", Column(2, "sku")),)),
        )
        assert window.requests == Source(2, "at")
        assert found.joins == (Join(1, "since"), Join(3, "since"))


def test_what_a_window_does_not_aggregate_is_not_reached_from_its_requests():
    sql = """SELECT r.id, s.client, p.brand, {} OVER (PARTITION BY r.user ORDER BY r.at
               ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
             FROM requests AS r LAST JOIN sales AS s ON r.id = s.product
             LAST JOIN product AS p ON r.sku = p.sku LAST JOIN brands AS b ON p.brand = b.name"""
    labelled = replace(TABLES, label_table="sales")
    own = reach(sql.format("count(r.sku)"), labelled)
    assert [read.table for read in own.reads] == ["sales", "product", "brands", "requests"]
    assert len(own.joins) == 3
    far = reach(sql.format("count(b.country)"), labelled)
    assert far.reads[4:] == (
        Read("product", (("sku", Column(4, "sku")),)),
        Read("brands", (("name", Column(5, "brand")),)),
    )
    assert len(far.joins) == 5
    with pytest.raises(ConfigurationError, match=r"number 1 aggregates client of sales.* label"):
        reach(sql.format("max(s.client)"), labelled)


@pytest.mark.parametrize(
    ("join", "keys", "expected"),
    [
        ("LAST JOIN product ON requests.sku = product.sku", of_request("sku"), Join(1)),
        ("LAST JOIN product AS p ON p.sku = requests.sku", of_request("sku"), Join(1)),
        ("LAST JOIN product p ORDER BY p.since ON requests.sku = p.sku AND requests.note = p.brand",
         (("brand", Column(0, "note")), ("sku", Column(0, "sku"))), Join(1, "since")),
        ("last join product p order by since desc on (requests.sku) = (p.sku)",
         of_request("sku"), Join(1, "since", descending=True)),
        ("LAST JOIN product p ORDER BY p.since ON requests.sku = p.sku AND p.since <= requests.at",
         of_request("sku"), Join(1, "since", whole=False)),
        ("LAST JOIN product p ON requests.sku = p.sku AND p.valid = true",
         of_request("sku"), Join(1, whole=False)),
        (("LAST JOIN (SELECT sku AS s, since FROM product WHERE valid) AS p ORDER BY p.since "
         "ON requests.sku = p.s"), of_request("sku"), Join(1, "since", whole=False)),
        (("LAST JOIN (SELECT sku AS s, count(*) AS n FROM product GROUP BY sku) p "
         "ON requests.sku = p.s"), of_request("sku"), Join(1, groups=("sku",))),
        ("LEFT JOIN product ON requests.sku = product.sku", of_request("sku"), Join(1)),
    ],
)  # fmt: skip
def test_styles_of_joins(join, keys, expected):
    found = reach(f"SELECT requests.id FROM requests {join}")
    assert found.reads == (Read("product", keys),)
    assert found.joins == (expected,)


@pytest.mark.parametrize(
    ("condition", "before"),
    [
        ("p.since <= requests.at", {"since"}),
        ("requests.at > p.since", {"since"}),
        ("bigint(p.since) + 3600000 <= bigint(requests.at)", {"since"}),
        ("p.since < timestamp(bigint(requests.at) - 3600000)", {"since"}),
        ("p.since > requests.at", set()),
        ("p.since <= timestamp(bigint(requests.at) + 86400000)", set()),
        ("bigint(p.since) - 86400000 <= bigint(requests.at)", set()),
        ("p.since <= timestamp(4102444800000)", set()),
        ("p.since != requests.at", set()),
        ("p.valid = true", set()),
    ],
)
def test_a_condition_keeps_rows_from_being_later_or_does_not(condition, before):
    found = reach(f"""SELECT requests.id FROM requests LAST JOIN product p ORDER BY p.since
                      ON requests.sku = p.sku AND {condition}""")
    assert found.joins[0].before == before


def test_a_join_may_start_from_what_was_joined_before():
    found = reach(
        """SELECT r.id FROM requests AS r LAST JOIN product AS p ON r.sku = p.sku
           LAST JOIN brands AS b ON p.brand = b.name"""
    )
    assert found.reads == (
        Read("product", of_request("sku")),
        Read("brands", (("name", Column(1, "brand")),)),
    )
    # So does one inside the joined subquery.
    inner = reach(
        """SELECT r.id FROM requests AS r LAST JOIN (
             SELECT p.sku AS s FROM product AS p LAST JOIN brands AS b ON p.brand = b.name) AS pb
           ON r.sku = pb.s"""
    )
    assert inner.reads == found.reads


def test_a_joined_subquery_over_the_requests_stands_for_the_request():
    found = reach(
        """SELECT a.id, b.n, p.brand FROM (SELECT id, at FROM requests) AS a LAST JOIN (
             SELECT id AS other, sku AS s, count(sku) OVER w AS n FROM requests WINDOW w AS (
               PARTITION BY user ORDER BY at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
           ) AS b ON a.id = b.other LAST JOIN product AS p ON b.s = p.sku"""
    )
    assert set(found.reads) == {
        Read("requests", of_request("id")),
        Read("requests", of_request("user")),
        Read("product", of_request("sku")),
    }


def test_the_bare_request_table_joined_means_stored_requests():
    found = reach(
        """SELECT r.id FROM requests AS r LAST JOIN requests AS before ORDER BY before.at
           ON r.user = before.user AND before.at < r.at"""
    )
    assert found.reads == (Read("requests", of_request("user")),)
    assert found.joins == (Join(1, "at", whole=False),)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT FROM", "features.sql: Syntax error"),
        ("SELECT nothing FROM requests", "nothing is not a column here"),
        ("SELECT brand FROM requests r LAST JOIN product p ON r.sku = sku", "sku is ambiguous"),
        ("SELECT 1", "without FROM"),
        ("SELECT sku FROM product", "starts FROM product, but tables.yaml says that requests are rows of"),
        ("SELECT id FROM jd.requests", "jd.requests names a database"),
        ("SELECT id FROM requests LAST JOIN absent ON requests.id = absent.id",
         "table absent is not among those of tables.yaml: requests, clicks"),
        ("SELECT id FROM requests LAST JOIN brands ON upper(requests.sku) = brands.name",
         "the LAST JOIN of brands has no equality"),
        (("SELECT count(id) OVER (PARTITION BY brand ORDER BY at ROWS BETWEEN 1 PRECEDING AND "
         "CURRENT ROW) FROM requests r LAST JOIN product p ON r.sku = p.sku"),
         "number 1 holds earlier requests by a key that is computed or joined"),
        (("SELECT count(id) OVER w FROM (SELECT *, timestamp(at) AS t FROM requests) WINDOW w AS "
         "(PARTITION BY user ORDER BY t ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"),
         "window w is ordered by t, which is computed"),
        (("SELECT count(id) OVER w FROM requests WINDOW w AS "
         "(PARTITION BY user ORDER BY shop ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"),
         "orders requests by shop, but they come in the order of at"),
        (("SELECT count(id) OVER w FROM requests WINDOW w AS "
         "(PARTITION BY user ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"), "ORDER BY one column"),
        ("SELECT count(id) OVER w FROM requests", "window w is defined by w, which is not defined"),
        (("SELECT count(id) OVER w FROM requests WINDOW w AS (UNION brands PARTITION BY user "
         "ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"),
         "unites 6 columns with 2 of brands"),
        (("SELECT r.id FROM requests r LAST JOIN (SELECT sku, count(brand) OVER (PARTITION BY sku "
         "ORDER BY since ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM product) p "
         "ON r.sku = p.sku"), "is over rows of a joined table"),
        (("SELECT r.id FROM requests r LAST JOIN (SELECT sku FROM product LIMIT 3) p "
         "ON r.sku = p.sku"), "LIMIT 3 in a joined subquery"),
        (("SELECT r.id FROM requests r LAST JOIN (SELECT sku FROM product UNION ALL SELECT name "
         "FROM brands) p ON r.sku = p.sku"), "a UNION of stored tables' rows"),
        (("SELECT count(n) OVER (PARTITION BY user ORDER BY at ROWS BETWEEN 1 PRECEDING AND "
         "CURRENT ROW) FROM (SELECT user, at, count(id) OVER w AS n FROM requests WINDOW w AS "
         "(PARTITION BY user ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW))"),
         "is computed for the rows of another window"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused_with_the_mend(sql, told):
    with pytest.raises(ConfigurationError) as caught:
        reach(sql)
    assert told in str(caught.value)
    assert str(caught.value).startswith("include/sql/features.sql: ")


def test_a_window_over_the_table_of_the_label_is_refused():
    sql = """SELECT count(item) OVER (UNION (SELECT product AS buyer, sold AS seen, client AS item
               FROM sales) PARTITION BY buyer ORDER BY seen ROWS_RANGE BETWEEN 1d PRECEDING AND
               CURRENT ROW INSTANCE_NOT_IN_WINDOW)
             FROM (SELECT user AS buyer, at AS seen, sku AS item FROM requests)"""
    assert len(reach(sql).windows) == 1
    with pytest.raises(ConfigurationError, match=r"takes rows of sales.* gives the label alone"):
        reach(sql, replace(TABLES, label_table="sales"))
