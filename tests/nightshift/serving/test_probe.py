"""Asking until the answer is by a release."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature, Tensor
from nightshift.errors import ContractError, ServiceUnavailable
from nightshift.serving import probe

NEW, OLD = "2026-01-02.001", "2026-01-01.001"
READY = (200, {"workers": {}})


@pytest.fixture
def server():
    """Gives its answers in turn, the last one for ever; `asked` are the requests."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            made = self.server.health if self.path.endswith("/health") else self.server.answers
            status, body = made.pop(0) if len(made) > 1 else made[0]
            size = int(self.headers.get("content-length") or 0)
            self.server.asked.append((self.path, json.loads(self.rfile.read(size) or "null")))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *args):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.answers, made.health, made.asked = [(200, {})], [READY], []
    made.url = f"http://127.0.0.1:{made.server_port}"
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def by(release, **more):
    return 200, {"release": release, "predictions": [{"score": 0.5}], **more}


def answers(server, deadline_s=60.0, rows=1):
    return probe.answers_by(server.url, "jd", NEW, [{"a": 1}] * rows, deadline_s=deadline_s)


def test_it_asks_until_the_release_answers(server):
    server.answers = [(503, {}), by(OLD), (404, {}), by(NEW)]
    assert answers(server)["release"] == NEW
    asked = [one for one in server.asked if not one[0].endswith("/health")]
    assert asked == [("/v1/pipelines/jd/predict", {"rows": [{"a": 1}]})] * 4


def test_a_release_that_goes_on_answering_is_an_error_at_the_deadline(server):
    server.answers = [by(OLD)]
    with pytest.raises(ContractError, match=f"did not answer by {NEW}"):
        answers(server, deadline_s=0.0)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_may_be_asked_again_later(server, status):
    server.answers = [(status, {"error": "no_release"})]
    with pytest.raises(ServiceUnavailable, match=f"last: HTTP {status}"):
        answers(server, deadline_s=0.0)


def test_a_refused_request_is_not_asked_again(server):
    server.answers = [(422, {"error": "invalid_rows"})]
    with pytest.raises(ContractError, match="refused a probe.*invalid_rows"):
        answers(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "predictions", [None, [], [{"score": 1.5}], [{"score": None}], [{"score": 0.5}] * 2]
)
def test_an_answer_without_one_probability_a_row_is_none(server, predictions):
    server.answers = [(200, {"release": NEW, "predictions": predictions})]
    with pytest.raises(ContractError, match="probe"):
        answers(server)


def following(*releases, expected=2):
    lines = [{"pid": n, "release": release} for n, release in enumerate(releases)]
    return 200, {"workers": {"following": lines, "expected": expected, "serving": len(lines)}}


def test_every_worker_must_follow(server):
    server.answers = [by(NEW)]
    server.health = [following(NEW, OLD), following(NEW), following(NEW, NEW)]
    assert answers(server)["release"] == NEW
    assert server.health == [following(NEW, NEW)]


def test_a_worker_that_stays_behind_is_named_at_the_deadline(server):
    server.answers, server.health = [by(NEW)], [following(NEW, OLD)]
    with pytest.raises(ContractError, match=f"worker 1: {OLD}"):
        answers(server, deadline_s=0.0)


def test_a_worker_that_is_being_replaced_follows_as_it_starts(server):
    server.answers, server.health = [by(NEW)], [following(NEW)]
    assert answers(server, deadline_s=0.0)["release"] == NEW


def test_nobody_listens(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(ServiceUnavailable, match="no answer"):
        answers(server, deadline_s=0.0)
    with pytest.raises(ServiceUnavailable, match="NIGHTSHIFT_PREDICT_PORT"):
        probe.alive(server.url)


def test_a_server_that_is_not_ready_is_alive(server):
    server.health = [(503, {})]
    probe.alive(server.url)


SIGNATURE = ModelSignature(
    "tensor",
    (Tensor("INPUT_0", "FP32", (2,)),),
    (Tensor("OUTPUT_0", "FP32", (1,), tolerance=1e-3),),
    max_batch_size=8,
)
GOLDEN = Golden(
    {"INPUT_0": np.array([[1, 2], [3, 4]], np.float32)},
    {"OUTPUT_0": np.array([[0.5], [0.25]], np.float32)},
)


def infers(server, data):
    output = {"OUTPUT_0": {"shape": [2, 1], "data": data}}
    server.answers = [(200, {"release": NEW, "outputs": output})]
    return probe.infers_by(server.url, "style", NEW, GOLDEN, SIGNATURE, deadline_s=60.0)


def test_golden_examples_are_asked_and_compared(server):
    assert infers(server, [0.5004, 0.25])["release"] == NEW
    assert server.asked[0] == (
        "/v1/pipelines/style/infer",
        {"inputs": {"INPUT_0": {"shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}}},
    )
    with pytest.raises(ContractError, match="OUTPUT_0"):
        infers(server, [0.6, 0.25])


def test_an_answer_without_outputs_is_none(server):
    server.answers = [(200, {"release": NEW})]
    with pytest.raises(ContractError, match="without outputs"):
        probe.infers_by(server.url, "style", NEW, GOLDEN, SIGNATURE, deadline_s=60.0)


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ({"recommendations": [{"item": 1}], "candidates": 5}, True),
        ({"recommendations": [], "candidates": 0}, True),
        ({"recommendations": [], "candidates": 5}, False),
    ],
)
def test_a_user_gets_an_item_where_there_are_candidates(server, answer, good):
    server.answers = [(200, {"release": NEW, **answer})]
    if good:
        probe.recommends_by(server.url, "jd", NEW, "u1", deadline_s=60.0)
    else:
        with pytest.raises(ContractError, match="without items"):
            probe.recommends_by(server.url, "jd", NEW, "u1", deadline_s=60.0)
