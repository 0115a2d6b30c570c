import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightshift.errors import ContractError
from nightshift.registry import manifest as manifests
from testing.releases import manifest


def test_round_trip(tmp_path):
    path = tmp_path / "manifest.json"
    manifests.write_once(path, manifest())
    assert manifests.load(path) == manifest()


def test_first_model_has_no_champion(tmp_path):
    path = tmp_path / "manifest.json"
    manifests.write_once(path, manifest(champion=None))
    assert manifests.load(path).champion is None


def test_written_once(tmp_path):
    path = tmp_path / "manifest.json"
    manifests.write_once(path, manifest())
    before = path.stat()
    manifests.write_once(path, manifest())
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(ContractError, match="never changes"):
        manifests.write_once(path, manifest(metrics={"auc": 0.9}))
    assert manifests.load(path) == manifest()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"metrics": {"auc": "0.9"}}, "metrics/auc"),
        ({"images": {"train": 3}}, "images/train"),
        ({"code_version": ""}, "code_version"),
    ],
)
def test_schema_names_the_field(tmp_path, change, place):
    with pytest.raises(ContractError, match=f"at {place}"):
        manifests.write_once(tmp_path / "manifest.json", manifest(**change))
    assert not (tmp_path / "manifest.json").exists()


def test_tampered_metric_is_seen(tmp_path):
    path = tmp_path / "manifest.json"
    manifests.write_once(path, manifest())
    value = json.loads(path.read_text())
    value["metrics"]["auc"] = 0.99
    path.write_text(json.dumps(value))
    with pytest.raises(ContractError, match=r"manifest\.json was changed.*restore"):
        manifests.load(path)


@given(data=st.data())
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_truncation_and_every_changed_character_is_seen(tmp_path, data):
    path = tmp_path / "manifest.json"
    path.unlink(missing_ok=True)
    manifests.write_once(path, manifest())
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 3))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        other = data.draw(st.integers(0, 127).filter(lambda c: c != whole[at]))
        path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
        if json_equal(path.read_bytes(), whole):
            return  # white space of the layout
    with pytest.raises(ContractError, match=r"manifest\.json"):
        manifests.load(path)


def json_equal(one, two):
    try:
        return json.loads(one) == json.loads(two)
    except ValueError:
        return False
