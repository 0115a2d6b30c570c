"""Criteo's and PaddleRec's lines: every cell in its column, wrong lines named."""

import datetime as dt
import gzip

import pyarrow.dataset as pads
import pytest

from laptop.data import criteo
from nightshift.errors import DataError

END = dt.date(2026, 11, 20)


def line(label, first="1", category="68fd1e64"):
    return "\t".join([str(label), first, "-1", *["3"] * 11, category, *["ab"] * 25])


def slot(label=0, dense=13, extra=""):
    return f"click:{label} " + "dense_feature:0.5 " * dense + f"1:737395 26:306163 {extra}".strip()


def read(tmp_path, sources, days=1):
    to = tmp_path / "tables"
    to.mkdir()
    found = criteo.write_tables(sources, to, end=END, days=days)
    tables = {n: pads.dataset(to / n).to_table().to_pylist() for n in ("impression", "click")}
    return found, tables["impression"], tables["click"]


def test_a_line_becomes_a_request_and_a_label(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(line(0) + "\n" + line(1, first="", category="") + "\n")
    found, requests, clicks = read(tmp_path, [path])
    assert (found.rows, found.positives, found.format) == (2, 1, "criteo")
    assert (requests[0]["i1"], requests[0]["i2"], requests[0]["c1"]) == (1.0, -1.0, "68fd1e64")
    assert requests[1]["i1"] is None and requests[1]["c1"] is None
    assert requests[1]["c26"] == "ab"
    assert [(c["request_id"], c["clicked"]) for c in clicks] == [(1, 0), (2, 1)]
    assert [c["at"] for c in clicks] == [r["at"] for r in requests]


def test_rows_lie_evenly_over_the_days_in_their_order(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text((line(0) + "\n") * 8)
    _, requests, _ = read(tmp_path, [path], days=2)
    days = [(r["at"] + dt.timedelta(hours=8)).date() for r in requests]
    assert days == [END - dt.timedelta(days=1)] * 4 + [END] * 4


def test_files_named_by_day_are_a_day_each_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    for day, rows in ((2, 3), (10, 1)):
        with gzip.open(folder / f"day_{day}.gz", "wt") as file:
            file.write((line(day % 2) + "\n") * rows)
    found, requests, _ = read(tmp_path, criteo.files_of(folder), days=7)
    assert found.days == 2
    days = [(r["at"] + dt.timedelta(hours=8)).date() for r in requests]
    assert days == [END - dt.timedelta(days=1)] * 3 + [END]


@pytest.mark.parametrize("between", [" ", "\t"])
def test_slot_text_fills_the_same_columns(tmp_path, between):
    path = tmp_path / "part-0"
    path.write_text(slot(1).replace(" ", between) + "\n")
    found, requests, clicks = read(tmp_path, [path])
    assert (found.format, clicks[0]["clicked"]) == ("slot", 1)
    assert (requests[0]["i13"], requests[0]["c1"], requests[0]["c26"]) == (0.5, "737395", "306163")
    assert requests[0]["c2"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line is empty"),
        (line(0)[2:], "no label, as Criteo's test file"),
        ("0,1,2", "has 1 cell"),
        (line(0) + "\n" + line(2), "a label is 2"),
        (line(0) + "\n" + line("") + "\n", "a label is None"),
        (line(0) + "\n" + line(0)[:-3], "Expected 40 columns, got 39"),
        (line(0, first="x"), "invalid value 'x'"),
        (slot(dense=12), "line 1: 12 of dense_feature"),
        (slot(extra="27:1"), "slot 27 is not 1 to 26"),
        (slot(extra="1:1"), "slot 1 is there twice"),
        (slot(extra="2:"), "is not name:value"),
        (slot() + "\n\n", "line 2: there is no click"),
    ],
)
def test_wrong_lines_are_refused(tmp_path, text, message):
    path = tmp_path / "train.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, [path])
    assert str(path) in str(caught.value)


def test_a_cut_off_gzip_is_named(tmp_path):
    path = tmp_path / "day_0.gz"
    whole = gzip.compress((line(0) + "\n").encode() * 1000)
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match="day_0.gz"):
        read(tmp_path, [path])
