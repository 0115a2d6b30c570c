"""Post a request to the predict server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from nightshift.errors import ConfigurationError, ServiceUnavailable
from nightshift.settings import Settings


def post(settings: Settings, body: bytes) -> Any:
    """The server's answer to `POST /predict`, parsed.

    Args:
        settings: where the server is.
        body: JSON: one row as an object, a list of rows, or `{"rows": [...]}`.

    Raises:
        ConfigurationError: the server refused the request; the message names row and field.
        ServiceUnavailable: nobody answered, or it has nothing live to answer with.
    """
    url = f"{settings.predict_url}/predict"
    request = urllib.request.Request(  # noqa: S310 (our own address)
        url, data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        text = f"{url} answered {error.code}: {error.read().decode(errors='replace')}"
        raise (ServiceUnavailable if error.code >= 500 else ConfigurationError)(text) from error
    except OSError as error:
        raise ServiceUnavailable(
            f"no predict server at {url} ({getattr(error, 'reason', error)}); ./nightshift up "
            "starts it"
        ) from error
