"""Releases for tests: whole folders, made without a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.contract.signature import ctr_signature
from nightshift.registry import manifest as manifests
from nightshift.registry.manifest import (
    Champion,
    FeatureStamp,
    Manifest,
    ModelStamp,
    Run,
    SpecStamp,
    Sql,
    Window,
)
from nightshift.registry.names import release_id
from nightshift.registry.store import ReleaseFolder, ReleaseStore

HASH = "0" * 64


def manifest(ds: str = "2016-04-10", sequence: int = 1, **changes: Any) -> Manifest:
    version = int(ds.replace("-", "")) * 1000 + sequence
    values: dict[str, Any] = {
        "release_id": release_id(ds, version),
        "ds": ds,
        "window": Window(
            first_day="2016-03-12", last_day=ds, train_days=30, test_days=("2016-04-06",)
        ),
        "run": Run(id=f"manual__{ds}", token="0123abcd"),
        "features": FeatureStamp(
            sql=Sql(sha256=HASH, database="jd_test00", deployment="jd_test00_00000000"),
            spec=SpecStamp(sha256=HASH, schema_hash=HASH, fields=32),
        ),
        "pipeline": "jd",
        "installation": "test00",
        "signature": ctr_signature(32).to_json(),
        "model": ModelStamp(name="jd_test00", version=version, sha256=HASH),
        "metrics": {"auc": 0.75, "logloss": 0.05},
        "champion": Champion(release_id="2016-04-09.001", metrics={"auc": 0.74}),
        "code_version": "0.1.0",
        "created_at": "2016-04-11T02:10:00Z",
        "triggered_by": "schedule",
    }
    return Manifest(**{**values, **changes})


def put_release(
    root: Path, ds: str, sequence: int = 1, *, accepted: bool | None = True, **changes: Any
) -> ReleaseFolder:
    made = manifest(ds, sequence, **changes)
    folder = ReleaseStore(root).folder(made.release_id)
    (folder.model / "model").mkdir(parents=True)
    files.write_json(folder.model / "signature.json", ctr_signature(32).to_json())
    folder.sql.write_text("SELECT 1 FROM t")
    folder.spec.write_text("version: 1\n")
    manifests.write_once(folder.manifest_path, made)
    if accepted is not None:
        files.write_json(
            folder.verdict_path,
            {"accepted": accepted, "reasons": [] if accepted else ["quality: AUC is low"]},
        )
    return folder
