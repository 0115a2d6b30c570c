"""Replays: which rows the store holds at each request."""

from nightshift.live.events import insert_sql
from nightshift.live.skew import replay
from tests.nightshift.live.skew.conftest import START, YESTERDAY


def test_rows_that_came_in_time_are_loaded_and_only_others_are_inserted_on_the_way(
    shop, monkeypatch
):
    shop.load_snapshot({"ann": "Rome"}, YESTERDAY)
    at = START + 5000
    inserted = []

    def counted(table, rows):
        inserted.extend((table.name, row[1]) for row in rows)
        return insert_sql(table, rows)

    shop.event("click", ["ann", at + 1000, "x"], at + 1000)
    shop.ask("ann", at + 1000)  # of the click's own time
    shop.ask("ann", at + 3000)
    shop.event("click", ["ann", at + 4000, "x"], at + 4000)
    shop.event("click", ["ann", at + 2000, "x"], at + 4500)  # late
    shop.ask("ann", at + 5000)
    # Neither reaches a request: one of nobody, one of later.
    shop.event("click", ["bob", at + 2000, "x"], at + 4500)
    shop.event("click", ["ann", at + 9000, "x"], at + 9000)
    shop.night()
    monkeypatch.setattr(replay, "insert_sql", counted)
    found = shop.observe()
    assert (found["not_reproduced"], found["unexplained"], found["rows_differing"]) == (0, 0, 1)
    # As the store stood; a request's own row comes after it, where another one may see it.
    assert sorted(inserted) == [
        ("click", at + 2000), ("visit", at + 1000), ("visit", at + 3000),
    ]  # fmt: skip
