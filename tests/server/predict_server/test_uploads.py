"""Uploaded files: scored as single predictions are, and errors stay with their rows."""

import csv
import datetime as dt
import io
import random
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.server.predict_server.conftest import row

CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


def to_csv(rows, **extra):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    for item in rows:
        shown = {k: str(v).lower() if isinstance(v, bool) else v for k, v in item.items()}
        writer.writerow({**shown, **extra})
    return out.getvalue().encode()


def to_parquet(rows, **schema):
    made = {
        "reqId": pa.string(),
        "eventTime": pa.timestamp("ms"),
        "user": pa.large_string(),
        "product": pa.string(),
        "ratio": pa.float64(),
        "rate": pa.float32(),
        "seen": pa.int32(),
        "big": pa.int64(),
        "small": pa.int16(),
        "flag": pa.bool_(),
        "day": pa.date32(),
        **schema,
    }
    items = [
        {
            **item,
            "eventTime": dt.datetime.fromtimestamp(item["eventTime"] / 1000, dt.timezone.utc),
            "day": dt.date.fromisoformat(item["day"]),
        }
        for item in rows
    ]
    out = io.BytesIO()
    fields = [pa.field(name, kind) for name, kind in made.items()]
    pq.write_table(pa.Table.from_pylist(items, pa.schema(fields)), out)
    return out.getvalue()


def upload(server, content, kind, status=200, path="/upload"):
    answer = server.http.post(path, content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text[:500]
    return answer


def singles(server, rows):
    return [p["score"] for p in server.ask({"rows": rows})["predictions"]]


def test_a_csv_file_scores_as_its_rows_do_and_keeps_its_columns(live_first):
    rows = [{"note": f"n{n}", **row(n)} for n in range(700)]
    answer = upload(live_first, to_csv(rows), CSV, path="/v1/pipelines/jd/upload")
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert [item["note"] for item in found] == [f"n{n}" for n in range(700)]
    assert {item["error"] for item in found} == {""}
    plain = [row(n) for n in range(700)]
    assert [float(item["score"]) for item in found] == singles(live_first, plain)
    assert answer.headers["x-nightshift-release"] == "r1"
    assert answer.headers["x-nightshift-rows"] == "700"
    assert answer.headers["x-nightshift-failed-rows"] == "0"


def test_a_parquet_file_comes_back_as_one(live_first):
    rows = [row(n) for n in range(620)]
    answer = upload(live_first, to_parquet(rows), PARQUET)
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.column_names == [*row(), "score", "error"]
    assert table.schema.field("user").type == pa.large_string()
    assert table.column("score").type == pa.float32()
    assert table.column("score").to_pylist() == singles(live_first, rows)
    assert table.column("error").null_count == 620


def test_a_row_that_does_not_fit_keeps_its_place_and_says_why(live_first):
    lines = to_csv([row(n) for n in range(6)]).decode().splitlines()
    lines[2] = lines[2].replace(",-3,", ",99999,")
    lines[3] += ",too,many"
    lines[5] = lines[5].replace(",0.4,", ",much,")
    answer = upload(live_first, "\n".join(lines).encode(), CSV)
    found = list(csv.DictReader(io.StringIO(answer.text)))
    errors = [item["error"] for item in found]
    assert [bool(error) for error in errors] == [False, True, True, False, True, False]
    assert errors[1].startswith("small: 99999 does not fit")
    assert "13 cells, not 11" in errors[2]
    assert errors[4].startswith('ratio: "much" does not fit')
    assert [item["score"] == "" for item in found] == [bool(error) for error in errors]
    assert answer.headers["x-nightshift-failed-rows"] == "3"
    good = singles(live_first, [row(0), row(3), row(5)])
    assert [float(item["score"]) for item in found if item["score"]] == good


def test_a_form_is_taken_too_and_an_empty_cell_is_null(live_first):
    rows = [row(1, product=None, day=None)]
    file = ("rows.csv", to_csv(rows), "application/octet-stream")
    answer = live_first.http.post("/upload", files={"file": file})
    assert answer.status_code == 200, answer.text
    (found,) = csv.DictReader(io.StringIO(answer.text))
    assert float(found["score"]) == singles(live_first, rows)[0]


def test_cells_stay_as_they_are_unless_a_spreadsheet_is_to_open_them(live_first):
    ids = ["=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-2"]
    rows = [{"=note": "-x", **row(n, product=name)} for n, name in enumerate(ids)]
    content = to_csv(rows)

    def cells(path):
        return list(csv.reader(io.StringIO(upload(live_first, content, CSV, path=path).text)))

    given = list(csv.reader(io.StringIO(content.decode())))
    plain, safe = cells("/upload"), cells("/upload?spreadsheet=true")
    assert [line[:-2] for line in plain] == given
    at = given[0].index("product")
    assert [line[at] for line in safe[1:]] == ["'" + one for one in ids[:3]] + ["-2"]
    assert [line[0] for line in safe] == ["'=note"] + ["'-x"] * 4
    assert [line[-2:] for line in safe] == [line[-2:] for line in plain]
    small = given[0].index("small")
    assert [line[small] for line in safe] == [line[small] for line in given], "numbers stay"


def test_one_text_that_a_small_file_repeats_is_not_made_into_gigabytes(live_first):
    rows = [row(n) for n in range(600)]
    table = pq.read_table(io.BytesIO(to_parquet(rows)))
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 600, pa.int32()), pa.array(["y" * 10**6]))
    out = io.BytesIO()
    at = table.column_names.index("user")
    pq.write_table(table.set_column(at, "user", long), out, compression="zstd")
    assert len(out.getvalue()) < 100_000
    assert "bytes of text; split them" in upload(live_first, out.getvalue(), PARQUET, 413).text


def test_a_small_file_is_not_unpacked_to_gigabytes(live_first):
    table = pq.read_table(io.BytesIO(to_parquet([row(n) for n in range(600)])))
    nulls = pa.nulls(60_000_000, pa.string())
    texts = pa.array(["y" * 10**6] * 600, pa.large_string())
    at = table.column_names.index("user")
    for changed, options, says in (
        (table.set_column(at, "user", texts), {}, "unpack to"),
        (table.set_column(at, "user", texts),
         {"column_encoding": {"user": "DELTA_BYTE_ARRAY"}}, "DELTA_BYTE_ARRAY"),
        (pa.table(dict.fromkeys(table.column_names, nulls)), {}, "60000000 rows"),
    ):  # fmt: skip
        out = io.BytesIO()
        pq.write_table(changed, out, compression="zstd", use_dictionary=False, **options)
        assert len(out.getvalue()) < 2_000_000
        assert says in upload(live_first, out.getvalue(), PARQUET, 413).json()["message"]


def test_a_header_of_very_many_columns_is_answered_at_once(live_first):
    names = ",".join(f"c{n}" for n in range(200_000))
    begun = time.monotonic()
    upload(live_first, names.encode(), CSV, 422)
    assert time.monotonic() - begun < 20


def test_what_is_damaged_in_a_parquet_file_is_told(live_first):
    whole = to_parquet([row(n) for n in range(50)])
    chunk = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0).column(0)
    at = chunk.dictionary_page_offset
    header = whole[:at] + b"\xff" * 8 + whole[at + 8 :]
    for content, says in ((header, "header of a page"), (whole[:-4], "not parquet or is cut off")):
        answer = upload(live_first, content, PARQUET, 422).json()
        assert says in answer["message"]


def test_a_damaged_parquet_file_is_refused_or_read(live_first):
    whole = to_parquet([row(n) for n in range(50)])
    at_random = random.Random(5)
    found = set()
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[at_random.randrange(len(damaged))] = at_random.randrange(256)
        answer = live_first.http.post(
            "/upload", content=bytes(damaged), headers={"Content-Type": PARQUET}
        )
        found.add(answer.status_code)
    assert found <= {200, 413, 422}
    assert 422 in found


@pytest.mark.parametrize(
    ("content", "kind", "status", "says"),
    [
        (b"a,b\n1,2\n", CSV, 422, "no column reqId"),
        (b"", CSV, 422, "empty"),
        (b"\xff\xfe\n", CSV, 422, "utf-8"),
        (to_csv([{**row(1), "score": 1}]), CSV, 422, "column score"),
        (b"no parquet", PARQUET, 422, "not parquet"),
        (b"{}", "application/json", 415, "text/csv"),
        (b"", "multipart/form-data", 400, "boundary"),
        (b"x", f"multipart/form-data; boundary={'b' * 60_000}", 400, "not a form"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422, "no file"),
    ],
)
def test_what_is_no_such_file_is_refused(live_first, content, kind, status, says):
    assert says in upload(live_first, content, kind, status).json()["message"]
