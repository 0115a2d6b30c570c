"""Nights in a house with real servers: what goes live, what is rejected, what is cleaned up."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from cli import score
from nightshift import commands, files, layout
from nightshift.errors import ConfigurationError, ReleaseRejected
from nightshift.features.encoding import encode_column
from nightshift.features.specification import FeatureSpec
from nightshift.layout import RunFolder
from nightshift.lists import job, writing
from nightshift.live.log import RequestLog
from nightshift.recommend.recommender import Recommender
from nightshift.recommend.requests import RequestRows
from nightshift.registry import history, leases, pointer
from nightshift.registry import manifest as manifests
from nightshift.registry.names import deployment_name
from nightshift.release import rollback, steps
from nightshift.serving import pair
from nightshift.triton import TritonControl
from testing.house import OWN
from testing.serving import wait_until

from .conftest import FIRST, SECOND, Nights, another, finish, live, predict


def rejected(nights: Nights, plan, match: str, gate, release=None):
    """`gate` rejects; the first night goes on serving, and the list tells why."""
    before = predict(nights)
    with pytest.raises(ReleaseRejected, match=match) as caught:
        gate()
    finish(nights, plan, release)
    assert live(nights) == f"{FIRST}.001"
    after = predict(nights)
    assert after["release"] == f"{FIRST}.001"
    assert after["predictions"] == before["predictions"]
    rows = history.rows(nights.pipeline.releases)
    row = next(
        r for r in reversed(rows) if r.state == "rejected" and r.release_id == (release or "")
    )
    first = json.loads(
        (Path(plan["run_dir"]) / "reports").joinpath(f"{row.why.split(':')[0]}.json").read_text()
    )["failures"][0]
    assert first in row.why
    assert first in str(caught.value)
    with TritonControl.of(nights.settings) as control:
        ready = [s.version for s in control.index() if s.model == nights.pipeline.model and s.ready]
    assert ready == [int(f"{FIRST.replace('-', '')}001")]
    with nights.house.client() as client:
        assert not [d for d in client.databases() if d.startswith(plan["workspace"])]
    return row


def test_the_first_night_serves(nights):
    log, asked = RequestLog.of(nights.pipeline), steps.PROBE_ROWS
    wait_until(lambda: log.read().num_rows >= asked, "the switch's requests are logged")
    # They are nobody's: neither the ledger nor the judge of a release takes them.
    assert log.read()["role"].to_pylist()[:asked] == ["probe"] * asked
    answer = predict(nights)
    assert answer["release"] == f"{FIRST}.001"
    assert answer["model_version"] == 20261108001
    (row,) = [r for r in history.rows(nights.pipeline.releases) if r.state == "live"]
    assert row.auc is not None
    assert row.auc > 0.55
    folder = nights.pipeline.store.folder(row.release_id)
    manifest = folder.manifest()
    assert manifest.model.sha256 == files.sha256_tree(folder.model)
    assert manifest.champion is None
    assert manifest.sizes["feature_rows"] > 4000
    assert {"preprocess", "train"} <= set(manifest.timings_s)
    report = json.loads((folder.reports / "consistency.json").read_text())
    assert report["compared"] + sum(report["excluded"].values()) == 200
    assert report["mismatch_count"] == 0


def test_its_retrieval_is_part_of_the_release(nights):
    folder = nights.pipeline.store.folder(f"{FIRST}.001")
    stamp = folder.manifest().recommend
    assert stamp is not None
    assert stamp.sha256 == files.sha256_tree(folder.recommend)
    report = json.loads((folder.reports / "recommend.json").read_text())
    assert report["held_out"]["users"] > 20
    assert report["status"] != "fail"
    made = Recommender.load(folder.recommend)
    assert made.card["retrievers"]["sql_list"]["for_all"] > 0  # the query's, of the night's rows
    user = made.users.values[0].as_py()
    answer = httpx.post(
        f"{nights.settings.predict_url}/recommend",
        json={"user": user, "n": 5, "fields": ["br"]},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    value = answer.json()
    assert value["release"] == f"{FIRST}.001"
    assert len(value["recommendations"]) == 5
    scores = [one["score"] for one in value["recommendations"]]
    assert scores == sorted(scores, reverse=True)


def test_a_release_whose_retrieval_was_changed_cannot_be_restored(nights):
    folder = nights.pipeline.store.folder(f"{FIRST}.001")
    card = folder.recommend / "recommend.json"
    original = card.read_bytes()
    card.write_bytes(original + b" ")
    try:
        assert any("recommend was changed" in why for why in rollback.obstacles(folder, None))
    finally:
        card.write_bytes(original)
    assert rollback.obstacles(folder, None) == []


def test_the_list_is_every_pair_scored_as_a_request_alone(nights, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "PART_ROWS", 300)
    release = f"{FIRST}.001"
    made = Recommender.load(nights.pipeline.store.folder(release).recommend)
    users, items = tmp_path / "users.csv", tmp_path / "items.csv"
    some = made.users.values[:20].to_pylist()
    users.write_text("\n".join(["user_id", *some]))
    items.write_text("\n".join(["sku_id", *made.ids.values[:60].to_pylist()]))
    asked = job.Request(tmp_path / "lists", None, str(users), str(items))
    # Killed after two files: nothing is there yet, and the second call goes on.
    told = []

    def die(text):
        told.append(text)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(nights.pipeline, asked, tell=die)
    assert [p.name for p in (tmp_path / "lists").iterdir() if p.name[0] != "."] == []
    value = job.run(nights.pipeline, asked)
    assert (value["rows"], value["files_kept"], value["scored_now"]) == (1200, 2, 600)
    folder = tmp_path / "lists" / f"ds={FIRST}"
    assert len(value["files"]) == len(list(folder.glob("part-*.parquet"))) == 4
    table = pq.read_table(folder)
    assert set(zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True)) == {
        (user, item) for user in some for item in made.ids.values[:60].to_pylist()
    }
    assert set(table["release"].to_pylist()) == {release}
    assert job.run(nights.pipeline, asked)["written"] is False
    with pytest.raises(ConfigurationError, match="--replace"):
        job.run(nights.pipeline, replace(asked, top=3))
    best = job.run(nights.pipeline, replace(asked, top=3, format="csv", replace=True))
    assert best["rows"] == 60
    assert leases.active(nights.pipeline.store) == []
    # Bit for bit what the predict server says of the same pair alone, as of the same moment.
    at = nights.pipeline.zone.end_ms(layout.parse_date(FIRST)) - 1
    context = {"eventTime": at}
    schema = httpx.get(f"{nights.settings.predict_url}/schema", timeout=30).json()["request"]
    rows = RequestRows(made, [(one["name"], one["type"]) for one in schema])
    for at_row in range(0, len(table), 97):
        (listed,) = table.slice(at_row, 1).to_pylist()
        (one,) = rows.make(listed["user"], [made.ids.find(listed["item"])], context)
        answer = httpx.post(f"{nights.settings.predict_url}/predict", json=one, timeout=30).json()
        assert np.float32(answer["predictions"][0]["score"]) == np.float32(listed["score"])


def test_a_file_of_requests_is_scored_row_by_row_after_a_kill_too(
    nights, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(job, "PART_ROWS", 100)
    (source,) = (nights.pipeline.data / "flattenRequest" / f"ds={FIRST}").glob("*.parquet")
    with nights.house.client() as client:
        now = pointer.read_live(nights.pipeline.releases)
        schema = client.deployment(now.database, now.deployment).input_schema
    table = pq.read_table(source, columns=[name for name, _ in schema], partitioning=None)
    requests = tmp_path / "requests.parquet"
    pq.write_table(table, requests)
    given = argparse.Namespace(
        ds=None, users=None, items=None, requests=str(requests), top=None, format=None,
        replace=False, out=tmp_path / "lists",
    )  # fmt: skip
    whole = writing.write

    def die(part, path):
        if path.name == "part-00002.parquet":
            raise KeyboardInterrupt
        whole(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write", die)
        with pytest.raises(KeyboardInterrupt):
            score.run(nights.pipeline, given)
    assert not (tmp_path / "lists" / f"ds={FIRST}").exists()
    capsys.readouterr()
    assert score.run(nights.pipeline, given) == 0
    told = capsys.readouterr().out
    assert "goes on after 2 finished files" in told
    assert f"{len(table)} rows in {-(-len(table) // 100)} files" in told
    assert f"({len(table) - 200} pairs scored" in told
    listed = pq.read_table(tmp_path / "lists" / f"ds={FIRST}")
    assert listed.column_names == ["request", "score", "release"]
    assert listed["request"].to_pylist() == table["reqId"].to_pylist()
    # As of each row's own time, with the bits of the row asked alone.
    names = [name for name, _ in schema]
    rows = pair.plain_rows(table)
    for n in range(0, len(rows), 37):
        body = dict(zip(names, rows[n], strict=True))
        answer = httpx.post(f"{nights.settings.predict_url}/predict", json=body, timeout=30).json()
        assert answer["predictions"][0]["score"] == listed["score"][n].as_py()
    assert leases.active(nights.pipeline.store) == []


def test_drifted_data_is_rejected(nights):
    plan = another(nights, "drifted", "features")
    run = RunFolder(Path(plan["run_dir"]))
    for path in run.features.glob("*.parquet"):
        table = pq.read_table(path)
        at = table.column_names.index("user_age")
        # The source of the newest days writes ages as numbers now.
        spoilt = pc.if_else(
            pc.greater_equal(table["request_time"], pa.scalar(1793030400000, pa.timestamp("ms"))),
            pa.scalar("42"),
            table["user_age"],
        )
        pq.write_table(table.set_column(at, "user_age", spoilt), path)
    nights.house.preprocess(plan)
    rejected(
        nights, plan, "user_age has drifted", lambda: steps.gate(nights.house.of(plan), "data")
    )


def test_worse_model_is_rejected(nights):
    plan = another(nights, "worse", "features", "dataset")
    # Neither from the baseline's weights nor with trees: nearly what chance began with.
    weak = {"threads": 1, "learning_rate": 1e-6, "seed": 3, "linear_start": "zero", "trees": 0}
    worse = replace(OWN, epochs=1, hyperparameters=weak)
    arguments = commands.train_arguments(nights.house.of(plan), worse)
    nights.house.task(plan, "train", arguments)
    steps.gate(nights.house.of(plan), "data")
    release = nights.house.candidate(plan)["release_id"]
    row = rejected(
        nights,
        plan,
        r"quality: AUC",
        lambda: steps.gate(nights.house.of(plan), "quality", release),
        release,
    )
    folder = nights.pipeline.store.folder(release)
    assert json.loads((folder.reports / "quality.json").read_text())["champion"]["auc"] > 0.55
    assert row.auc is not None


def test_broken_model_file_is_rejected(nights):
    plan = another(nights, "broken model")
    run = RunFolder(Path(plan["run_dir"]))
    bias = run.model / "model" / "module.out.bias" / "out"
    bias.write_bytes(b"\0\0\0\x40")
    release = steps.make_candidate(nights.house.of(plan))["release_id"]
    rejected(
        nights,
        plan,
        "golden example",
        lambda: steps.gate(nights.house.of(plan), "rehearsal", release),
        release,
    )


def rewrite(nights: Nights, release: str, change: Callable[[str], str]) -> None:
    """Give a candidate another query, deployed under a name of its own."""
    folder = nights.pipeline.store.folder(release)
    made = folder.manifest()
    sql = change(folder.sql.read_text())
    assert deployment_name(nights.pipeline.owner, sql) != made.sql.deployment
    folder.sql.write_text(sql)
    made = replace(
        made,
        features=replace(
            made.features,
            sql=replace(made.sql, deployment=deployment_name(nights.pipeline.owner, sql)),
        ),
    )
    folder.manifest_path.unlink()
    manifests.write_once(folder.manifest_path, made)


def test_broken_sql_is_rejected(nights):
    plan = another(nights, "broken sql")
    release = steps.make_candidate(nights.house.of(plan))["release_id"]
    rewrite(nights, release, lambda sql: sql.replace("user_lv_cd", "user_level_of_old"))
    rejected(
        nights,
        plan,
        "user_level_of_old",
        lambda: steps.gate(nights.house.of(plan), "rehearsal", release),
        release,
    )


def test_skew_is_rejected_and_named_with_both_values(nights):
    """Two skews planted at once: an encoder that differs, and data that the other side sees."""
    plan = another(nights, "skewed")
    run = RunFolder(Path(plan["run_dir"]))
    path = run.dataset / "test" / "part-0.parquet"
    test = pq.read_table(path)
    at = test.column_names.index("product_bad_comment_rate_max_64d")
    test = test.set_column(at, test.field(at), pc.add(test.column(at), 1))
    # The offline side has read other ages, as a stale snapshot would give.
    spec = FeatureSpec.load(nights.pipeline.features.spec_file)
    (field,) = [f for f in spec.fields if f.name == "user_age"]
    ages = {}
    for part in run.features.glob("*.parquet"):
        table = pq.read_table(part)
        at = table.column_names.index("user_age")
        stale = pc.binary_join_element_wise(table.column(at), "stale", "-")
        pq.write_table(table.set_column(at, "user_age", stale), part)
        ages.update(zip(table["request_id"].to_pylist(), stale.to_pylist(), strict=True))
    at = test.column_names.index("user_age")
    stale = pa.array([ages[name] for name in test["request_id"].to_pylist()], pa.string())
    test = test.set_column(at, test.field(at), pa.array(encode_column(stale, field)))
    pq.write_table(test, path)
    release = steps.make_candidate(nights.house.of(plan))["release_id"]
    steps.gate(nights.house.of(plan), "rehearsal", release)
    rejected(
        nights,
        plan,
        "differ, in product_bad_comment_rate_max_64d, user_age",
        lambda: steps.gate(nights.house.of(plan), "consistency", release),
        release,
    )
    report = json.loads((run.reports / "consistency.json").read_text())
    one, other = (
        next(m for m in report["mismatches"] if m["feature"] == name)
        for name in ("product_bad_comment_rate_max_64d", "user_age")
    )
    assert one["offline"] == pytest.approx(one["online"])
    assert one["offline_id"] != one["online_id"]
    assert "encoders differ" in one["cause"]
    assert other["offline"] == f"{other['online']}-stale"
    assert "values differ" in other["cause"]
    assert report["score_mismatch_count"] > 0


def restyle(sql: str) -> str:
    """The feature query in another style: the same features."""
    for old, new in {
        "OVER last_10_requests": "over (partition by user_id order by eventTime rows between "
        "10 preceding and current row)",
        "OVER last_10_hours": "OVER (UNION (SELECT `ingestionTime`, `pair_id`, `time`, `model_id`, "
        "`type`, `cate`, `br`, '; PARTITION BY x' AS reqId FROM `bo_action`) PARTITION BY "
        "`pair_id` ORDER BY `ingestionTime` ROWS_RANGE BETWEEN 10h PRECEDING AND 0s PRECEDING "
        "MAXSIZE 100 INSTANCE_NOT_IN_WINDOW)",
        "LAST JOIN `bo_user` AS `user` ON": "LAST JOIN bo_user user ORDER BY user.ingestionTime ON",
        "LAST JOIN `bo_product` AS `product` ON": "LAST JOIN (SELECT * FROM bo_product) AS product "
        "/* LAST JOIN `bo_user` ON a = b */ ON flattenRequest.sku_id = product.sku_id AND",
        "ON request.request_id = comment.comment_request_id": "ON request.request_id = "
        "comment.comment_request_id AND comment.comment_request_id = request.request_id_original",
    }.items():
        assert old in sql
        sql = sql.replace(old, new)
    return sql


def test_a_query_in_another_style_is_consistent_and_a_skew_in_it_is_found(nights):
    plan = another(nights, "another style")
    run = RunFolder(Path(plan["run_dir"]))
    release = steps.make_candidate(nights.house.of(plan))["release_id"]
    rewrite(nights, release, restyle)
    steps.gate(nights.house.of(plan), "rehearsal", release)
    report = steps.gate(nights.house.of(plan), "consistency", release)
    assert report["mismatch_count"] == 0
    assert report["compared"] > 150
    # The offline side has seen other actions of the pair than the store now holds.
    (field,) = [
        f for f in FeatureSpec.load(nights.pipeline.features.spec_file).fields
        if f.name == "pair_brand_top3_10h"
    ]  # fmt: skip
    path = run.dataset / "test" / "part-0.parquet"
    test = pq.read_table(path)
    at = test.column_names.index(field.name)
    stale = pa.array(["stale"] * len(test), pa.string())
    test = test.set_column(at, test.field(at), pa.array(encode_column(stale, field)))
    pq.write_table(test, path)
    rejected(
        nights,
        plan,
        "differ, in pair_brand_top3_10h",
        lambda: steps.gate(nights.house.of(plan), "consistency", release),
        release,
    )
    skewed = json.loads((run.reports / "consistency.json").read_text())
    assert skewed["compared"] == report["compared"]
    assert skewed["mismatch_count"] == report["compared"]


def test_a_date_that_is_not_newer_is_kept_and_not_promoted(nights):
    plan = another(nights, "same date", ds=FIRST)
    release = nights.house.candidate(plan)["release_id"]
    steps.gate(nights.house.of(plan), "data")
    nights.house.gates(plan, release)
    report = steps.switch_over(nights.house.of(plan), release)
    assert report["switched"] is False
    assert "not newer" in report["why"]
    assert live(nights) == f"{FIRST}.001"
    finish(nights, plan, release)
    (row,) = [r for r in history.rows(nights.pipeline.releases) if r.release_id == release]
    assert row.state == "kept"


def test_what_a_dead_run_left_is_cleaned_by_the_next(nights):
    plan = another(nights, "dies")
    release = steps.make_candidate(nights.house.of(plan))["release_id"]
    with nights.house.client() as client:
        client.execute("INFORMATION_SCHEMA", f"CREATE DATABASE {plan['workspace']}", mode="onsync")
    steps.gate(nights.house.of(plan), "rehearsal", release)
    version = int(release.replace("-", "").replace(".", ""))
    store = nights.pipeline.store
    token = layout.run_token("dies")
    # While its lease lasts nothing is taken.
    other = nights.house.plan(FIRST, "other")
    steps.begin(nights.house.of(other))
    with TritonControl.of(nights.settings) as control:
        assert control.ready(nights.pipeline.model, version)
        leases.renew(store, run_token=token, run_id="dies", ds=SECOND, ttl_s=-1)
        report = steps.begin(nights.house.of(other))
        assert not control.ready(nights.pipeline.model, version)
    assert report["candidates_rejected"] == [release]
    assert report["versions_unpinned"] == [version]
    assert report["databases_dropped"] == [plan["workspace"]]
    assert version in report["retention"]["removed_versions"]
    assert predict(nights)["release"] == f"{FIRST}.001"
    finish(nights, other, None)
