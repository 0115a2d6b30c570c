"""The blocking client of a real Triton: loads, answers, deaths, servers that are away."""

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
from tritonclient.utils import InferenceServerException

from nightshift import credentials
from nightshift import triton as subject
from nightshift.contract.signature import ModelSignature
from nightshift.errors import ConfigurationError, ContractError, ServiceUnavailable
from nightshift.triton import Golden, TritonControl
from nightshift.triton import repository as model_repository
from nightshift.triton.control import check_scores, triton_error
from testing.serving import wait_until
from tests.nightshift.triton.conftest import publish


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


def refused(status: str, message: str) -> Exception:
    return triton_error(InferenceServerException(msg=message, status=status), "Triton at x: load m")


@pytest.mark.parametrize(
    ("status", "message", "kind", "says"),
    [
        ("StatusCode.UNAVAILABLE", "failed to connect", ServiceUnavailable, "is it up?"),
        ("StatusCode.DEADLINE_EXCEEDED", "Deadline Exceeded", ServiceUnavailable, "is it up?"),
        ("StatusCode.INVALID_ARGUMENT", "shape mismatch", ContractError, "shape mismatch"),
        # A version that is not served has the status of a server that is down.
        ("StatusCode.UNAVAILABLE", "Request for unknown model", ContractError, "unknown model"),
        ("StatusCode.UNAVAILABLE", "This protocol is restricted", ConfigurationError, "secrets/"),
    ],
)
def test_a_failure_says_whether_to_try_again(status, message, kind, says):
    found = refused(status, message)
    assert type(found) is kind
    assert str(found).startswith(f"Triton at x: load m: {message}")
    assert says in str(found)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (None, "3 rows asked, scores of shape none answered"),
        (np.zeros((2, 1)), r"scores of shape \[2, 1\] answered"),
        (np.array([0.5, 1.5, 0.0]), "not a probability"),
        (np.array([0.5, np.nan, 0.0]), "not a probability"),
    ],
)
def test_scores_are_as_many_as_rows_and_probabilities(scores, says):
    with pytest.raises(ContractError, match=f"Triton, m/1: .*{says}"):
        check_scores(scores, 3, "m/1")


def test_scores_of_any_shape_are_flat():
    found = check_scores(np.array([[0.0], [0.25], [1.0]]), 3, "m/1")
    assert (found.dtype, found.tolist()) == (np.float32, [0.0, 0.25, 1.0])


def test_an_output_that_the_model_has_not_is_a_refusal(triton, model, trained):
    publish(triton, model, 20160401001, trained.models[0])
    ids = {"INPUT_0": np.zeros((1, 6), np.int64)}
    with pytest.raises(ContractError, match="OUTPUT_9"):
        triton.control.infer(model, 20160401001, ids, ["OUTPUT_9"])
    with pytest.raises(ContractError, match="no_such_model"):
        triton.control.load("no_such_model")
