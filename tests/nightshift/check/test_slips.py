"""Slips that people make in a pipeline's folder: each is named with file, key, message and fix."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift.check import check_pipeline
from nightshift.data.declared import declared_tables
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings
from tests.nightshift.check.conftest import (
    CREATE,
    GATES,
    HYPER,
    PIPELINE,
    QUERY,
    SPEC,
    TABLES,
    expect,
    plant,
)

ALL = r"(?s)\A.*\Z"
FAMILY = r"^family: ctr"
OPTIONS = r"(key=user_id, ts=eventTime, ttl=0m, ttl_type=absolute\)\n\))"
AUC = r"^  min_auc: .*"
COUNT = r"\{type: int64, decimals: 0\}"
SEX = r"^  user_sex: string"

SLIPS = [
    # file, what is there, what is written instead, key, a word of the message, a word of the fix
    # pipeline.yaml
    (PIPELINE, r"^train_days: 30", "train_days: 30d", "train_days", "'30d'", "whole number"),
    (PIPELINE, r"^train_days: 30", "train_days: 3000000", "train_days", "3000000", "3660 or less"),
    (PIPELINE, r"^keep_releases: 3", "keep_releases: -1", "keep_releases", "-1", "0 or more"),
    (PIPELINE, FAMILY, "family: ctr\nlive_by: 6:30", "live_by", "390", "'06:30'"),
    (PIPELINE, FAMILY, 'family: ctr\nlive_by: "25:00"', "live_by", "25:00", "time of day"),
    (PIPELINE, r"^gates_run: .*", "gates_run: data, quality", "gates_run", "data, qu", "a list"),
    (PIPELINE, r"^schedule: .*", "schedule: 2:00", "schedule", "120", "five parts"),
    (PIPELINE, r"^schedule: .*", 'schedule: "@daily"', "schedule", "@daily", "five parts"),
    (PIPELINE, FAMILY, "family: CTR", "family", "CTR", "'ctr' or 'tensor'"),
    (PIPELINE, FAMILY, "family: ctr\nmodel: 7", "model", "7", "quotes"),
    (PIPELINE, r"insert_requests: true", "insert_requests: 1", "live.insert_requests", "1", "false"),
    (PIPELINE, r"insert_requests: true", "insert_request: true", "live.insert_request", "unknown",
     "insert_requests"),
    (PIPELINE, r"^live:", "live:\n  canary: {column: user_id, share: 50}", "live.canary.share", "50",
     "less than 1"),
    (PIPELINE, r"^features:\n(  .*\n)+", "features: features.sql\n", "features", "features.sql",
     "keys and their values"),
    (PIPELINE, ALL, "- version: 1", "", "a list", ""),
    (PIPELINE, r"^version: 1", "version: 1\n7: x", "", "the key 7", "quotes"),
    # tables.yaml
    (TABLES, r"^events:\n(  .*\n)+", "events: [flattenRequest]\n", "events", "flattenRequest",
     "time column"),
    (TABLES, r"flattenRequest: eventTime", "flattenRequest: eventtime", "events.flattenRequest",
     "eventtime", "eventTime"),
    (TABLES, r"snapshots: \[", "snapshots: [action, ", "snapshots", "twice", "one layout"),
    (TABLES, r"^snapshots: .*", "snapshots: bo_user", "snapshots", "bo_user", "a list"),
    (TABLES, r"id: reqId", "key: reqId", "requests.key", "unknown", "remove"),
    (TABLES, r"  id: reqId\n", "", "requests.id", "missing", "name"),
    (TABLES, r"^label: action", 'label: {table: action, absent: "0"}', "label.absent", "'0'", "0 or 1"),
    (TABLES, r"^label: action", "label: {table: action, arrival: ingestTime}", "label.arrival",
     "ingestTime", "ingestionTime"),
    (TABLES, r"^label: action", "label: {table: action, settles: 3d}", "label.settles", "3d", "days"),
    (TABLES, r"  bo_comment: ingestionTime", "  bo-comment: ingestionTime", "events", "bo-comment",
     "letters"),
    # create_tables.sql
    (CREATE, r"reqId string, ", "reqId string ", "line 6", "eventTime", "comma"),
    (CREATE, r"\);\n\nCREATE TABLE IF NOT EXISTS action", ")\n\nCREATE TABLE IF NOT EXISTS action",
     "line 11", "CREATE", "with ;"),
    (CREATE, r"main_id string", '"main_id" string', "line 6", "main_id", "backquotes"),
    (CREATE, r"time bigint, split_id", "time int unsigned, split_id", "line 7", "unsigned", "too much"),
    (CREATE, r"main_id string", "main_id text", "", "text", "string"),
    (CREATE, r"main_id string", "main_id string, main_id string", "", "main_id twice", "remove one"),
    (CREATE, r"\Z", "\nCREATE TABLE IF NOT EXISTS bo_user(a string, INDEX(key=a));\n", "",
     "bo_user twice", "remove one"),
    (CREATE, r"EXISTS bo_user", "EXISTS other.bo_user", "", "database other", "bo_user alone"),
    (CREATE, OPTIONS, r"\1 OPTIONS(partitionnum=0)", "", "partitionnum=0", "1 or more"),
    (CREATE, r"(INDEX\(key=reqId, .*\))", r"\1, \1", "", "two indexes by reqId", "remove one"),
    # features.sql
    (QUERY, r"MAXSIZE 200\)", "MAXSIZE 200", "line 35", "", "bracket"),
    (QUERY, r"'' AS `model_id`", "“” AS `model_id`", "line 109", "", "not “ ”"),
    (QUERY, r"14d PRECEDING", "2w PRECEDING", "line 34", "", "s, m, h or d"),
    (QUERY, r"^SELECT \* FROM", "DEPLOY d SELECT * FROM", "", "DEPLOY", "one SELECT"),
    (QUERY, r"`product`.`a1` AS", "coalesce(`product`.`a1`, '') AS", "line 42", "coalesce", "ifnull"),
    (QUERY, r"`product`.`a1` AS product_a1", "string(now()) AS product_a1", "line 42", "now",
     "when it is asked"),
    (QUERY, r"\Z", " WHERE request_id IS NOT NULL", "line 133", "IS NOT", "isnull"),
    (QUERY, r"LAST JOIN `bo_product` AS `product`",
     ("LAST JOIN `bo_comment` AS `c` ORDER BY `c`.`ingestionTime`\n"
      "        ON `flattenRequest`.`sku_id` = `c`.`sku_id`\n    LAST JOIN `bo_product` AS `product`"),
     "LAST JOIN bo_comment", "from after it", "bo_comment.ingestionTime <= "),
    (QUERY, r"LAST JOIN `bo_product` AS `product`",
     ("LAST JOIN `bo_comment` AS `c` ON `flattenRequest`.`sku_id` = `c`.`sku_id`\n"
      "        AND `c`.`ingestionTime` <= `flattenRequest`.`eventTime`\n"
      "    LAST JOIN `bo_product` AS `product`"),
     "LAST JOIN bo_comment", "arbitrary", "ORDER BY bo_comment.ingestionTime"),
    # feature_spec.yaml
    (SPEC, r"^label: .*", "label: [action_value]", "label", "action_value", "column"),
    (SPEC, SEX, "  user_sex: string\n  action_value: int32", "", "action_value is given twice",
     "one role"),
    (SPEC, r"^numeric:", "numeric:\n  user_sex: {type: string}", "numeric.user_sex", "string", "int64"),
    (SPEC, COUNT, "{type: int64, decimals: -1}", "numeric.user_pair_distinct_10rows", "-1", "0 to 15"),
    (SPEC, COUNT, "{type: int64, transform: logg}", "numeric.user_pair_distinct_10rows", "logg",
     "log1p"),
    (SPEC, r"  flattenRequest: 14$", "  flattenRequest: 14d", "lookback_days.flattenRequest", "14d",
     "whole days"),
    (SPEC, r"  bo_comment: 64$", "  bo_comment: 64000000", "lookback_days.bo_comment", "64000000",
     "3660"),
    (SPEC, r"^keys: \[request_id, request_time, request_id_original,",
     "categorical_: 1\nkeys: [request_id, request_time, request_id_original,", "categorical_",
     "unknown key", "categorical"),
    (SPEC, r"(?s)request_id_original,(.*?)^categorical:", r"\1categorical:\n  request_id_original: string",
     "request_id_original", "names a request", "under keys"),
    # gates.yaml
    (GATES, AUC, "  min_auc: {value: 0.55}", "quality.min_auc.level", "missing", "add it"),
    (GATES, AUC, "  min_auc: {value: 0.55, level: FAIL}", "quality.min_auc.level", "FAIL", "'fail'"),
    (GATES, AUC, "  min_auc: {value: 55%, level: fail}", "quality.min_auc.value", "55%", "number"),
    (GATES, r"auc_margin: 0.03", "auc_margin: 3", "quality.versus_live.auc_margin", "3", "0.5 or less"),
    (GATES, r"confidence: 0.9", "confidence: 90", "quality.versus_live.confidence", "90", "less than 1"),
    (GATES, r"tolerance: 1.0e-5", "tolerance: 1", "consistency.tolerance", "1", "0.01 or less"),
    (GATES, r"requests: 50", "requests: 0", "rehearsal.requests", "0", "1 or more"),
    (GATES, r"slices: .*", "slices: user_id", "quality.slices", "user_id", "a list"),
    (GATES, r"except: \{\}", "except: [user_sex]", "data.nulls.except", "user_sex", "keys and their"),
    (GATES, r"\Z", "\nbaseline: {fail_margin: 0.1}\n", "baseline", "does not run", "gates_run"),
    (GATES, r"^quality:", "quality:\n  min_logloss: 1", "quality.min_logloss", "unknown",
     "max_logloss_ratio"),
    # hyperparameters.yaml
    (HYPER, r"^learning_rate:.*", "learning_rate: fast", "learning_rate", "fast", "number"),
    (HYPER, r"^learning_rate:.*", "learning_rate: 0,001", "learning_rate", "0,001", "number"),
    (HYPER, r"^hidden: .*", "hidden: 256x128", "hidden", "256x128", "such as [256, 128]"),
    (HYPER, r"^hidden: .*", "hidden: [256, 0]", "hidden", "[256, 0]", "greater than or equal to 1"),
    (HYPER, r"^dropout: .*", "dropout: 20", "dropout", "20", "0.9"),
    (HYPER, r"^family: .*", "family: xgboost", "family", "xgboost", "deepfm"),
    (HYPER, r"^epochs: 20", "epochs: 20.5", "epochs", "20.5", "whole number"),
    (HYPER, r"^monitor: .*", "monitor: auc_logloss", "monitor", "auc_logloss", "auc-logloss"),
    (HYPER, r"^seed: .*", "seeds: 3", "seeds", "unknown", "seed"),
]  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS, ids=lambda s: f"{s[0]} {s[2]:.40}")
def test_a_slip_is_named_with_file_key_message_and_fix(settings, slip):
    file, old, new, key, word, fix = slip
    plant(settings, file, old, new)
    found = [p for p in check_pipeline(settings, "shop") if p.file.endswith(f"/{file}")]
    expect(found, key, word, fix)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (PIPELINE, r"\A", "\ufeff"),
        (QUERY, r"\A", "\ufeff"),
        (CREATE, r"\A", "\ufeff"),
        (PIPELINE, r"^schedule: .*", "schedule: off"),
    ],
)
def test_what_an_editor_or_yaml_makes_of_a_right_file_is_no_error(settings, file, old, new):
    plant(settings, file, old, new)
    assert [p for p in check_pipeline(settings, "shop") if p.level == "error"] == []


DAY = "flattenRequest/ds=2026-03-01"
FILE = f"{DAY}/part-0.parquet"

TYPES = [
    ("time", pa.uint64()),
    ("split_id", pa.uint32()),
    ("time", pa.decimal128(18, 2)),
    ("time1", pa.list_(pa.string())),
    ("time1", pa.null()),
    ("eventTime", pa.int64()),
    ("eventTime", pa.string()),
    ("eventTime", pa.date32()),
    ("user_id", pa.int64()),
    ("user_id", pa.binary()),
]


@pytest.fixture
def laid(settings):
    """A folder of empty files as the tables are declared."""
    pipeline = Pipeline.load(settings, "shop")
    files = pipeline.features
    for name, one in declared_tables(files.tables, files.create_script()).items():
        folder = pipeline.data / name / ("ds=2026-03-01" if one.time else "")
        folder.mkdir(parents=True)
        pq.write_table(one.arrow_schema().empty_table(), folder / "part-0.parquet")
    return pipeline.data


def found_below(settings, data):
    return [p for p in check_pipeline(settings, "shop") if p.file.startswith(str(data))]


def test_files_as_they_are_declared_have_no_problem_and_each_type_otherwise_is_named(
    settings, laid
):
    assert found_below(settings, laid) == []
    schema = pq.read_schema(laid / FILE)
    for number, (column, kind) in enumerate(TYPES):
        at = schema.get_field_index(column)
        changed = schema.set(at, pa.field(column, kind)).empty_table()
        pq.write_table(changed, laid / DAY / f"part-{number + 1}.parquet")
    renamed = ["User_Id" if name == "user_id" else name for name in schema.names]
    pq.write_table(schema.empty_table().rename_columns(renamed), laid / DAY / "part-99.parquet")
    found = found_below(settings, laid)
    for number, (column, _) in enumerate(TYPES):
        named = [p for p in found if p.file.endswith(f"part-{number + 1}.parquet")]
        assert {p.key for p in named} == {column}
        assert all(p.fix for p in named)
    (one,) = [p for p in found if p.file.endswith("part-99.parquet")]
    assert (one.key, "User_Id" in one.message) == ("user_id", True)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (DAY, "flattenRequest/dt=2026-03-01", "it holds dt=2026-03-01"),
        (DAY, "flattenRequest/ds=20260301", "it holds ds=20260301"),
        (DAY, "flattenRequest/ds=2026-02-30", "it holds ds=2026-02-30"),
        (FILE, "flattenRequest/part-0.parquet", "no folder ds=YYYY-MM-DD"),
        (FILE, f"{DAY}/_part-0.parquet", "it holds _part-0.parquet"),
        (FILE, f"{DAY}/part-0.csv", "it holds part-0.csv"),
        ("bo_user", "Bo_User", "no partition with files"),
    ],
)
def test_files_that_no_night_would_find_are_named_with_what_lies_there(
    settings, laid, old, new, word
):
    (laid / new).parent.mkdir(exist_ok=True)
    (laid / old).rename(laid / new)
    if new == "flattenRequest/part-0.parquet":
        (laid / DAY).rmdir()
    (problem,) = found_below(settings, laid)
    assert word in problem.message
    assert problem.fix


RECOMMEND = [
    (PIPELINE, r"where: \{liked: 1\}", "where: {liked: liked}", "recommend.interactions.where.liked",
     "int32", "column's type"),
    (PIPELINE, r"where: \{liked: 1\}", 'where: {liked: ["1", 1]}',
     "recommend.interactions.where.liked", "int32", "quotes"),
    (PIPELINE, r"where: \{liked: 1\}", "where: {item_id: 7}", "recommend.interactions.where.item_id",
     "string", "quotes"),
    (PIPELINE, r"test_days: 20", "test_days: 180", "recommend.test_days", "180", "fewer than 180"),
    (PIPELINE, r"test_days: 20", "test_days: 20\n  days: 20", "recommend.test_days", "of 20 days",
     "more than 20"),
    (PIPELINE, r"  user: user_id", "  user: viewer", "recommend.user", "no column 'viewer'", "user_id"),
    (PIPELINE, r"item_neighbours, user", "item_neighbors, user", "recommend.retrievers",
     "'item_neighbors'", "item_neighbours"),
    (PIPELINE, r"dimensions: 32", "dimension: 32", "recommend.factors.dimension", "unknown",
     "dimensions"),
    (PIPELINE, r"columns: \[title", "columns: [name", "recommend.items.columns", "'name'",
     "title"),
    (PIPELINE, r"^gates_run: .*", "gates_run: []", "gates_run", "recommend", "add recommend"),
    (PIPELINE, r"top: 100", "top: 0", "score.top", "0", "1 or more"),
    (QUERY, r"30d PRECEDING AND 1s PRECEDING", "30d PRECEDING AND 1s FOLLOWING", "", "after the request",
     "CURRENT ROW"),
    (QUERY, r"`film`.`release_year` AS item_year", "`rating`.`stars` AS item_year", "item_year",
     "not known yet", "take it out"),
    (QUERY, r"LAST JOIN `film`", "LEFT JOIN `film`", "line 27", "deployment", "LAST JOIN"),
    (SPEC, r"history: 30\}", "history: 3}", "", "reaches back 30", "30"),
    (SPEC, r"most: 6", "most: 0", "categorical.item_genres", "most 0", "1 to 1000"),
    (GATES, r"min: 5000", "min: 5,000", "data.rows.0", "not text", "5000 for 5,000"),
    (GATES, r"value: 0.6", "value: .nan", "quality.min_auc.value", "nan", "1 or less"),
    (HYPER, r"^family: deepfm", "family:deepfm", "", "a mapping", "one value"),
    (HYPER, r"^family: deepfm", "family: ncf\nuser_field: viewer", "user_field", "'viewer'", "user_id"),
]  # fmt: skip


@pytest.fixture(scope="module")
def movielens(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("movielens")
    shutil.copytree(project / "pipelines" / "movielens", folder / "shop")
    return folder


@pytest.mark.parametrize("slip", RECOMMEND, ids=lambda s: f"{s[0]} {s[2]:.40}")
def test_a_slip_beside_recommend_is_named(movielens, tmp_path, slip):
    file, old, new, key, word, fix = slip
    shutil.copytree(movielens, tmp_path / "pipelines")
    settings = Settings(home=tmp_path / "home", pipelines=tmp_path / "pipelines")
    plant(settings, file, old, new)
    found = [p for p in check_pipeline(settings, "shop") if p.file.endswith(f"/{file}")]
    expect(found, key, word, fix)
