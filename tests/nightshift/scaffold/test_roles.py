"""Which table plays which part, from names and counts alone."""

import datetime as dt
from dataclasses import replace

import pytest

from nightshift.errors import ConfigurationError
from nightshift.scaffold.roles import decide
from nightshift.scaffold.survey import Column, Table

ROWS = 1000


def text(name, distinct, nulls=0):
    return Column(name, "string", distinct, nulls)


def number(name, distinct, least=None, greatest=None, sql="int64"):
    return Column(name, sql, distinct, 0, least, greatest)


def time(name, nulls=0):
    return Column(name, "timestamp", ROWS, nulls)


def table(name, *columns, rows=ROWS, **more):
    return Table(name, columns, rows, rows, **more)


VISIT = table("visit", text("visit_id", ROWS), time("at"), text("person_id", 100), text("page", 50))
CLICK = table("click", text("visit_id", 90), time("at"), number("clicked", 2, 0, 1), rows=90)
PAGE = table("page", text("page", 50), text("topic", 4), rows=50)
SHARED = {"shared": {"visit_id": frozenset({"v1", "v2"})}}
FLAT = table("flat", text("visit_id", ROWS), time("at"), text("page", 50), number("age", 60, 18, 80),
             number("clicked", 2, 0, 1), number("new", 2, 0, 1), **SHARED)  # fmt: skip
LOGIN = table("login", text("person_id", 100), time("login_time"))


def of(*tables):
    return {one.name: one for one in tables}


def test_roles_follow_from_names_and_counts():
    roles = decide(of(VISIT, CLICK, PAGE, LOGIN))
    assert (roles.requests, roles.request_id, roles.request_time) == (VISIT, "visit_id", "at")
    assert (roles.labels, roles.label_key, roles.label) == (CLICK, "visit_id", "clicked")
    assert roles.label_time == "at"
    joined = {one.table.name: (one.key, one.time) for one in roles.joined}
    assert joined == {"page": ("page", None), "login": ("person_id", "login_time")}


def test_every_guess_is_told_and_what_was_given_is_none():
    guessed = " ".join(decide(of(VISIT, CLICK)).guesses)
    given = decide(of(VISIT, CLICK), requests="visit", labels="click", label="clicked")
    assert "requests: visit" in guessed
    assert "labels: click" in guessed
    assert "label: click.clicked" in guessed
    assert "earlier requests are counted by person_id, page" in guessed
    told = " ".join(given.guesses)
    assert not any(word in told for word in ("requests:", "labels:", "label:"))


def test_windows_are_kept_by_what_comes_again_ids_first():
    keys = decide(of(VISIT, CLICK)).keys
    assert keys == ["person_id", "page"]


def test_whom_and_what_a_row_is_about_comes_first_also_by_numbers():
    views = table("views", text("view_id", ROWS), time("at"), text("genres", 30), text("job", 21),
                  text("year", 40), number("member", 90), number("Movie", 170))  # fmt: skip
    likes = table("likes", text("view_id", 90), rows=90)
    assert decide(of(views, likes)).keys == ["Movie", "member", "year"]


def test_windows_are_kept_by_numbers_only_where_there_is_nothing_better():
    numbers = [number("leaves_at_time", 300), number("price", 200), number("member_id", 100)]
    visit = table("visit", text("visit_id", ROWS), time("at"), *numbers, text("page", 50))
    assert decide(of(visit, CLICK)).keys == ["member_id", "page", "price"]


@pytest.mark.parametrize(
    "column", [text("all", 20), text("rare", ROWS - 1), text("holes", 100, nulls=1)]
)
def test_what_rarely_comes_again_or_may_be_null_keeps_no_window(column):
    visit = table("visit", text("visit_id", ROWS), time("at"), column)
    assert decide(of(visit, CLICK)).keys == []


@pytest.mark.parametrize(
    "given",
    [{}, {"label": "clicked"}, {"requests": "flat", "labels": "flat"}, {"labels": "flat", "requests": "flat", "label": "new"}],
    ids=str,
)  # fmt: skip
def test_a_label_among_the_requests_columns_becomes_a_table_of_its_own(given):
    roles = decide(of(FLAT, PAGE), **given)
    wanted = given.get("label", "clicked")
    assert roles.label == wanted
    assert (roles.labels.name, roles.label_from, roles.label_key) == (
        "flat_label",
        "flat",
        "visit_id",
    )
    # With the keys of windows over past labels.
    assert [c.name for c in roles.labels.columns] == ["visit_id", "at", "page", "age", wanted]
    assert wanted not in [c.name for c in roles.requests.columns]
    assert (roles.requests.name, roles.label_time) == ("flat", "at")
    assert any(
        f"label: flat.{wanted}, which is no part of a request" in one for one in roles.guesses
    )


@pytest.mark.parametrize(("days", "spans"), [(5, {}), (40, {"page": "7d", "age": "7d"})])
def test_past_labels_are_counted_by_the_keys_that_both_tables_have(days, spans):
    start = dt.datetime(2026, 5, 1, tzinfo=dt.timezone.utc)
    at = Column("at", "timestamp", ROWS, 0, start, start + dt.timedelta(days=days))
    roles = decide(of(replace(FLAT, columns=(FLAT.columns[0], at, *FLAT.columns[2:])), PAGE))
    assert roles.label_spans == spans
    assert any("past labels are features" in one for one in roles.guesses) == bool(spans)
    # Labels without the key, or without a time, have none.
    for other in (CLICK, table("click", text("visit_id", 90), number("clicked", 2, 0, 1), rows=90)):
        assert decide(of(VISIT, other)).label_spans == {}


def test_a_column_of_a_table_that_names_requests_is_the_label_rather_than_one_of_theirs():
    assert decide(of(FLAT, CLICK)).labels == CLICK


def test_a_table_of_clicks_alone_makes_its_rows_the_positives():
    click = table("click", text("visit_id", 90), time("at"), rows=90)
    roles = decide(of(VISIT, click))
    assert roles.label is None
    assert any("a row of click is a positive" in guess for guess in roles.guesses)


def test_of_several_binary_columns_the_one_with_a_labels_name_is_taken():
    flags = [number("mobile", 2, 0, 1), Column("purchased", "bool", 2, 0)]
    order = table("done", text("visit_id", 90), *flags, rows=90)
    assert decide(of(VISIT, order)).label == "purchased"
    both = table("done", text("visit_id", 90), number("a", 2, 0, 1), number("b", 2, 0, 1), rows=90)
    assert decide(of(VISIT, both)).label is None


def test_a_label_that_is_not_binary_is_refused():
    click = table("click", text("visit_id", 90), number("stars", 5, 1, 5), rows=90)
    with pytest.raises(ConfigurationError, match="stars is int64 from 1 to 5"):
        decide(of(VISIT, click), label="stars")


def test_the_id_of_requests_may_have_another_name_in_the_labels():
    ids = frozenset(f"v{n}" for n in range(100))
    visit = table("visit", text("visit_id", ROWS), time("at"), shared={"visit_id": ids})
    some = frozenset(sorted(ids)[:60])
    click = table("click", text("ref", 90), rows=90, shared={"ref": some})
    roles = decide(of(visit, click), labels="click")
    assert roles.label_key == "ref"
    other = table("click", text("ref", 90), rows=90, shared={"ref": frozenset({"x", "y"})})
    with pytest.raises(ConfigurationError, match="no column of click names a request"):
        decide(of(visit, other), labels="click")


def test_a_table_that_cannot_be_joined_is_left_out_with_the_reason():
    lonely = table("lonely", text("other", 5))
    repeated = table("repeated", text("person_id", 100))
    unused = decide(of(VISIT, CLICK, lonely, repeated)).unused
    assert "shares no key" in unused["lonely"]
    assert "repeats in it" in unused["repeated"]


@pytest.mark.parametrize(
    ("tables", "given", "why"),
    [
        ((VISIT, CLICK), {"requests": "vist"}, "--requests vist: there is no such folder.*visit"),
        ((PAGE,), {}, "name the table of requests by --requests"),
        ((VISIT, PAGE), {}, "which of its columns is the label is not known: name it by --label"),
        ((VISIT,), {"requests": "visit", "labels": "visit"}, "no table but visit names requests"),
        ((FLAT,), {"label": "age"}, "a label is 0 or 1, or a boolean"),
        ((table("flat", *FLAT.columns, number("bought", 2, 0, 1), **SHARED),), {}, "clicked, bought may be"),
        ((table("visit", text("visit_id", ROWS), time("at"), text("a", 2)),
          table("click", text("visit_id", 9)), table("buy", text("visit_id", 9))),
         {"requests": "visit"}, "2 tables have the column visit_id"),
        ((table("visit", text("visit_id", 5), time("at")), CLICK), {"requests": "visit"}, "no column of visit names each of its rows"),
        ((table("visit", text("visit_id", ROWS), time("at_time", nulls=1)), CLICK), {"requests": "visit"}, "no timestamp column without NULLs .at_time is not"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_asked_for(tables, given, why):
    with pytest.raises(ConfigurationError, match=why):
        decide(of(*tables), **given)
