"""One list: whole or absent, and gone on with after a kill."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift import files, layout
from nightshift.errors import ConfigurationError, ContractError
from nightshift.features.encoding import RowEncoder
from nightshift.features.specification import FeatureSpec, sql_type
from nightshift.lists import writing
from nightshift.lists.pairs import ALL, OfFiles, OfRelease, Pairs, digest
from nightshift.lists.requests import OfRequests
from nightshift.night import Servers, servers
from nightshift.pipeline import Pipeline
from nightshift.recommend.recommender import Recommender
from nightshift.registry import leases, pointer
from nightshift.registry.pointer import LivePointer
from nightshift.registry.store import ReleaseFolder
from nightshift.triton import INPUT

PART_ROWS = 100_000
"""Pairs of one file; a user with more items has a file of its own."""

CALL_ROWS = 500
"""Pairs of one call of the deployment and one inference."""

CALLS = 2
"""Calls under way at once: OpenMLDB works on one while Triton scores the other."""

RENEW_S = 600.0
"""How often the lease is renewed that keeps the release deployed and loaded."""

STATE, SUMMARY, SPOOL = "_job.json", "_list.json", "_requests.arrow"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        out: the folder that holds a folder `ds=<date>` for each list.
        ds: the date: features are those at its end; None for the live release's date.
        users: `all`, or a csv or parquet file.
        items: likewise.
        top: items kept of each user; None for all.
        format: `parquet`, `csv`, or `spreadsheet` (csv whose cells no spreadsheet runs).
        replace: put an earlier list of the date away.
        requests: a csv or parquet file of whole request rows, in place of users and items.
    """

    out: Path
    ds: str | None = None
    users: str = ALL
    items: str = ALL
    top: int | None = None
    format: str = "parquet"
    replace: bool = False
    requests: str | None = None


def run(
    pipeline: Pipeline, asked: Request, *, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Write the list `<out>/ds=<date>`; the same call again does nothing.

    A call that was killed leaves its finished files in a hidden folder beside it, and the same
    call goes on from there, as long as the same release is live.

    Args:
        pipeline: the pipeline.
        asked: what to write.
        tell: is given a line now and then.

    Returns:
        The content of `_list.json`: release, rows, files, seconds of this call.

    Raises:
        ConfigurationError: no release with features is live, a file does not fit, or another list
            of the date is there.
        LockHeld: another process writes this list.
    """
    live = pointer.read_live(pipeline.releases)
    if live is None or live.database is None or live.deployment is None:
        raise ConfigurationError(
            f"pipeline {pipeline.name} has no live release with features; run a night first"
        )
    ds = layout.parse_date(asked.ds or live.ds, what="--ds").isoformat()
    job = {
        "version": 1,
        "pipeline": pipeline.name,
        "release": live.release_id,
        "ds": ds,
        "at": pipeline.zone.end_ms(dt.date.fromisoformat(ds)) - 1,
        "users": digest(asked.users),
        "items": digest(asked.items),
        **({} if asked.requests is None else {"requests": digest(asked.requests)}),
        "top": asked.top,
        "format": asked.format,
        "part_rows": PART_ROWS,
    }
    target = asked.out / f"ds={ds}"
    with files.locked(asked.out / f".ds={ds}.lock", timeout_s=1.0):
        there = _there(target, job, replace=asked.replace)
        if there is not None:
            return there
        return _Writer(pipeline, asked, live, job, target, tell).run()


def _there(target: Path, job: dict[str, Any], *, replace: bool) -> dict[str, Any] | None:
    """The list that is there, if it is the one asked for."""
    if not target.exists():
        return None
    summary: dict[str, Any] | None = None
    if (target / SUMMARY).is_file():
        summary = files.read_json(target / SUMMARY)
        if summary is not None and summary.get("job") == job:
            return {**summary, "written": False}
    if not replace:
        made = (
            f"made by release {summary['job']['release']}" if summary else "and has no " + SUMMARY
        )
        raise ConfigurationError(
            f"{target} is there, {made}; it is not what is asked for now: give --replace, or "
            "another --out"
        )
    return None


class _Writer:
    def __init__(
        self,
        pipeline: Pipeline,
        asked: Request,
        live: LivePointer,
        job: dict[str, Any],
        target: Path,
        tell: Callable[[str], None],
    ) -> None:
        self.pipeline, self.asked, self.live, self.job = pipeline, asked, live, job
        self.target, self.tell = target, tell
        self.partial = target.parent / f".partial-{target.name}"
        self.folder = pipeline.store.folder(live.release_id)
        self.token = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:8]
        self.suffix = writing.SUFFIXES[asked.format]
        self.renewed = 0.0

    def run(self) -> dict[str, Any]:
        started = time.monotonic()
        kept = self._begin()
        self._renew()
        try:
            with servers(self.pipeline.settings) as both, ThreadPoolExecutor(CALLS) as pool:
                scorer = _Scorer(both, self.live, self.folder)
                pairs = self._pairs(scorer)
                scored = self._parts(pairs, scorer, pool)
            return self._end(pairs, scored, kept, time.monotonic() - started)
        finally:
            leases.close(self.pipeline.store, self.token)

    def _begin(self) -> int:
        """Files of an earlier call of the same job, or a new folder."""
        state = self.partial / STATE
        if state.is_file() and files.read_json(state) == self.job:
            kept = len(list(self.partial.glob(f"part-*{self.suffix}")))
            self.tell(f"goes on after {kept} finished files in {self.partial}")
            return kept
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        files.write_json(state, self.job)
        return 0

    def _renew(self) -> None:
        if time.monotonic() - self.renewed < RENEW_S and self.renewed:
            return
        leases.renew(
            self.pipeline.store,
            run_token=self.token,
            run_id=f"score__{self.job['ds']}",
            ds=self.job["ds"],
            release_id=self.live.release_id,
            versions=[self.live.model_version],
            deployments=[str(self.live.deployment)],
        )
        self.renewed = time.monotonic()

    def _pairs(self, scorer: _Scorer) -> Pairs:
        tables = self.pipeline.features.tables
        at = (tables.request_time, self.job["at"])
        if self.asked.requests is not None:
            path, spool = Path(self.asked.requests), self.partial / SPOOL
            return OfRequests(scorer.schema, path, tables.request_id, spool)
        stamp = self.folder.manifest().recommend
        if stamp is None:
            return OfFiles(scorer.schema, self.asked.users, self.asked.items, tables.request_id, at)
        made = Recommender.load(self.folder.recommend, stamp.sha256)
        return OfRelease(made, scorer.schema, self.asked.users, self.asked.items, at)

    def _parts(self, pairs: Pairs, scorer: _Scorer, pool: ThreadPoolExecutor) -> int:
        users = max(1, PART_ROWS // max(1, pairs.items))
        scored = 0
        for number, first in enumerate(range(0, pairs.users, users)):
            path = self.partial / f"part-{number:05d}{self.suffix}"
            if path.exists():
                continue
            last = min(first + users, pairs.users)
            part = writing.Part()
            for user, scores in scorer.score(pairs, first, last, pool):
                part.add(user, scores, self.asked.top)
                self._renew()
            writing.write(part.table(pairs, self.live.release_id), path)
            scored += (last - first) * pairs.items
            self.tell(f"{last} of {pairs.users} users")
        return scored

    def _end(self, pairs: Pairs, scored: int, kept: int, seconds: float) -> dict[str, Any]:
        parts = sorted(path.name for path in self.partial.glob(f"part-*{self.suffix}"))
        summary = {
            "job": self.job,
            "release": self.live.release_id,
            "users": pairs.users,
            "items": pairs.items,
            "rows": pairs.users * min(pairs.items, self.asked.top or pairs.items),
            "scored": pairs.users * pairs.items,
            "files": {name: files.sha256_file(self.partial / name) for name in parts},
        }
        files.write_json(self.partial / SUMMARY, summary)
        (self.partial / STATE).unlink()
        (self.partial / SPOOL).unlink(missing_ok=True)
        if self.target.exists():
            old = files.staging_path(self.target)
            self.target.rename(old)
            self.partial.rename(self.target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            self.partial.rename(self.target)
        files.fsync_dir(self.target.parent)
        return {
            **summary,
            "written": True,
            "files_kept": kept,
            "scored_now": scored,
            "seconds": round(seconds, 3),
        }


class _Scorer:
    """Features and scores of request rows, by one release.

    Args:
        both: OpenMLDB and Triton.
        live: the release.
        folder: its folder.
    """

    def __init__(self, both: Servers, live: LivePointer, folder: ReleaseFolder) -> None:
        self._both, self._live = both, live
        info = both.openmldb.deployment(str(live.database), str(live.deployment))
        self.schema = [(name, sql_type(kind)) for name, kind in info.input_schema]
        spec = FeatureSpec.load(folder.spec)
        if not spec.accepts(str(live.spec_hash)):
            raise ContractError(f"{folder.spec} was changed after release {live.release_id}")
        self._encoder = RowEncoder(spec, [name for name, _ in info.output_schema])

    def score(
        self, pairs: Pairs, first: int, last: int, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Users from `first` up to `last`, each with the scores of all items: float32 [items]."""
        waiting: list[tuple[Future[npt.NDArray[np.float32]], list[tuple[int, int]]]] = []
        done: dict[int, list[npt.NDArray[np.float32]]] = {}
        counts: dict[int, int] = {}
        for rows, owners in _calls(pairs, first, last):
            waiting.append((pool.submit(self._call, rows), owners))
            if len(waiting) > CALLS:
                yield from _take(waiting.pop(0), done, counts, pairs.items)
        while waiting:
            yield from _take(waiting.pop(0), done, counts, pairs.items)

    def _call(self, rows: list[list[Any]]) -> npt.NDArray[np.float32]:
        live = self._live
        features, _ = self._both.openmldb.call(
            str(live.database), str(live.deployment), rows, need_schema=False
        )
        if len(features) != len(rows):
            raise ContractError(
                f"deployment {live.deployment} answered {len(features)} rows to {len(rows)}"
            )
        ids = self._encoder.encode(features)
        return self._both.triton.score(live.model, live.model_version, {INPUT: ids})


def _calls(
    pairs: Pairs, first: int, last: int
) -> Iterator[tuple[list[list[Any]], list[tuple[int, int]]]]:
    """Rows of each call, and of which users how many they are."""
    rows: list[list[Any]] = []
    owners: list[tuple[int, int]] = []
    for user in range(first, last):
        at = 0
        while at < pairs.items:
            stop = min(pairs.items, at + CALL_ROWS - len(rows))
            rows += pairs.rows(user, at, stop)
            owners.append((user, stop - at))
            at = stop
            if len(rows) == CALL_ROWS:
                yield rows, owners
                rows, owners = [], []
    if rows:
        yield rows, owners


def _take(
    call: tuple[Future[npt.NDArray[np.float32]], list[tuple[int, int]]],
    done: dict[int, list[npt.NDArray[np.float32]]],
    counts: dict[int, int],
    items: int,
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    scores = call[0].result()
    at = 0
    for user, count in call[1]:
        done.setdefault(user, []).append(scores[at : at + count])
        counts[user] = counts.get(user, 0) + count
        at += count
        if counts[user] == items:
            del counts[user]
            yield user, np.concatenate(done.pop(user))
