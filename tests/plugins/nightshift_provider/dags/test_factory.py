"""A file in `dags/` for each pipeline: a broken folder is the error of its own file."""

from __future__ import annotations

import shutil

import pytest

ROUND = '''"""DAGs of {name}."""
from airflow.sdk import DAG
from nightshift_provider.dags import pipeline_dags
globals().update(pipeline_dags({name!r}))
'''


@pytest.fixture
def read(airflow_home, tmp_path, monkeypatch, project):
    """Airflow's reading of the DAG files of jd and style, whose folders are the test's own."""
    from airflow.dag_processing.dagbag import BundleDagBag

    shutil.copytree(project / "include", tmp_path / "include")
    (tmp_path / "dags").mkdir()
    for name in ("jd", "style"):
        shutil.copytree(project / "pipelines" / name, tmp_path / "pipelines" / name)
        (tmp_path / "dags" / f"{name}.py").write_text(ROUND.format(name=name))
    monkeypatch.setenv("NIGHTSHIFT_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))

    def of():
        folder = tmp_path / "dags"
        return BundleDagBag(dag_folder=str(folder), bundle_path=folder, bundle_name="dags-folder")

    return of


def test_a_folder_each_makes_its_own_dags(read):
    bag = read()
    assert bag.import_errors == {}
    assert {"retrain_jd", "rollback_jd", "retrain_style", "rollback_style"} <= set(bag.dags)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("shedule: off\n", ["pipeline.yaml: shedule", "did you mean 'schedule'"]),
        ("schedule: sometimes\n", ["pipeline.yaml", "schedule", "sometimes"]),
    ],
)
def test_a_broken_folder_is_an_error_with_file_key_and_fix_and_the_others_live(
    read, tmp_path, line, told
):
    path = tmp_path / "pipelines" / "style" / "pipeline.yaml"
    kept = [one for one in path.read_text().splitlines(True) if not one.startswith("schedule")]
    path.write_text("".join(kept) + line)
    bag = read()
    assert {"retrain_jd", "rollback_jd"} <= set(bag.dags)
    assert not any(name.endswith("_style") for name in bag.dags)
    ((file, error),) = bag.import_errors.items()
    assert file.endswith("style.py")
    for text in told:
        assert text in error


def test_a_folder_that_is_gone_is_an_error_of_its_file_too(read, tmp_path):
    shutil.rmtree(tmp_path / "pipelines" / "style")
    bag = read()
    ((file, error),) = bag.import_errors.items()
    assert file.endswith("style.py") and "style" in error
    assert "retrain_jd" in bag.dags
