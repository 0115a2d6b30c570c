"""What strangers send: refused in words, never a fault, and never sent on."""

import dataclasses
import json
import subprocess

import httpx
import pytest

from laptop.services import catalogue
from nightshift.errors import ConfigurationError
from nightshift.serving.access import predict_access
from testing.serving import wait_until
from tests.server.predict_server.conftest import launch, own_settings, row

DEEP = "[" * 3000 + "]" * 3000


def body(**changes):
    """A row's JSON with some values as they are written."""
    made = {name: json.dumps(value) for name, value in row(1).items()} | changes
    return "{" + ",".join(f'"{name}":{text}' for name, text in made.items()) + "}"


@pytest.mark.parametrize(
    "content",
    [
        body(user='"\\ud800"'),
        body(reqId='"x\\udfffy"'),
        body(ratio="1" + "0" * 400),
        body(ratio="-1" + "0" * 400),
        body(ratio="1e400"),
        body(rate="1e39"),
        body(small="32768"),
        body(small="-32769"),
        body(seen="2147483648"),
        body(big=str(2**63)),
        body(eventTime=str(2**63)),
        body(day='"0000-00-00"'),
        body(day='"1800-01-01"'),
        body(user=DEEP),
        body(user='{"a":' * 500 + "1" + "}" * 500),
        body(user='"a","user":"b"'),
        body(user='"' + "x" * 1_000_000 + '","user":1'),
        '{"rows":[' + body() + "," + body(small='"' + "y" * 100_000 + '"') + "]}",
        body(**{"\\ud800" + "k" * 10_000: "1"}),
        body(**{f"f{n}": "1" for n in range(20_000)}),
        '{"user":{"\\ud800":1},"candidates":[{"\\ud800":2}]}',
        '{"\\ud800":1,"candidates":[{}]}',
    ],
)
def test_hostile_rows_are_422_and_their_answers_short(live_first, content):
    before = live_first.metric("nightshift_predict_stage_seconds_count", stage="features")
    for path in ("/predict", "/rank"):
        answer = live_first.http.post(path, content=content.encode())
        assert answer.status_code == 422, answer.text[:500]
        assert len(answer.content) < 20_000
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    after = live_first.metric("nightshift_predict_stage_seconds_count", stage="features")
    assert after == before, "none of it was sent on to OpenMLDB"


def test_a_hostile_row_fails_alone_among_the_rows_that_arrive_with_it(live_first):
    import concurrent.futures

    def ask(number):
        content = body(small="99999") if number % 3 == 0 else json.dumps(row(number))
        return live_first.http.post("/predict", content=content).status_code

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        found = list(pool.map(ask, range(60)))
    assert found == [422 if number % 3 == 0 else 200 for number in range(60)]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("POST", "/health", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/v1/pipelines/nobody/predict", 404),
        ("POST", "/v1/pipelines/../predict", 404),
        ("POST", "/v1/pipelines/%ff%fe/predict", 404),
        ("GET", "/docs/assets/..%2f..%2fapp.py", 404),
        ("POST", "/v1/pipelines/" + "x" * 5000 + "/predict", 404),
    ],
)
def test_paths_that_are_not_there_are_said_to_be_so(live_first, method, path, status):
    answer = live_first.http.request(method, path)
    assert answer.status_code == status
    assert len(answer.content) < 1000
    assert answer.json()["error"]


def test_a_request_id_is_kept_if_it_is_one_and_made_if_not(live_first):
    def ask(value):
        given = {"X-Request-Id": value}
        return live_first.http.post("/predict", json=row(1), headers=given).headers["x-request-id"]

    assert ask("trace-42.a:b/c") == "trace-42.a:b/c"
    assert ask("a b") != "a b"
    assert ask("x" * 500) != "x" * 500
    assert ask("") != ask("")


def test_a_deadline_of_the_client_is_kept(live_first):
    def ask(seconds):
        return live_first.http.post(
            "/predict", json=[row(n) for n in range(900)], headers={"X-Request-Timeout": seconds}
        )

    late = ask("0.001")
    assert (late.status_code, late.json()["error"]) == (504, "deadline")
    assert ask("30").status_code == 200
    for wrong in ("soon", "-1", "0", "nan"):
        assert ask(wrong).status_code == 422


def test_a_foreign_page_may_not_ask_and_cors_is_off(live_first):
    def ask(origin):
        return live_first.http.post("/predict", json=row(1), headers={"Origin": origin})

    assert ask("https://evil.example").status_code == 403
    own = live_first.settings.predict_url
    answer = ask(own)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_under_a_name_that_leads_here_reads_nothing(live_first):
    def read(path, host):
        return live_first.http.get(path, headers={"Host": host})

    for path in ("/metrics", "/schema", "/health", "/v1/pipelines", "/docs", "/openapi.json"):
        answer = read(path, "evil.example:8100")
        assert (answer.status_code, answer.json()["error"]) == (403, "foreign_host")
        assert read(path, "localhost:8100").status_code == 200
    assert read("/health/live", "evil.example").status_code == 200


def test_docs_need_no_internet(live_first):
    page = live_first.http.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text and "https://" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert name in page.text
        assert len(live_first.http.get(f"/docs/assets/{name}").content) > 10_000


def test_metrics_can_be_written_whatever_a_pointer_holds(house, live_first):
    strange = house.pairs[1].__class__("r\ud800" + "x" * 5000, "shop_b", house.pairs[1].version)
    path = live_first.settings.releases_root / "jd" / "live.json"
    path.write_text(json.dumps(dataclasses.asdict(house.pointer(strange))))
    try:
        live_first.http.post("/predict", json=row(1))
        text = live_first.http.get("/metrics")
        assert text.status_code == 200
        assert "nightshift_predict_live_release_info" in text.text
        assert live_first.http.get("/health").status_code == 200
    finally:
        house.switch(house.pairs[0])
    wait_until(lambda: live_first.ask(row(1))["release"] == "r1", "the old release is back")


@pytest.fixture
def guarded(house, tmp_path):
    """A server that asks for a token and lets one web page ask."""
    tokens = tmp_path / "tokens"
    tokens.write_text("# the shop's\nfirst-token\n")
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    settings = own_settings(
        house,
        tmp_path,
        predict_token_file=str(tokens),
        predict_cors_origins="https://shop.example",
    )
    started = launch(settings)
    yield started, tokens
    started.http.close()
    started.server.stop()


def test_a_token_is_asked_for_and_can_be_changed(guarded):
    server, tokens = guarded

    def ask(token=None, path="/predict"):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return server.http.post(path, json=row(1), headers=headers)

    refused = ask()
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert ask("another").status_code == 401
    assert ask("# the shop's").status_code == 401
    assert server.http.get("/metrics").status_code == 401
    assert server.http.get("/health/live").status_code == 200
    assert ask("first-token").status_code == 200
    tokens.write_text("second-token\nthird-token\n")
    wait_until(lambda: ask("third-token").status_code == 200, "the new tokens are taken")
    assert ask("first-token").status_code == 401
    answer = server.http.post(
        "/predict",
        json=row(1),
        headers={"Authorization": "Bearer second-token", "Origin": "https://shop.example"},
    )
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def certificate(folder, name, issuer=None):
    """A certificate and its key: self-signed, or signed by another."""
    made = folder / f"{name}.pem", folder / f"{name}.key"
    signed = () if issuer is None else ("-CA", str(issuer[0]), "-CAkey", str(issuer[1]))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         *signed, "-keyout", str(made[1]), "-out", str(made[0])],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


@pytest.fixture
def certified(house, tmp_path):
    """A server that speaks HTTPS only and asks for a token."""
    cert, key = certificate(tmp_path, "predict.example")
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token\n")
    house.switch(house.pairs[0], tmp_path / "releases" / "jd")
    settings = own_settings(
        house,
        tmp_path,
        predict_token_file=str(tokens),
        predict_tls_cert=str(cert),
        predict_tls_key=str(key),
    )
    started = launch(settings, verify=predict_access(settings)["verify"])
    yield started
    started.http.close()
    started.server.stop()


def test_https_is_spoken_to_own_parts_and_to_nobody_who_takes_another_certificate(
    certified, tmp_path
):
    settings = certified.settings
    url = f"{settings.predict_url}/predict"
    # What the night's probe and ./nightshift predict send, under whatever name.
    access = predict_access(settings)
    assert httpx.post(url, json=row(1), timeout=30, **access).status_code == 200
    (service,) = [s for s in catalogue.services(settings) if s.name == "predict"]
    assert service.not_ready(settings, 0.0) is None
    # Plain HTTP, public authorities and another certificate of the same name get nothing.
    with pytest.raises(httpx.TransportError):
        httpx.post(url.replace("https:", "http:"), json=row(1), trust_env=False)
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        httpx.post(url, json=row(1), trust_env=False)
    (tmp_path / "other").mkdir()
    cert, key = certificate(tmp_path / "other", "predict.example")
    stranger = dataclasses.replace(settings, predict_tls_cert=str(cert), predict_tls_key=str(key))
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        httpx.post(url, json=row(1), **predict_access(stranger))
    (tmp_path / "none.pem").write_text("no certificate")
    broken = dataclasses.replace(settings, predict_tls_cert=str(tmp_path / "none.pem"))
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        predict_access(broken)
