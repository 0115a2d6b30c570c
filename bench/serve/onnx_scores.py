"""DeepFM's rows scored by NumPy, as Triton's process does, and by ONNX Runtime: time and bits.

    uv venv peer --python 3.10
    uv pip install --python peer/bin/python 'numpy<2' onnx onnxruntime xxhash pyyaml pyarrow
    PYTHONPATH=src:.:packages/openmldb-files/src peer/bin/python bench/serve/onnx_scores.py

A DeepFM of JD's sizes (32 fields, embeddings of 16, layers of 256 and 128) with made-up parameters,
from table rows to probabilities, in one thread; ONNX Runtime also in the blocks of rows that NumPy
takes. Prints by number of rows: the processor
milliseconds of a call, the largest difference of a probability, and how many rows have other bits
in the batch than alone. Needs no services.
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from typing import Any

# NumPy's BLAS reads it when it is loaded.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt

from bench.serve.timing import best_ms

FIELDS, DIMENSIONS, TABLE = 32, 16, 50_000
HIDDEN = (256, 128)

Floats = npt.NDArray[np.float32]


def parameters(seed: int = 4) -> dict[str, Floats]:
    """Parameters under the names of a saved model."""
    random = np.random.default_rng(seed)

    def made(*shape: int, scale: float = 0.1) -> Floats:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    found = {"embedding.weight": made(TABLE, DIMENSIONS), "linear.weight": made(TABLE, 1)}
    width = FIELDS * DIMENSIONS
    for at, size in enumerate(HIDDEN):
        found |= {f"dnn.{at}.weight": made(size, width), f"dnn.{at}.bias": made(size)}
        width = size
    return found | {"out.weight": made(1, width), "out.bias": made(1)}


def graph(held: dict[str, Floats]) -> bytes:
    """The same network as an ONNX model: `rows` int32 [n, fields] to `score` float32 [n]."""
    from onnx import (  # type: ignore[import-not-found]
        TensorProto,
        helper,
        numpy_helper,
    )

    nodes: list[Any] = []
    constants = {
        **held,
        "axis1": np.array([1], np.int64),
        "axis2": np.array([1, 2], np.int64),
        "flat": np.array([-1, FIELDS * DIMENSIONS], np.int64),
        "one": np.array([-1], np.int64),
        "half": np.array([0.5], np.float32),
    }

    def add(kind: str, inputs: list[str], out: str, **options: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [out], **options))
        return out

    each = add("Gather", ["embedding.weight", "rows"], "each")
    own = add("Gather", ["linear.weight", "rows"], "own")
    first = add("ReduceSum", [own, "axis2"], "first", keepdims=0)
    total = add("ReduceSum", [each, "axis1"], "total", keepdims=0)
    crossed = add("ReduceSum", [add("Mul", [total, total], "tt"), "axis1"], "crossed", keepdims=0)
    squares = add("ReduceSum", [add("Mul", [each, each], "ee"), "axis2"], "squares", keepdims=0)
    pairs = add("Mul", [add("Sub", [crossed, squares], "less"), "half"], "pairs")
    x = add("Reshape", [each, "flat"], "wide")
    for at in range(len(HIDDEN)):
        layer = [x, f"dnn.{at}.weight", f"dnn.{at}.bias"]
        x = add("Relu", [add("Gemm", layer, f"linear{at}", transB=1)], f"layer{at}")
    deep = add(
        "Reshape", [add("Gemm", [x, "out.weight", "out.bias"], "o", transB=1), "one"], "deep"
    )
    logits = add("Add", [add("Add", [first, pairs], "fm"), deep], "logits")
    add("Sigmoid", [logits], "score")
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "deepfm",
            [helper.make_tensor_value_info("rows", TensorProto.INT32, ["n", FIELDS])],
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return bytes(model.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=int, nargs="*", default=[1, 8, 100, 1000])
    options = parser.parse_args()
    import onnxruntime  # type: ignore[import-not-found]

    from tasks.ctr.train import arithmetic
    from tasks.ctr.train.inputs import Tensors

    held = parameters()
    network = arithmetic.of({"architecture": {"family": "deepfm"}}, held, [1] * FIELDS)
    assert network is not None
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph(held), settings, ["CPUExecutionProvider"])

    def by_numpy(rows: Any) -> Floats:
        return network.score(Tensors(rows, None, None))

    def by_onnx(rows: Any) -> Floats:
        found: Floats = session.run(["score"], {"rows": rows})[0]
        return found

    def in_blocks(rows: Any) -> Floats:
        size = arithmetic.BLOCKS[0]
        whole = np.zeros((-(-len(rows) // size) * size, FIELDS), np.int32)
        whole[: len(rows)] = rows
        blocks = [by_onnx(whole[at : at + size]) for at in range(0, len(whole), size)]
        return np.concatenate(blocks)[: len(rows)]

    ways = {"numpy": by_numpy, "onnx": by_onnx, "onnx_in_blocks": in_blocks}
    random = np.random.default_rng(7)
    for count in options.rows:
        rows = random.integers(0, TABLE, (count, FIELDS)).astype(np.int32)
        ours, theirs = by_numpy(rows), by_onnx(rows)
        line: dict[str, Any] = {"rows": count, "difference": float(np.abs(ours - theirs).max())}
        for name, score in ways.items():
            alone = np.concatenate([score(rows[n : n + 1]) for n in range(count)])
            line[f"{name}_ms"] = best_ms(partial(score, rows))
            line[f"{name}_rows_of_other_bits"] = int((alone != score(rows)).sum())
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
