"""What the feature query reaches, and which requests have one right answer."""

from nightshift.release import fairness
from nightshift.release.fairness import Reach, Table, Window
from nightshift.settings import PROJECT

SQL = (PROJECT / "include" / "sql" / "features.sql").read_text()


def test_reach_of_the_feature_query():
    reach = fairness.reach_of(SQL)
    assert [(w.keys, w.tables, w.holds_requests, w.others) for w in reach.windows] == [
        (("user_id",), (), True, 10),
        (("user_id",), (), True, 199),
        (("sku_id",), ("bo_comment",), False, 99),
        (("sku_id",), ("bo_comment",), False, 10),
        (("pair_id",), ("bo_action",), False, 99),
        (("pair_id",), ("bo_action",), False, 99),
        (("pair_id",), ("bo_action",), False, 99),
    ]
    assert set(reach.joins) == {
        ("action", "reqId"),
        ("bo_product", "sku_id"),
        ("bo_user", "user_id"),
    }
    assert reach.keys_of("bo_comment", request_table="flattenRequest") == {"sku_id"}
    assert reach.keys_of("flattenRequest", request_table="flattenRequest") == {"user_id"}
    assert reach.keys_of("bo_user", request_table="flattenRequest") == {"user_id"}


REACH = Reach(
    windows=(
        Window(keys=("user",), tables=(), holds_requests=True, others=2),
        Window(keys=("sku",), tables=("seen",), holds_requests=False, others=2),
    ),
    joins=(("product", "sku"),),
)
COLUMNS = ("id", "at", "user", "sku")


def excluded(requests, sample, seen=(), product=()):
    found = fairness.exclude(
        Table("requests", COLUMNS, requests, "at"),
        [row for row in requests if row[0] in sample],
        {
            "seen": Table("seen", ("sku", "at"), list(seen), "at"),
            "product": Table("product", ("sku", "brand"), list(product)),
        },
        REACH,
        request_id="id",
    )
    return found.by_reason


def test_plain_requests_are_compared():
    rows = [("a", 1, "u", "s"), ("b", 2, "u", "s"), ("c", 2, "v", "s")]
    assert excluded(rows, {"a", "b", "c"}, [("s", 1), ("s", 2)], [("s", "x")]) == {}


def test_requests_of_one_instant_and_key_are_excluded():
    rows = [("a", 1, "u", "s"), ("b", 1, "u", "t"), ("c", 1, "v", "s")]
    assert excluded(rows, {"a", "b", "c"}) == {
        "another request of the same instant and key": ["a", "b"]
    }


def test_a_request_id_given_twice_is_excluded():
    rows = [("a", 1, "u", "s"), ("a", 5, "v", "t")]
    assert excluded(rows, {"a"}) == {"request id given twice": ["a", "a"]}


def test_a_join_key_with_several_rows_is_excluded():
    rows = [("a", 1, "u", "s"), ("b", 2, "v", "t")]
    assert excluded(rows, {"a", "b"}, product=[("s", "x"), ("s", "y"), ("t", "x")]) == {
        "several rows for a LAST JOIN key": ["a"]
    }


def test_ties_matter_only_where_the_frame_is_cut():
    rows = [("a", 9, "u", "s")]
    reason = "equal times at the edge of a counted window"
    # Two other rows fit; the second and third newest share a time: which one is in is undefined.
    assert excluded(rows, {"a"}, [("s", 5), ("s", 5), ("s", 6)]) == {reason: ["a"]}
    assert excluded(rows, {"a"}, [("s", 5), ("s", 6), ("s", 6)]) == {}
    assert excluded(rows, {"a"}, [("s", 5), ("s", 5)]) == {}
    # Rows after the request are not seen.
    assert excluded(rows, {"a"}, [("s", 5), ("s", 5), ("s", 10)]) == {}


def test_the_request_itself_does_not_count_among_the_others():
    rows = [("a", 1, "u", "s"), ("b", 1, "u", "t"), ("c", 2, "u", "x"), ("d", 9, "u", "z")]
    reason = "equal times at the edge of a counted window"
    assert excluded(rows, {"d"}) == {reason: ["d"]}
    rows = [("b", 1, "u", "t"), ("c", 1, "u", "x"), ("d", 9, "u", "z")]
    assert excluded(rows, {"d"}) == {}
