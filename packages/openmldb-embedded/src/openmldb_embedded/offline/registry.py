"""The offline engines by name; a new one is a module beside this one and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openmldb_embedded.offline.base import OfflineEngine
from openmldb_embedded.offline.embedded import EmbeddedEngine
from openmldb_embedded.offline.spark import SparkEngine
from openmldb_embedded.store import Store
from openmldb_embedded.workers import Workers

Maker = Callable[[Store, Workers, Mapping[str, str]], OfflineEngine]
"""Makes an engine of the server's store, its worker processes and the engine's settings."""

ENGINES: Mapping[str, Maker] = {
    "embedded": lambda store, workers, conf: EmbeddedEngine(workers),
    "spark": SparkEngine.of,
}
DEFAULT = "embedded"
