"""docs/sql.md is what the registries and the cases say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.slow
def test_the_table_of_supported_sql_is_current(shared):
    sys.path.insert(0, str(DOCS))
    try:
        import make_sql
    finally:
        sys.path.pop(0)
    assert (DOCS / "sql.md").read_text(encoding="utf-8") == make_sql.document(shared), (
        "run packages/openmldb-embedded/docs/make_sql.py ../shared"
    )
