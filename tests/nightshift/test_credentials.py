"""Secrets: made once, read by their owner alone, never sent where there is none."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from nightshift import credentials
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings

NAME = credentials.OPENMLDB_TOKEN


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in (NAME, credentials.TRITON_KEY, credentials.AIRFLOW_PASSWORD):
        monkeypatch.delenv(f"NIGHTSHIFT_{name.upper()}", raising=False)
    return Settings(home=tmp_path / "home")


def test_without_a_secret_nothing_is_sent(settings: Settings) -> None:
    assert credentials.read(settings, NAME) is None
    assert credentials.openmldb_headers(settings) == {}
    assert credentials.triton_headers(settings) == {}
    assert not settings.home.exists()


def test_a_secret_is_made_once_and_is_its_owners_alone(settings: Settings) -> None:
    old = os.umask(0)
    try:
        made = credentials.ensure(settings, NAME)
    finally:
        os.umask(old)
    file = credentials.path(settings, NAME)
    assert len(made) >= 32
    assert credentials.ensure(settings, NAME) == credentials.read(settings, NAME) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [p.name for p in file.parent.iterdir()] == [NAME]
    assert credentials.openmldb_headers(settings) == {"Authorization": f"Bearer {made}"}


def test_two_homes_have_two_secrets(settings: Settings, tmp_path: Path) -> None:
    other = Settings(home=tmp_path / "other")
    assert credentials.ensure(settings, NAME) != credentials.ensure(other, NAME)


def test_callers_at_once_get_the_same(settings: Settings) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(credentials.ensure(settings, NAME)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1


def test_a_variable_goes_before_the_file_and_the_servers_file_follows_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials.ensure(settings, NAME)
    monkeypatch.setenv("NIGHTSHIFT_OPENMLDB_TOKEN", "chosen")
    assert credentials.read(settings, NAME) == "chosen"
    assert credentials.ensure(settings, NAME) == "chosen"
    monkeypatch.delenv("NIGHTSHIFT_OPENMLDB_TOKEN")
    assert credentials.read(settings, NAME) == "chosen"


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_others_may_read_is_refused(settings: Settings, mode: int) -> None:
    credentials.ensure(settings, NAME)
    credentials.path(settings, NAME).chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        credentials.read(settings, NAME)


@pytest.mark.parametrize("content", ["", "two words", "a\nb", "\x00", "é", "x" * 2000])
def test_what_is_no_word_is_refused(settings: Settings, content: str) -> None:
    credentials.ensure(settings, NAME)
    credentials.path(settings, NAME).write_text(content)
    with pytest.raises(ConfigurationError, match="one word"):
        credentials.read(settings, NAME)
