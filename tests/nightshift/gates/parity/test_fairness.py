"""Which requests have one right answer, for queries of several styles."""

from nightshift.features import lineage as query
from nightshift.features.tables import SourceTables
from nightshift.gates.parity import fairness
from nightshift.gates.parity.fairness import Table

COLUMNS = {
    "requests": ["id", "at", "user", "sku"],
    "seen": ["item", "since", "note"],
    "product": ["sku", "since", "brand"],
    "brands": ["name", "country"],
}

SOURCES = SourceTables(
    "tables.yaml", {"requests": "at", "seen": "since"}, ("product", "brands"), "requests", "id"
)

EDGE = "equal times at the edge of a counted window"
PEER = "another request of the same instant and key"
SEVERAL = "several rows for a LAST JOIN key"
TIED = "equal ORDER BY values for a LAST JOIN key"


def excluded(sql, requests, sample=None, **tables):
    """Ids by reason; without `sample`, of all requests."""
    reach = query.reach_of(sql, tables=SOURCES, columns=COLUMNS)
    found = fairness.exclude(
        Table("requests", tuple(COLUMNS["requests"]), requests),
        [row for row in requests if sample is None or row[0] in sample],
        {name: Table(name, tuple(COLUMNS[name]), tables.get(name, [])) for name in COLUMNS},
        reach,
        request_id="id",
        request_time="at",
    )
    return found.by_reason


def over(frame, *, unions="", keys="user", source="requests"):
    return f"SELECT count(id) OVER ({unions} PARTITION BY {keys} ORDER BY at {frame}) FROM {source}"


TEN_ROWS = "ROWS BETWEEN 10 PRECEDING AND CURRENT ROW"
TWO_ROWS = "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW"


def test_requests_with_an_order_among_them_are_compared():
    rows = [("a", 1, "u", "s"), ("b", 2, "u", "s"), ("c", 2, "v", "s")]
    assert excluded(over(TEN_ROWS), rows) == {}


def test_requests_of_one_instant_and_key():
    rows = [("a", 1, "u", "s"), ("b", 1, "u", "t"), ("c", 1, "v", "s")]
    assert excluded(over(TEN_ROWS), rows) == {PEER: ["a", "b"]}
    # Two keys: the same instant of one user counts only for one product.
    assert excluded(over(TEN_ROWS, keys="user, sku"), rows) == {}
    # Where the frame does not reach to the request's own time, peers are not in it.
    assert excluded(over(f"{TEN_ROWS} EXCLUDE CURRENT_TIME"), rows) == {}
    assert excluded(over("ROWS_RANGE BETWEEN 9s PRECEDING AND 1s PRECEDING"), rows) == {}
    assert excluded(over("ROWS_RANGE BETWEEN 9s PRECEDING AND 0s OPEN PRECEDING"), rows) == {}
    assert excluded(over(f"{TEN_ROWS} INSTANCE_NOT_IN_WINDOW"), rows) == {}
    # A frame of rows counts them whatever their time.
    assert excluded(over("ROWS BETWEEN 9 PRECEDING AND 1 PRECEDING"), rows) == {PEER: ["a", "b"]}


def test_a_request_id_given_twice():
    rows = [("a", 1, "u", "s"), ("a", 5, "v", "t")]
    assert excluded("SELECT id FROM requests", rows) == {"request id given twice": ["a", "a"]}


FEED = "UNION (SELECT note AS id, since AS at, note AS user, item AS sku FROM seen)"


def of_feed(frame, feed=FEED):
    return over(f"{frame} INSTANCE_NOT_IN_WINDOW", unions=feed, keys="sku")


def test_ties_matter_only_where_the_frame_is_cut():
    rows = [("a", 9, "u", "s")]

    def found(frame, *times):
        return excluded(of_feed(frame), rows, seen=[("s", t, "") for t in times])

    # Two others fit; the second and the third newest have one time: which is in is undefined.
    assert found(TWO_ROWS, 5, 5, 6) == {EDGE: ["a"]}
    assert found(TWO_ROWS, 5, 6, 6) == {}
    assert found(TWO_ROWS, 5, 5) == {}
    assert found(TWO_ROWS, 5, 5, 10) == {}  # rows after the request are not seen
    assert found(TWO_ROWS, None, None, 5, 6) == {}  # nor those without a time
    # MAXSIZE counts the request itself, unless it is excluded from the frame.
    frame = "ROWS_RANGE BETWEEN 9 PRECEDING AND CURRENT ROW MAXSIZE 3"
    assert found(frame, 5, 5, 6) == {EDGE: ["a"]}
    assert found(f"{frame} EXCLUDE CURRENT_ROW", 5, 5, 6) == {}
    assert found(f"{frame} EXCLUDE CURRENT_ROW", 5, 5, 6, 7) == {EDGE: ["a"]}
    assert found(f"{frame} EXCLUDE CURRENT_TIME", 5, 5, 6, 9, 9) == {EDGE: ["a"]}
    # What the range leaves out is not at the edge of what MAXSIZE keeps.
    assert found("ROWS_RANGE BETWEEN 3 PRECEDING AND CURRENT ROW MAXSIZE 3", 5, 5, 6) == {}
    assert found("ROWS_RANGE BETWEEN 9 PRECEDING AND 4 PRECEDING MAXSIZE 1", 5, 5, 6) == {
        EDGE: ["a"]
    }
    # A frame of rows that ends before the request is cut there, too.
    near = "ROWS BETWEEN 9 PRECEDING AND 2 PRECEDING"
    assert found(near, 5, 6, 6) == {EDGE: ["a"]}
    assert found(near, 5, 5, 6) == {}


def test_the_request_itself_does_not_count_among_the_others():
    rows = [("a", 1, "u", "s"), ("b", 1, "u", "t"), ("c", 2, "u", "x"), ("d", 9, "u", "z")]
    assert excluded(over(TWO_ROWS), rows, {"d"}) == {EDGE: ["d"]}
    assert excluded(over(TWO_ROWS), rows[1:], {"d"}) == {}


def test_rows_that_a_filter_may_hide_make_every_tie_one_at_the_edge():
    feed = FEED.replace("FROM seen", "FROM seen WHERE note != 'x'")
    rows = [("a", 9, "u", "s")]

    def found(*times):
        return excluded(of_feed(TWO_ROWS, feed), rows, seen=[("s", t, "") for t in times])

    assert found(5, 6, 6) == {EDGE: ["a"]}
    assert found(4, 5, 6) == {}
    assert found(6, 6) == {}  # no more than fit, whatever is hidden


LAST = "SELECT r.id FROM requests AS r LAST JOIN product AS p {order} ON r.sku = p.sku {more}"


def test_a_join_key_with_several_rows():
    rows = [("a", 1, "u", "s"), ("b", 2, "v", "t"), ("c", 3, "v", None)]
    two = [("s", 1, "x"), ("s", 2, "y"), ("t", 1, "x"), (None, 1, "z"), (None, 2, "z")]
    assert excluded(LAST.format(order="", more=""), rows, product=two) == {SEVERAL: ["a", "c"]}
    # A second key column tells them apart.
    more = "AND p.brand = r.user"
    assert excluded(LAST.format(order="", more=more), rows, product=two) == {}
    # One group is one row.
    grouped = (
        "SELECT r.id FROM requests AS r LAST JOIN (SELECT sku, max(brand) AS b FROM product "
        "GROUP BY sku) AS p ON r.sku = p.sku"
    )
    assert excluded(grouped, rows, product=two) == {}


def test_an_order_decides_unless_its_last_values_are_equal():
    rows = [("a", 1, "u", "s")]
    ordered = LAST.format(order="ORDER BY p.since", more="")

    def found(sql, *times):
        return excluded(sql, rows, product=[("s", t, str(n)) for n, t in enumerate(times)])

    assert found(ordered, 1, 2, 3) == {}
    assert found(ordered, 1, 1, 3) == {}
    assert found(ordered, 1, 3, 3) == {TIED: ["a"]}
    assert found(ordered, None, None, 3) == {}
    descending = LAST.format(order="ORDER BY p.since DESC", more="")
    assert found(descending, 1, 1, 3) == {TIED: ["a"]}
    assert found(descending, 1, 3, 3) == {}
    # A further condition may take the last ones away.
    before = LAST.format(order="ORDER BY p.since", more="AND p.since < r.at")
    assert found(before, 1, 1, 3) == {TIED: ["a"]}
    assert found(before, 1, 2, 3) == {}


def test_a_chain_of_joins_is_followed_from_row_to_row():
    sql = (
        "SELECT r.id FROM requests AS r LAST JOIN product AS p ON r.sku = p.sku "
        "LAST JOIN brands AS b ON p.brand = b.name"
    )
    rows = [("a", 1, "u", "s"), ("b", 2, "u", "t"), ("c", 3, "u", "absent")]
    product = [("s", 1, "x"), ("t", 1, "y")]
    brands = [("x", "de"), ("x", "fr"), ("y", "de"), ("z", "de"), ("z", "fr")]
    assert excluded(sql, rows, product=product, brands=brands) == {SEVERAL: ["a"]}


def test_what_is_joined_to_the_requests_of_a_window_counts():
    sql = over(TEN_ROWS, source="requests LAST JOIN product AS p ON requests.sku = p.sku").replace(
        "count(id)", "distinct_count(brand)"
    )
    rows = [("a", 1, "u", "s"), ("b", 2, "u", "t"), ("c", 3, "v", "t")]
    product = [("s", 1, "x"), ("s", 2, "y"), ("t", 1, "z")]
    assert excluded(sql, rows, product=product) == {SEVERAL: ["a", "b"]}
