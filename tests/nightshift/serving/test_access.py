"""How an installation's own parts ask its predict server."""

from dataclasses import replace

import pytest

from nightshift.errors import ConfigurationError
from nightshift.serving.access import predict_access
from nightshift.settings import Settings


def settings(tmp_path, text):
    path = tmp_path / "tokens"
    path.write_text(text)
    return replace(Settings.from_env({}), predict_token_file=str(path))


def test_a_plain_server_is_asked_without_a_token_and_past_any_proxy():
    assert predict_access(Settings.from_env({})) == {"trust_env": False}


def test_the_first_token_of_the_file_is_sent(tmp_path):
    access = predict_access(settings(tmp_path, "# ours\n\n  first \nsecond\n"))
    assert access["headers"] == {"Authorization": "Bearer first"}


def test_a_file_without_a_token_or_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="tokens holds no token"):
        predict_access(settings(tmp_path, "# none\n"))
    with pytest.raises(ConfigurationError, match=r"/nowhere cannot be read"):
        predict_access(replace(Settings.from_env({}), predict_token_file="/nowhere"))


def test_a_certificate_that_is_none_is_named(tmp_path):
    cert = tmp_path / "cert.pem"
    cert.write_text("no PEM")
    wrong = replace(Settings.from_env({}), predict_tls_cert=str(cert), predict_tls_key=str(cert))
    with pytest.raises(ConfigurationError, match=r"cert\.pem.*holds no PEM certificate"):
        predict_access(wrong)
