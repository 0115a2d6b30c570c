"""Request rows: what is taken, what is refused, and that the message finds the place."""

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from predict_server.errors import InvalidRows, RequestError
from predict_server.rows import RowReader, check_value, parse_json, read_rows

SCHEMA = [("reqId", "string"), ("eventTime", "timestamp"), ("n", "int32")]
GOOD = {"reqId": "a", "eventTime": 1458045784000, "n": 3}
VALUES = ["a", 1458045784000, 3]


def read(payload, max_rows=10):
    return read_rows(payload, SCHEMA, max_rows=max_rows)


@pytest.mark.parametrize(
    "payload",
    [
        GOOD,
        [GOOD],
        {"rows": [GOOD]},
        VALUES,
        [VALUES],
        {"rows": [VALUES]},
        {"n": 3, "eventTime": "2016-03-15T20:43:04+08:00", "reqId": "a"},
        {**GOOD, "eventTime": "2016-03-15T12:43:04Z"},
    ],
)
def test_every_way_to_write_a_row_gives_the_same_row(payload):
    assert read(payload) == [VALUES]


def test_rows_keep_their_order_and_may_mix_objects_and_arrays():
    rows = [GOOD, ["b", 1, 2], {**GOOD, "reqId": None}]
    assert read(rows) == [VALUES, ["b", 1, 2], [None, 1458045784000, 3]]


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (0, True),
        (-1, False),
        (253_402_214_400_000, True),
        (10**18, False),
        (-(2**63), False),
        ("9999-12-30T23:59:59Z", True),
        ("9999-12-31T23:59:59Z", False),
        ("1969-12-31T23:59:59Z", False),
        ("0001-01-01T00:00:00+00:00", False),
        (None, True),
    ],
)
@pytest.mark.parametrize("as_object", [True, False])
def test_the_time_of_a_row_lies_in_the_calendar_and_other_times_may_not(value, fits, as_object):
    row = {**GOOD, "eventTime": value} if as_object else ["a", value, 3]
    assert len(read([row])) == 1
    reader = RowReader(SCHEMA, ["eventTime", "of_another_table"])
    if fits:
        assert reader.read([row], max_rows=1) == read([row])
    else:
        with pytest.raises(InvalidRows) as refused:
            reader.read([row], max_rows=1)
        (problem,) = refused.value.problems
        assert (problem.row, problem.field) == (0, "eventTime")
        assert "lies before 1970 or after 9999" in problem.problem


def test_a_table_that_has_a_column_named_rows_is_not_mistaken():
    assert read_rows({"rows": 5}, [("rows", "int32")], max_rows=1) == [[5]]


@pytest.mark.parametrize(
    ("bad", "place", "says"),
    [
        ({**GOOD, "n": "3"}, (0, "n"), "whole number of 32 bits"),
        ({**GOOD, "n": 3.0}, (0, "n"), "whole number"),
        ({**GOOD, "n": True}, (0, "n"), "whole number"),
        ({**GOOD, "n": 1 << 31}, (0, "n"), "32 bits"),
        ({**GOOD, "reqId": 7}, (0, "reqId"), "give text"),
        ({**GOOD, "reqId": "\ud800"}, (0, "reqId"), "surrogate"),
        ({**GOOD, "eventTime": 1.5}, (0, "eventTime"), "milliseconds"),
        ({**GOOD, "eventTime": "yesterday"}, (0, "eventTime"), "not a time"),
        ({**GOOD, "eventTime": "2016-03-15 20:43:04"}, (0, "eventTime"), "time zone"),
        ({"reqId": "a", "n": 1}, (0, "eventTime"), "missing"),
        ({**GOOD, "evenTime": 1}, (0, "evenTime"), "did you mean 'eventTime'"),
        ([GOOD, ["b", 1]], (1, ""), "3 are needed: reqId, eventTime, n"),
        ([GOOD, 5], (1, ""), "object or an array"),
    ],
)
def test_what_does_not_fit_is_named_by_row_and_field(bad, place, says):
    with pytest.raises(InvalidRows) as caught:
        read(bad)
    first = caught.value.problems[0]
    assert (first.row, first.field) == place
    assert says in first.problem
    assert caught.value.status == 422
    assert caught.value.body()["detail"][0]["field"] == place[1]


def test_all_problems_are_told_but_not_thousands():
    rows = [{**GOOD, "n": "x", "reqId": 1} for _ in range(1000)]
    with pytest.raises(InvalidRows) as caught:
        read(rows, max_rows=1000)
    found = [(p.row, p.field) for p in caught.value.problems]
    assert found[:4] == [(0, "reqId"), (0, "n"), (1, "reqId"), (1, "n")]
    assert len(found) < 30


@pytest.mark.parametrize("payload", ["text", 5, None, True, [], {"rows": []}, {"rows": 5}])
def test_what_holds_no_rows_is_refused(payload):
    with pytest.raises(RequestError) as caught:
        read(payload)
    assert caught.value.status == 422


def test_a_key_beside_rows_is_not_ignored():
    with pytest.raises(RequestError, match="'expalin'"):
        read({"rows": [GOOD], "expalin": True})


def test_too_many_rows_name_the_setting():
    with pytest.raises(RequestError, match="NIGHTSHIFT_PREDICT_MAX_ROWS") as caught:
        read([GOOD] * 11)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"],
)
def test_a_body_that_is_no_json_is_400(body):
    with pytest.raises(RequestError, match="not JSON") as caught:
        parse_json(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("kind", "value", "taken"),
    [
        ("bool", False, False),
        ("int16", -32768, -32768),
        ("int64", (1 << 63) - 1, (1 << 63) - 1),
        ("bigint", 5, 5),
        ("float", 2, 2.0),
        ("double", 0.1, 0.1),
        ("string", "", ""),
        ("date", "2021-1-5", "2021-01-05"),
        ("timestamp", -1, -1),
    ],
)
def test_values_go_to_the_api_server_as_it_wants_them(kind, value, taken):
    from nightshift.features.specification import sql_type

    got = check_value(value, sql_type(kind))
    assert got == taken
    assert type(got) is type(taken)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bool", 1),
        ("bool", "true"),
        ("int16", 32768),
        ("int64", 1 << 63),
        ("double", "0.5"),
        ("double", True),
        ("double", float("inf")),
        ("date", "2021-02-30"),
        ("date", 20210105),
        ("timestamp", 1 << 63),
        ("string", ["a"]),
        ("string", {}),
    ],
)
def test_values_of_another_type_are_refused(kind, value):
    with pytest.raises(ValueError, match=r"."):
        check_value(value, kind)


@given(moment=st.datetimes(timezones=st.timezones()))
def test_iso_text_and_milliseconds_are_the_same_moment(moment):
    milliseconds = check_value(moment.isoformat(), "timestamp")
    back = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(milliseconds=milliseconds)
    assert dt.timedelta(0) <= moment - back < dt.timedelta(milliseconds=1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(payload=JSON | st.fixed_dictionaries({"reqId": JSON, "eventTime": JSON, "n": JSON}))
def test_whatever_is_sent_is_taken_or_refused_in_words(payload):
    try:
        rows = read(json.loads(json.dumps(payload)))
    except RequestError as error:
        assert error.status in (413, 422)
        assert str(error)
    else:
        for name, when, number in rows:
            assert name is None or isinstance(name, str)
            assert when is None or type(when) is int
            assert number is None or (type(number) is int and -(2**31) <= number < 2**31)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("double", 10**400, "does not fit type double"),
        ("double", -(10**400), "does not fit type double"),
        ("float", 10**400, "does not fit type float"),
        ("float", 1e39, "does not fit type float"),
        ("int64", 10**400, "does not fit type int64"),
        ("int16", 32768, "does not fit type int16"),
        ("timestamp", 10**400, "does not fit type timestamp"),
        ("string", [[["deep"]]], "an array does not fit"),
        ("string", "a\udc00b", "surrogate"),
        ("date", "1899-12-31", "before 1900"),
        ("date", "x" * 10_000, "does not fit"),
        ("timestamp", "9" * 10_000, "is not a time"),
    ],
)
def test_values_that_would_harm_the_server_are_refused_in_few_words(kind, value, says):
    with pytest.raises(ValueError, match=says) as caught:
        check_value(value, kind)
    assert len(str(caught.value)) < 400


def test_names_of_unknown_fields_are_cut_and_can_be_written():
    with pytest.raises(InvalidRows) as caught:
        read({**GOOD, "\ud800" + "k" * 10_000: 1, **{f"f{n}": n for n in range(1000)}})
    body = json.dumps(caught.value.body(), ensure_ascii=False)
    assert len(body.encode()) < 20_000


KINDS = ("bool", "int16", "int32", "int64", "float", "double", "string", "date", "timestamp")
CELLS = [
    None, True, False, 0, 1, -1, 2**15, -(2**15), 2**31, 2**63 - 1, 2**63, 0.5, -0.0, 1e300,
    "", "a", "\u00e4", "\ud800", "2016-03-15", "2016-3-5", "2016-03-15T20:43:04+08:00", [], {},
]  # fmt: skip
FITTING = {
    "bool": [True, False], "int16": [0, -5], "int32": [1, 2**20], "int64": [2**40, 3],
    "float": [0.5, 2], "double": [1e200, 7], "string": ["a", "\u00e4"], "date": ["2016-3-5"],
    "timestamp": [1458045784000, "2016-03-15T20:43:04+08:00"],
}  # fmt: skip


def outcome(ask):
    """Rows by value and type, or what is wrong with them."""
    try:
        return [[(type(value), repr(value)) for value in row] for row in ask()]
    except InvalidRows as error:
        return error.body()


@given(data=st.data(), moments=st.booleans())
def test_many_rows_are_checked_as_each_alone(data, moments):
    schema = [(f"{kind}_of", kind) for kind in KINDS]
    reader = RowReader(schema, ["timestamp_of"] if moments else [])
    rows = [[data.draw(st.sampled_from(FITTING[kind])) for kind in KINDS] for _ in range(6)]
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(KINDS) - 1))
        rows[data.draw(st.integers(0, 5))][at] = data.draw(st.sampled_from(CELLS))
    if data.draw(st.booleans()):
        names = [name for name, _ in schema]
        rows = [dict(zip(names, row, strict=True)) for row in rows]
    alone = [outcome(lambda row=row: reader.check([row], max_rows=1)) for row in rows]
    together = outcome(lambda: reader.check(rows, max_rows=6))
    if isinstance(together, list):
        assert together == [row for one in alone for row in one]
    else:
        assert any(isinstance(one, dict) for one in alone)


@given(data=st.data())
def test_fields_that_rows_share_are_checked_once(data):
    schema = [(f"{kind}_of", kind) for kind in KINDS]
    reader = RowReader(schema, ["timestamp_of"])
    shared_kinds = set(data.draw(st.lists(st.sampled_from(KINDS), unique=True)))
    row = {f"{kind}_of": st.sampled_from(FITTING[kind]) for kind in KINDS}
    shared = {name: data.draw(cell) for name, cell in row.items() if name[:-3] in shared_kinds}
    rest = {name: cell for name, cell in row.items() if name not in shared}
    rows = [{name: data.draw(cell) for name, cell in rest.items()} for _ in range(5)]
    if rest and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(rest)))
        rows[data.draw(st.integers(0, 4))][name] = data.draw(st.sampled_from(CELLS))
    found = reader.joined(shared, rows)
    wanted = outcome(lambda: reader.check([{**shared, **one} for one in rows], max_rows=5))
    if found is None:
        assert isinstance(wanted, dict) or not rest
    else:
        assert outcome(lambda: found) == wanted


def test_rows_that_repeat_or_lack_a_shared_field_are_not_joined():
    reader = RowReader(SCHEMA)
    rows = [{"reqId": f"r{n}", "n": n} for n in range(4)]
    shared = {"eventTime": 1458045784000}
    assert reader.joined(shared, rows) == [[f"r{n}", 1458045784000, n] for n in range(4)]
    assert reader.joined({**shared, "n": 1}, rows) is None
    assert reader.joined({**shared, "m": 1}, rows) is None
    assert reader.joined(shared, [*rows, {"reqId": "r", "m": 1}]) is None
    assert reader.joined(shared, [*rows, ["r", 1]]) is None
    assert reader.joined({}, rows) is None
