"""A withdrawal in the log: what serves after it, what is told, and where a rollback goes next."""

import pytest

from nightshift.notify import incidents
from nightshift.pipeline import Pipeline
from nightshift.registry import pointer
from nightshift.release import rollback
from nightshift.settings import Settings
from nightshift.watch import tell_night
from testing.releases import put_release


@pytest.fixture
def pipeline(tmp_path):
    found = Pipeline.load(Settings(home=tmp_path))
    for ds in ("2026-11-08", "2026-11-09", "2026-11-10"):
        pointer.switch_live(found.releases, put_release(found.releases, ds).id, probe=lambda *_: [])
    pointer.switch_live(
        found.releases, "2026-11-09.001", probe=lambda *_: [], promote="force",
        reason=f"{rollback.WITHDRAWAL}features are constant",
    )  # fmt: skip
    return found


def test_a_rollback_after_a_withdrawal_does_not_go_back_to_what_was_withdrawn(pipeline):
    assert rollback.served(pipeline.store) == ["2026-11-08.001", "2026-11-09.001"]


def test_a_withdrawal_is_told_once(pipeline):
    assert len(tell_night(pipeline)) == 1
    assert tell_night(pipeline) == []
    (record,) = incidents.listed(pipeline.settings)
    assert record.incident.kind == "withdrawal"
    assert "2026-11-10.001 was withdrawn, 2026-11-09.001 serves again" in record.incident.title
    assert "features are constant" in record.incident.text
