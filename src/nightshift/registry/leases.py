"""Leases: which runs are at work, so that cleaning up never takes what they have half made.

A run's tasks are processes of their own with gaps between them, so no lock can tell that the
run lives. A lease can: the run opens it, each of its release tasks renews it and adds what it
made, the run closes it at its end, and one whose run was killed ends by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from nightshift import files
from nightshift.errors import ContractError
from nightshift.registry.store import ReleaseStore

TTL_S = 6 * 3600.0
"""Seconds that a lease lasts from its last renewal: longer than any one task of a run."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What one run has made or is about to make.

    `expires_at` is seconds since the epoch; where the lease is closed, the time of closing.
    """

    run_token: str
    run_id: str
    ds: str
    expires_at: float
    closed: bool = False
    release_id: str | None = None
    versions: tuple[int, ...] = ()
    deployments: tuple[str, ...] = ()
    workspace: str | None = None

    def active(self, at: float) -> bool:
        """Whether the run may still be at work."""
        return not self.closed and at < self.expires_at


def read_all(store: ReleaseStore) -> dict[str, Lease]:
    """Every lease by run token; other files are ignored."""
    found = {}
    for path in sorted(store.leases.glob("*.json")):
        try:
            value: Any = files.read_json(path)
            lease = Lease(
                **{
                    **value,
                    "versions": tuple(value["versions"]),
                    "deployments": tuple(value["deployments"]),
                }
            )
        except (ContractError, KeyError, TypeError):
            continue  # forgotten by another run since it was listed, or none
        if _is_sound(lease) and lease.run_token == path.stem:
            found[lease.run_token] = lease
    return found


def _is_sound(lease: Lease) -> bool:
    """Whether each value is of its type, so that no reader stumbles over a file that is not ours."""
    texts = (lease.run_token, lease.run_id, lease.ds, *lease.deployments)
    names = (lease.release_id, lease.workspace)
    return (
        all(isinstance(text, str) for text in texts)
        and all(name is None or isinstance(name, str) for name in names)
        and all(type(version) is int for version in lease.versions)
        and type(lease.expires_at) in (int, float)
        and isinstance(lease.closed, bool)
    )


def active(store: ReleaseStore, *, but: str | None = None) -> list[Lease]:
    """Leases of runs that may still be at work, without that of the run token `but`."""
    at = time.time()
    return [x for x in read_all(store).values() if x.active(at) and x.run_token != but]


def renew(
    store: ReleaseStore,
    *,
    run_token: str,
    run_id: str,
    ds: str,
    release_id: str | None = None,
    versions: Iterable[int] = (),
    deployments: Iterable[str] = (),
    workspace: str | None = None,
    ttl_s: float = TTL_S,
) -> Lease:
    """Open the run's lease or lengthen it; what is given is added to what it protects."""
    with files.locked(store.leases / ".lock"):
        old = read_all(store).get(run_token)
        lease = Lease(
            run_token=run_token,
            run_id=run_id,
            ds=ds,
            expires_at=time.time() + ttl_s,
            release_id=release_id or (old.release_id if old else None),
            versions=tuple(sorted({*(old.versions if old else ()), *versions})),
            deployments=tuple(sorted({*(old.deployments if old else ()), *deployments})),
            workspace=workspace or (old.workspace if old else None),
        )
        _write(store, lease)
        return lease


def close(store: ReleaseStore, run_token: str) -> None:
    """End the run's lease; closing it twice, or one that is not there, changes nothing."""
    with files.locked(store.leases / ".lock"):
        lease = read_all(store).get(run_token)
        if lease is not None and not lease.closed:
            _write(store, replace(lease, closed=True, expires_at=time.time()))


def forget(store: ReleaseStore, run_token: str) -> None:
    """Remove the lease of a run whose traces are gone."""
    (store.leases / f"{run_token}.json").unlink(missing_ok=True)


def _write(store: ReleaseStore, lease: Lease) -> None:
    files.write_json(store.leases / f"{lease.run_token}.json", asdict(lease))
