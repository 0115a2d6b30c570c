"""Who may ask: bearer tokens, and which web pages."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from pathlib import Path

from nightshift.errors import ConfigurationError
from predict_server.errors import RequestError
from predict_server.exchange import Exchange
from predict_server.payload import printable

OPEN_PATHS = frozenset({"/health/live"})
"""Answered without a token: whether the process lives is not a secret."""


class Tokens:
    """The bearer tokens of a file, one a line; a changed file is read again.

    Args:
        path: the file; empty: everybody may ask.

    Raises:
        ConfigurationError: the file is not there, or holds no token.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._stamp: tuple[int, int] | None = None
        self._digests: tuple[bytes, ...] = ()
        if self._path is not None:
            try:
                self._read(self._path)
            except OSError as error:
                raise ConfigurationError(
                    f"NIGHTSHIFT_PREDICT_TOKEN_FILE: {path} cannot be read: {error.strerror}"
                ) from error
            if not self._digests:
                raise ConfigurationError(
                    f"NIGHTSHIFT_PREDICT_TOKEN_FILE: {path} holds no token; write one a line"
                )

    def refresh(self) -> None:
        """Read the file again if it changed; one that is gone or empty changes nothing."""
        if self._path is None:
            return
        try:
            self._read(self._path)
        except OSError:
            return

    def _read(self, path: Path) -> None:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        words = [line.strip() for line in lines]
        digests = tuple(
            hashlib.sha256(word.encode()).digest()
            for word in words
            if word and not word.startswith("#")
        )
        if digests:
            self._stamp, self._digests = stamp, digests

    def check(self, exchange: Exchange) -> None:
        """Return if the request carries a token.

        Raises:
            RequestError: it carries none, or another (401).
        """
        if self._path is None or exchange.path in OPEN_PATHS:
            return
        kind, _, given = exchange.header(b"authorization").partition(" ")
        digest = hashlib.sha256(given.strip().encode("latin-1")).digest()
        # All are compared, each in the same time, whatever they hold.
        known = [hmac.compare_digest(digest, token) for token in self._digests]
        if kind.lower() != "bearer" or not any(known):
            raise RequestError(
                401, "no_token", "send `Authorization: Bearer <token>` with a token of this server"
            )


class Origins:
    """Which web pages may ask; a page of this server itself may.

    Its own is a page whose origin is the address that the request names as host. A public name does
    not count there: its owner can serve a page under it and then lead the name to this machine, so
    that both agree (DNS rebinding). Where this server has such a name, it is among the allowed.

    Args:
        allowed: origins with commas between.
        proven: whether something else keeps such pages out: a token, which they do not have, or
            TLS, whose certificate is not theirs.
    """

    def __init__(self, allowed: str, *, proven: bool = False) -> None:
        self.allowed = tuple(
            part.strip().rstrip("/") for part in allowed.split(",") if part.strip()
        )
        self._proven = proven
        self._names = {_name(origin.partition("://")[2]) for origin in self.allowed}

    def check_host(self, exchange: Exchange) -> None:
        """Return if no foreign page can be behind a GET, to which browsers add no `Origin`.

        Raises:
            RequestError: it names this server by a name that is not known to be its own (403).
        """
        if self._proven or "*" in self.allowed or exchange.path in OPEN_PATHS:
            return
        host = exchange.header(b"host")
        if not host or _leads_nowhere_else(host) or _name(host) in self._names:
            return
        named = printable(host, 100)
        raise RequestError(
            403,
            "foreign_host",
            f"this server is not known as {named!r}; ask it by its address, or add "
            f"'http://{named}' to NIGHTSHIFT_PREDICT_CORS_ORIGINS",
        )

    def check(self, exchange: Exchange) -> None:
        """Return if the request is of no foreign page.

        A browser sends a foreign page's POST without asking first where its type is plain text.

        Raises:
            RequestError: it is (403).
        """
        origin = exchange.header(b"origin")
        if not origin or "*" in self.allowed or origin in self.allowed:
            return
        host = exchange.header(b"host")
        if origin.partition("://")[2] != host or not _leads_nowhere_else(host):
            raise RequestError(
                403, "foreign_origin", "this page may not ask; see NIGHTSHIFT_PREDICT_CORS_ORIGINS"
            )


def _name(host: str) -> str:
    """A host without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[").lower()
    return host.partition(":")[0].lower()


def _leads_nowhere_else(host: str) -> bool:
    """Whether nobody can lead this host to another machine: an address, or a name without a domain."""
    name = _name(host)
    if "." not in name and ":" not in name:
        return name != ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.endswith(".localhost")
    return True
