"""Offline engines: what runs the offline jobs, chosen by a setting.

One module an engine; `registry` lists them.
"""

from __future__ import annotations

from openmldb_embedded.offline.base import OfflineEngine, Run

__all__ = ["OfflineEngine", "Run"]
