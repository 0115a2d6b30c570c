"""Fields of requests that must not be kept as they are.

Columns are named in `pipeline.yaml` (`live.log.hashed`, `live.log.omitted`). A feature that carries
the text of a hidden request field under another name is hidden with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

HASHED = "hash:"
"""How a hashed value begins."""


def keyed_hash(value: Any, key: bytes) -> str | None:
    """A value as 32 hex digits that cannot be found by trying values without the key."""
    if value is None:
        return None
    digest = hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), key=key, digest_size=16)
    return HASHED + digest.hexdigest()


class Hider:
    """Hides columns of request and feature rows.

    Args:
        hashed: columns whose values become keyed hashes.
        omitted: columns whose values become None.
        key: of the hashes.
        request: the request row's columns.
        features: the feature row's columns.
    """

    def __init__(
        self,
        hashed: Sequence[str],
        omitted: Sequence[str],
        key: bytes,
        request: Sequence[str],
        features: Sequence[str],
    ) -> None:
        self._key = key
        self._omitted = frozenset(omitted)
        hidden = self._omitted | frozenset(hashed)
        self._request = [(at, name) for at, name in enumerate(request) if name in hidden]
        self._features = [(at, name) for at, name in enumerate(features) if name in hidden]
        self._named = frozenset(at for at, _ in self._features)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to hide."""
        return not self._request and not self._features

    def hide(
        self, rows: Sequence[Sequence[Any]], features: Sequence[Sequence[Any]]
    ) -> tuple[list[list[Any]], list[list[Any]]]:
        """Copies of request rows and their feature rows without what is hidden."""
        kept_rows, kept_features = [], []
        for row, values in zip(rows, features, strict=True):
            mine, theirs = list(row), list(values)
            texts: dict[str, str | None] = {}
            for at, name in self._request:
                hidden = self._one(name, row[at])
                if isinstance(row[at], str) and row[at]:
                    texts[row[at]] = hidden
                mine[at] = hidden
            for at, name in self._features:
                theirs[at] = self._one(name, values[at])
            if texts:
                for at, value in enumerate(values):
                    if isinstance(value, str) and value in texts and at not in self._named:
                        theirs[at] = texts[value]
            kept_rows.append(mine)
            kept_features.append(theirs)
        return kept_rows, kept_features

    def _one(self, name: str, value: Any) -> str | None:
        return None if name in self._omitted else keyed_hash(value, self._key)
