import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nightshift.config.live import LogConfig
from nightshift.errors import ConfigurationError
from nightshift.live.compact import compact
from nightshift.live.log import FIXED, RequestLog, hour_of_receipt
from tests.nightshift.live.conftest import HOUR_US, answer, context, write

LATER = dt.datetime(2023, 11, 15, 9, tzinfo=dt.timezone.utc)


@pytest.fixture
def log(tmp_path):
    return RequestLog(tmp_path)


def ids(table):
    return table["request_id"].to_pylist()


def test_answers_are_read_before_and_after_they_are_compacted(log):
    write(log.folder, "w-1", [context(), answer(1, HOUR_US), answer(2, HOUR_US + 5, count=2)])
    write(log.folder, "w-2", [context(), answer(3, HOUR_US + 9)], close=False)
    before = log.read()
    compact(log, LogConfig(), now=LATER)
    after = log.read()
    assert before == after
    assert ids(after) == ["q1.0", "q2.0", "q2.1", "q3.0"]
    assert after["row"].to_pylist() == [0, 0, 1, 0]
    assert after.schema.field("feature.count").type == pa.int64()
    assert after["feature.rate"].to_pylist() == [0.1] * 4
    assert after["score"].to_numpy()[2] == np.float32(0.2)
    assert set(FIXED.names) < set(after.column_names)


def test_a_time_range_reads_only_its_rows(log):
    frames = [context(), *(answer(n, HOUR_US + n * 1_800_000_000) for n in range(6))]
    write(log.folder, "w-1", frames)
    compact(log, LogConfig(), now=LATER)
    start = dt.datetime.fromtimestamp(HOUR_US / 1e6, dt.timezone.utc)
    half = dt.timedelta(minutes=30)
    assert ids(log.read(start + half, start + 3 * half)) == ["q1.0", "q2.0"]
    assert len(log.hours()) == 3
    picked = log.read(columns=["score", "feature.count", "feature.gone"])
    assert picked.column_names == ["score", "feature.count", "feature.gone"]
    assert ids(log.read(where=pc.field("request_id") == "q4.0")) == ["q4.0"]


def test_an_answer_is_found_by_its_receipt(log):
    write(log.folder, "w-1", [context(), answer(1, HOUR_US), answer(2, HOUR_US + 5, count=3)])
    assert ids(log.find("20231114T22-abc-2")) == ["q2.0", "q2.1", "q2.2"]
    assert len(log.find("20231114T22-abc-7")) == 0
    with pytest.raises(ConfigurationError, match="not a receipt"):
        log.find("yesterday")
    assert hour_of_receipt("20231114T22-abc-2").hour == 22


def test_a_ranking_keeps_the_places_of_the_rows_that_it_returned(log):
    write(
        log.folder, "w-1", [context(), answer(1, HOUR_US, count=3, operation="rank", order=[2, 0])]
    )
    assert log.read()["place"].to_pylist() == [2, None, 1]


def test_what_a_kill_cut_off_is_left_out(log):
    made = write(log.folder, "w-1", [context(), answer(1, HOUR_US), answer(2, HOUR_US)])
    path = made.path.with_suffix(".done")
    path.write_bytes(path.read_bytes()[:-3])
    assert ids(log.read()) == ["q1.0"]


def test_releases_of_other_columns_are_read_together(log):
    other = context(number=2, release="r2", features=(*context().features, ("new", "string")))
    wider = answer(2, HOUR_US + 1, context=2, features=[["q2.0", "u1", 7, 0.1, "x"]])
    write(log.folder, "w-1", [context(), answer(1, HOUR_US), other, wider])
    table = log.read()
    assert table["feature.new"].to_pylist() == [None, "x"]
    assert table["release"].to_pylist() == ["2023-11-13.001", "r2"]


def test_a_column_that_became_hashed_is_read_as_text(log):
    hidden = context(number=2, hashed=("count",))
    value = answer(2, HOUR_US + 1, context=2, features=[["q2.0", "u1", "hash:00", 0.1]])
    write(log.folder, "w-1", [context(), answer(1, HOUR_US), hidden, value])
    assert log.read()["feature.count"].to_pylist() == ["1", "hash:00"]
    gone = context(number=2, omitted=("user",))
    write(log.folder, "w-3", [gone, answer(3, HOUR_US + 2, context=2)])
    assert log.read()["request.user"].to_pylist() == ["u1", "u1", None]


def test_a_value_of_another_type_than_its_column_spoils_no_other(log):
    odd = answer(1, HOUR_US, count=2, features=[["a", 5, "many", 0.5], ["b", "u", 3, 1]])
    write(log.folder, "w-1", [context(), odd])
    table = log.read()
    assert table["feature.user"].to_pylist() == ["5", "u"]
    assert table["feature.count"].to_pylist() == [None, 3]
    assert table["feature.rate"].to_pylist() == [0.5, 1.0]


def test_an_empty_log_has_the_fixed_columns(log):
    assert log.read().schema == FIXED
    assert log.read(columns=["score"]).num_rows == 0
