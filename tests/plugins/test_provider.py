"""What Airflow finds of the provider, and what its DAG processor pays for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("docker", "numpy", "oneflow", "pandas", "pyarrow", "tritonclient")

IMPORTS = """
import json, sys, time
import airflow.sdk, airflow.triggers.base, airflow.plugins_manager
before = set(sys.modules)
start = time.perf_counter()
import nightshift_provider.operators.openmldb, nightshift_provider.operators.task
import nightshift_provider.hooks.openmldb, nightshift_provider.links.openmldb
import nightshift_provider.triggers.openmldb, nightshift_provider.triggers.task
print(json.dumps({"seconds": time.perf_counter() - start,
                  "new": sorted(set(sys.modules) - before)}))
"""


def test_nothing_heavy_is_imported_where_dags_are_parsed(airflow_home: Path):
    said = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    ).stdout
    new = json.loads(said.splitlines()[-1])["new"]
    assert [name for name in new if name.split(".")[0] in HEAVY] == []
    assert [name for name in new if name.startswith("airflow.providers.docker")] == []


def test_the_description_is_valid():
    import jsonschema
    from airflow import __file__ as airflow_file
    from nightshift_provider import get_provider_info

    schema = json.loads((Path(airflow_file).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_airflow_knows_the_connection_type(airflow_home: Path):
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    found = manager.hooks["openmldb"]
    assert found is not None
    assert found.hook_name == "OpenMLDB"
    assert found.hook_class_name.endswith("OpenMLDBSQLHook")
    assert found.connection_testable
    assert {"extra__openmldb__zk", "extra__openmldb__zk_path"} <= set(
        manager.connection_form_widgets
    )


def test_every_name_of_the_description_can_be_imported():
    from airflow.sdk.module_loading import import_string
    from nightshift_provider import get_provider_info

    info = get_provider_info()
    for kind in ("hooks", "operators", "triggers"):
        for group in info[kind]:
            for module in group["python-modules"]:
                __import__(module)
    for path in info["extra-links"]:
        assert import_string(path)().name
    assert import_string(info["connection-types"][0]["hook-class-name"]).conn_type == "openmldb"


@pytest.mark.parametrize("stem", ["docker", "openmldb", "task", "process"])
def test_no_file_of_the_provider_shadows_a_package(stem: str):
    """The plugin loader registers files by their bare names unless they are ignored."""
    from airflow._shared.plugins_manager.plugins_manager import _load_plugins_from_plugin_directory

    found, errors = _load_plugins_from_plugin_directory(
        plugins_folder=str(Path(__file__).resolve().parents[2] / "plugins"),
        ignore_file_syntax="glob",
    )
    assert errors == {}
    assert [plugin.name for plugin in found] == ["nightshift"]
    module = sys.modules.get(stem)
    assert module is None or "nightshift_provider" not in str(module.__file__)
