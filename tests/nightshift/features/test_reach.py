"""What may be taken off a reach, and how far its windows go back."""

from nightshift.features.reach import Column, Join, Reach, Read, Source, Window
from nightshift.layout import DAY_MS

VISITS = Read("visit", (("person", Column(0, "person")),))
CLICKS = Read("click", (("visit_id", Column(0, "visit_id")),))
ADS = Read(
    "ad",
    (
        (
            "id",
            Column(2, "ad"),
        ),
    ),
)
REACH = Reach(
    reads=(VISITS, CLICKS, ADS),
    windows=(
        Window("w", Source(1, "at"), (Source(2, "at"),), "at", start=3 * DAY_MS + 1),
        Window("long", None, (Source(2, "at"),), "at", start=7 * DAY_MS),
        Window("rows", Source(1, "at"), (), "at", start=None, cuts=(10,)),
    ),
    joins=(Join(2), Join(3)),
)


def test_a_part_of_a_day_counts_and_the_longest_window_of_a_table_decides():
    assert REACH.lookback_days() == {"visit": 4, "click": 7}


def test_a_frame_of_rows_says_nothing_of_days():
    assert Reach((VISITS,), (REACH.windows[2],), ()).lookback_days() == {}


def test_reads_are_numbered_from_one():
    assert REACH.read(1) is VISITS
    assert REACH.tables() == {"visit", "click", "ad"}


def test_without_a_table_what_hangs_on_its_rows_goes_too():
    left = REACH.without("click")
    assert left.reads == (VISITS,)
    assert left.joins == ()
    assert [window.unions for window in left.windows] == [(), (), ()]
    assert left.windows[0].sources == (Source(1, "at"),)


def test_rows_in_windows_may_stay_while_the_join_of_their_table_goes():
    left = REACH.without("click", keep_windows=True)
    assert left.reads == REACH.reads
    assert left.windows == REACH.windows
    assert left.joins == (Join(3),)


def test_numbers_that_remain_are_those_of_the_same_reads():
    reads = (CLICKS, VISITS, Read("ad", (("id", Column(2, "ad")),)))
    reach = Reach(reads, (Window("w", Source(2, "at"), (), "at"),), (Join(1), Join(3)))
    left = reach.without("click")
    assert left.reads == (VISITS, Read("ad", (("id", Column(1, "ad")),)))
    assert left.read(left.windows[0].sources[0].read) == VISITS
    assert left.joins == (Join(2),)
    assert left.read(left.joins[0].read).table == "ad"


def test_a_table_that_is_not_read_takes_nothing_away():
    assert REACH.without("other") == REACH
