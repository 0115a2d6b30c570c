"""An installation that is watched, and who is told."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from nightshift.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


NOW = dt.datetime.now(dt.timezone.utc)


def roomy(_):
    return 100, 50


@pytest.fixture
def settings(tmp_path, web):
    shutil.copytree(ROOT / "pipelines" / "jd", tmp_path / "pipelines" / "jd")
    (tmp_path / "targets").write_text(f"json://127.0.0.1:{web.port}/\n")
    return Settings(
        home=tmp_path, pipelines=tmp_path / "pipelines", notify_file=str(tmp_path / "targets"),
        schedules="on",
    )  # fmt: skip


def titles(web):
    return [body["title"] for _, _, body in web.got if body]
