"""Names that a release gives to what it makes."""

from __future__ import annotations

import datetime as dt
import hashlib
import re

from nightshift.errors import ConfigurationError
from nightshift.layout import parse_date
from nightshift.openmldb import normalise_sql

_RELEASE = re.compile(r"(?P<ds>\d{4}-\d{2}-\d{2})\.(?P<sequence>\d{3})")


def sql_hash(sql: str) -> str:
    """Hex SHA-256 of the normalised query."""
    return hashlib.sha256(normalise_sql(sql).encode()).hexdigest()


def deployment_name(owner: str, sql: str) -> str:
    """`<owner>_<first 8 hex of the query's hash>`: the same query is the same deployment.

    OpenMLDB has no DEPLOY OR REPLACE, so a changed query needs a name of its own, and an
    unchanged one finds its deployment already there. The owner, `Pipeline.owner`, keeps two
    pipelines and two installations on one cluster apart.

    Raises:
        ConfigurationError: `owner` is not an identifier, or the query is empty.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", owner):
        raise ConfigurationError(
            f"{owner!r} cannot begin a deployment's name: letters, digits and _ only, a letter "
            "first"
        )
    if not normalise_sql(sql):
        raise ConfigurationError("the feature query is empty")
    return f"{owner}_{sql_hash(sql)[:8]}"


def is_deployment_of(owner: str, name: str) -> bool:
    """Whether `deployment_name` could have given `name` to this owner."""
    return re.fullmatch(rf"{re.escape(owner)}_[0-9a-f]{{8}}", name) is not None


def workspace_name(owner: str, day: dt.date, run_token: str) -> str:
    """The database of one run: `<owner>_<YYYYMMDD>_<run token>`."""
    return f"{owner}_{day:%Y%m%d}_{run_token}"


def is_workspace_of(owner: str, name: str) -> bool:
    """Whether `name` is the database of a run of this owner, or of such a run's check."""
    return re.fullmatch(rf"{re.escape(owner)}_\d{{8}}_[0-9a-f]{{8}}(_check)?", name) is not None


def release_id(ds: str, version: int) -> str:
    """`<ds>.<sequence>`: the id of the release whose model has the version `YYYYMMDDnnn`.

    Raises:
        ConfigurationError: `version` is not one of the date `ds`.
    """
    day = parse_date(ds)
    stamp, sequence = divmod(version, 1000)
    if f"{stamp:08d}" != f"{day:%Y%m%d}":
        raise ConfigurationError(
            f"model version {version} is not of the date {ds}; a version is YYYYMMDDnnn"
        )
    return f"{ds}.{sequence:03d}"


def version_of(release: str) -> int:
    """The model version `YYYYMMDDnnn` of a release id.

    Raises:
        ConfigurationError: `release` is not a release id.
    """
    match = _RELEASE.fullmatch(release)
    if match is None:
        raise ConfigurationError(
            f"{release!r} is not a release id; one looks like 2026-11-19.001 "
            "(./nightshift releases lists them)"
        )
    day = parse_date(match["ds"], what="release")
    return int(f"{day:%Y%m%d}{match['sequence']}")
