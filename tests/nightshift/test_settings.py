"""Settings come from the environment, typed, with defaults in one place."""

import pytest

from nightshift.errors import ConfigurationError
from nightshift.settings import Settings, describe


def test_defaults_follow_the_project_folder(tmp_path):
    got = Settings.from_env({"NIGHTSHIFT_PROJECT": str(tmp_path)})
    assert got.home == tmp_path / "var"
    assert got.data == tmp_path / "var" / "data"
    assert got.task_python == tmp_path / ".venv-tasks" / "bin" / "python"


def test_data_follows_home_unless_given(tmp_path):
    got = Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path)})
    assert got.data == tmp_path / "data"
    elsewhere = tmp_path / "elsewhere"
    got = Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path), "NIGHTSHIFT_DATA": str(elsewhere)})
    assert got.data == elsewhere


def test_a_round_trip_through_the_environment_changes_nothing(tmp_path):
    first = Settings(project=tmp_path, openmldb_port=19080, retire_grace_s=1.5, task_device="cuda")
    assert Settings.from_env(first.to_env()) == first


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("NIGHTSHIFT_PREDICT_PORT", "eighty", "must be of type int"),
        ("NIGHTSHIFT_PREDICT_PORT", "65536", "1 to 65535"),
        ("NIGHTSHIFT_TASK_RUNNER", "podman", "process, docker"),
        ("NIGHTSHIFT_TASK_DEVICE", "tpu", "cpu, cuda"),
        ("NIGHTSHIFT_SCHEDULES", "maybe", "on, off"),
    ],
)
def test_a_wrong_value_names_its_variable(name, value, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        Settings.from_env({name: value})
    assert name in str(error.value)


def test_an_empty_variable_counts_as_unset():
    assert Settings.from_env({"NIGHTSHIFT_BIND": ""}).bind == Settings().bind


def test_every_setting_is_described():
    rows = describe()
    assert len({name for name, _, _ in rows}) == len(rows)
    assert all(name.startswith("NIGHTSHIFT_") and doc for name, _, doc in rows)
    assert ("NIGHTSHIFT_HOME", "<project>/var") in [(name, default) for name, default, _ in rows]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETIRE_GRACE_S", "nan"),
        ("RETIRE_GRACE_S", "inf"),
        ("RETIRE_GRACE_S", "-5"),
        ("STOP_GRACE_S", "1e999"),
        ("TASK_CPUS", "0"),
        ("TRITON_THREADS", "0"),
        ("TASK_MEMORY", "lots"),
        ("TASK_MEMORY", "8g; rm"),
        ("OPENMLDB_HOST", "evil.example/x?"),
        ("OPENMLDB_HOST", "user@evil.example"),
        ("TRITON_HOST", "a b"),
        ("BIND", "x y"),
        ("PIPELINE", "../../evil"),
        ("PIPELINE", "Evil"),
        ("HOME", "/"),
        ("TASK_IMAGE_TRAIN", "a\nb"),
    ],
)
def test_odd_values_are_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=f"NIGHTSHIFT_{name}"):
        Settings.from_env({f"NIGHTSHIFT_{name}": value})
