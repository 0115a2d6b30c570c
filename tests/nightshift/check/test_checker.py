"""`./nightshift check`: each planted slip is found and named with its file and key."""

import dataclasses
import os
import re
import shutil
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.check import check_pipeline
from nightshift.data.declared import declared_tables
from nightshift.pipeline import Pipeline, unread
from tests.nightshift.check.conftest import (
    CREATE,
    GATES,
    HYPER,
    PIPELINE,
    QUERY,
    SPEC,
    TABLES,
    plant,
)


def errors(settings):
    return [p for p in check_pipeline(settings, "shop") if p.level == "error"]


def test_the_pipeline_as_it_is_has_no_error(settings):
    assert errors(settings) == []


RECOMMEND = "gates_run: [recommend]\nrecommend: {user: user_idd, item: sku_id}"

SLIPS = [
    # file, what is there, what is written instead, the file that is named, a word of key or message
    (PIPELINE, r"^train_days:", "train_dais:", PIPELINE, "train_dais"),
    (PIPELINE, r"^family: ctr", "family: ctl", PIPELINE, "family"),
    (PIPELINE, r"^train_days: 30", "train_days: 0", PIPELINE, "train_days"),
    (PIPELINE, r"^keep_releases: 3", "keep_releases: some", PIPELINE, "keep_releases"),
    (PIPELINE, r"0 2 \* \* \*", "0 25 * * *", PIPELINE, "schedule"),
    (PIPELINE, r"rehearsal,", "rehersal,", PIPELINE, "gates_run"),
    (PIPELINE, r"sql: features.sql", "sql: feature.sql", "feature.sql", "cannot be read"),
    (PIPELINE, r"^version: 1", "version: [", PIPELINE, ""),
    (PIPELINE, r"^gates_run: .*", RECOMMEND, PIPELINE, "user_idd"),
    (PIPELINE, r"^train_days: 30", "recommend: {user: user_id}", PIPELINE, "recommend.item"),
    (PIPELINE, r"^live:", "live:\n  canary: {column: usr_id}", PIPELINE, "usr_id"),
    (TABLES, r"^label: action", "label: actions", TABLES, "actions"),
    (TABLES, r"table: flattenRequest", "table: flatenRequest", TABLES, "flatenRequest"),
    (TABLES, r"bo_user", "bo_users", "", "bo_users"),
    (CREATE, r"^CREATE TABLE", "CREATE TABEL", CREATE, ""),
    (QUERY, r"\bJOIN\b", "JION", QUERY, ""),
    (QUERY, r"(?i)\bAS user_id\b", "AS userid", SPEC, "user_id"),
    (SPEC, r"^label: action_value", "label: action_values", SPEC, "action_values"),
    (SPEC, r"^  sku_id: string", "  sku_id: int64", SPEC, "sku_id"),
    (SPEC, r"^  user_sex: string\n", "", SPEC, "user_sex"),
    (SPEC, r"^  bo_comment: 64", "  bo_comment: 3", SPEC, "bo_comment"),
    (SPEC, r"decimals: 0", "decimal: 0", SPEC, "decimal"),
    (SPEC, r"^test_days: 2", "test_days: -2", SPEC, "test_days"),
    (GATES, r"min_auc:", "min_auk:", GATES, "min_auk"),
    (GATES, r"level: fail", "level: stop", GATES, "level"),
    (GATES, r"max_share: 0.8", "max_share: 1.8", GATES, "max_share"),
    (GATES, r"slices: \[user_id", "slices: [user_idd", GATES, "user_idd"),
    (HYPER, r"^epochs: 20", "epochs: 0", HYPER, "epochs"),
    (HYPER, r"^learning_rate:", "learning_rat:", HYPER, "learning_rat"),
    (HYPER, r"^optimizer: adam", "optimizer: adams", HYPER, "optimizer"),
    # files and days
    (PIPELINE, r"^gates: gates.yaml", "gates: gate.yaml", "gate.yaml", "not there"),
    (PIPELINE, r"^hyperparameters: .*", "hyperparameters: hyper.yaml", "hyper.yaml", "not there"),
    (PIPELINE, r"^train_days: 30", "train_days: 4", PIPELINE, "train_days"),
    (PIPELINE, r"^train_days: 30", "train_days: 30\ntrain_days: 20", PIPELINE, "given twice"),
    (PIPELINE, r"^train_days: 30", "\ttrain_days: 30", PIPELINE, "line 9"),
    (PIPELINE, r"^train_days: 30", 'train_days: "30"', PIPELINE, "train_days"),
    (PIPELINE, r"0 2 \* \* \*", "0 2 31 2 *", PIPELINE, "never comes"),
    (PIPELINE, r'"0 2 \* \* \*"', "nightly", PIPELINE, "schedule"),
    (PIPELINE, r"^gates_run:.*", "gates_run: [data, quality, data]", PIPELINE, "twice"),
    (PIPELINE, r"^family: ctr", "family: ctr\ndatabase: my-db", PIPELINE, "database"),
    (PIPELINE, r"^family: ctr", "family: ctr\ndatabase: INFORMATION_SCHEMA", PIPELINE, "own"),
    (PIPELINE, r"^family: ctr", "family: ctr\nmodel: ../../evil", PIPELINE, "model"),
    (PIPELINE, r"^family: ctr", "family: ctr\nserving: {instance: 2}", PIPELINE, "instance"),
    (PIPELINE, r"^family: ctr", "family: ctr\ntime_zone: Mars/Base", PIPELINE, "time_zone"),
    (PIPELINE, r"^family: ctr", "family: ctr\ntime_zone: +10:00", PIPELINE, "quotes"),
    (SPEC, r"^valid_days: \d+", "valid_days: 28", PIPELINE, "train_days"),
    (SPEC, r"^label_settle_days: \d+", "label_settle_days: 27", PIPELINE, "train_days"),
    # tables.yaml
    (TABLES, r"^events:", "event:", TABLES, "event"),
    (TABLES, r"id: reqId", "id: reqid", TABLES, "reqid"),
    (TABLES, r"id: reqId", "id: user_id", QUERY, "request_id"),
    (TABLES, r"id: reqId", "id: eventTime", TABLES, "requests.id"),
    (TABLES, r"^  action: eventTime", "  action: actionValue", TABLES, "events.action"),
    (TABLES, r"^  bo_comment: ingestionTime", "  bo_comment: dt", TABLES, "events.bo_comment"),
    (TABLES, r"^label: action\n", "", TABLES, "action"),
    (TABLES, r"^label: action", "label: {table: action, absent: 2}", TABLES, "absent"),
    # create_tables.sql
    (CREATE, r"reqId string", "reqId strng", CREATE, "strng"),
    (CREATE, r"key=pair_id", "key=pairid", CREATE, "pairid"),
    (CREATE, r"key=pair_id", "key=cate", CREATE, "pair_id"),
    (
        CREATE,
        r"key=sku_id, ts=ingestionTime, ttl=0m",
        "key=sku_id, ts=ingestionTime, ttl=7d",
        CREATE,
        "64 day",
    ),
    (
        CREATE,
        r"INDEX\(key=sku_id, ts=ingestionTime, ttl=0m, ttl_type=absolute",
        "INDEX(key=sku_id, ts=ingestionTime, ttl=1, ttl_type=latest",
        CREATE,
        "bo_comment",
    ),
    (CREATE, r"key=pair_id, ts=ingestionTime", "key=pair_id, ts=time", CREATE, "bo_action"),
    (CREATE, r"key=pair_id, ts=ingestionTime", "key=pair_id, ts=cate", CREATE, "cate"),
    (CREATE, r"age string", "age int", SPEC, "user_age"),
    (CREATE, r"user_lv_cd string", "user_lv_cd string, age string", CREATE, "age twice"),
    (
        CREATE,
        r"key=pair_id, ts=ingestionTime, ttl=0m, ttl_type=absolute",
        "key=pair_id, ts=ingestionTime, ttl=0m, ttl_type=absolut",
        CREATE,
        "absolut",
    ),
    (CREATE, r"\Z", "\nDROP TABLE bo_user;\n", CREATE, "DROP TABLE bo_user"),
    # features.sql
    (QUERY, r"\Z", " LIMIT 10", QUERY, "LIMIT 10"),
    (
        QUERY,
        r"`flattenRequest`.`sku_id` = `product`",
        "`flattenRequest`.`time` = `product`",
        QUERY,
        "time (int64)",
    ),
    (QUERY, r"distinct_count\(`pair_id`\)", "distict_count(`pair_id`)", QUERY, "distict_count"),
    (QUERY, r"top1_ratio\(`pair_id`\)", "top1_ratio(`pair_id`, 1)", QUERY, "top1_ratio"),
    (QUERY, r"`product`.`a1`", "`product`.`a11`", QUERY, "a11"),
    (QUERY, r"FROM `bo_comment`", "FROM `bo_coment`", QUERY, "bo_coment"),
    (QUERY, r"OVER last_14_days", "OVER last_13_days", QUERY, "last_13_days"),
    (QUERY, r"14d PRECEDING", "60d PRECEDING", SPEC, "60"),
    (
        QUERY,
        r"14d PRECEDING AND 0s PRECEDING",
        "14d PRECEDING AND 1d FOLLOWING",
        QUERY,
        "FOLLOWING",
    ),
    (QUERY, r"LAST JOIN", "LEFT JOIN", QUERY, "deployment"),
    (QUERY, r"\Z", "; SELECT 1", QUERY, "end of statement"),
    (QUERY, r"FROM `flattenRequest`$", "FROM jd.`flattenRequest`", QUERY, "jd"),
    (QUERY, r"`eventTime` AS request_time", "now() AS request_time", QUERY, "request_time"),
    (
        QUERY,
        r"`label`.`actionValue` AS action_value",
        "`label`.`eventTime` AS action_value",
        SPEC,
        "action_value",
    ),
    (
        QUERY,
        r"`product`.`cate` AS product_category",
        "string(`label`.`actionValue`) AS product_category",
        QUERY,
        "product_category",
    ),
    # feature_spec.yaml
    (SPEC, r"^time: request_time", "time: reqest_time", SPEC, "reqest_time"),
    (SPEC, r"^label: action_value", "label: user_sex", SPEC, "user_sex"),
    (SPEC, r"^categorical:", "categoric:", SPEC, "categoric"),
    (SPEC, r"^  sku_id: string", "  sku_id: strin", SPEC, "strin"),
    (SPEC, r"^  user_sex: string", "  user_sex: string\n  user_sex: string", SPEC, "twice"),
    (SPEC, r"^  user_sex: string", "  user_sex: {type: string, pool: mean}", SPEC, "pool"),
    (SPEC, r"^  bo_comment: 64", "  bo_coment: 64", SPEC, "bo_coment"),
    # gates.yaml
    (GATES, r"min_auc: \{value: [\d.]+", "min_auc: {value: 1.7", GATES, "min_auc"),
    (GATES, r"\Z", "\nrehersal: {requests: 5}\n", GATES, "rehersal"),
    (GATES, r"(?s)\A.*\Z", "data: {drift: {warn_psi: 3, fail_psi: 2}}", GATES, "warn_psi"),
    (GATES, r"(?s)\A.*\Z", "data: {drift: {except: [user_sexx]}}", GATES, "user_sexx"),
    (GATES, r"(?s)\A.*\Z", "data: {nulls: {except: {user_sex: 1.5}}}", GATES, "user_sex"),
    (
        GATES,
        r"(?s)\A.*\Z",
        "data: {positives: {min_share: 0.5, max_share: 0.1}}",
        GATES,
        "min_share",
    ),
    (GATES, r"(?s)\A.*\Z", "data: {partitions: {other_days: warn}}", GATES, "other_days"),
    (GATES, r"(?s)\A.*\Z", "consistency: {sample: 10}", GATES, "min_compared"),
    (GATES, r"(?s)\A.*\Z", "quality: {slices: [action_value]}", GATES, "action_value"),
    (GATES, r"(?s)\A.*\Z", "quality: {min_auc: 0.6}", GATES, "min_auc"),
    # hyperparameters.yaml
    (HYPER, r"(?s)\A.*\Z", "hidden: 256", HYPER, "hidden"),
    (HYPER, r"(?s)\A.*\Z", "dropout: 1.5\nbatch_size: 0", HYPER, "batch_size"),
    (HYPER, r"(?s)\A.*\Z", "family: DeepFM", HYPER, "family"),
    (HYPER, r"(?s)\A.*\Z", "family: ncf\nuser_field: userid", HYPER, "user_field"),
    (
        HYPER,
        r"(?s)\A.*\Z",
        "family: ncf\nuser_field: sku_id\nitem_field: sku_id",
        HYPER,
        "item_field",
    ),
    (HYPER, r"(?s)\A.*\Z", "family: din", HYPER, "history_field"),
    (HYPER, r"(?s)\A.*\Z", "family: din\nhistory_field: user_sex", HYPER, "history_field"),
    (HYPER, r"(?s)\A.*\Z", "embedding_store: one_embedding", HYPER, "embedding_store"),
]


@pytest.mark.parametrize("slip", SLIPS, ids=lambda s: f"{s[0]} {s[2]}")
def test_a_slip_is_named_with_its_file(settings, slip):
    file, old, new, named, word = slip
    plant(settings, file, old, new)
    begun = time.process_time()
    found = errors(settings)
    assert time.process_time() - begun < 5
    told = [(p.file, f"{p.key} {p.message} {p.fix}") for p in found]
    assert any(f.endswith(named) and word in text for f, text in told), told


def test_a_query_that_nests_deeper_than_it_is_read_is_named_at_once(settings):
    deep = "1"
    for number in range(2000):
        deep = f"CASE WHEN `product`.`a1` = '{number}' THEN {deep} ELSE 0 END"
    plant(settings, QUERY, r"`product`.`a1` AS product_a1", f"string({deep}) AS product_a1")
    begun = time.monotonic()
    (found,) = errors(settings)
    assert time.monotonic() - begun < 10  # OpenMLDB's compiler takes minutes over it
    assert found.file.endswith(QUERY)
    assert "nested deeper than 64 levels" in found.message
    assert "subquery" in found.fix


@pytest.mark.parametrize("name", ["foo bar", "Foo", "-x", "été", "a" * 31])
def test_a_folder_that_nothing_reads_by_its_name_is_told(settings, name):
    (settings.pipelines / "shop").rename(settings.pipelines / name)
    assert unread(settings) == [name]
    (found,) = check_pipeline(settings, name)
    assert "is not a valid pipeline name" in found.message
    assert "rename it" in found.fix


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        *((file, "pipe") for file in (TABLES, CREATE, QUERY, SPEC, GATES, HYPER)),
        (QUERY, "device"),
        (SPEC, "device"),
        (GATES, "folder"),
    ],
)
def test_what_is_no_file_is_named_and_not_waited_for(settings, file, kind):
    path = settings.pipelines / "shop" / file
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    found = [one for one in errors(settings) if one.file in (str(path), "/dev/zero")]
    assert any("not a plain file" in one.message for one in found), found


def test_links_in_a_circle_are_named(settings):
    for path in (settings.pipelines / "shop" / name for name in (GATES, QUERY, PIPELINE)):
        path.unlink()
        path.symlink_to(path.name)
        assert any(one.file == str(path) for one in errors(settings)), path


def test_another_pipelines_pipe_is_not_waited_for(settings):
    other = settings.pipelines / "other"
    other.mkdir()
    os.mkfifo(other / PIPELINE)
    assert errors(settings) == []


FILE_SLIPS = [
    # table, column, its Arrow type in the newest file; None drops the column
    ("bo_user", "age", "int64"),
    ("bo_user", "sex", None),
    ("bo_action", "time", "string"),
    ("bo_comment", "bad_comment_rate", "double"),
    ("flattenRequest", "eventTime", "ns"),
    ("action", "actionValue", "int64"),
]


@pytest.mark.parametrize("slip", FILE_SLIPS, ids=lambda s: f"{s[0]}.{s[1]}")
def test_a_type_that_a_file_has_otherwise_is_named_with_file_and_column(settings, slip):

    table, column, kind = slip
    pipeline = Pipeline.load(settings, "shop")
    declared = declared_tables(
        pipeline.features.tables, pipeline.features.create_script(), CREATE
    )  # fmt: skip
    for name, one in declared.items():
        folder = pipeline.data / name / ("ds=2026-03-01" if one.time else "")
        folder.mkdir(parents=True)
        schema = one.arrow_schema()
        if name == table and kind is None:
            schema = schema.remove(schema.get_field_index(column))
        elif name == table:
            new = pa.timestamp("ns") if kind == "ns" else pa.type_for_alias(kind)
            schema = schema.set(schema.get_field_index(column), pa.field(column, new))
        pq.write_table(schema.empty_table(), folder / "part-0.parquet")
    found = errors(settings)
    assert [p.key for p in found if p.file.endswith("part-0.parquet")] == [column]
    assert all(f"/{table}/" in p.file for p in found)


def test_a_name_that_another_pipeline_has_is_named(settings):
    plant(settings, PIPELINE, "^family: ctr", "family: ctr\nmodel: shop_model")
    shutil.copytree(settings.pipelines / "shop", settings.pipelines / "other")
    (problem,) = errors(settings)
    assert (problem.key, "other" in problem.message) == ("model", True)


def test_what_the_offline_engine_refuses_is_an_error_where_it_is_set_and_else_a_warning(settings):
    join = r"ON `flattenRequest`.`reqId` = `label`.`reqId`"
    plant(settings, QUERY, re.escape(join), f"{join} AND `label`.`actionValue` IN (0, 1)")
    assert errors(settings) == []
    (warned,) = [p for p in check_pipeline(settings, "shop") if "batch engine" in p.message]
    (problem,) = errors(dataclasses.replace(settings, offline_engine="spark"))
    assert (warned.level, problem.message) == ("warning", warned.message)
    assert "label.actionValue in (0,1)" in problem.message
    assert "subquery" in problem.fix


def test_every_slip_of_one_specification_is_told(settings):
    plant(settings, SPEC, r"^  sku_id: string", "  sku_id: strin")
    plant(settings, SPEC, r"^test_days: 2", "test_days: -2")
    plant(settings, SPEC, r"^  bo_comment: 64", "  bo_comment: many")
    told = " ".join(f"{p.key} {p.message}" for p in errors(settings))
    for word in ("sku_id", "test_days", "bo_comment"):
        assert word in told


def test_slips_of_several_files_are_told_at_once(settings):
    plant(settings, GATES, "min_auc:", "min_auk:")
    plant(settings, HYPER, "^epochs: 20", "epochs: 0")
    plant(settings, SPEC, "^  sku_id: string", "  sku_id: int64")
    plant(settings, PIPELINE, r"0 2 \* \* \*", "0 25 * * *")
    assert {p.file.rpartition("/")[2] for p in errors(settings)} == {GATES, HYPER, SPEC, PIPELINE}


@pytest.mark.parametrize(
    ("file", "slips"),
    [
        (
            PIPELINE,
            [
                (r"^train_days: 30", "train_dais: 30"),
                (r"^keep_releases: 3", "keep_releases: some"),
                (r"rehearsal,", "rehersal,"),
            ],
        ),
        (
            TABLES,
            [
                (r"table: flattenRequest", "table: flatenRequest"),
                (r"^  bo_comment: ingestionTime", "  bo_comment: 7"),
                (r"^label: action", "label: {table: acton, absent: 2, delay: {weeks: 1}}"),
                (r"^snapshots:", "snapshot:"),
            ],
        ),
        (
            CREATE,
            [
                (r"reqId string", "reqId strng"),
                (r"key=pair_id", "key=pairid"),
                (r"\Z", "\nDROP TABLE bo_user;\n"),
            ],
        ),
        (
            QUERY,
            [
                (r"FROM `bo_comment`", "FROM `bo_coment`"),
                (r"`product`.`a1`", "`product`.`a11`"),
                (r"OVER last_14_days", "OVER last_13_days"),
            ],
        ),
        (
            SPEC,
            [
                (r"^time: request_time", "time: sku_id"),
                (r"^keys: \[", "keys: [user_sex, "),
                (r"^categorical:", "categorical:\n  made_up: {type: strin, splt: 1}"),
                (r"^version: 1", "version: 2"),
            ],
        ),
        (
            HYPER,
            [
                (r"^learning_rate:", "learning_rat:"),
                (r"^epochs: 20", "epochs: 0"),
                (r"^optimizer: adam", "optimizer: adams"),
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_all_slips_of_a_file_are_told_at_once(settings, file, slips):
    for old, new in slips:
        plant(settings, file, old, new)
    told = " ".join(f"{p.key} {p.message}" for p in errors(settings) if p.file.endswith(file))
    words = {
        PIPELINE: ("train_dais", "keep_releases"),  # the list of gates is read, so it comes after
        TABLES: ("flatenRequest", "bo_comment", "acton", "absent", "delay.weeks", "snapshot"),
        CREATE: ("strng", "pairid", "DROP TABLE"),
        QUERY: ("bo_coment", "a11", "last_13_days"),
        SPEC: ("sku_id", "user_sex", "strin", "splt", "version"),
        HYPER: ("learning_rat", "epochs", "optimizer"),
    }
    assert [word for word in words[file] if word not in told] == []


def test_a_wrong_pipeline_file_or_declaration_hides_no_slip_of_another_file(settings):
    plant(settings, PIPELINE, r"^train_days:", "train_dais:")
    plant(settings, TABLES, r"^label: action", "label: {table: action, absent: 2}")
    plant(settings, QUERY, r"\bJOIN\b", "JION")
    plant(settings, GATES, "min_auc:", "min_auk:")
    named = {p.file.rpartition("/")[2] for p in errors(settings)}
    assert named == {PIPELINE, TABLES, QUERY, GATES}


def test_keys_that_are_passed_over_bring_no_problem_of_their_defaults(settings):
    plant(settings, SPEC, r"^valid_days: \d+", "valid_days: 40")
    plant(settings, PIPELINE, r"^train_days: 30", "train_dais: 60")
    assert [p.key for p in errors(settings)] == ["train_dais"]


def test_an_unknown_pipeline_names_the_nearest(settings):
    (problem,) = check_pipeline(settings, "shoop")
    assert "shop" in problem.fix


def test_distinct_is_warned_of_where_the_engines_differ(settings):
    assert not [p for p in check_pipeline(settings, "shop") if p.key == "SELECT DISTINCT"]
    plant(settings, QUERY, r"^SELECT", "SELECT DISTINCT")
    (found,) = [p for p in check_pipeline(settings, "shop") if p.key == "SELECT DISTINCT"]
    assert found.level == "warning"
    assert "remove it" in found.fix


def test_a_field_that_the_request_log_is_to_hide_and_that_is_not_there_is_named(settings):
    plant(settings, PIPELINE, "^live:", "live:\\n  log: {hashed: [user_id], omitted: [usr_id]}")
    (one,) = errors(settings)
    assert (one.key, one.fix) == ("live.log.omitted", "did you mean 'user_id'?")
