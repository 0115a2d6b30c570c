"""A pipeline: one folder that says all about one model, read and checked as a whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.config.pipeline import NAME, FeatureFiles, PipelineConfig
from nightshift.config.reading import Problem, read
from nightshift.config.recommend import Recommend
from nightshift.config.score import Score
from nightshift.config.yamlfile import nearest
from nightshift.errors import ConfigurationError, ContractError
from nightshift.installation import adopt, installation_id
from nightshift.settings import Settings
from nightshift.zones import Zone

if TYPE_CHECKING:
    from nightshift.features.specification import FeatureSpec
    from nightshift.features.tables import SourceTables
    from nightshift.registry.store import ReleaseStore

CONFIG = "pipeline.yaml"

MAX_SQL = 4 * 1024 * 1024
"""Bytes of a file of SQL."""


@dataclass(frozen=True)
class Features:
    """The files that make a pipeline's features, by their absolute paths."""

    sql: Path
    create_tables: Path
    tables_file: Path
    spec_file: Path
    zone: Zone = Zone()

    @cached_property
    def tables(self) -> SourceTables:
        """The declared source tables.

        Raises:
            ConfigurationError: the declaration is wrong.
        """
        from nightshift.features.tables import SourceTables

        return replace(SourceTables.load(self.tables_file), zone=self.zone)

    @cached_property
    def spec(self) -> FeatureSpec:
        """The feature specification.

        Raises:
            ConfigurationError: the specification is wrong.
        """
        from nightshift.features.specification import FeatureSpec

        return FeatureSpec.load(self.spec_file)

    def query(self) -> str:
        """The text of the feature query.

        Raises:
            ConfigurationError: the file is not there.
        """
        return _text(self.sql)

    def create_script(self) -> str:
        """The text of the script that makes the tables.

        Raises:
            ConfigurationError: the file is not there.
        """
        return _text(self.create_tables)


def _problem(check: Callable[[], object]) -> str:
    """What the check raised; empty where it found nothing."""
    try:
        check()
    except ConfigurationError as error:
        return str(error)
    return ""


def _text(path: Path) -> str:
    try:
        return files.read_plain(path, max_bytes=MAX_SQL, links=True).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ContractError as error:
        raise ConfigurationError(str(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


@dataclass(frozen=True)
class Pipeline:
    """One pipeline of an installation.

    Attributes:
        settings: the machine: addresses, folders, device.
        name: the name of its folder, and the first part of all names it gives.
        folder: its folder.
        config: the content of its `pipeline.yaml`.
        tables_in: the database of its online tables, where that is settled already: a night keeps
            to the one that it was planned for.
    """

    settings: Settings
    name: str
    folder: Path
    config: PipelineConfig
    tables_in: str | None = None

    @classmethod
    def load(cls, settings: Settings, name: str | None = None) -> Pipeline:
        """Read a pipeline's folder; the default pipeline's without a name.

        Raises:
            ConfigurationError: there is no such pipeline, or its `pipeline.yaml` is wrong.
        """
        chosen = settings.pipeline if name is None else name
        if not NAME.fullmatch(chosen):
            raise ConfigurationError(
                f"{chosen!r} is not a pipeline's name: a-z, digits and _, a letter first, "
                "30 characters at most"
            )
        folder = settings.pipelines / chosen
        if not (folder / CONFIG).is_file():
            known = names(settings)
            raise ConfigurationError(
                f"there is no pipeline {chosen!r}: {folder / CONFIG} is not there"
                + (nearest(chosen, known) or (f"; known: {', '.join(known)}" if known else ""))
            )
        return cls(settings, chosen, folder, read(PipelineConfig, folder / CONFIG))

    def with_settings(self, **changes: Any) -> Pipeline:
        """The same pipeline on a machine with other settings."""
        return replace(self, settings=replace(self.settings, **changes))

    def with_config(self, **changes: Any) -> Pipeline:
        """The same pipeline with other values in its `pipeline.yaml`."""
        return replace(self, config=self.config.model_copy(update=changes))

    @property
    def family(self) -> str:
        """Its name in `nightshift.families`."""
        return self.config.family

    @property
    def is_default(self) -> bool:
        """Whether paths and commands without a pipeline mean this one."""
        return self.name == self.settings.pipeline

    # Names in shared systems.

    @cached_property
    def installation(self) -> str:
        """The installation's id."""
        return installation_id(self.settings)

    @property
    def owner(self) -> str:
        """`<pipeline>_<installation>`: what every name in a shared system begins with."""
        return f"{self.name}_{self.installation}"

    @property
    def database(self) -> str:
        """OpenMLDB database of the online tables and deployments.

        Tables that are not those of the live release get a database of their own, beside the one
        that serves, named by the hash of what they are.

        Raises:
            ConfigurationError: the script of the tables cannot be read.
        """
        if self.tables_in is not None:
            return self.tables_in
        first = self.config.database or self.owner
        if not self.has_features:
            return first
        live = self._live_tables()
        if live is None:
            return first
        database, script = live
        if script is None:
            return first  # a release of before such scripts were kept: taken to be the same
        own = self._tables_hash(self.features.create_tables)
        if self._tables_hash(script) == own:
            return database
        return f"{first}_{own[:8]}"

    def _tables_hash(self, script: Path) -> str:
        from nightshift.data.schema import tables_hash

        return tables_hash(_text(script), str(script))

    def _live_tables(self) -> tuple[str, Path | None] | None:
        """Database of the live release, and the script of its tables where it is kept."""
        from nightshift.errors import NightshiftError
        from nightshift.registry.pointer import read_live

        try:
            live = read_live(self.releases)
            if live is None or live.database is None:
                return None
            script = self.store.folder(live.release_id).create_tables
        except NightshiftError:
            return None  # a broken pointer: whoever needs it will say so
        return live.database, script if script.is_file() else None

    def of_release(self, release: str) -> Pipeline:
        """The pipeline with the query, the tables and the specification of a release.

        Raises:
            ContractError: the release's manifest is broken, or it kept no script of its tables.
        """
        from nightshift.errors import ContractError

        folder = self.store.folder(release)
        if not (folder.create_tables.is_file() and folder.tables.is_file()):
            raise ContractError(f"{folder.root} is of before releases kept the script of tables")
        own = FeatureFiles(
            sql=str(folder.sql), create_tables=str(folder.create_tables),
            tables=str(folder.tables), spec=str(folder.spec),
        )  # fmt: skip
        database = folder.manifest().sql.database
        return replace(self.with_config(features=own), tables_in=database)

    @property
    def model(self) -> str:
        """Name of the model in Triton's repository."""
        return self.config.model or self.owner

    # Folders.

    @property
    def data(self) -> Path:
        """Root of the source tables."""
        if self.config.data is not None:
            return self.file(str(Path(self.config.data).expanduser()))
        return self.settings.data / self.name

    @property
    def runs(self) -> Path:
        """Run folders, by date."""
        return self.settings.runs_root / self.name

    @property
    def releases(self) -> Path:
        """Release folders and the live pointer."""
        if self.is_default:
            adopt(self.settings)
        return self.settings.releases_root / self.name

    @property
    def model_repo(self) -> Path:
        """Triton's model repository, which all pipelines share."""
        return self.settings.model_repo

    @property
    def store(self) -> ReleaseStore:
        """The pipeline's releases."""
        from nightshift.registry.store import ReleaseStore

        return ReleaseStore(self.releases)

    # Files.

    @property
    def has_features(self) -> bool:
        """Whether its inputs are features that OpenMLDB computes."""
        return self.config.features is not None

    @cached_property
    def features(self) -> Features:
        """The files of its features.

        Raises:
            ConfigurationError: the pipeline has no features.
        """
        found = self.config.features
        if found is None:
            raise ConfigurationError(
                f"{self.folder / CONFIG}: pipeline {self.name} of family {self.family} has no "
                "features; leave the step out"
            )
        return Features(
            self.file(found.sql),
            self.file(found.create_tables),
            self.file(found.tables),
            self.file(found.spec),
            self.zone,
        )

    @property
    def zone(self) -> Zone:
        """The time zone by whose days its event tables are partitioned."""
        return Zone.of(self.config.time_zone) if self.config.time_zone else Zone()

    @property
    def score(self) -> Score:
        """The list that is written of it.

        Raises:
            ConfigurationError: there is none.
        """
        if self.config.score is None:
            raise ConfigurationError(
                f"{self.folder / CONFIG}: pipeline {self.name} has no part 'score'"
            )
        return self.config.score

    @property
    def lists(self) -> Path:
        """Where `score_<pipeline>` writes."""
        return self.settings.home / "lists" / self.name

    def list_file(self, given: str) -> str:
        """`all`, or the absolute path of a file that the part `score` names."""
        return given if given == "all" else str(self.file(given))

    @property
    def recommend(self) -> Recommend:
        """How it recommends.

        Raises:
            ConfigurationError: it does not.
        """
        found = self.config.recommend
        if found is None:
            raise ConfigurationError(
                f"{self.folder / CONFIG}: pipeline {self.name} has no part 'recommend'; "
                "docs/recommend.md says how to write it"
            )
        return found

    @property
    def hyperparameters(self) -> Path:
        """Settings of training."""
        return self.file(self.config.hyperparameters)

    @property
    def gates_file(self) -> Path:
        """Thresholds of the gates."""
        return self.file(self.config.gates)

    @cached_property
    def gates(self) -> dict[str, Any]:
        """Thresholds by gate; without a file the defaults.

        Raises:
            ConfigurationError: the file is wrong, or `pipeline.yaml` names one that is not there.
        """
        from nightshift.config.gates import GatesConfig
        from nightshift.gates.base import load_gates

        if not self.gates_file.exists() and not self.names_file("gates"):
            return GatesConfig().model_dump(by_alias=True)
        return load_gates(self.gates_file)

    def names_file(self, key: str) -> bool:
        """Whether `pipeline.yaml` itself names this file, which must then be there."""
        return key in self.config.model_fields_set

    @property
    def module(self) -> Path:
        """The file that builds a tensor pipeline's module."""
        return self.file(self.config.module)

    def check_files(self) -> None:
        """Read every file of the pipeline that its DAGs depend on.

        Raises:
            ConfigurationError: with every problem found, one a line.
        """
        checks: list[Callable[[], object]] = [lambda: self.gates, self._check_gates_run]
        if self.names_file("hyperparameters"):
            checks.append(lambda: _text(self.hyperparameters))
        if self.config.recommend is not None:
            checks.append(self._check_recommend)
        if self.has_features:
            files = self.features
            checks += [lambda: files.tables, lambda: files.spec, files.query, files.create_script]
        if "module" in self.config.kind.parts:
            checks.append(lambda: _text(self.module))
        problems = [problem for check in checks if (problem := _problem(check))]
        if problems:
            raise ConfigurationError("\n".join(problems))

    def _check_gates_run(self) -> None:
        from nightshift.gates.registry import find

        problems = []
        for name in self.config.gates_run:
            try:
                gate = find(name)
            except ConfigurationError as error:
                problems.append(f"{self.folder / CONFIG}: gates_run: {error}")
                continue
            if self.config.kind.lacks(gate.needs):
                problems.append(
                    f"{self.folder / CONFIG}: gates_run: the gate {name} cannot judge a pipeline "
                    f"of the family {self.family}; leave it out"
                )
        if problems:
            raise ConfigurationError("\n".join(problems))

    def recommend_problems(self) -> list[Problem]:
        """What the part `recommend` names that the source tables do not have.

        Raises:
            ConfigurationError: a file of the features is wrong.
        """
        from nightshift.features.lineage import columns_of
        from nightshift.recommend import declared

        if self.config.recommend is None:
            return []
        files = self.features
        columns = columns_of(files.create_script(), files.tables, str(files.create_tables))
        where = str(self.folder / CONFIG)
        found = declared.problems(self.config.recommend, files.tables, columns, where)
        if self.config.recommend.sql_list is not None:
            found += declared.list_problems(self.file(self.config.recommend.sql_list), where)
        return found

    def _check_recommend(self) -> None:
        found = self.recommend_problems()
        if found:
            raise ConfigurationError("\n".join(map(str, found)))

    def file(self, relative: str) -> Path:
        """A file named in `pipeline.yaml`: relative to the folder."""
        # resolve() fails at links in a circle.
        return Path(os.path.realpath(self.folder / relative))


def names(settings: Settings) -> list[str]:
    """Names of the pipelines of an installation: the default first, then by name."""
    if not settings.pipelines.is_dir():
        return []
    found = sorted(
        path.parent.name
        for path in settings.pipelines.glob(f"*/{CONFIG}")
        if NAME.fullmatch(path.parent.name)
    )
    return sorted(found, key=lambda name: name != settings.pipeline)


def unread(settings: Settings) -> list[str]:
    """Folders that hold a pipeline's file and that nothing reads: their names are not valid."""
    folders = (path.parent.name for path in settings.pipelines.glob(f"*/{CONFIG}"))
    return sorted(
        name for name in folders if not NAME.fullmatch(name) and not name.startswith((".", "_"))
    )


class Pipelines:
    """All pipelines of an installation.

    Args:
        settings: the machine.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def names(self) -> list[str]:
        """Their names, the default first; broken ones are among them."""
        return names(self.settings)

    def load(self, name: str | None = None) -> Pipeline:
        """One of them; the default without a name.

        Raises:
            ConfigurationError: there is no such pipeline, or its `pipeline.yaml` is wrong.
        """
        return Pipeline.load(self.settings, name)

    def __iter__(self) -> Iterator[Pipeline]:
        """Those that can be read."""
        for name in self.names():
            with contextlib.suppress(ConfigurationError):
                yield self.load(name)
