"""What reading a request's rows costs: JSON as the predict server reads it, Arrow IPC, protobuf.

    .venv/bin/python bench/serve/bodies.py [1 100 1000]

Rows of JD's request table. Protobuf, the body of a gRPC call, holds them column by column, which
is its cheapest form in Python. Prints the processor time of each step in milliseconds, the best of
several rounds; needs no services.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "server")]

from predict_server.payload import parse_json  # noqa: E402
from predict_server.rows import RowReader  # noqa: E402

from bench.serve.timing import best_ms  # noqa: E402

SCHEMA = (
    ("reqId", "string"), ("eventTime", "timestamp"), ("main_id", "string"),
    ("pair_id", "string"), ("user_id", "string"), ("sku_id", "string"), ("time", "bigint"),
    ("split_id", "int"), ("time1", "string"),
)  # fmt: skip


def columns_message() -> Any:
    """A protobuf message class: a column has `texts` or `numbers`."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="rows.proto", package="rows", syntax="proto3")
    column = file.message_type.add(name="Column")
    for number, (name, kind) in enumerate(
        (("texts", field.TYPE_STRING), ("numbers", field.TYPE_SINT64)), start=1
    ):
        column.field.add(name=name, number=number, type=kind, label=field.LABEL_REPEATED)
    file.message_type.add(name="Rows").field.add(
        name="columns", number=1, type=field.TYPE_MESSAGE, type_name=".rows.Column",
        label=field.LABEL_REPEATED,
    )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("rows.Rows"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[1, 100, 1000])
    reader, message = RowReader(SCHEMA), columns_message()
    for count in parser.parse_args().rows:
        rows = [
            [
                f"2000{n}_5505_2016-03-15 20:43:04", 1458045784000 + n, f"6812{n}", f"2000{n}_5505",
                f"2000{n}", "5505", 1458045784000, 1, "2016-03-15 20:43:04",
            ]
            for n in range(count)
        ]  # fmt: skip
        body = msgspec.json.encode(rows)
        columns = dict(zip([name for name, _ in SCHEMA], zip(*rows, strict=True), strict=True))
        table = pa.table({name: list(values) for name, values in columns.items()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        arrow = sink.getvalue()
        parsed = parse_json(body)

        def of_arrow(arrow: pa.Buffer = arrow) -> list[tuple[object, ...]]:
            read = pa.ipc.open_stream(arrow).read_all()
            return list(zip(*(column.to_pylist() for column in read.columns), strict=True))

        made = message()
        for values in columns.values():
            kept = made.columns.add()
            (kept.texts if isinstance(values[0], str) else kept.numbers).extend(values)
        packed = made.SerializeToString()

        def of_protobuf(packed: bytes = packed) -> list[tuple[object, ...]]:
            read = message.FromString(packed).columns
            return list(zip(*(column.texts or column.numbers for column in read), strict=True))

        assert of_protobuf() == of_arrow() == [tuple(row) for row in rows]

        line = {
            "rows": count,
            "json_bytes": len(body),
            "json_parse_ms": best_ms(partial(parse_json, body)),
            "check_ms": best_ms(partial(reader.read, parsed, max_rows=10_000)),
            "arrow_bytes": arrow.size,
            "arrow_to_rows_ms": best_ms(of_arrow),
            "protobuf_bytes": len(packed),
            "protobuf_to_rows_ms": best_ms(of_protobuf),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
