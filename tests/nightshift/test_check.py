"""`./nightshift check`: each planted slip is found and named with its file and key."""

import re
import shutil
import time

import pytest

from nightshift.check import check_pipeline
from nightshift.settings import Settings

PIPELINE, TABLES, CREATE, QUERY = (
    "pipeline.yaml",
    "tables.yaml",
    "create_tables.sql",
    "features.sql",
)
SPEC, GATES, HYPER = "feature_spec.yaml", "gates.yaml", "hyperparameters.yaml"


@pytest.fixture(scope="module")
def original(project, tmp_path_factory):
    """The default pipeline with all its files in one folder."""
    folder = tmp_path_factory.mktemp("check") / "shop"
    shutil.copytree(project / "pipelines" / "jd", folder)
    for name in (CREATE, QUERY):
        shutil.copyfile(project / "include" / "sql" / name, folder / name)
    config = (folder / PIPELINE).read_text()
    (folder / PIPELINE).write_text(config.replace("../../include/sql/", ""))
    return folder


@pytest.fixture
def settings(original, tmp_path):
    shutil.copytree(original, tmp_path / "pipelines" / "shop")
    return Settings(home=tmp_path / "home", pipelines=tmp_path / "pipelines")


def errors(settings):
    return [p for p in check_pipeline(settings, "shop") if p.level == "error"]


def plant(settings, file, old, new):
    path = settings.pipelines / "shop" / file
    text = path.read_text()
    assert re.search(old, text, re.M), (file, old)
    path.write_text(re.sub(old, new, text, count=1, flags=re.M))


def test_the_pipeline_as_it_is_has_no_error(settings):
    assert errors(settings) == []


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
]


@pytest.mark.parametrize("slip", SLIPS, ids=lambda s: f"{s[0]} {s[2]}")
def test_a_slip_is_named_with_its_file(settings, slip):
    file, old, new, named, word = slip
    plant(settings, file, old, new)
    begun = time.process_time()
    found = errors(settings)
    assert time.process_time() - begun < 5
    told = [(p.file, f"{p.key} {p.message}") for p in found]
    assert any(f.endswith(named) and word in text for f, text in told), told


def test_slips_of_several_files_are_told_at_once(settings):
    plant(settings, GATES, "min_auc:", "min_auk:")
    plant(settings, HYPER, "^epochs: 20", "epochs: 0")
    plant(settings, SPEC, "^  sku_id: string", "  sku_id: int64")
    plant(settings, PIPELINE, r"0 2 \* \* \*", "0 25 * * *")
    assert {p.file.rpartition("/")[2] for p in errors(settings)} == {GATES, HYPER, SPEC, PIPELINE}


def test_an_unknown_pipeline_names_the_nearest(settings):
    (problem,) = check_pipeline(settings, "shoop")
    assert "shop" in problem.fix
