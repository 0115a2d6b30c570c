"""Fit, measure on held-out days, fit again on everything, and write one folder."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift import files
from nightshift.config.recommend import Recommend
from nightshift.errors import DataError
from nightshift.recommend import artefact, heldout
from nightshift.recommend.interactions import Interactions
from nightshift.recommend.ragged import Ragged
from nightshift.recommend.recommender import Recommender
from nightshift.recommend.retrievers import REGISTRY, Liked


def build(
    found: Interactions,
    options: Recommend,
    out: Path,
    *,
    last: dt.date,
    last_ms: int,
    test_days: int,
    request: Mapping[str, str],
    listed: Ragged | None = None,
) -> dict[str, Any]:
    """Write the folder `out`, whole or not at all.

    The retrievers are fitted on the days before the held-out ones and measured there; what is
    written is fitted on all days, so that the newest items and users are in it.

    Args:
        found: the interactions.
        options: how to learn from them.
        out: the folder.
        last: the last day.
        last_ms: its last millisecond, since 1970.
        test_days: held-out days, the last ones.
        request: the request table's columns `id` and `time`.
        listed: of `listed.read`. It may know the held-out days, so it is not measured on them.

    Returns:
        What `recommend.json` holds.

    Raises:
        DataError: nobody liked anything.
    """
    if not found.liked.any():
        raise DataError(
            "no interaction fulfils recommend.interactions.where; nobody liked anything"
        )
    first_test = days(last) - test_days + 1
    with files.staged_dir(out, replace=True) as staged:
        trial = staged / "trial"
        early = found.day < first_test
        measured: dict[str, Any] = {"users": 0, "first_day": str(_date(first_test))}
        if (early & found.liked).any():
            trial.mkdir()
            # Measured and gone: what serves knows the held-out days as well.
            _write(found, early, _measured(options), trial, last=_date(first_test - 1))
            measured |= heldout.measure(Recommender.load(trial), found, ~early)
        every = np.ones(len(found.day), bool)
        card = _write(found, every, options, staged, last=last, listed=listed)
        if trial.exists():
            shutil.rmtree(trial)
        card |= {"held_out": measured, "request": dict(request), "last_ms": last_ms}
        files.write_json(staged / artefact.CARD, card)
    return card


def _write(
    found: Interactions,
    rows: npt.NDArray[np.bool_],
    options: Recommend,
    folder: Path,
    *,
    last: dt.date,
    listed: Ragged | None = None,
) -> dict[str, Any]:
    users, items = len(found.users), len(found.items)
    consumed = _lists(found, rows, users)
    liked = _lists(found, rows & found.liked, users)
    given = Liked(users, items, liked, listed)
    artefact.write_tables(folder, found.users, found.items)
    consumed.save(folder, "consumed")
    liked.save(folder, "liked")
    figures = {}
    for name in dict.fromkeys((*options.retrievers, "popular")):
        (folder / name).mkdir()
        figures[name] = REGISTRY[name].fit(given, options, folder / name)
    card = {
        "version": artefact.VERSION,
        "last_day": last.isoformat(),
        "options": options.model_dump(mode="json"),
        "users": users,
        "items": items,
        "interactions": int(rows.sum()),
        "liked": len(liked.values),
        "dropped": found.dropped,
        "retrievers": figures,
    }
    files.write_json(folder / artefact.CARD, card)
    return card


def _measured(options: Recommend) -> Recommend:
    """The options without what may know the held-out days."""
    names = tuple(name for name in options.retrievers if name != "sql_list") or ("popular",)
    return options.model_copy(update={"retrievers": names, "sql_list": None})


def _lists(found: Interactions, rows: npt.NDArray[np.bool_], users: int) -> Ragged:
    """Each user's distinct items, placed by the last time."""
    user, item = found.user[rows][::-1], found.item[rows][::-1]
    pairs = user.astype(np.int64) * len(found.items) + item
    _, last = np.unique(pairs, return_index=True)
    last.sort()
    last = last[::-1]
    return Ragged.of(user[last], item[last], users)


def days(day: dt.date) -> int:
    """Days since 1970."""
    return (day - dt.date(1970, 1, 1)).days


def _date(number: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=number)
