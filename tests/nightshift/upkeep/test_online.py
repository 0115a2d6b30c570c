"""A shortened record of loads says the same of every moment that the ledger looks at."""

import datetime as dt
import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.live.skew.history import Loaded
from nightshift.openmldb.loads import HISTORY
from nightshift.upkeep import online

START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
DAYS = [f"{(START + dt.timedelta(days=n)).date()}" for n in range(20)]
pairs = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(DAYS)), max_size=6)
nights = st.lists(
    st.tuples(pairs, pairs, st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("12")))),
    max_size=12,
)


@given(nights, st.integers(0, 12))
@settings(deadline=None, max_examples=60)
def test_what_is_left_answers_as_the_whole_did(tmp_path_factory, found, horizon):
    runs = tmp_path_factory.mktemp("runs")
    before = START + dt.timedelta(days=horizon)
    lines = [
        {
            "at_ms": ms(n) + 60_000,
            "loaded": loaded,
            "changed": changed,
            "snapshots": [[table, mark, f"{table}.parquet"] for table, mark in snapshots],
        }
        for n, (loaded, changed, snapshots) in enumerate(found)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (runs / HISTORY).write_text(f'{text[:30]}\n{text}{{"at_ms": 5')  # writers were killed
    whole = Loaded.read(runs)
    pipeline = type("P", (), {"runs": runs})
    online.prune(pipeline, before=before)
    size = (runs / HISTORY).stat().st_size
    left = Loaded.read(runs)
    first = f"{before.date()}"
    assert left.first == {key: at for key, at in whole.first.items() if f"{key[1]}" >= first}
    since = {
        key: [at for at in moments if at >= ms(horizon)] for key, moments in whole.changed.items()
    }
    assert left.changed == {key: moments for key, moments in since.items() if moments}
    for n in range(horizon, 14):
        for table in "xy":
            assert left.snapshot_at(table, ms(n)) == whole.snapshot_at(table, ms(n))
    assert online.prune(pipeline, before=before) == 0
    assert (runs / HISTORY).stat().st_size == size
    assert replace(left) == Loaded.read(runs)


def ms(day):
    return int((START + dt.timedelta(days=day)).timestamp() * 1000)


def test_without_a_record_there_is_nothing_to_do(tmp_path):
    assert online.prune(type("P", (), {"runs": tmp_path}), before=START) == 0
