"""Who may ask: SQL here reads and writes files, so no web page and no other user may send it.

A browser sends a page's request with an `Origin`, or in one of the content types that need no
permission, or, where a name of the attacker's leads to this address, with that name as `Host`.
The token keeps out other users of the machine. `GET /health` needs none.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from openmldb_embedded.errors import ProtocolError

_LOOPBACK = "localhost"


_SCRIPT_DEFAULT = "application/x-www-form-urlencoded"


class Forbidden(Exception):
    """A request that is answered without being looked into.

    Attributes:
        status: of HTTP; the API server's own answers are all 200.
        body: JSON as any other answer's.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"code": -1, "msg": message}).encode()


class Guard:
    """Judges a request's head.

    Args:
        host: the address that the server listens on.
        names: further names by which clients may call it.
        token: what a request must carry, if anything.
    """

    def __init__(
        self, host: str = "127.0.0.1", names: Iterable[str] = (), token: str | None = None
    ) -> None:
        self._host = host.lower()
        self._any = _is_unspecified(self._host)
        self._names = {_LOOPBACK, self._host, *(name.lower() for name in names)}
        self._token = None if token is None else token.encode()
        # Without a token small scripts are let in whose HTTP library names its own default type.
        # A web page that posts such a form says so by Origin or Sec-Fetch-Site.
        self._kinds = {"application/json"} if token else {"application/json", _SCRIPT_DEFAULT}

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Return if the request may go on; `headers` have names in lower case.

        Raises:
            Forbidden: it may not.
        """
        if "origin" in headers:
            raise Forbidden(403, "requests of web pages (with an Origin) are refused")
        host = headers.get("host")
        if host is not None and not self._knows(host):
            raise Forbidden(
                403, f"this server is not called {host[:100]!r}; start it with --name to allow it"
            )
        if method in ("POST", "PUT", "PATCH"):
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in self._kinds or "sec-fetch-site" in headers:
                raise Forbidden(415, "the request must have Content-Type: application/json")
        if self._token is not None and path != "/health" and not self._carries_it(headers):
            raise Forbidden(
                401, "the request lacks this server's token (Authorization: Bearer <token>)"
            )

    def _knows(self, host: str) -> bool:
        name = host.rpartition(":")[0] if _has_port(host) else host
        name = name.strip("[]").lower().removesuffix(".")
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any or address.is_loopback

    def _carries_it(self, headers: Mapping[str, str]) -> bool:
        assert self._token is not None
        kind, _, value = headers.get("authorization", "").partition(" ")
        given = value.strip().encode("latin-1", "replace")
        if kind.lower() == "basic":
            # As the password, for clients that know nothing else.
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given, self._token)


def joined(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; of one that stands twice all values, so that none hides another."""
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def read_token(path: Path) -> str:
    """The token that a file holds.

    Raises:
        ProtocolError: it cannot be read, holds none, or others than its owner may read it.
    """
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the token file {path} cannot be read: {error}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ProtocolError(f"others may read the token file {path}: chmod 600 it")
    if not token or any(c.isspace() for c in token):
        raise ProtocolError(f"the token file {path} must hold one word")
    return token


def _has_port(host: str) -> bool:
    head, colon, port = host.rpartition(":")
    return bool(colon) and port.isdigit() and (not head.count(":") or head.endswith("]"))


def _is_unspecified(host: str) -> bool:
    try:
        return host == "" or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
