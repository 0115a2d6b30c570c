"""Arrow streams of strangers: whatever they say, they are read whole or refused in words."""

import io
import random

import pyarrow as pa
import pytest
from predict_server.arrow import MAX_VALUES, read_stream, values_of
from predict_server.errors import RequestError

ROWS = 50
LONG = "y" * 500_000


def stream(table, **options):
    sink = io.BytesIO()
    given = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, table.schema, options=given) as writer:
        writer.write_table(table)
    return sink.getvalue()


def table():
    return pa.table(
        {
            "text": [f"a{n}" for n in range(ROWS)],
            "view": pa.array([f"{'v' * 30}{n}" for n in range(ROWS)], pa.string_view()),
            "dictionary": pa.array(["q", None] * (ROWS // 2)).dictionary_encode(),
            "runs": pa.RunEndEncodedArray.from_arrays([20, ROWS], ["a", "b"]),
            "time": pa.array(range(ROWS), pa.timestamp("us")),
            "day": pa.array(range(ROWS), pa.date32()),
            "number": pa.array(range(ROWS), pa.int16()),
            "flag": [True, False] * (ROWS // 2),
            "nothing": pa.nulls(ROWS),
        }
    )


def repeated_view(text, times):
    buffers = pa.array([text], pa.string_view()).buffers()
    views = pa.py_buffer(buffers[1].to_pybytes()[:16] * times)
    return pa.Array.from_buffers(pa.string_view(), times, [None, views, *buffers[2:]])


def test_a_sound_stream_is_read_as_it_is():
    made = table()
    found = read_stream(stream(made), ROWS)
    assert found.equals(made)
    rows = values_of(found)
    assert rows[1] == ["a1", "v" * 30 + "1", None, "a", 0, "1970-1-2", 1, False, None]
    assert len(rows) == ROWS


def test_damaged_streams_are_refused_and_end_nothing():
    """One wrong offset ended the server's process, or read memory that was not the stream's."""
    whole = stream(table())
    at_random = random.Random(5)
    answers = set()
    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(at_random.randint(1, 5)):
            damaged[at_random.randrange(len(damaged))] = at_random.randrange(256)
        try:
            values_of(read_stream(bytes(damaged), ROWS))
            answers.add(200)
        except RequestError as error:
            answers.add(error.status)
    assert answers >= {200, 422}
    assert answers <= {200, 413, 422}


@pytest.mark.parametrize("body", [b"", b"\xff" * 100, b"ARROW1\0\0" + b"\0" * 100, b"{}"])
def test_what_is_no_stream_is_refused(body):
    with pytest.raises(RequestError, match="not an Arrow stream"):
        read_stream(body, ROWS)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"a": pa.nulls(10**9)}, "more than 100 rows"),
        ({"a": [[1]]}, "lists or structs"),
        ({"a": pa.array([{}], pa.struct([]))}, "lists or structs"),
    ],
)
def test_what_a_few_bytes_stand_for_is_not_made(made, says):
    body = stream(pa.table(made))
    assert len(body) < 2000
    with pytest.raises(RequestError, match=says):
        read_stream(body, 100)


def test_columns_of_nothing_count_too():
    body = stream(pa.table({f"c{n}": pa.nulls(10_000) for n in range(500)}))
    with pytest.raises(RequestError, match=f"more than {MAX_VALUES // 500} rows of 500 columns"):
        read_stream(body, 10_000)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_streams_are_refused(codec):
    plain, coded = pa.table({"a": [LONG]}), pa.table({"a": pa.array([LONG]).dictionary_encode()})
    for made in (plain, coded):
        with pytest.raises(RequestError, match="send it uncompressed"):
            read_stream(stream(made, compression=codec), 10)


@pytest.mark.parametrize(
    "column",
    [
        pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array([LONG])),
        pa.RunEndEncodedArray.from_arrays(pa.array([2000], pa.int32()), pa.array([LONG])),
        repeated_view(LONG, 2000),
    ],
    ids=["dictionary", "runs", "view"],
)
def test_a_text_that_is_repeated_counts_each_time(column):
    found = read_stream(stream(pa.table({"a": column})), 2000)
    with pytest.raises(RequestError, match="2000 rows hold 1000000000 bytes of text") as refused:
        values_of(found)
    assert refused.value.status == 413


def test_a_column_given_twice_and_a_day_of_no_calendar_are_refused():
    twice = pa.Table.from_arrays([pa.array([1])] * 2, ["a", "a"])
    with pytest.raises(RequestError, match='"a" is given twice'):
        read_stream(stream(twice), 10)
    far = pa.table({"day": pa.array([2**31 - 1], pa.int32()).cast(pa.date32())})
    with pytest.raises(RequestError, match="outside the years 1 to 9999"):
        values_of(read_stream(stream(far), 10))
