"""What a candidate is: one JSON file, schema-checked, checksummed, written once."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nightshift import files
from nightshift.errors import ContractError
from nightshift.families import FIRST

_SCHEMA = Path(__file__).with_name("manifest.schema.json")

FORMAT = 2
"""Of manifests written now."""

_OPTIONAL = ("recommend", "refit")

_SINCE_2 = ("pipeline", "installation", "signature")


@dataclass(frozen=True, kw_only=True)
class Window:
    """The days behind a model, as `YYYY-MM-DD`, both ends included."""

    first_day: str
    last_day: str
    train_days: int
    lookback_days: Mapping[str, int] = field(default_factory=dict)
    test_days: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run that made the candidate."""

    id: str
    token: str


@dataclass(frozen=True, kw_only=True)
class Sql:
    """The feature query: hash of its normalised text, and where it is deployed."""

    sha256: str
    database: str
    deployment: str


@dataclass(frozen=True, kw_only=True)
class SpecStamp:
    """The feature specification: hash of the file, and of what the encoding depends on."""

    sha256: str
    schema_hash: str
    fields: int


@dataclass(frozen=True, kw_only=True)
class FeatureStamp:
    """The features that the model takes: the query and the specification."""

    sql: Sql
    spec: SpecStamp


@dataclass(frozen=True, kw_only=True)
class ModelStamp:
    """The model version; `sha256` is `files.sha256_tree` of its folder."""

    name: str
    version: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RecommendStamp:
    """The retrieval; `sha256` is `files.sha256_tree` of the release's folder `recommend`."""

    sha256: str
    users: int
    items: int


@dataclass(frozen=True, kw_only=True)
class RefitStamp:
    """The judged recipe on all judged days: days as `YYYY-MM-DD`, both ends included.

    `recipe` is the hash of the recipe, `judged_sha256` that of the release's folder `judged`.
    """

    first_day: str
    last_day: str
    rows: int
    recipe: str
    judged_sha256: str


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The release that was live when the candidate was made."""

    release_id: str
    metrics: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that names a release; the fields of manifest.schema.json.

    `metrics` are those of the held-out days, `timings_s` seconds by step, `sizes` bytes and
    rows by artefact, `images` the task images by task (empty for the process runner).
    `signature` is what the model folder's `signature.json` holds; `features` is None for a model
    whose inputs do not come from OpenMLDB. Format 1 had neither, nor `pipeline` and
    `installation`; it is read, and no longer written. `recommend` is None, and not in the file, for
    a release that does not recommend; so is `refit` for one whose judged model serves. `metrics`
    and `window` of a refit are those of the judged model.
    """

    release_id: str
    ds: str
    window: Window
    run: Run
    features: FeatureStamp | None
    model: ModelStamp
    metrics: Mapping[str, float | None]
    champion: Champion | None
    code_version: str
    created_at: str
    pipeline: str | None = None
    installation: str | None = None
    signature: Mapping[str, Any] | None = None
    recommend: RecommendStamp | None = None
    refit: RefitStamp | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    triggered_by: str = "unknown"
    format: int = FORMAT

    @property
    def family(self) -> str:
        """Family of the model; before signatures there was one."""
        return FIRST if self.signature is None else str(self.signature["family"])

    @property
    def sql(self) -> Sql:
        """The feature query.

        Raises:
            ContractError: the release has no features.
        """
        return self._features().sql

    @property
    def feature_spec(self) -> SpecStamp:
        """The feature specification.

        Raises:
            ContractError: the release has no features.
        """
        return self._features().spec

    def _features(self) -> FeatureStamp:
        if self.features is None:
            raise ContractError(f"release {self.release_id} has no features")
        return self.features

    @property
    def checksum(self) -> str:
        """Hex SHA-256 of the canonical JSON of every other field."""
        return _checksum(self._body())

    def to_json(self) -> dict[str, Any]:
        """The JSON object that the file holds, checksum included."""
        body = self._body()
        return {**body, "checksum": _checksum(body)}

    def _body(self) -> dict[str, Any]:
        body = asdict(self)
        body["window"]["test_days"] = list(self.window.test_days)
        for name in _OPTIONAL:
            if body[name] is None:
                del body[name]  # as before there was such a part: checksums stay
        if self.format == 1:
            features = body.pop("features")
            body["sql"], body["feature_spec"] = features["sql"], features["spec"]
            for name in _SINCE_2:
                del body[name]
        return body

    @classmethod
    def from_json(cls, value: Any, *, where: str) -> Manifest:
        """The manifest of a parsed file.

        Raises:
            ContractError: the schema or the checksum does not hold; the message names
                `where`, the field and the fix.
        """
        # A night reads the manifests of a year, each a few times; they never change.
        whole = _checksum(value)
        if whole not in _sound:
            _check(value, where)
            if len(_sound) >= _MOST:
                _sound.clear()
            _sound.add(whole)
        body = {key: item for key, item in value.items() if key != "checksum"}
        champion = value["champion"]
        recommend, refit = value.get("recommend"), value.get("refit")
        window = dict(value["window"])
        window["test_days"] = tuple(window.get("test_days", ()))
        if value["format"] == 1:
            features = {"sql": body.pop("sql"), "spec": body.pop("feature_spec")}
        else:
            features = body.pop("features")
        return cls(
            **{
                **body,
                "window": Window(**window),
                "run": Run(**value["run"]),
                "features": None
                if features is None
                else FeatureStamp(sql=Sql(**features["sql"]), spec=SpecStamp(**features["spec"])),
                "model": ModelStamp(**value["model"]),
                "champion": None if champion is None else Champion(**champion),
                "recommend": None if recommend is None else RecommendStamp(**recommend),
                "refit": None if refit is None else RefitStamp(**refit),
            }
        )


_MOST = 4096
_sound: set[str] = set()
"""Digests of manifests that held their schema and their checksum."""


def _check(value: Any, where: str) -> None:
    fix = f"restore {where} from a backup, or delete its release folder and run the date again"
    error = next(iter(sorted(_validator().iter_errors(value), key=lambda e: e.path)), None)
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "its top level"
        raise ContractError(
            f"{where} is not a release manifest: at {place}: {error.message}; {fix}"
        )
    found = _checksum({key: item for key, item in value.items() if key != "checksum"})
    if found != value["checksum"]:
        raise ContractError(
            f"{where} was changed after it was written: its checksum is "
            f"{value['checksum'][:12]}..., its content has {found[:12]}...; {fix}"
        )


def write_once(path: Path, manifest: Manifest) -> None:
    """Create the file, whole, if there is none; the same manifest again changes nothing.

    Raises:
        ContractError: the file exists and holds another manifest, or the manifest breaks its
            own schema.
    """
    value = manifest.to_json()
    Manifest.from_json(value, where=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = files.staging_path(path)
    try:
        with staged.open("wb") as file:
            file.write(files.dump_json(value))
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, fails where the name is taken.
        os.link(staged, path)
    except FileExistsError:
        if load(path).checksum != manifest.checksum:
            raise ContractError(
                f"{path} is written already and differs; a manifest never changes: "
                "give the new candidate a version of its own"
            ) from None
    finally:
        staged.unlink(missing_ok=True)
    files.fsync_dir(path.parent)


def load(path: Path) -> Manifest:
    """Read and verify a manifest.

    Raises:
        ContractError: the file is absent, truncated, breaks the schema or was tampered with.
    """
    return Manifest.from_json(files.read_json(path), where=str(path))


def _checksum(body: Any) -> str:
    return hashlib.sha256(files.dump_json(body)).hexdigest()


@functools.cache
def _validator() -> Any:
    import jsonschema  # type: ignore[import-untyped]

    return jsonschema.Draft202012Validator(files.read_json(_SCHEMA))
