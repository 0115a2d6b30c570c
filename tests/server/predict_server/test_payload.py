"""Bodies: what is JSON, what is refused, and that no message can break an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from predict_server.errors import RequestError
from predict_server.payload import MAX_DEPTH, parse_json, printable, shown

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.slow
@given(value=JSON, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_it_reads_what_the_standard_library_writes(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    try:
        body = text.encode()
    except UnicodeEncodeError:
        return
    assert parse_json(body) == json.loads(text)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a" :1,"a":2}',
        b'[{"b": ":", "a": 1, "a": 1}]',
        b'{"rows": [{"a": "x"}, {"a": "x", "a": "\\u0041"}]}',
        b'{"a": 1, "\\u0061": 2}',
    ],
)
def test_a_key_given_twice_is_refused_wherever_it_is(body):
    with pytest.raises(RequestError, match="'?\"a\"'? is given twice") as caught:
        parse_json(body)
    assert caught.value.status == 422


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_json_is_422_and_json_that_is_cut_off_400(pair):
    opening, closing = pair
    assert parse_json(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 900, 5_000, 100_000):
        with pytest.raises(RequestError) as caught:
            parse_json(opening * depth + b"1" + closing * depth)
        assert (caught.value.status, str(MAX_DEPTH) in str(caught.value)) == (422, True)
        with pytest.raises(RequestError) as caught:
            parse_json(opening * depth)
        assert caught.value.status == 400


def test_numbers_beyond_a_double_are_left_to_who_knows_the_column():
    assert parse_json(b"1" + b"0" * 400) == 10**400
    assert parse_json(b"[1e400]") == [float("inf")]


@pytest.mark.parametrize("body", [b'"\\ud800"', b'{"\\udfff": 1}'])
def test_half_a_surrogate_pair_is_left_to_who_knows_the_field(body):
    assert parse_json(body) == json.loads(body)


@given(text=st.text(st.characters(), max_size=300), limit=st.integers(10, 100))
def test_what_is_printable_can_be_encoded_and_is_short(text, limit):
    made = printable(text + "\ud800", limit)
    assert len(made.encode()) <= 6 * limit
    assert len(shown(text, limit).encode()) <= 6 * limit


def test_values_are_shown_short_whatever_they_are():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, {"a": deep}, "x" * 10**6, 10**5000, float("inf"), "\ud800" * 100, None):
        assert len(shown(value)) <= 360


def test_a_number_of_thousands_of_digits_is_refused_in_our_own_words():
    for digits in (5000, 100_000):
        with pytest.raises(RequestError, match=f"a number of {digits} digits") as caught:
            parse_json(b'{"a": ' + b"7" * digits + b"}")
        assert caught.value.status == 400
        assert "sys." not in str(caught.value)
