"""Fuzz the encoding: do a parquet round trip and a JSON round trip give the same ids?

Draws feature rows that are as odd as the types allow (NULL, NaN, infinities, negative zeros,
numbers at the edge of a rounding, empty and non-ASCII text, text that looks like NULL), writes
them as the offline engine does (parquet) and as OpenMLDB's API server does (JSON: a float
widened to double, dates without padding, timestamps in milliseconds), and compares every id.

    .venv/bin/python bench/encoding_fuzz.py --rows 1000000
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "src"))

from nightshift.features.encoding import encode_rows, encode_table  # noqa: E402
from nightshift.features.specification import FeatureSpec  # noqa: E402

ODD_TEXTS = ["", "null", "NULL", "None", "nan", ",NULL,NULL", "1,,NULL", "京东", "é", "e\u0301"]
ODD_TEXTS += ["\x00", "\x7f", "\xff", "\ufffd", "a" * 300, " a", "a ", "0", "-0", "1.0", "😀"]
ODD_FLOATS = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1e308, 0.005, 0.015, 0.025, 0.1, 1e22]
DAY = np.datetime64("1970-01-01", "D")


def column(kind: str, rows: int, rng: np.random.Generator) -> pa.Array:
    """A column of odd values of a SQL type, a tenth of them NULL."""
    mask = rng.random(rows) < 0.1
    if kind == "string":
        texts = [f"v{rng.integers(0, 10**12)}" for _ in range(min(rows, 5000))] + ODD_TEXTS
        return pa.array(np.array(texts, object)[rng.integers(0, len(texts), rows)], mask=mask)
    if kind in ("float", "double"):
        values = rng.normal(size=rows) * 10.0 ** rng.integers(-8, 9, rows)
        near = rng.random(rows) < 0.4
        values[near] = np.round(values[near] * 1000) / 1000
        odd = rng.random(rows) < 0.1
        values[odd] = rng.choice(ODD_FLOATS, odd.sum())
        with np.errstate(over="ignore"):
            kept = values.astype(np.float32 if kind == "float" else np.float64)
        return pa.array(kept, mask=mask, from_pandas=False)
    if kind == "bool":
        return pa.array(rng.random(rows) < 0.5, mask=mask)
    if kind == "date":
        days = DAY + rng.integers(-200_000, 200_000, rows)
        return pa.array(days, pa.date32(), mask=mask)
    if kind == "timestamp":
        return pa.array(rng.integers(-(2**45), 2**45, rows), mask=mask).cast(pa.timestamp("ms"))
    bits = int(kind.removeprefix("int"))
    top = 2 ** (bits - 1)
    values = rng.integers(-top, top, rows) >> rng.integers(0, bits, rows)
    edge = rng.random(rows) < 0.05
    values[edge] = rng.choice([-top, top - 1, 0, -1], edge.sum())
    return pa.array(values.astype(kind), mask=mask)


def as_json(table: pa.Table) -> list[list[object]]:
    """Rows through JSON as the API server writes it."""
    columns = []
    for item in table.schema:
        values = table.column(item.name)
        if pa.types.is_timestamp(item.type):
            columns.append(values.cast(pa.int64()).to_pylist())
        elif pa.types.is_date(item.type):
            shown = [d and f"{d.year}-{d.month}-{d.day}" for d in values.to_pylist()]
            columns.append(shown)
        else:
            columns.append(values.to_pylist())
    rows: list[list[object]] = json.loads(json.dumps(list(zip(*columns, strict=True))))
    return rows


def specification() -> FeatureSpec:
    """The project's fields, and one of each type besides."""
    real = FeatureSpec.load(PROJECT / "pipelines" / "jd" / "feature_spec.yaml")
    content = {
        "version": 1,
        "label": "label",
        "time": "time",
        "test_days": 1,
        "valid_days": 1,
        "keys": ["time"],
        "categorical": {
            **{f.name: {"type": f.type, "decimals": f.decimals} for f in real.fields},
            **{f"fuzz_{k}": k for k in ("bool", "int16", "int32", "int64", "date", "timestamp")},
            "fuzz_float": "float",
            "fuzz_double": "double",
        },
    }
    return FeatureSpec.parse(content, source="bench/encoding_fuzz.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    spec = specification()
    rng = np.random.default_rng(options.seed)
    done = different = 0
    offline_s = online_s = 0.0
    while done < options.rows:
        rows = min(options.chunk, options.rows - done)
        table = pa.table({f.name: column(f.type, rows, rng) for f in spec.fields})
        file = io.BytesIO()
        pq.write_table(table, file)
        read, seen = pq.read_table(file), as_json(table)
        begun = time.process_time()
        offline = encode_table(spec, read)
        between = time.process_time()
        online = encode_rows(spec, table.column_names, seen)
        offline_s += between - begun
        online_s += time.process_time() - between
        wrong = offline != online
        different += int(wrong.sum())
        for row, at in np.argwhere(wrong)[:5]:
            print(spec.names[at], repr(table.column(int(at))[int(row)]), repr(seen[row][at]))
        done += rows
        print(f"{done} rows, {different} different ids", flush=True)
    ids = done * len(spec.fields)
    print(
        f"{done} rows x {len(spec.fields)} fields = {ids} ids: {different} different; "
        f"offline {done / offline_s:.0f} rows/s of CPU time, online {done / online_s:.0f} rows/s"
    )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
