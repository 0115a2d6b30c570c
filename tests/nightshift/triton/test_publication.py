"""Publishing against the real Triton server, with models that `tasks.ctr.train` made."""

import threading

import numpy as np
import pytest

from nightshift import triton as subject
from nightshift.errors import ContractError
from nightshift.triton import TritonControl
from nightshift.triton import repository as model_repository
from testing.serving import golden_rows, spoil, wait_until
from tests.nightshift.triton.conftest import publish, scores


def snapshot(server, model):
    path = model_repository.config_path(server.repo, model)
    config = path.read_text() if path.exists() else None
    return config, model_repository.versions(server.repo, model)


def test_a_published_version_answers_what_training_wrote(triton, model, trained):
    golden = trained.golden(0)
    done = publish(triton, model, 20160401001, trained.models[0])
    assert done.pinned == (20160401001,)
    assert done.golden_rows == len(golden.ids)
    assert done.largest_difference <= golden.tolerance
    answered = scores(triton, model, 20160401001, golden)
    assert answered.dtype == np.float32
    np.testing.assert_allclose(answered, golden.scores, atol=1e-5)
    assert triton.control.ready(model, 20160401001)
    assert not triton.control.ready(model, 20160401002)
    # Where it was tried alone, nothing is left.
    assert not list(triton.repo.glob(f"{model}-*"))
    wait_until(
        lambda: not triton.control.ready(f"{model}-candidate", 20160401001), "it is unloaded"
    )


def test_a_load_beside_a_damaged_version_is_not_tried(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    spoil(model_repository.version_folder(triton.repo, model, 20160401001), "no vocabulary")
    with pytest.raises(ContractError, match="not as it was published"):
        publish(triton, model, 20160402001, trained.models[1])
    # What is in memory serves on, and the new version's folder went again.
    trained.check(triton.control, model, 20160401001, 0)
    assert model_repository.versions(triton.repo, model) == [20160401001]


def test_a_second_version_serves_beside_the_first(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    done = publish(triton, model, 20160402001, trained.models[1])
    assert done.pinned == (20160401001, 20160402001)
    for version, which in ((20160401001, 0), (20160402001, 1)):
        golden = trained.golden(which)
        np.testing.assert_allclose(scores(triton, model, version, golden), golden.scores, atol=1e-5)
    states = {s.version: s.state for s in triton.control.index() if s.model == model}
    assert states == {20160401001: "READY", 20160402001: "READY"}


def test_a_version_of_another_width_serves_beside_the_first(triton, model, trained):
    publish(triton, model, 20160401001, trained.narrow)
    publish(triton, model, 20160402001, trained.models[0])
    for version, folder in ((20160401001, trained.narrow), (20160402001, trained.models[0])):
        golden = golden_rows(folder)
        np.testing.assert_allclose(scores(triton, model, version, golden), golden.scores, atol=1e-5)
    assert len(golden_rows(trained.narrow).ids[0]) == 2
    with pytest.raises(ContractError, match="the model wants|is expected"):
        scores(triton, model, 20160401001, trained.golden(0))


def test_publishing_again_changes_nothing(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    before = snapshot(triton, model)
    publish(triton, model, 20160401001, trained.models[0])
    assert snapshot(triton, model) == before


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("cut parameters", "numbers"),
        ("no vocabulary", "vocabulary"),
        ("other weights", "golden example"),
        ("not a number", "not finite"),
        ("fewer fields", "the model wants|is expected"),
    ],
)
def test_a_broken_model_is_not_published_and_the_old_one_serves(
    triton, model, trained, tmp_path, how, says
):
    publish(triton, model, 20160401001, trained.models[0])
    before = snapshot(triton, model)
    broken = spoil(trained.copy(1, tmp_path / "broken"), how)
    with pytest.raises(ContractError, match=f"(?s)20160402001 is not published.*{says}"):
        publish(triton, model, 20160402001, broken)
    assert snapshot(triton, model) == before
    golden = trained.golden(0)
    np.testing.assert_allclose(scores(triton, model, 20160401001, golden), golden.scores, atol=1e-5)
    with pytest.raises(ContractError, match="unknown model|not at ready"):
        wait_until(
            lambda: not triton.control.ready(model, 20160402001), "the broken one is unloaded"
        )
        scores(triton, model, 20160402001, golden)


def test_a_first_version_that_is_broken_leaves_no_trace(triton, model, trained, tmp_path):
    broken = spoil(trained.copy(0, tmp_path / "broken"), "no vocabulary")
    with pytest.raises(ContractError, match="not published"):
        publish(triton, model, 20160401001, broken)
    assert snapshot(triton, model) == (None, [])
    publish(triton, model, 20160401002, trained.models[0])


def test_pins_are_changed_as_a_whole_or_not_at_all(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    publish(triton, model, 20160402001, trained.models[1])

    def pin(versions):
        return subject.pin(triton.control, triton.repo, model, versions)

    assert pin([20160402001]) == (20160402001,)
    wait_until(lambda: not triton.control.ready(model, 20160401001), "the first is unloaded")
    before = snapshot(triton, model)
    with pytest.raises(ContractError, match="20160403001"):
        pin([20160402001, 20160403001])
    assert snapshot(triton, model) == before
    assert pin([20160401001, 20160402001]) == (20160401001, 20160402001)
    assert triton.control.ready(model, 20160401001)


def test_no_request_fails_while_versions_come_and_go(triton, model, trained, tmp_path):
    publish(triton, model, 20160401001, trained.models[0])
    golden = trained.golden(0)
    broken = spoil(trained.copy(1, tmp_path / "broken"), "no vocabulary")
    stop, failures, answered = threading.Event(), [], []

    def ask():
        with TritonControl.of(triton.settings) as control:
            while not stop.is_set():
                answered.append(difference(control))

    def difference(control):
        try:
            got = control.score(model, 20160401001, {"INPUT_0": np.array(golden.ids)})
        except Exception as error:
            failures.append(error)
            return 0.0
        return float(np.abs(got - np.array(golden.scores)).max())

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        publish(triton, model, 20160402001, trained.models[1])
        with pytest.raises(ContractError):
            publish(triton, model, 20160403001, broken)
        subject.pin(triton.control, triton.repo, model, [20160401001])
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert failures == []
    assert len(answered) > 10
    assert max(answered) <= golden.tolerance
