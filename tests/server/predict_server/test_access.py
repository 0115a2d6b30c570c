"""Who may ask: bearer tokens and web origins."""

import pytest
from predict_server.access import Origins, Tokens
from predict_server.errors import RequestError
from predict_server.exchange import Exchange

from nightshift.errors import ConfigurationError


def asked(path="/predict", **headers):
    pairs = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    scope = {"method": "POST", "path": path, "query_string": b"", "headers": pairs}
    return Exchange(scope, None, None)


def refused(check, exchange, name="check"):
    with pytest.raises(RequestError) as raised:
        getattr(check, name)(exchange)
    return raised.value.status


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("# of the web shop\nfirst\n\n  second  \n")
    return path


def test_without_a_file_everybody_may_ask():
    Tokens("").check(asked())


@pytest.mark.parametrize("given", ["Bearer first", "bearer second", "BEARER  first "])
def test_a_token_of_the_file_may_ask(file, given):
    Tokens(str(file)).check(asked(authorization=given))


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer third", "first", "Basic first", "Bearer # of the web shop", "Bearer é"]
)  # fmt: skip
def test_anything_else_is_refused(file, given):
    assert refused(Tokens(str(file)), asked(authorization=given)) == 401


def test_whether_the_process_lives_is_no_secret(file):
    tokens = Tokens(str(file))
    tokens.check(asked("/health/live"))
    assert refused(tokens, asked("/health")) == 401


@pytest.mark.parametrize("content", [None, "", "# nothing\n\n"])
def test_a_file_without_a_token_is_a_wrong_setting(tmp_path, content):
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="NIGHTSHIFT_PREDICT_TOKEN_FILE"):
        Tokens(str(path))


def replaced(path, content):
    other = path.with_name("new")
    other.write_text(content)
    other.replace(path)


def test_a_changed_file_is_read_again_and_an_empty_one_changes_nothing(file):
    tokens = Tokens(str(file))
    replaced(file, "third\n")
    tokens.check(asked(authorization="Bearer first"))
    tokens.refresh()
    assert refused(tokens, asked(authorization="Bearer first")) == 401
    tokens.check(asked(authorization="Bearer third"))
    for change in (lambda: replaced(file, "# none\n"), file.unlink):
        change()
        tokens.refresh()
        tokens.check(asked(authorization="Bearer third"))


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        ("", "", True),
        ("", "https://host:1", True),
        ("", "https://other", False),
        ("", "https://host:2", False),
        ("", "null", False),
        ("https://other/, https://more", "https://other", True),
        ("https://other", "http://other", False),
        ("*", "https://any", True),
    ],
)
def test_a_foreign_page_asks_only_where_its_origin_is_allowed(allowed, origin, may):
    headers = {"host": "host:1", **({"origin": origin} if origin else {})}
    exchange = asked(**headers)
    if may:
        Origins(allowed).check(exchange)
    else:
        assert refused(Origins(allowed), exchange) == 403


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8100", "localhost:8100", "LocalHost", "[::1]:8100", "192.0.2.7:8100", "predict:8100",
     "pages.localhost:8100"],
)  # fmt: skip
def test_a_page_of_this_server_may_ask(host):
    Origins("").check(asked(host=host, origin=f"http://{host}"))


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8100", "http://127.0.0.1:9999"),
        # The attacker's name, led to this machine: the browser takes page and server for one.
        ("evil.example:8100", "http://evil.example:8100"),
        ("127.0.0.1.evil.example:8100", "http://127.0.0.1.evil.example:8100"),
        ("localhost.evil.example", "http://localhost.evil.example"),
        ("[evil.example]:8100", "http://[evil.example]:8100"),
        ("evil.example.:8100", "http://evil.example.:8100"),
        ("", "http://"),
        ("", "file://"),
    ],
)
def test_a_foreign_page_may_not_ask_whatever_name_leads_here(host, origin):
    assert refused(Origins("https://shop.example"), asked(host=host, origin=origin)) == 403


@pytest.mark.parametrize(
    ("host", "allowed", "may"),
    [
        ("127.0.0.1:8100", "", True),
        ("[::1]:8100", "", True),
        ("localhost:8100", "", True),
        ("predict:8100", "", True),
        ("", "", True),  # HTTP/1.0; no browser speaks it
        ("predict.shop.example", "https://predict.shop.example", True),
        ("Predict.Shop.Example:8443", "https://predict.shop.example:8443", True),
        ("anything.example", "*", True),
        # A name of the attacker's that leads here: its pages' GETs carry no Origin.
        ("evil.example:8100", "", False),
        ("127.0.0.1.evil.example", "", False),
        ("evil.example", "https://shop.example", False),
        ("shop.example.evil.example", "https://shop.example", False),
    ],
)
def test_a_get_is_answered_under_own_names_only(host, allowed, may):
    exchange = asked("/metrics", **({"host": host} if host else {}))
    if may:
        Origins(allowed).check_host(exchange)
    else:
        assert refused(Origins(allowed), exchange, "check_host") == 403


def test_where_a_token_or_a_certificate_proves_who_asks_any_name_will_do():
    Origins("", proven=True).check_host(asked("/metrics", host="predict.shop.example"))
    Origins("").check_host(asked("/health/live", host="predict.shop.example"))
