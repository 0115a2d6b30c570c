"""A pipeline in one folder, and slips to plant in it."""

import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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


def plant(settings, file, old, new, pipeline="shop"):
    path = settings.pipelines / pipeline / file
    text = path.read_text()
    assert re.search(old, text, re.M), (file, old)
    changed = re.sub(old, new, text, count=1, flags=re.M)
    assert changed != text, (file, old)
    path.write_text(changed)


def expect(found, key, word, fix):
    """One of the problems has the key, the word in its message, and the fix."""
    named = [p for p in found if p.key == key and word in p.message and fix in p.fix + p.message]
    assert named, [str(p) for p in found]


def lay(settings, table, columns, day="2026-03-01"):
    folder = settings.data / "shop" / table / f"ds={day}"
    folder.mkdir(parents=True)
    moments = pa.array(columns.pop("at"), pa.timestamp("ms"))
    time = "eventTime" if table == "flattenRequest" else "ingestionTime"
    pq.write_table(pa.table({time: moments, **columns}), folder / "part-0.parquet")
