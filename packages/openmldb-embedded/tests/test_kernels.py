"""Every vectorised aggregate equals its fold, whatever way the frames' shape makes it take."""

from __future__ import annotations

import numpy as np
import pytest
from openmldb_embedded import kernels
from openmldb_embedded.aggregates import NOT_CONSTANT, resolve_aggregate
from openmldb_embedded.columns import column_from_list
from openmldb_embedded.kernels import aggregate, fold_frames
from openmldb_embedded.plan import WindowFrame
from openmldb_embedded.windows import layout
from openmldb_sql.types import SqlType

ROWS = 400

KINDS = {
    "few strings": (SqlType.STRING, lambda r: [f"v{n}" for n in r.integers(0, 5, ROWS)]),
    "many strings": (SqlType.STRING, lambda r: [f"v{n}" for n in r.zipf(1.3, ROWS) % 90]),
    "integers": (SqlType.INT32, lambda r: (r.integers(-60, 60, ROWS) ** 3).tolist()),
    "doubles": (SqlType.DOUBLE, lambda r: r.integers(-9, 9, ROWS).astype(float).tolist()),
    "booleans": (SqlType.BOOL, lambda r: (r.random(ROWS) < 0.4).tolist()),
}

NAMES = [
    ("count",),
    ("sum",),
    ("avg",),
    ("min",),
    ("max",),
    ("distinct_count",),
    ("top1_ratio",),
    ("topn_frequency", 3),
    ("lag", 2),
    ("first_value",),
    ("last_value",),
]

FRAMES = [
    WindowFrame("rows", 5, 0),
    WindowFrame("rows", None, 0),
    WindowFrame("rows", 3, 2),
    WindowFrame("range", 700, 0),
    WindowFrame("range", 700, 100, 4),
    WindowFrame("rows", None, 0, exclude_current_row=True),
    WindowFrame("range", None, 0, exclude_current_time=True),
    WindowFrame("range", 2000, 0, 50, instance_not_in_window=True),
    WindowFrame("rows", None, 0, instance_not_in_window=True),
]


def frames_of(frame, random):
    def source(n):
        keys = column_from_list(SqlType.STRING, random.choice(["a", "b", None], n).tolist())
        times = column_from_list(SqlType.TIMESTAMP, np.sort(random.integers(0, 5000, n)).tolist())
        return keys, times

    union, main = source(ROWS // 4), source(ROWS - ROWS // 4)
    found = layout([[union[0]], [main[0]]], [union[1], main[1]], frame.instance_not_in_window)
    return found.frames(frame)


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("frame", FRAMES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_kernels_equal_folds(monkeypatch, kind, frame, long):
    monkeypatch.setattr(kernels, "CHUNK", 1_000)  # several chunks
    if long:  # take the ways of long frames whatever their length
        monkeypatch.setattr(kernels, "LONG", -1)
        monkeypatch.setattr(kernels, "LONG_SUM", 0)
    random = np.random.default_rng(7)
    frames = frames_of(frame, random)
    type_, make = KINDS[kind]
    items = make(random)
    for i in random.integers(0, ROWS, 40):
        items[i] = None
    values = column_from_list(type_, items)
    for name, *parameters in NAMES:
        constants = [NOT_CONSTANT, *parameters]
        try:
            impl = resolve_aggregate(name, [type_, *[SqlType.INT32] * len(parameters)], constants)
        except Exception as error:
            assert "no aggregate" in str(error)
            continue
        found = aggregate(impl, [values], frames).to_list()
        assert found == fold_frames(impl, [items], frames).to_list(), name


@pytest.mark.parametrize("kind", [SqlType.DOUBLE, SqlType.FLOAT, SqlType.INT64])
@pytest.mark.parametrize("name", ["sum", "avg"])
def test_a_key_has_its_sums_whatever_other_keys_hold(monkeypatch, name, kind):
    monkeypatch.setattr(kernels, "LONG_SUM", 30)
    monkeypatch.setattr(kernels, "MOST_STEPS", 60)
    random = np.random.default_rng(3)
    impl = resolve_aggregate(name, [kind], [NOT_CONSTANT])
    assert impl is not None
    big = 10.0 ** random.uniform(-5, 11, 300)
    keys = np.where(np.arange(300) % 3 == 0, "mine", "other")
    times = np.arange(300)

    def sums(places):
        source = (
            column_from_list(SqlType.STRING, keys[places].tolist()),
            column_from_list(SqlType.TIMESTAMP, times[places].tolist()),
        )
        frames = layout([[source[0]]], [source[1]], False).frames(WindowFrame("rows", 80, 0))
        items = big[places].tolist() if kind.is_floating else (big[places] * 1e7).astype(int)
        found = aggregate(impl, [column_from_list(kind, list(items))], frames).values
        return found[keys[places] == "mine"].tobytes()

    assert sums(np.arange(300)) == sums(np.flatnonzero(keys == "mine"))


def test_a_key_spells_its_own_zero():
    impl = resolve_aggregate("topn_frequency", [SqlType.DOUBLE, SqlType.INT32], [NOT_CONSTANT, 1])
    assert impl is not None
    keys = column_from_list(SqlType.STRING, ["a", "b", "c"])
    times = column_from_list(SqlType.TIMESTAMP, [1, 2, 3])
    frames = layout([[keys]], [times], False).frames(WindowFrame("rows", 1, 0))
    zeros = column_from_list(SqlType.DOUBLE, [0.0, -0.0, 0.0])
    assert aggregate(impl, [zeros], frames).to_list() == ["0.000000", "-0.000000", "0.000000"]
