"""The environment that a service is started with."""

from laptop.services.launch import base_env
from nightshift.settings import Settings


def test_what_leads_a_service_astray_is_left_out_and_the_rest_is_passed_on(tmp_path):
    outer = {
        "PATH": "/usr/bin", "LANG": "C.UTF-8", "HTTPS_PROXY": "http://proxy:3128",
        "PYTHONPATH": "/elsewhere", "LD_PRELOAD": "/x.so", "VIRTUAL_ENV": "/venv",
        "AIRFLOW_HOME": "/theirs", "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "NIGHTSHIFT_PREDICT_PORT": "1",
    }  # fmt: skip
    settings = Settings(home=tmp_path, project=tmp_path / "project", predict_port=8123)
    env = base_env(settings, outer)
    assert env["LANG"] == "C.UTF-8"
    assert env["HTTPS_PROXY"] == "http://proxy:3128"
    assert not {"PYTHONPATH", "LD_PRELOAD", "VIRTUAL_ENV"} & env.keys()
    assert not [name for name in env if name.startswith("AIRFLOW")]
    # The settings are the caller's, whatever the variable said.
    assert env["NIGHTSHIFT_PREDICT_PORT"] == "8123"
    assert env["PATH"].split(":") == [str(tmp_path / "project/.venv/bin"), "/usr/bin"]


def test_settings_that_are_passed_on_read_as_the_same(tmp_path):
    settings = Settings(home=tmp_path / "a b", pipeline="shop", schedules="off", predict_port=9000)
    assert Settings.from_env(base_env(settings, {})) == settings
