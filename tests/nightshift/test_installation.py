"""The installation's id, and homes from before there were pipelines."""

import json
import re
from dataclasses import replace

import pytest

from nightshift import installation as subject
from nightshift.errors import ConfigurationError, ContractError
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


@pytest.fixture
def settings(tmp_path):
    folder = tmp_path / "pipelines" / "ads"
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text("version: 1\n")
    return Settings(home=tmp_path / "home", pipelines=folder.parent, pipeline="ads")


def single(settings, *, days=("2026-03-01", "2026-03-02")):
    """A home as it was when an installation had one pipeline."""
    root = settings.releases_root
    for day in days:
        release = root / f"{day}.001"
        release.mkdir(parents=True)
        (release / "feature_spec.yaml").write_text("version: 1\n")
        (settings.runs_root / day / "0badcafe").mkdir(parents=True)
    (root / "leases").mkdir()
    (root / "history.jsonl").write_text("")
    old = root / f"{days[-1]}.001" / "feature_spec.yaml"
    live = {"release_id": f"{days[-1]}.001", "feature_spec": str(old), "sequence": 2}
    (root / "live.json").write_text(json.dumps(live))


def test_an_id_is_made_once_and_kept(settings, tmp_path):
    made = subject.installation_id(settings)
    assert re.fullmatch("[a-z0-9]{4,16}", made)
    assert subject.installation_id(settings) == made
    other = replace(settings, home=tmp_path / "another")
    assert subject.installation_id(other) != made


def test_a_given_id_is_taken_and_checked(settings):
    assert subject.installation_id(replace(settings, installation="prod01")) == "prod01"
    for wrong in ("abc", "Prod01", "prod-1", "x" * 17):
        with pytest.raises(ConfigurationError, match="4 to 16 letters"):
            subject.installation_id(replace(settings, installation=wrong))


@pytest.mark.parametrize("content", ["[]", "{}", '{"id": 5}', '{"id": "A B"}', "{"])
def test_a_damaged_file_is_not_replaced(settings, content):
    settings.home.mkdir()
    path = settings.home / "installation.json"
    path.write_text(content)
    with pytest.raises(ContractError, match=r"installation\.json"):
        subject.installation_id(settings)
    assert path.read_text() == content


@pytest.mark.parametrize("given", ["", "prod01"])
def test_a_home_of_one_pipeline_becomes_the_default_pipelines(settings, given):
    settings = replace(settings, installation=given)
    single(settings)
    assert subject.releases_of(settings, "ads") == settings.releases_root
    assert subject.releases_of(settings, "shop") == settings.releases_root / "shop"

    subject.installation_id(settings)
    root = settings.releases_root / "ads"
    assert sorted(path.name for path in root.iterdir()) == [
        "2026-03-01.001", "2026-03-02.001", "history.jsonl", "leases", "live.json",
    ]  # fmt: skip
    live = json.loads((root / "live.json").read_text())
    assert live["feature_spec"] == str(root / "2026-03-02.001" / "feature_spec.yaml")
    assert live["sequence"] == 2
    assert (settings.runs_root / "ads" / "2026-03-01" / "0badcafe").is_dir()
    assert subject.releases_of(settings, "ads") == root
    assert not subject.adopt(settings)


def test_a_reader_of_releases_lays_the_home_out(settings):
    single(settings)
    pipeline = Pipeline.load(settings)
    assert (pipeline.store.root / "2026-03-02.001").is_dir()
    assert not (settings.releases_root / "live.json").exists()


def test_an_adoption_that_was_killed_goes_on(settings, monkeypatch):
    for at in range(1, 9):
        case = replace(settings, home=settings.home / str(at))
        single(case)
        real, calls = subject._move, []

        def dying(path, folder, real=real, calls=calls, at=at):
            calls.append(path)
            if len(calls) == at:
                raise KeyboardInterrupt
            return real(path, folder)

        monkeypatch.setattr(subject, "_move", dying)
        try:
            subject.adopt(case)
        except KeyboardInterrupt:
            assert subject.is_single_pipeline_home(case)
        monkeypatch.setattr(subject, "_move", real)
        subject.adopt(case)
        assert not subject.is_single_pipeline_home(case)
        live = json.loads((case.releases_root / "ads" / "live.json").read_text())
        assert live["feature_spec"].startswith(str(case.releases_root / "ads"))
        assert not list(case.runs_root.glob("????-??-??"))


def test_a_home_of_pipelines_is_left_alone(settings):
    live = settings.releases_root / "ads" / "live.json"
    live.parent.mkdir(parents=True)
    live.write_text("{}")
    subject.installation_id(settings)
    assert live.read_text() == "{}"
    assert not (settings.releases_root / "ads" / "ads").exists()
