"""The laptop profile's home: closed to others, on the loopback, with its secrets."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest

from laptop.services import airflow, catalogue, home
from laptop.services.supervisor import Supervisor
from nightshift import credentials
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in (*home.SECRETS, credentials.AIRFLOW_PASSWORD):
        monkeypatch.delenv(f"NIGHTSHIFT_{name.upper()}", raising=False)
    return Settings(home=tmp_path / "home")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_its_owners_alone(settings: Settings) -> None:
    home.secure(settings)
    assert mode(settings.home) == 0o700
    for name in home.SECRETS:
        assert mode(credentials.path(settings, name)) == 0o600


def test_a_home_that_was_open_is_closed(settings: Settings) -> None:
    settings.home.mkdir(mode=0o755)
    (settings.home / "data").mkdir()
    home.secure(settings)
    assert mode(settings.home) == 0o700


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_up_refuses_an_address_that_others_reach(settings: Settings, address: str) -> None:
    changed = dataclasses.replace(settings, bind=address)
    with pytest.raises(ConfigurationError, match="NIGHTSHIFT_BIND"):
        Supervisor(changed, services=[]).up()
    assert not settings.home.exists()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_the_loopback_is_let_be(settings: Settings, address: str) -> None:
    assert home.is_loopback(address)


def test_openmldb_sees_the_data_and_the_runs_alone(settings: Settings) -> None:
    argv = catalogue.openmldb(settings).argv
    roots = [argv[n + 1] for n, word in enumerate(argv) if word == "--root"]
    assert roots == [str(settings.data), str(settings.runs_root)]
    token = credentials.read(settings, credentials.OPENMLDB_TOKEN)
    assert token is not None
    assert token not in " ".join(argv)
    assert argv[argv.index("--token-file") + 1].startswith(str(settings.home))


def test_airflows_password_is_random_and_stays(settings: Settings, tmp_path: Path) -> None:
    first = airflow.password(settings)
    assert first == airflow.password(settings)
    assert first not in ("", "admin")
    assert first != airflow.password(Settings(home=tmp_path / "other"))


def test_airflows_connection_carries_the_token(settings: Settings) -> None:
    assert "password" not in airflow.environment(settings)["AIRFLOW_CONN_OPENMLDB_DEFAULT"]
    home.secure(settings)
    token = credentials.read(settings, credentials.OPENMLDB_TOKEN)
    assert f'"{token}"' in airflow.environment(settings)["AIRFLOW_CONN_OPENMLDB_DEFAULT"]
