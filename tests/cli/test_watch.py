"""What the commands of watching print and return, on a home of their own."""

import datetime as dt
import json

import pytest

from cli import watch
from nightshift import files
from nightshift.errors import ConfigurationError, ContractError
from nightshift.notify import incidents
from nightshift.notify.incidents import Incident
from nightshift.pipeline import Pipeline
from nightshift.registry import pointer
from nightshift.settings import Settings
from testing.receivers import web_server
from testing.releases import put_release
from tests.cli.conftest import run


def code(*words):
    return run(watch.COMMANDS, *words)


def test_a_look_at_a_home_where_nothing_is_wrong(home, capsys, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_DISK_MIN_FREE", "0")
    assert code("watch") == 0
    assert capsys.readouterr().out == "nothing is wrong\n"


def test_what_is_wrong_is_new_once_and_stays_open(home, capsys, monkeypatch):
    home.mkdir()
    monkeypatch.setenv("NIGHTSHIFT_DISK_MIN_FREE", "0.999999")
    assert code("watch") == 1
    first = capsys.readouterr().out
    assert "new     " in first and "nearly full" in first
    assert code("watch") == 1
    second = capsys.readouterr().out
    assert "new     " not in second and "open    " in second


def test_an_old_heartbeat_fails_a_monitors_check(home, capsys):
    with pytest.raises(ContractError):
        code("watch", "--max-age", "60")
    at = dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=100)
    files.write_json(home / "heartbeat.json", {"at": at.strftime("%Y-%m-%dT%H:%M:%SZ")})
    assert code("watch", "--max-age", "3600") == 0
    assert code("watch", "--max-age", "60") == 1
    said = capsys.readouterr()
    assert said.out.endswith(" s old\n")
    assert "is Airflow down?" in said.err


def test_incidents_with_whom_they_were_told(home, capsys, tmp_path, monkeypatch):
    assert code("incidents") == 0
    assert capsys.readouterr().out == "no incident is known\n"
    with web_server() as web:
        targets = tmp_path / "targets"
        targets.write_text(f"json://127.0.0.1:{web.port}/\n")
        monkeypatch.setenv("NIGHTSHIFT_NOTIFY_FILE", str(targets))
        incidents.report(Settings.from_env(), Incident(key="disk:/", title="disk full", text="why"))
        web.status = 500
        incidents.report(Settings.from_env(), Incident(key="k", title="night failed", text="why"))
    assert code("incidents") == 0
    said = capsys.readouterr().out
    assert "disk full" in said and "told 1" in said and "failed 1" in said
    assert code("incidents", "--json") == 0
    assert {one["incident"]["title"] for one in json.loads(capsys.readouterr().out)} == {
        "disk full", "night failed",
    }  # fmt: skip


def test_a_test_message_reaches_each_target_or_says_why_not(home, capsys, tmp_path, monkeypatch):
    targets = tmp_path / "targets"
    monkeypatch.setenv("NIGHTSHIFT_NOTIFY_FILE", str(targets))
    targets.write_text("# none\n")
    with pytest.raises(ConfigurationError, match="no target: NIGHTSHIFT_NOTIFY_FILE"):
        code("notify")
    with web_server() as web:
        targets.write_text(f"disk=json://u:secret@127.0.0.1:{web.port}/\n")
        assert code("notify") == 0
        said = capsys.readouterr().out
        assert "(disk): sent" in said and "secret" not in said
        assert [body["title"] for _, _, body in web.got] == ["Nightshift: a test"]
        web.status = 500
        assert code("notify") == 1
        assert "500" in capsys.readouterr().out


def test_quality_before_anything_was_served(home, capsys):
    assert code("quality") == 0
    assert "the request log holds no recent answer" in capsys.readouterr().out
    assert code("quality", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 0


@pytest.fixture
def releases(home):
    """Two releases, the second live."""
    pipeline = Pipeline.load(Settings.from_env())
    for ds in ("2016-04-09", "2016-04-10"):
        folder = put_release(pipeline.releases, ds)
        pointer.switch_live(pipeline.releases, folder.id, probe=lambda *_: [], promote="force")
    return pipeline


def test_a_canary_that_is_not_there(releases, capsys):
    assert code("canary") == 0
    assert code("canary", "--promote") == 1
    assert code("canary", "--withdraw") == 1
    assert capsys.readouterr().out == "there is no canary\n" * 3


def test_a_release_begins_a_canary_or_one_is_ended_and_not_both(releases):
    with pytest.raises(ConfigurationError, match="RELEASE begins a canary; --promote"):
        code("canary", "2016-04-10.001", "--promote")
    with pytest.raises(SystemExit):
        code("canary", "--promote", "--withdraw")
