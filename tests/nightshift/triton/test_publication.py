"""Publishing against the real Triton server, with models that `tasks.ctr.train` made."""

import contextlib
import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nightshift import credentials
from nightshift import triton as subject
from nightshift.contract.signature import ModelSignature
from nightshift.errors import ContractError, ServiceUnavailable
from nightshift.triton import Golden, TritonControl
from nightshift.triton import repository as model_repository
from testing.serving import golden_rows, spoil, wait_until


@pytest.fixture
def model(triton):
    """A model's name; what the test left of it is unloaded."""
    name = triton.new_model()
    yield name
    triton.control.unload(name)


def publish(server, model, version, folder):
    return subject.publish(server.control, server.repo, model, version, folder)


def snapshot(server, model):
    path = model_repository.config_path(server.repo, model)
    config = path.read_text() if path.exists() else None
    return config, model_repository.versions(server.repo, model)


def scores(server, model, version, golden):
    return server.control.score(model, version, {"INPUT_0": np.array(golden.ids)})


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


def test_many_rows_are_scored_in_order(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    golden = trained.golden(0)
    rounds = 25_000 // len(golden.ids)
    answered = triton.control.score(model, 20160401001, {"INPUT_0": np.array(golden.ids * rounds)})
    np.testing.assert_allclose(answered, golden.scores * rounds, atol=1e-5)
    empty = {"INPUT_0": np.empty((0, 6), np.int64)}
    assert triton.control.score(model, 20160401001, empty).shape == (0,)


def test_requests_that_wait_share_a_batch_and_each_gets_its_own_rows(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    golden = trained.golden(0)
    got = {}

    def ask(row):
        for _ in range(20):
            got[row] = triton.control.score(
                model, 20160401001, {"INPUT_0": np.array([golden.ids[row]])}
            )[0]

    clients = [threading.Thread(target=ask, args=(row,)) for row in range(len(golden.ids))]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    for row, score in enumerate(golden.scores):
        assert got[row] == pytest.approx(score, abs=1e-5)


def test_a_dead_model_process_is_found_and_revived(triton, model, trained):
    others = set(triton.stubs())
    publish(triton, model, 20160401001, trained.models[0])
    # The rehearsal's process ends a while after its unload was answered.
    wait_until(lambda: len(set(triton.stubs()) - others) == 1, "one process serves the version")
    (stub,) = set(triton.stubs()) - others
    os.kill(stub, signal.SIGKILL)
    time.sleep(0.2)
    assert subject.revive(triton.control, triton.repo, model) == [20160401001]
    assert subject.revive(triton.control, triton.repo, model) == []
    trained.check(triton.control, model, 20160401001, 0)


def test_wrong_golden_scores_name_the_row(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    signature = ModelSignature.load(trained.models[0])
    golden = Golden.load(trained.models[0], signature)
    moved = golden.outputs["OUTPUT_0"].copy()
    moved[2] += 2e-5
    wrong = Golden(golden.inputs, {"OUTPUT_0": moved})
    where = re.escape(f"{model}/20160401001: OUTPUT_0 of golden example 2 is")
    with pytest.raises(ContractError, match=where):
        triton.control.check_golden(model, 20160401001, wrong, signature)


def test_triton_refuses_rows_of_another_width(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    with pytest.raises(ContractError, match=r"\[1,2\]"):
        triton.control.score(model, 20160401001, {"INPUT_0": np.zeros((1, 2), np.int64)})


def test_a_server_that_is_not_there_is_worth_another_try(tmp_path, free_port, trained):
    with TritonControl(f"127.0.0.1:{free_port}", timeout_s=2) as control:
        assert not control.live()
        with pytest.raises(ServiceUnavailable, match="NIGHTSHIFT_TRITON_GRPC_PORT"):
            control.index()
        with pytest.raises(ServiceUnavailable):
            subject.publish(control, tmp_path, "deepfm", 20160401001, trained.models[0])
    assert model_repository.versions(tmp_path, "deepfm") == []
    assert not model_repository.config_path(tmp_path, "deepfm").exists()


def relay(one: socket.socket, other: socket.socket) -> None:
    """Hand on what comes from `one`, until either side ends."""
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)


def versions_of(control: TritonControl) -> set[tuple[str, int | None]]:
    return {(state.model, state.version) for state in control.index()}


def test_a_server_on_a_busy_machine_may_take_its_time_to_connect(triton):
    """The connection is accepted at once, and the server's first word comes half a second later."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            time.sleep(0.5)
            server = socket.create_connection(("127.0.0.1", triton.settings.triton_grpc_port))
            with client, server, ThreadPoolExecutor(2) as pool:
                back = pool.submit(relay, server, client)
                relay(client, server)
                server.shutdown(socket.SHUT_RDWR)
                back.result(180)

        thread = threading.Thread(target=serve)
        thread.start()
        with TritonControl(
            f"127.0.0.1:{listener.getsockname()[1]}",
            headers=credentials.triton_headers(triton.settings),
        ) as control:
            # States may change between two looks.
            assert versions_of(control) == versions_of(triton.control)
        thread.join(180)
