"""How this installation's own parts ask its predict server: token and certificates."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.settings import Settings


def predict_access(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of httpx that a request to the predict server needs.

    The first token of `NIGHTSHIFT_PREDICT_TOKEN_FILE` is sent. Of certificates the server's own is
    trusted and no other, under whatever name the server is asked (`predict` in Compose, which no
    public certificate names). Where clients must show a certificate, the server's is shown.

    Raises:
        ConfigurationError: the file of tokens or a certificate cannot be read.
    """
    options: dict[str, Any] = {"trust_env": False}
    if settings.predict_token_file:
        options["headers"] = {"Authorization": f"Bearer {_token(settings.predict_token_file)}"}
    context = predict_tls(settings)
    if context is not None:
        options["verify"] = context
    return options


def predict_tls(settings: Settings) -> ssl.SSLContext | None:
    """What a client of the predict server needs for TLS; None where it speaks plain HTTP.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """
    if not settings.predict_tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # The one leaf is the anchor, without its issuer.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=_leaf(settings.predict_tls_cert))
        if settings.predict_tls_client_ca:
            context.load_cert_chain(settings.predict_tls_cert, settings.predict_tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"NIGHTSHIFT_PREDICT_TLS_CERT: {settings.predict_tls_cert}: {error}"
        ) from error
    return context


def _leaf(path: str) -> str:
    """The first certificate of a chain, as PEM."""
    text = Path(path).read_text(encoding="ascii", errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    if begin not in text or end not in text:
        raise ssl.SSLError("it holds no PEM certificate")
    return text[text.index(begin) : text.index(end) + len(end)]


def _token(path: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"NIGHTSHIFT_PREDICT_TOKEN_FILE: {path} cannot be read: {error}"
        ) from error
    words = [line.strip() for line in lines]
    found = [word for word in words if word and not word.startswith("#")]
    if not found:
        raise ConfigurationError(f"NIGHTSHIFT_PREDICT_TOKEN_FILE: {path} holds no token")
    return found[0]
