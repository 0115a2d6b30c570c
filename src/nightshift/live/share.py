"""Which users a canary has: a share by a keyed hash, the same in every worker and after a restart."""

from __future__ import annotations

import hashlib
from typing import Any


def position(value: Any, release: str, key: bytes) -> float:
    """A user's place between 0 and 1; a canary has those below its share.

    It depends on the release, so that the same users do not get every candidate first; and on the
    key, so that nobody can choose a user's name to be among them.

    Args:
        value: of the request's column, not None.
        release: the canary.
        key: the installation's secret, 64 bytes at most.
    """
    text = f"{release}\0{value}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, key=key, person=b"canary", digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
