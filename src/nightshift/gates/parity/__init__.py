"""Online features replayed against the offline ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nightshift.night import Night


def check(night: Night, release: str | None) -> dict[str, Any]:
    """Replay held-out requests online and compare with their offline rows."""
    if release is None:
        raise ValueError("the gate consistency needs a candidate")
    return replayed(night, release, night.gate("consistency"))


def replayed(night: Night, release: str, gates: Mapping[str, Any]) -> dict[str, Any]:
    """The report of the replay, by the `consistency` part of the gates."""
    from nightshift import credentials
    from nightshift.features.specification import FeatureSpec
    from nightshift.gates.parity import replay
    from nightshift.triton import TritonControl

    folder = night.folder(release)
    manifest = folder.manifest()
    files = night.pipeline.features
    with TritonControl.of(night.settings) as control:
        return replay.check(
            night.plan,
            data=night.pipeline.data,
            tables=files.tables,
            create_sql=files.create_tables,
            sql=folder.sql.read_text(),
            deployment=manifest.sql.deployment,
            spec=FeatureSpec.load(folder.spec),
            openmldb_url=night.settings.openmldb_url,
            headers=credentials.openmldb_headers(night.settings),
            score=replay.TritonScore(control, manifest.model.name, manifest.model.version),
            gates=gates,
            scores=night.published_scores,
            settle_s=night.settings.openmldb_settle_s,
        )
