import sys

import pytest
from openmldb_compiler import CompilerUnavailable, wheel


def test_the_laptop_environment_on_311_has_the_compiler():
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the wheel's native module is for Python up to 3.11")
    assert wheel.unavailable_reason() is None
    assert (wheel.native_folder() / "_sql_router_sdk.so").is_file()


def test_nothing_of_the_sdk_is_imported():
    assert "openmldb" not in sys.modules


@pytest.mark.parametrize(
    ("system", "machine", "python", "reason"),
    [
        ("Linux", "x86_64", (3, 12), "Python 3.12"),
        ("Linux", "aarch64", (3, 11), "Linux on aarch64"),
        ("Darwin", "x86_64", (3, 11), "Darwin"),
    ],
)
def test_other_machines_are_told_why(monkeypatch, system, machine, python, reason):
    monkeypatch.setattr(wheel.platform, "system", lambda: system)
    monkeypatch.setattr(wheel.platform, "machine", lambda: machine)
    monkeypatch.setattr(wheel.sys, "version_info", (*python, 0, "final", 0))
    assert not wheel.available()
    assert reason in (wheel.unavailable_reason() or "")


def test_an_absent_package_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setattr(wheel, "_unfit", lambda *_: None)
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CompilerUnavailable, match="pip install --no-deps openmldb==0.9.2"):
        wheel.native_folder()
