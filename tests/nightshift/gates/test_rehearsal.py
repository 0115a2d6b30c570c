"""What a rehearsal says of a candidate that is slow or answers wrongly.

A candidate beside a live release on real servers is in `tests/nightshift/release/`.
"""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from nightshift import files
from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature, Tensor
from nightshift.errors import ContractError, OpenMLDBError
from nightshift.gates import rehearsal
from nightshift.night import Servers
from nightshift.registry.store import ReleaseStore
from nightshift.serving import pair
from testing.releases import put_release

SIGNATURE = ModelSignature(
    "tensor", (Tensor("IN", "FP32", (2,)),), (Tensor("OUT", "FP32", (1,)),), max_batch_size=8
)
GATES = {"requests": 6, "latency": {"max_ratio": 3.0, "level": "fail"}}
LIVE, NEW = "2016-04-09.001", "2016-04-10.001"


class Triton:
    """A Triton whose models take their time; the only way to a model that is slow on purpose."""

    def __init__(self):
        self.asked = []
        self.seconds = {}
        self.shape = (1, 1)

    def infer(self, model, version, inputs, outputs):
        self.asked.append((version, inputs["IN"].tolist(), outputs))
        time.sleep(self.seconds.get(version, 0))
        return {"OUT": np.zeros(self.shape, np.float32)}


@pytest.fixture
def triton():
    return Triton()


@pytest.fixture
def night(tmp_path, monkeypatch, triton):
    """A night with a live release and a candidate, both of them loaded."""
    for ds in ("2016-04-09", "2016-04-10"):
        folder = put_release(tmp_path, ds, features=None, pipeline="style")
        files.write_json(folder.model / "signature.json", SIGNATURE.to_json())
        Golden(
            {"IN": np.arange(6, dtype=np.float32).reshape(3, 2)},
            {"OUT": np.zeros((3, 1), np.float32)},
        ).save(folder.model)
    published = SimpleNamespace(load_s=0.5, golden_rows=3, largest_difference=0.0)
    monkeypatch.setattr(pair, "make", lambda *_: (False, published))
    monkeypatch.setattr(pair, "problems", lambda *_: [])
    store = ReleaseStore(tmp_path)
    return SimpleNamespace(folder=store.folder, pipeline=None, requests=lambda count: None)


def judged(night, triton, release=NEW, live=LIVE, **gates):
    servers = Servers(openmldb=None, triton=triton)
    return rehearsal.rehearse(servers, night, release, {**GATES, **gates}, live)


def version(release):
    return int(release.replace("-", "").replace(".", ""))


def test_both_are_asked_one_example_after_the_other(night, triton):
    # Long beside what a busy machine adds to either.
    triton.seconds = {version(NEW): 0.02, version(LIVE): 0.02}
    found = judged(night, triton)
    assert (found["status"], found["failures"]) == ("pass", [])
    assert found["candidate"]["requests"] == found["live"]["requests"] == 6
    asked = [rows for at, rows, _ in triton.asked if at == version(NEW)]
    # The first call warms up; the golden examples are taken in turn.
    assert asked[1:] == [[[0.0, 1.0]], [[2.0, 3.0]], [[4.0, 5.0]]] * 2
    assert {tuple(names) for _, _, names in triton.asked} == {("OUT",)}
    assert found["candidate"]["p50_ms"] <= found["candidate"]["p95_ms"]


def test_a_candidate_that_is_much_slower_fails_or_warns(night, triton):
    triton.seconds = {version(NEW): 0.05, version(LIVE): 0.001}
    found = judged(night, triton)
    assert found["status"] == "fail"
    (text,) = found["failures"]
    assert f"of the live release {LIVE}; at most 3 times" in text
    found = judged(night, triton, latency={"max_ratio": 3.0, "level": "warn"})
    assert (found["status"], found["failures"]) == ("warn", [])
    triton.seconds = {version(NEW): 0.05, version(LIVE): 0.05}
    assert judged(night, triton)["status"] == "pass"


def test_a_first_release_and_one_that_is_live_are_compared_with_none(night, triton):
    for live in (None, NEW):
        found = judged(night, triton, live=live)
        assert (found["status"], found["live"]) == ("pass", None)
        assert {at for at, _, _ in triton.asked} == {version(NEW)}


def test_an_output_that_does_not_fit_the_signature_fails_the_pair(night, triton):
    triton.shape = (1, 2)
    found = judged(night, triton)
    assert found["status"] == "fail"
    assert "OUT has the shape [1, 2]" in found["failures"][0]


def test_a_live_release_that_does_not_answer_is_no_fault_of_the_candidate(night, triton):
    whole = triton.infer

    def infer(model, at, *rest):
        if at == version(LIVE):
            raise ContractError("the model is not loaded")
        return whole(model, at, *rest)

    triton.infer = infer
    found = judged(night, triton)
    assert (found["status"], found["failures"]) == ("warn", [])
    assert (
        f"the live release {LIVE} did not answer: the model is not loaded" in found["warnings"][0]
    )


def test_what_keeps_it_from_being_deployed_is_in_the_report(night, triton, monkeypatch):
    def refuse(*_):
        raise OpenMLDBError("DEPLOY is refused", code=1000)

    monkeypatch.setattr(pair, "make", refuse)
    found = judged(night, triton)
    assert found["status"] == "fail" and "DEPLOY is refused" in found["failures"][0]
    monkeypatch.setattr(pair, "make", lambda *_: (True, SimpleNamespace(
        load_s=0.1, golden_rows=3, largest_difference=0.0)))  # fmt: skip
    monkeypatch.setattr(pair, "problems", lambda *_: ["the deployment is another query's"])
    found = judged(night, triton)
    assert found["failures"] == ["the deployment is another query's"]
    assert triton.asked == []


def test_there_must_be_a_candidate(night):
    with pytest.raises(ValueError, match="needs a candidate"):
        rehearsal.check(night, None)
