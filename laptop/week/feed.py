"""What a week brings: requests and events to be played, and partitions that land day by day.

The whole week is drawn beforehand into a folder of its own. A night sees of it only what has landed
in the pipeline's folder: the partitions of past days, and of their labels those that have come.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from laptop.data import partitions
from laptop.data.cli import make_tables
from laptop.data.generate import Spec
from nightshift import files, layout
from nightshift.data import reading
from nightshift.live.stream import Moment, ordered, timeline
from nightshift.pipeline import Pipeline

LABELS = "action"
LATE_TABLE = "bo_action"
"""The table of what users did just before a request: the one whose delay costs most."""

USUAL_LATE = ((0.03, 600.0),)
"""Of an ordinary day: a few events that come ten minutes late."""

FAULT_LATE = ((0.7, 6 * 3600.0),)
"""The planted fault: most of a table's events come six hours late."""

LABEL_DELAY = (0.7, 0.15, 0.1, 0.05)
"""Share of labels that are known so many days after their request."""


@dataclass(frozen=True)
class Week:
    """A week of live traffic.

    Attributes:
        pipeline: what is retrained and served.
        whole: the same with the folder that holds the whole week.
        first: the day of the first release.
        days: the days that are played.
        faulty: those on which the fault is in force.
        bad: the one whose night makes a bad release live; the day after shows it.
    """

    pipeline: Pipeline
    whole: Pipeline
    first: dt.date
    days: tuple[dt.date, ...]
    faulty: frozenset[dt.date]
    bad: dt.date

    @classmethod
    def make(
        cls, pipeline: Pipeline, spec: Spec, *, last: dt.date, days: int, history: int
    ) -> Week:
        """Draw the tables; those up to the first release land.

        Args:
            pipeline: the demo's.
            spec: the world.
            last: the last day that is played.
            days: how many days are played.
            history: days of requests before them.
        """
        played = tuple(layout.days_back(last, days))
        first = played[0] - dt.timedelta(days=1)
        make_tables(pipeline.data, spec, first, history)
        whole = Pipeline.load(replace(pipeline.settings, data=pipeline.settings.home / "whole"))
        make_tables(whole.data, spec, last, days)
        return cls(pipeline, whole, first, played, *planted(played))

    def moments(self, day: dt.date) -> list[Moment]:
        """The traffic of a day in the order in which it is sent."""
        others = [name for name in self.whole.features.tables.events if name != LATE_TABLE]
        late = FAULT_LATE if day in self.faulty else USUAL_LATE
        found = timeline(self.whole, day, tables=others)
        found += timeline(self.whole, day, tables=[LATE_TABLE], late=late)
        return ordered(self.whole, found)

    def land(self, day: dt.date) -> int:
        """Bring the partitions of a day, and the labels that have come by its end.

        Returns:
            How many labels of this and earlier days have not come yet.
        """
        for table in self.whole.features.tables.events:
            source = layout.partition(self.whole.data, table, day)
            if table != LABELS and source.is_dir():
                copy(source, layout.partition(self.pipeline.data, table, day))
        missing = 0
        for one in [d for d in self.days if d <= day]:
            missing += self._labels(one, (day - one).days)
        return missing

    def _labels(self, day: dt.date, age: int) -> int:
        source = layout.partition(self.whole.data, LABELS, day)
        rows = reading.table(reading.parquet_files(source))
        delays = label_delays(len(rows), day)
        there = rows.filter(pa.array(delays <= age))
        target = layout.partition(self.pipeline.data, LABELS, day)
        before = reading.parquet_files(target)
        if not before or reading.rows(before) != len(there):
            partitions.write_partition(self.pipeline.data, LABELS, day, there)
        orders = pc.equal(rows["actionValue"], 1).to_numpy()
        return int((orders & (delays > age)).sum())


def planted(played: Sequence[dt.date]) -> tuple[frozenset[dt.date], dt.date]:
    """Days with late events, and the one whose night makes a bad release live."""
    # The last but one, and the one before where there are enough: the last day shows the repair.
    faulty = frozenset(played[-3:-1] if len(played) >= 5 else played[-2:-1])
    # The day after it has no late events, too.
    return faulty, played[0] if len(played) >= 4 else played[1]


def label_delays(rows: int, day: dt.date) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Days after which each label of a day is known, drawn from the date alone."""
    rng = np.random.default_rng([7, day.toordinal()])
    return rng.choice(len(LABEL_DELAY), rows, p=LABEL_DELAY)


def copy(source: Path, target: Path) -> None:
    """Copy a partition, whole or not at all."""
    with files.staged_dir(target, replace=True) as staged:
        shutil.copytree(source, staged, dirs_exist_ok=True)
