"""The distinct values of a feature, over many batches."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from nightshift.errors import ContractError
from nightshift.features.encoding import NULL_TEXT, encode_field, numbers_of, unique_texts
from nightshift.features.specification import Field, Number, Tokens
from nightshift.features.values import FieldValues, number_buckets

NAN = float("nan")

CASES = {
    "text": (Field("x", "string", "categorical"), pa.string(), ["a", None, "b", "", "a"]),
    "whole": (Field("x", "int32", "categorical"), pa.int32(), [3, None, -1, 3, 0]),
    "rounded": (
        Field("x", "double", "categorical", 2),
        pa.float64(),
        [0.001, -0.0, 0.5, NAN, None, 0.0],
    ),
    "date": (
        Field("x", "date", "categorical"),
        pa.date32(),
        [dt.date(2026, 1, 2), None, dt.date(1999, 12, 31)],
    ),
    "flag": (Field("x", "bool", "categorical"), pa.bool_(), [True, None, False, True]),
    "tokens": (
        Field("x", "string", "categorical", tokens=Tokens(",", 3)),
        pa.string(),
        ["a,b", None, "b", "a,b,c,d", "a,b"],
    ),
    "number": (Field("x", "double", "numeric", number=Number()), pa.float64(), [0.4, None, 25.0]),
}


@pytest.mark.parametrize("name", CASES)
def test_batches_give_the_ids_and_texts_of_columns_alone(name):
    field, kind, column = CASES[name]
    values = FieldValues(field)
    whole, seen = [], []
    for batch in (column, column[::-1], [None, *column[1:]], column[:2]):
        array = pa.array([None, *batch], kind)[1:]  # as a slice has it: with an offset
        codes = values.take(array)
        stored = np.stack([column.to_numpy() for column in values.stored(codes)], axis=1)
        ids = encode_field(array, field)
        np.testing.assert_array_equal(stored, numbers_of(ids) if field.number else ids)
        whole += batch
        places = values.places(codes)
        seen += values.texts(places)
    if field.number:
        texts, codes = number_buckets(np.array([NAN if v is None else v for v in whole], "f4"))
    else:
        texts, codes = unique_texts(pa.array(whole, kind), field)
    assert seen == [texts[code] for code in codes]
    assert len(values) == len(set(values.texts()))


def test_codes_take_as_few_bytes_as_there_are_values():
    values = FieldValues(CASES["whole"][0])
    assert values.take(pa.array(range(200), pa.int32())).dtype == np.uint8
    codes = values.take(pa.array(range(100, 2000), pa.int32()))  # printed at once: so many
    assert codes.dtype == np.uint16
    assert values.texts(codes) == [b"%d" % number for number in range(100, 2000)]


def test_a_value_of_a_dictionary_may_be_null_or_stand_there_twice():
    field = CASES["text"][0]
    column = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2, None], pa.int32()), pa.array(["a", None, "a"])
    )
    values = FieldValues(field)
    places = values.take(column)
    assert values.texts(places) == [b"a", NULL_TEXT, b"a", NULL_TEXT]
    assert values.place_of(b"a") == places[0] == places[2]


def test_what_no_row_had_has_no_place():
    values = FieldValues(CASES["text"][0])
    values.take(pa.array(["a"]))
    assert values.place_of(b"b") is None
    assert values.place_of(NULL_TEXT) is None
    assert len(values) == 1


def test_a_column_of_another_type_is_refused():
    with pytest.raises(ContractError, match="column x is string and int32 is specified"):
        FieldValues(CASES["whole"][0]).take(pa.array(["a"]))
