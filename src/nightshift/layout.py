"""Where a run's artefacts lie, and how source partitions are named."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nightshift.errors import ConfigurationError, PartitionMissing
from nightshift.zones import Zone

DAY_MS = 86_400_000
"""Milliseconds of a day."""


def parse_date(text: str, *, what: str = "ds") -> dt.date:
    """A date written `YYYY-MM-DD`.

    Raises:
        ConfigurationError: the text is not such a date, or so near the calendar's ends that the
            days around it cannot be counted.
    """
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError(text)
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{what} is {text!r}; write it as YYYY-MM-DD") from None
    if not 1900 <= day.year < 9999:
        raise ConfigurationError(f"{what} is {text}; a date is of the years 1900 to 9998")
    return day


def day_of(folder: str) -> dt.date | None:
    """The day of a partition's or dated snapshot's folder `ds=YYYY-MM-DD`; None of another name."""
    if not folder.startswith("ds="):
        return None
    try:
        return parse_date(folder.removeprefix("ds="))
    except ConfigurationError:
        return None


def days_back(last: dt.date, days: int) -> list[dt.date]:
    """`days` consecutive dates that end with `last`, oldest first."""
    return [last - dt.timedelta(days=n) for n in range(days - 1, -1, -1)]


def partition(data: Path, table: str, day: dt.date) -> Path:
    """Folder of one date partition."""
    return data / table / f"ds={day.isoformat()}"


def present(data: Path, table: str, days: Iterable[dt.date]) -> list[dt.date]:
    """Those of `days` whose partition holds at least one data file."""
    from nightshift.data.reading import parquet_files

    return [day for day in days if parquet_files(partition(data, table, day))]


def day_start_ms(day: dt.date, zone: Zone = Zone()) -> int:  # noqa: B008 (frozen)
    """Milliseconds since the epoch at which a partition's day begins, by default in UTC+8."""
    return zone.start_ms(day)


def event_glob(data: Path, table: str, days: list[dt.date]) -> str:
    """One path pattern, in Hadoop's glob syntax, for several partitions.

    Raises:
        PartitionMissing: `days` is empty.
    """
    if not days:
        raise PartitionMissing(f"no partition of {table} under {data}; load one first")
    dates = ",".join(day.isoformat() for day in days)
    return f"{data}/{table}/ds={{{dates}}}/*.parquet"


def snapshot_folder(data: Path, table: str, last: dt.date | None = None) -> Path:
    """Folder of a snapshot table's files, as a run of a date may see them.

    A dated snapshot (`<table>/ds=YYYY-MM-DD/`) counts from its day on, so that a run of an older
    date does not read what was not known then. A table without dated folders is one snapshot,
    which counts for every date.

    Args:
        data: root of the source tables.
        table: the table.
        last: the run's date; None for the newest.

    Raises:
        PartitionMissing: the table has dated snapshots, and none is as old as `last`.
        ConfigurationError: it has dated and undated files.
    """
    from nightshift.data.reading import parquet_files

    root = data / table
    dated = {
        folder: day
        for folder in root.glob("ds=????-??-??")
        if (day := day_of(folder.name)) is not None and parquet_files(folder)
    }
    if not dated:
        return root
    loose = sorted(root.glob("[!._]*.parquet"))
    if loose:
        raise ConfigurationError(
            f"{root} holds dated snapshots (ds=...) and {loose[0].name} beside them, which has no "
            "date; move it into the folder of its day"
        )
    known = [folder for folder, day in dated.items() if last is None or day <= last]
    if not known:
        raise PartitionMissing(
            f"no snapshot of {table} under {data} is as old as {last}; the oldest is of "
            f"{min(dated.values())}: load one, or run for a later date"
        )
    return max(known, key=lambda folder: dated[folder])


def snapshot_glob(data: Path, table: str, last: dt.date | None = None) -> str:
    """Path pattern of a snapshot table's files; see `snapshot_folder`.

    Raises:
        PartitionMissing, ConfigurationError: as `snapshot_folder`.
    """
    return f"{snapshot_folder(data, table, last)}/*.parquet"


def run_token(run_id: str) -> str:
    """Eight hex digits that stand for an Airflow run id in names of files and databases."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class RunFolder:
    """Every artefact of one run: `<runs>/<ds>/<token>/...`."""

    root: Path

    @classmethod
    def of(cls, runs: Path, ds: str, run_id: str) -> RunFolder:
        """The folder of the run `run_id` for the date `ds`."""
        return cls(runs / ds / run_token(run_id))

    @property
    def features(self) -> Path:
        """What SELECT INTO OUTFILE wrote: a folder of parquet files."""
        return self.root / "features"

    @property
    def dataset(self) -> Path:
        """`{train,valid,test}.parquet` folders and `data_card.json`."""
        return self.root / "dataset"

    @property
    def model(self) -> Path:
        """Parameters, `signature.json`, `golden.npz`, `model_card.json`, `metrics.jsonl`."""
        return self.root / "model"

    @property
    def refit_dataset(self) -> Path:
        """As `dataset`, with every judged day to train on, where the pipeline refits."""
        return self.root / "refit" / "dataset"

    @property
    def refit_model(self) -> Path:
        """As `model`, of the refit: what is published."""
        return self.root / "refit" / "model"

    @property
    def recommend(self) -> Path:
        """What `tasks.recommend.train` wrote, where the pipeline recommends."""
        return self.root / "recommend"

    @property
    def listed(self) -> Path:
        """What the query of `recommend.sql_list` exported, where the pipeline has one."""
        return self.root / "listed"

    @property
    def reports(self) -> Path:
        """One JSON report per check."""
        return self.root / "reports"

    @property
    def results(self) -> Path:
        """The small JSON results that tasks hand back."""
        return self.root / "results"

    def result(self, task: str) -> Path:
        """Result file of a task."""
        return self.results / f"{task}.json"
