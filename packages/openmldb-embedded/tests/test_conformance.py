"""OpenMLDB's own conformance cases, in both modes."""

from __future__ import annotations

import pytest
from conformance import ENGINES, failures, runner
from known_failures import KNOWN
from openmldb_embedded.errors import NotFound
from openmldb_sql.errors import PlanError

FOLDERS = ["expression", "function", "join", "select", "window", "test_feature_zero_function"]


@pytest.mark.parametrize("mode", sorted(ENGINES))
@pytest.mark.parametrize("folder", FOLDERS)
def test_cases(shared, mode, folder):
    """Exactly the cases known to fail do; one that starts to pass leaves the table."""
    found = failures(shared, mode, f"^{folder}")
    known = {name for name in KNOWN[mode] if name.startswith(folder)}
    news = {name: detail for name, detail in found.items() if name not in known}
    assert not news
    assert known <= set(found), "these pass now: take them out of known_failures.py"


@pytest.mark.slow
@pytest.mark.parametrize("mode", sorted(ENGINES))
def test_refusals_come_from_the_checker(shared, mode):
    """A case that expects failure gets a plan error before anything runs."""
    cases = runner(shared)
    for case in cases.load_all(str(shared / "openmldb-cases")):
        if case.expect.success or f"{case.file}#{case.id}" in KNOWN[mode]:
            continue
        engine = ENGINES[mode]()
        for table in case.tables:
            engine.create_table(table.name, table.columns)
        with pytest.raises((PlanError, NotFound)):
            engine.query(case.sqls[-1])
