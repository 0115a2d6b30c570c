"""Releases that are held against each other, fed from the request log.

`<home>/live/<pipeline>/contests.json` holds what each comparison has seen; it is replaced as a
whole, so that a look that is killed is repeated from where the last one ended, and no row counts
twice.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nightshift import files
from nightshift.errors import NightshiftError
from nightshift.live.folders import live_folder
from nightshift.live.log import ANSWERED, FEATURE, REQUEST, RequestLog
from nightshift.monitoring import served
from nightshift.monitoring.constant import ROWS
from nightshift.monitoring.judge import Judge, Recent
from nightshift.pipeline import Pipeline
from nightshift.registry.pointer import LivePointer, read_live
from nightshift.zones import EPOCH

if TYPE_CHECKING:
    import pyarrow as pa

KEPT = 20
"""Contests that are remembered."""

LAG = dt.timedelta(seconds=30)
"""Rows younger than this may still be on their way to the log."""

STALE = dt.timedelta(minutes=30)
"""The newest requests say nothing of now once the last of them is older."""

_WIDENING = (dt.timedelta(hours=1), dt.timedelta(days=1))


def path_of(pipeline: Pipeline) -> Path:
    """Where the contests of a pipeline are kept."""
    return live_folder(pipeline.settings, pipeline.name) / "contests.json"


def opponents(live: LivePointer) -> list[tuple[str, str]]:
    """Who is held against whom: the canary against the live release, that against the one before.

    While there is a canary, the release before does not score.
    """
    if live.canary is not None:
        return [(live.canary.pair.release_id, live.release_id)]
    if live.shadow is not None:
        return [(live.release_id, live.shadow.pair.release_id)]
    return []


def look(pipeline: Pipeline, *, until: dt.datetime | None = None) -> list[Judge]:
    """Take what has matured since the last look, and look for gross faults.

    Args:
        pipeline: a pipeline with features.
        until: the end of what is looked at; now.

    Returns:
        A judge of each release that is held against another now; none without a release.
    """
    live = read_live(pipeline.releases)
    if live is None:
        return []
    end = until or dt.datetime.now(dt.timezone.utc)
    kept = _read(pipeline)
    judges = []
    for new, old in opponents(live):
        judge = kept.pop((new, old), None) or Judge(new, old)
        judge.comparison.alpha = pipeline.config.monitor.alpha
        judge.top_share, judge.null_share = served.shares_of(pipeline, new)
        _take(pipeline, judge, end)
        judge.look(_recent(pipeline, judge, end))
        judges.append(judge)
    if judges:
        latest = [*kept.values()][-(KEPT - len(judges)) :] + judges
        files.write_json(
            path_of(pipeline),
            {
                "at": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "now": [one.report() for one in judges],
                "contests": [one.to_json() for one in latest],
            },
        )
    return judges


def _read(pipeline: Pipeline) -> dict[tuple[str, str], Judge]:
    """What is remembered, oldest first; a broken file is begun anew, which withdraws nothing."""
    found: dict[tuple[str, str], Judge] = {}
    try:
        value = files.read_json(path_of(pipeline)) if path_of(pipeline).exists() else {}
        for one in value["contests"] if value else ():
            judge = Judge.from_json(one)
            dt.datetime.fromtimestamp(judge.through_us / 1e6, dt.timezone.utc)
            found[judge.new, judge.old] = judge
    except (NightshiftError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return {}
    return found


def _take(pipeline: Pipeline, judge: Judge, end: dt.datetime) -> None:
    """Rows that both releases scored, whose labels have matured and that were not taken yet."""
    import pyarrow as pa
    import pyarrow.compute as pc

    config = pipeline.config.monitor
    time = REQUEST + pipeline.features.tables.request_time
    since = end - dt.timedelta(days=config.days)
    if judge.through_us:
        since = max(since, dt.datetime.fromtimestamp(judge.through_us / 1e6, dt.timezone.utc))
    table = RequestLog.of(pipeline).read(
        since,
        end - LAG,
        columns=["receipt", "row", "of", "role", "release", "at", "request_id", "score", time],
        where=pc.is_in(pc.field("release"), pa.array([judge.new, judge.old])),
    )
    answered, shadow = _joined(table, judge)
    if not answered.num_rows:
        return
    at = answered["at"].cast(pa.int64()).to_numpy()
    own = _times(answered[time], at // 1000)
    days = pipeline.zone.days_of(own).astype(np.int64) + EPOCH.toordinal()
    if config.settle_hours is None:
        last = pipeline.zone.day_of(end)
        settled = days <= last.toordinal() - served.settle_days(pipeline)
    else:
        settled = own <= int((end.timestamp() - config.settle_hours * 3600) * 1000)
        last = pipeline.zone.day_of(end)
    fresh = settled & (at > judge.through_us)
    if not fresh.any():
        return
    ids = np.array([str(one) for one in answered["request_id"].to_pylist()], dtype=object)[fresh]
    labels, known = served.labels_of(pipeline, ids, days[fresh], last)
    scores = _scores(answered, shadow, _by_new(answered, judge))[fresh]
    usable = known & np.isfinite(scores).all(axis=1)
    judge.compare(labels[usable], scores[usable, 0], scores[usable, 1])
    judge.through_us = int(at[fresh].max())


def _joined(table: pa.Table, judge: Judge) -> tuple[pa.Table, pa.Table]:
    """Answered rows and the shadow rows of the same requests, in the order of the answers."""
    import pyarrow as pa

    roles, releases = table["role"].to_pylist(), table["release"].to_pylist()
    rows = table["row"].to_pylist()
    receipts, ofs = table["receipt"].to_pylist(), table["of"].to_pylist()
    shadows: dict[tuple[str, int], int] = {}
    for n, role in enumerate(roles):
        if role == "shadow" and ofs[n] is not None:
            shadows[ofs[n], rows[n]] = n
    one, other = [], []
    for n, role in enumerate(roles):
        found = shadows.get((receipts[n], rows[n])) if role in ANSWERED else None
        if found is not None and {releases[n], releases[found]} == {judge.new, judge.old}:
            one.append(n)
            other.append(found)
    return table.take(pa.array(one, pa.int64())), table.take(pa.array(other, pa.int64()))


def _by_new(answered: pa.Table, judge: Judge) -> npt.NDArray[np.bool_]:
    """Which answers the judged release gave."""
    return np.array([one == judge.new for one in answered["release"].to_pylist()], dtype=bool)


def _scores(
    answered: pa.Table, shadow: pa.Table, by_new: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """float64 [n, 2]: scores of the judged release and of the other one."""
    found = np.column_stack(
        [side["score"].to_numpy(zero_copy_only=False) for side in (answered, shadow)]
    ).astype(float)
    return np.where(by_new[:, None], found, found[:, ::-1])


def _times(column: Any, instead: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The requests' own times, milliseconds; the server's where one has none."""
    import pyarrow as pa

    if not pa.types.is_integer(column.type):
        return instead.astype(np.int64)
    own = column.fill_null(0).to_numpy(zero_copy_only=False)
    return np.where(column.is_valid().to_numpy(zero_copy_only=False), own, instead).astype(np.int64)


def _recent(pipeline: Pipeline, judge: Judge, end: dt.datetime) -> Recent:
    """The newest requests of the judged release, and what the other one makes of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = [one.name for one in pipeline.features.spec.fields]
    columns = ["receipt", "row", "of", "role", "release", "at", "score"]
    columns += [FEATURE + name for name in names]
    mine = table = None
    for span in _WIDENING:
        table = RequestLog.of(pipeline).read(
            end - span,
            end,
            columns=columns,
            where=pc.is_in(pc.field("release"), pa.array([judge.new, judge.old])),
        )
        roles = pa.array([*ANSWERED, "error"])
        mine = table.filter(
            pc.and_(pc.equal(table["release"], judge.new), pc.is_in(table["role"], roles))
        )
        if mine.num_rows >= ROWS:
            break
    assert mine is not None
    assert table is not None
    last = pc.max(mine["at"]).as_py()
    if last is None or last < end - STALE:
        mine = mine.slice(0, 0)
    failed = pc.equal(mine["role"], "error").to_numpy(zero_copy_only=False).astype(bool)
    scored = mine.filter(pa.array(~failed))
    answered, shadow = _joined(table, judge)
    by_new = _by_new(answered, judge)
    pairs = _scores(answered, shadow, by_new)
    other = shadow.filter(pa.array(by_new))
    return Recent(
        features=_features(scored, names),
        scores=scored["score"].to_numpy(zero_copy_only=False).astype(float),
        failed=failed,
        other=_features(other.slice(max(0, other.num_rows - ROWS)), names),
        pairs=pairs[np.isfinite(pairs).all(axis=1)],
    )


def _features(table: pa.Table, names: list[str]) -> pa.Table:
    return table.select([FEATURE + name for name in names]).rename_columns(names)
