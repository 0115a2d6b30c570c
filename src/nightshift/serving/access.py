"""How this installation's own parts ask its predict server: token and certificates."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.settings import Settings


def predict_access(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of httpx that a request to the predict server needs.

    The first token of `NIGHTSHIFT_PREDICT_TOKEN_FILE` is sent, the server's own certificate is
    trusted as an authority, and where clients must show a certificate, the server's is shown.

    Raises:
        ConfigurationError: the file of tokens or a certificate cannot be read.
    """
    options: dict[str, Any] = {"trust_env": False}
    if settings.predict_token_file:
        options["headers"] = {"Authorization": f"Bearer {_token(settings.predict_token_file)}"}
    if settings.predict_tls_cert:
        try:
            context = ssl.create_default_context(cafile=settings.predict_tls_cert)
            if settings.predict_tls_client_ca:
                context.load_cert_chain(settings.predict_tls_cert, settings.predict_tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"NIGHTSHIFT_PREDICT_TLS_CERT: {settings.predict_tls_cert}: {error}"
            ) from error
        options["verify"] = context
    return options


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
