"""tasks.ctr.preprocess as a process: feature files in, dataset out."""

import json
import shutil
import signal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nightshift import files
from nightshift.errors import EXIT_TERMINAL
from nightshift.features.encoding import encode_table
from nightshift.features.specification import FeatureSpec

SPLITS = ("train", "valid", "test")


def read(workshop, split):
    return pq.read_table(workshop.root / "dataset" / split / "part-0.parquet")


def card(workshop):
    return json.loads((workshop.root / "dataset" / "data_card.json").read_text())


def test_every_judged_row_lies_in_one_split_with_its_ids(dataset):
    spec = FeatureSpec.load(dataset.spec)
    source = pq.read_table(dataset.root / "features").combine_chunks()
    ids_of = dict(zip(source["request_id"].to_pylist(), encode_table(spec, source), strict=True))
    label_of = dict(
        zip(source["request_id"].to_pylist(), source["bought"].to_pylist(), strict=True)
    )
    seen = []
    for name in SPLITS:
        table = read(dataset, name)
        assert table.schema.names == ["request_id", "request_time", "label", *spec.names]
        assert table.schema.field("label").type == pa.int8()
        assert not any(table.schema.field(column).nullable for column in ("label", *spec.names))
        requests = table["request_id"].to_pylist()
        ids = np.stack([table[column].to_numpy() for column in spec.names], axis=1)
        np.testing.assert_array_equal(ids, np.stack([ids_of[r] for r in requests]))
        assert table["label"].to_pylist() == [label_of[r] for r in requests]
        seen += requests
    assert len(seen) == len(set(seen))
    # 14 days of 150 rows from 1 March; the window of 12 days up to the 14th holds the last 12,
    # of which labels of the last 3 have not settled.
    assert len(seen) == 9 * 150


def test_splits_follow_each_other_in_time(dataset):
    last = None
    for name in SPLITS:
        times = read(dataset, name)["request_time"]
        assert last is None or pc.min(times).as_py() > last
        last = pc.max(times).as_py()


def test_the_card_agrees_with_the_files(dataset):
    spec = FeatureSpec.load(dataset.spec)
    found = card(dataset)
    for name in SPLITS:
        table, split = read(dataset, name), found["splits"][name]
        assert split["rows"] == table.num_rows == sum(day["rows"] for day in split["days"])
        assert split["positives"] == pc.sum(table["label"]).as_py()
        assert split["sha256"] == files.sha256_file(dataset.root / "dataset" / split["file"])
    assert [d["day"] for d in found["splits"]["test"]["days"]] == ["2024-03-10", "2024-03-11"]
    assert found["rows"] == {
        "read": 2100,
        "lookback": 300,
        "after_ds": 0,
        "unsettled": 450,
        "unlabelled": 0,
    }
    assert found["schema_hash"] == spec.schema_hash
    train = read(dataset, "train")
    assert found["table_sizes"] == [
        1 + pc.count_distinct(train[name]).as_py() for name in spec.names
    ]
    nulls = found["features"]["product"]["null_share"]
    assert 0.05 < nulls < 0.15, "a tenth of the products was left NULL"
    # The newest rows: after the last training day, judged or not.
    assert found["features"]["user"]["recent"]["rows"] == 7 * 150


def test_a_second_run_gives_the_same_bytes_and_replaces_the_first(workshop):
    features = workshop.features()
    workshop.preprocess(features)
    first = files.sha256_tree(workshop.root / "dataset")
    (workshop.root / "dataset" / "left-over").touch()
    workshop.preprocess(features)
    assert files.sha256_tree(workshop.root / "dataset") == first


def test_how_the_rows_are_cut_into_files_does_not_matter(workshop):
    features = workshop.features()
    workshop.preprocess(features)
    one = read(workshop, "train")
    table = pq.read_table(features)
    shutil.rmtree(features)
    features.mkdir()
    pq.write_table(table, features / "part-0.parquet", row_group_size=37)
    workshop.preprocess(features)
    assert read(workshop, "train").equals(one)


def test_in_what_order_an_engine_writes_its_rows_does_not_matter(workshop):
    features = workshop.features()
    workshop.preprocess(features)
    first = files.sha256_tree(workshop.root / "dataset")
    whole = pq.read_table(features)
    shuffled = whole.take(np.random.default_rng(7).permutation(whole.num_rows))
    # Spark marks its times as UTC: the same moments.
    at = shuffled.schema.get_field_index("request_time")
    utc = shuffled["request_time"].cast(pa.timestamp("ms", tz="UTC"))
    shuffled = shuffled.set_column(at, "request_time", utc)
    for path in features.glob("*.parquet"):
        path.unlink()
    for number in range(5):
        part = shuffled.slice(number * 500, 500)
        pq.write_table(part, features / f"part-{number:05d}.snappy.parquet")
    workshop.preprocess(features)
    assert files.sha256_tree(workshop.root / "dataset") == first
    times = read(workshop, "train")["request_time"].to_pylist()
    assert times == sorted(times)


def test_the_command_line_overrules_the_specification(workshop):
    _, result = workshop.preprocess(
        workshop.features(), "--test-days", "1", "--valid-days", "1", "--label-settle-days", "0"
    )
    assert result["splits"]["test"]["rows"] == result["splits"]["valid"]["rows"] == 150
    assert result["splits"]["train"]["rows"] == 10 * 150


def test_a_label_of_null_is_left_out(workshop):
    features = workshop.features()
    path = features / "part-00000.parquet"
    table = pq.read_table(path)
    labels = pc.if_else(
        pa.array(np.arange(table.num_rows) % 10 == 0), pa.scalar(None, pa.int32()), table["bought"]
    )
    at = table.schema.get_field_index("bought")
    pq.write_table(table.set_column(at, "bought", labels), path)
    _, result = workshop.preprocess(features)
    judged = sum(split["rows"] for split in result["splits"].values())
    assert result["rows"]["unlabelled"] > 0
    assert judged + result["rows"]["unlabelled"] == 9 * 150


def rewrite(features, change):
    for path in features.glob("*.parquet"):
        pq.write_table(change(pq.read_table(path)), path)


def cast_count(table):
    at = table.schema.get_field_index("count")
    return table.set_column(at, "count", table["count"].cast(pa.int32()))


def odd_label(table):
    at = table.schema.get_field_index("bought")
    return table.set_column(at, "bought", pa.array([2] * table.num_rows, pa.int32()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop_columns(["user"]), ["part-0000", "column user"]),
        (lambda table: table.append_column("new", table["user"]), ["column new"]),
        (cast_count, ["column count is int32", "int64"]),
        (odd_label, ["label bought holds 2"]),
    ],
)
def test_wrong_features_end_the_task_for_good(workshop, change, words):
    features = workshop.features()
    rewrite(features, change)
    done, result = workshop.preprocess(features, check=False)
    assert done.returncode == EXIT_TERMINAL
    assert (result["status"], result["retryable"]) == ("error", False)
    for word in words:
        assert word in result["error"]
        assert word in done.stdout
    assert "Traceback" not in done.stderr
    assert not (workshop.root / "dataset").exists()


def test_a_file_of_other_columns_is_named_whatever_else_is_wrong(workshop):
    features = workshop.features()
    first, *_, last = sorted(features.glob("*.parquet"))
    pq.write_table(odd_label(pq.read_table(first)), first)
    pq.write_table(cast_count(pq.read_table(last)), last)
    _, result = workshop.preprocess(features, check=False)
    assert f"{last.name}: column count is int32" in result["error"]


def test_a_failure_leaves_the_dataset_before_it_alone(workshop):
    features = workshop.features()
    workshop.preprocess(features)
    before = files.sha256_tree(workshop.root / "dataset")
    (features / "part-00001.parquet").write_bytes(b"PAR1 no parquet")
    done, result = workshop.preprocess(features, check=False)
    assert done.returncode == EXIT_TERMINAL
    assert "part-00001.parquet: the parquet file has no whole footer" in result["error"]
    assert files.sha256_tree(workshop.root / "dataset") == before
    assert not list(workshop.root.glob(".tmp-*"))


def test_an_empty_folder_is_named(workshop):
    (workshop.root / "none").mkdir()
    done, result = workshop.preprocess(workshop.root / "none", check=False)
    assert done.returncode == EXIT_TERMINAL
    assert f"no parquet file in {workshop.root / 'none'}" in result["error"]


def test_a_wrong_command_line_is_no_reason_to_retry(workshop):
    done = workshop.run("preprocess", "--train-dais", "3", check=False)
    assert done.returncode == EXIT_TERMINAL
    assert "--features" in done.stderr


def test_sigterm_leaves_nothing_half_written(workshop):
    features = workshop.features()
    for path in list(features.glob("*.parquet")):
        for copy in range(40):
            shutil.copy(path, features / f"{path.stem}-{copy}.parquet")
    process = workshop.start_preprocessing(features)
    for line in process.stdout:
        if "rows read" in line:
            break
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=180)
    if process.returncode == 0:
        pytest.skip("it was done before the signal arrived")
    assert process.returncode == 143, said
    assert json.loads((workshop.root / "preprocess.json").read_text())["status"] == "stopped"
    assert {path.name for path in workshop.root.iterdir()} == {
        "features",
        "spec.yaml",
        "preprocess.json",
    }


def test_days_are_counted_with_their_labels_and_missing_values(dataset):
    source = pq.read_table(dataset.root / "features").combine_chunks()
    days = {day["day"]: day for day in card(dataset)["days"]}
    assert list(days) == [f"2024-03-{n:02d}" for n in range(3, 15)]
    assert all(day["rows"] == day["labelled"] == 150 for day in days.values())
    assert [day["settled"] for day in days.values()] == [True] * 9 + [False] * 3
    local = pc.add(source["request_time"], pa.scalar(8 * 3_600_000, pa.duration("ms")))
    for name, day in days.items():
        rows = source.filter(pc.equal(pc.strftime(local, format="%Y-%m-%d"), name))
        assert day["positives"] == pc.sum(rows["bought"]).as_py()
        assert day["nulls"].get("product", 0) == rows["product"].null_count


def test_the_card_tells_how_far_days_of_training_differ_from_the_others(dataset):
    # Five days to train, two to validate, two to test, and three that have not settled: stretches
    # of seven days do not fit. Of single days, the last two of the five have enough before them.
    assert card(dataset)["newer_days"] == 7
    for name, feature in card(dataset)["features"].items():
        (usual,) = feature["usual"]
        assert (usual["days"], usual["stretches"]) == (1, 2), name
        # The rows are drawn one by one: days differ by no more than chance explains. Only the
        # weekday is another on each of five days.
        assert (usual["psi"] > 2) if name == "weekday" else (usual["psi"] < 0.25), name


def test_a_missing_label_counts_as_declared(workshop):
    folder = workshop.features()
    expected = {}
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        bought = table["bought"]
        expected |= dict(zip(table["request_id"].to_pylist(), bought.to_pylist(), strict=True))
        clicks = pc.if_else(pc.equal(bought, 1), bought, pa.scalar(None, pa.int32()))
        at = table.column_names.index("bought")
        pq.write_table(table.set_column(at, "bought", clicks), path)
    _, result = workshop.preprocess(folder, check=False)
    assert "one class only" in result["error"]
    workshop.preprocess(folder, "--label-absent", "0")
    found = {
        row["request_id"]: row["label"]
        for name in SPLITS
        for row in read(workshop, name).to_pylist()
    }
    assert found == {name: expected[name] for name in found}
    assert len(found) == 9 * 150
    assert card(workshop)["rows"]["unlabelled"] == 0
    day = card(workshop)["days"][0]
    assert day["labelled"] == day["positives"] < day["rows"]
