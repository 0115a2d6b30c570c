"""Feature files become a dataset in two steps.

The rows are read once: each keeps its key, time, label and a small code for each feature. Days and
labels decide the splits. Then the rows, sorted by time, are counted, get their ids and are written.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from openmldb_files import open_parquet

import nightshift
from nightshift import files
from nightshift.data import reading
from nightshift.errors import ContractError, DataError
from nightshift.features.encoding import (
    column_types,
    columns_by_field,
    is_null,
    stored_types,
)
from nightshift.features.places import SMALL
from nightshift.features.profile import FeatureProfile, row_days
from nightshift.features.specification import ENCODING_VERSION, FeatureSpec
from nightshift.features.values import Codes, FieldValues
from tasks.ctr.preprocess.daily import Daily
from tasks.ctr.preprocess.ordering import Blocks, RowSorter
from tasks.ctr.preprocess.overlap import ahead, in_turn
from tasks.ctr.preprocess.rows import UNLABELLED, Rows
from tasks.ctr.preprocess.window import (
    SPLITS,
    TRAIN,
    Census,
    Plan,
    WindowRule,
    date_of,
    days_of,
)
from tasks.entry import Stopped, log

CARD_VERSION = 1
BATCH_ROWS = 65_536
"""A row group of the written files holds as many rows at most."""

READ_ROWS = 131_072
"""Rows of a batch that is read, at most, where files are small."""

READ_AHEAD = 2
"""Groups of files of which some rows are read in advance."""

GROUP_BYTES = 1 << 24
"""Files of as many bytes together are read as one: what is done once a batch is done less often."""

COUNTED_BEHIND = 2
"""Pieces of sorted rows that are written and wait for being counted."""

Bools = npt.NDArray[np.bool_]

ROW_COLUMNS = ("request_id", "request_time", "label")
"""First columns of every split's file; the features' follow: int64 ids, float32 numbers."""


def feature_files(folder: Path) -> list[Path]:
    """Parquet files that an offline export wrote into `folder`, in name order.

    Raises:
        DataError: there is none.
    """
    found = reading.parquet_files(folder)
    if not found:
        raise DataError(f"no parquet file in {folder}; the job that extracts features writes there")
    return found


def build_dataset(
    features: Path,
    spec: FeatureSpec,
    rule: WindowRule,
    out: Path,
    *,
    label_absent: int | None = None,
    refit: bool = False,
) -> dict[str, Any]:
    """Turn feature rows into train, valid and test splits of ids.

    Args:
        features: folder of the exported feature files.
        spec: the feature specification.
        rule: the window and the splits.
        out: folder to appear, whole: `<split>/part-0.parquet` and `data_card.json`. Rows are in
            the order of their time and key, whatever the order of the feature files.
        label_absent: what a row without a label counts as once its day has settled; None leaves
            such rows out.
        refit: every judged row goes to train, those of the held-out days included; the other
            splits are empty.

    Returns:
        The data card.

    Raises:
        ContractError: a file's columns are not the specification's.
        DataError: the rows cannot be split as the rule says.
    """
    if clash := set(spec.columns) & set(ROW_COLUMNS):
        raise ContractError(
            f"features of {spec.source} are named {', '.join(sorted(clash))}, as the dataset's own "
            "columns are; rename them in the feature query"
        )
    sources = feature_files(features)
    daily = Daily(spec, rule)
    with (
        files.staged_dir(out, replace=True) as staged,
        _scratch(staged) as scratch,
        ThreadPoolExecutor(READ_AHEAD + 3) as pool,
    ):
        encoder = _Encoder(spec, pool)
        sorter = RowSorter(scratch, encoder.stored, pool=pool)
        census = Census(rule)

        def begun() -> Iterator[_Begun]:
            for batch in in_turn(_batches(sources, spec), pool, READ_AHEAD):
                days = days_of(batch.column(spec.time), spec.time, rule.zone)
                given = _labels(batch.column(spec.label), spec)
                daily.add(batch, days, *given)
                labels, labelled = _settled(given, label_absent)
                census.add(days, labels, labelled)
                inside = (days >= rule.first_day) & (days <= rule.last_day)
                yield encoder.begin(batch, np.where(labelled, labels, np.int8(UNLABELLED)), inside)

        checked = pool.submit(_check_schemas, sources, spec)
        try:
            for batch in ahead(begun(), pool):
                if checked.done():
                    checked.result()
                rows = encoder.end(batch)
                # A few others are left out later, which takes less than to copy the rows.
                sorter.add(rows if batch.inside.mean() > 0.75 else rows.where(batch.inside))
        except Exception as error:
            if not isinstance(error, Stopped):
                checked.result()  # a file of other columns says more than what reading it raised
            raise
        columns = checked.result()
        plan = census.plan(refit=refit)
        log(
            f"{plan.counts.read} rows read, "
            + ", ".join(
                f"{plan.total(plan.rows_by_day, code)} to {name}"
                for code, name in enumerate(SPLITS)
            )
        )
        encoder.finish()
        profiles = _Profiles(encoder, plan)
        _write_splits(sorter, encoder, plan, profiles, pool, staged)
        card = _card(spec, plan, columns, profiles, staged)
        card["days"] = daily.summary()
        card["label_absent"] = label_absent
        card["refit"] = refit
        files.write_json(staged / "data_card.json", card)
    return card


def _check_schemas(sources: list[Path], spec: FeatureSpec) -> dict[str, str]:
    first: dict[str, str] = {}
    for path in sources:
        with reading.told(), open_parquet(path) as file:
            types = column_types(file.schema_arrow)
        try:
            spec.check_columns(types)
        except ContractError as error:
            raise ContractError(f"{path}: {error}") from error
        first = first or dict(types)
    return first


def _batches(sources: list[Path], spec: FeatureSpec) -> Iterator[Iterator[pa.RecordBatch]]:
    """Rows of all files, a group of files at a time."""
    key = spec.keys[0]
    columns = list(dict.fromkeys([key, spec.time, spec.label, *spec.names]))
    encoded = {field.name for field in spec.fields if field.type == "string"} - {key}

    def read(paths: list[Path]) -> Iterator[pa.RecordBatch]:
        return _joined(
            reading.batches(
                paths,
                columns=columns,
                batch_rows=BATCH_ROWS,
                encoded=encoded,
                threads=len(sources) < READ_AHEAD,
            )
        )

    group: list[Path] = []
    size = 0
    for path in sources:
        group.append(path)
        size += path.stat().st_size
        if size >= GROUP_BYTES:
            yield read(group)
            group, size = [], 0
    if group:
        yield read(group)


def _joined(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in fewer batches, where small ones follow each other."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        # One file may hold a column as a dictionary, the next one as texts.
        if held and (held[0].schema != batch.schema or rows + batch.num_rows > READ_ROWS):
            yield pa.concat_batches(held) if len(held) > 1 else held[0]
            held, rows = [], 0
        held.append(batch)
        rows += batch.num_rows
    if held:
        yield pa.concat_batches(held) if len(held) > 1 else held[0]


def _labels(
    column: pa.Array, spec: FeatureSpec
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """Labels int8 [n] (0 where NULL), and which rows have one: bool [n]."""
    kind = column.type
    if pa.types.is_null(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        raise ContractError(
            f"label {spec.label} is {kind}; it must be an integer or bool that is 0 or 1"
        )
    labelled = ~is_null(column)
    values = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    wrong = values[(values != 0) & (values != 1)]
    if len(wrong):
        raise DataError(
            f"label {spec.label} holds {wrong[0]}; it must be 0, 1 or NULL: fix the feature query"
        )
    return values.astype(np.int8), labelled


def _settled(
    found: tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]], absent: int | None
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """Labels and which rows have one, where a missing one counts as `absent`."""
    labels, labelled = found
    if absent is None:
        return found
    return np.where(labelled, labels, np.int8(absent)), np.ones_like(labelled)


@dataclass(frozen=True)
class _Begun:
    """A batch of which the columns of few values are taken; `codes` of the others are None."""

    batch: pa.RecordBatch
    labels: npt.NDArray[np.int8]
    inside: Bools
    codes: list[Codes | None]


class _Encoder:
    """From batches to rows of codes, and from codes to what is stored."""

    def __init__(self, spec: FeatureSpec, pool: Executor) -> None:
        self.spec, self._pool = spec, pool
        self.values = [FieldValues(field) for field in spec.fields]

    def begin(self, batch: pa.RecordBatch, labels: npt.NDArray[np.int8], inside: Bools) -> _Begun:
        """Take the columns of few values; `end`, in another thread, takes those of many.

        Both are called batch after batch. What has many values keeps them, so no column is taken by
        two threads at once.

        Args:
            batch: n rows.
            labels: their labels, int8 [n].
            inside: which of them are in the window, bool [n].
        """
        codes = [
            values.take(batch.column(name)) if len(values) <= SMALL else None
            for values, name in zip(self.values, self.spec.names, strict=True)
        ]
        return _Begun(batch, labels, inside, codes)

    def end(self, begun: _Begun) -> Rows:
        """The rows of a batch."""
        spec, batch = self.spec, begun.batch
        coming = {
            at: self._pool.submit(self.values[at].take, batch.column(spec.names[at]))
            for at, codes in enumerate(begun.codes)
            if codes is None
        }
        times = batch.column(spec.time).cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        return Rows(
            batch.column(spec.keys[0]).cast(pa.string()),
            times.to_numpy(zero_copy_only=False),
            begun.labels,
            [
                coming[at].result() if codes is None else codes
                for at, codes in enumerate(begun.codes)
            ],
        )

    def finish(self) -> None:
        """Hash what is new: from here on `stored` only reads, and threads may share it."""
        for values in self.values:
            values.stored(np.empty(0, dtype=np.uint8))

    def repeated(self) -> list[str]:
        """Columns of a dataset whose values repeat within a row group, so that a dictionary pays."""
        return [
            *ROW_COLUMNS[1:],
            *(
                name
                for values, names in zip(self.values, columns_by_field(self.spec), strict=True)
                if len(values) <= BATCH_ROWS
                for name in names
            ),
        ]

    def stored(self, rows: Rows) -> list[pa.Array]:
        """Labels and the features' columns of rows as they are stored."""
        return [
            pa.array(rows.labels),
            *(
                column
                for values, codes in zip(self.values, rows.codes, strict=True)
                for column in values.stored(codes)
            ),
        ]


class _Profiles:
    """What values each feature takes among rows to learn from, and among the newest."""

    def __init__(self, encoder: _Encoder, plan: Plan) -> None:
        self._values = encoder.values
        self._newest_days = plan.rule.newest_days
        self.trained = [FeatureProfile(one) for one in encoder.values]
        self.recent = [FeatureProfile(one) for one in encoder.values]
        self._learned: dict[str, dict[str, Any]] = {}

    def sum_up_ids(self) -> None:
        """Sum up what was learned from, once all of it is counted, of features that are ids.

        The values of those are all known. A number's buckets come while rows are counted.
        """
        for profile in self.trained:
            if not profile.values.field.number:
                self._sum_up(profile)

    def _sum_up(self, profile: FeatureProfile) -> dict[str, Any]:
        name = profile.values.field.name
        if name not in self._learned:
            usual = profile.usual({1, self._newest_days})
            self._learned[name] = {**profile.summary(), "usual": usual}
        return self._learned[name]

    def card(self) -> dict[str, dict[str, Any]]:
        """The card's entry of each feature."""
        return {
            profile.values.field.name: {
                "kind": profile.values.field.kind,
                "type": profile.values.field.type,
                "decimals": profile.values.field.decimals,
                **self._sum_up(profile),
                "recent": recent.summary(),
            }
            for profile, recent in zip(self.trained, self.recent, strict=True)
        }

    def add(
        self, rows: Rows, days: npt.NDArray[np.int32], in_train: Bools, is_recent: Bools
    ) -> None:
        """Count n rows.

        Args:
            rows: the rows.
            days: days since 1970, int32 [n].
            in_train: rows to learn from, bool [n].
            is_recent: rows of the newest days, bool [n].
        """
        for profiles, which in ((self.trained, in_train), (self.recent, is_recent)):
            counted, of_days = rows.where(which), row_days(days[which])
            for values, profile, codes in zip(self._values, profiles, counted.codes, strict=True):
                profile.add(values.places(codes), of_days)


def _write_splits(
    sorter: RowSorter,
    encoder: _Encoder,
    plan: Plan,
    profiles: _Profiles,
    pool: Executor,
    staged: Path,
) -> None:
    schema = pa.schema(
        [
            pa.field("request_id", pa.string()),
            *(
                pa.field(name, kind, nullable=False)
                for name, kind in (
                    ("request_time", pa.timestamp("ms")),
                    ("label", pa.int8()),
                    *stored_types(encoder.spec),
                )
            ),
        ]
    )

    def table(rows: Rows) -> pa.Table:
        times = pa.array(rows.times).cast(pa.timestamp("ms"))
        return pa.Table.from_arrays([rows.keys, times, *encoder.stored(rows)], schema=schema)

    with contextlib.ExitStack() as stack:
        writers = []
        for name in SPLITS:
            (staged / name).mkdir()
            path = staged / name / "part-0.parquet"
            writer = pq.ParquetWriter(
                path,
                schema,
                compression="zstd",
                write_statistics=["request_time", "label"],
                use_dictionary=encoder.repeated(),
            )
            writers.append(stack.enter_context(writer))
        # Blocks of one size: the file depends on the rows, not on how they came.
        blocks = [Blocks(BATCH_ROWS, ["request_id"]) for _ in SPLITS]
        counter = stack.enter_context(ThreadPoolExecutor(1))
        counting: deque[Future[None]] = deque()
        learned: Future[None] | None = None
        for rows in ahead(sorter.sorted(), pool):
            days = plan.rule.zone.days_of(rows.times)
            if learned is None and days[0] > plan.rule.last_day - plan.newer_days:
                learned = counter.submit(profiles.sum_up_ids)  # while the newest days are written
            codes = plan.split_codes(days, rows.labels != UNLABELLED)
            counting.append(
                counter.submit(
                    profiles.add, rows, days, codes == TRAIN, plan.is_newer_than_train(days)
                )
            )
            for code, (writer, block) in enumerate(zip(writers, blocks, strict=True)):
                for full in block.add(table(rows.where(codes == code))):
                    writer.write_table(full, row_group_size=BATCH_ROWS)
            while len(counting) > COUNTED_BEHIND:
                counting.popleft().result()
        for writer, block in zip(writers, blocks, strict=True):
            for last in block.rest():
                writer.write_table(last, row_group_size=BATCH_ROWS)
        for counted in (*counting, *([learned] if learned else [])):
            counted.result()


@contextlib.contextmanager
def _scratch(staged: Path) -> Iterator[Path]:
    """A folder beside the one that is written, gone at the end."""
    folder = files.staging_path(staged.with_name("sort"))
    try:
        folder.mkdir()
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except BaseException:  # stopped within; a second SIGTERM is ignored
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _card(
    spec: FeatureSpec,
    plan: Plan,
    columns: dict[str, str],
    profiles: _Profiles,
    staged: Path,
) -> dict[str, Any]:
    rule, trained = plan.rule, profiles.trained
    splits = {}
    warnings = []
    for code, name in enumerate(SPLITS):
        path = staged / name / "part-0.parquet"
        rows = plan.total(plan.rows_by_day, code)
        positives = plan.total(plan.positives_by_day, code)
        if positives in (0, rows) and plan.days_in(code):
            warnings.append(
                f"{name} holds {positives} positives in {rows} rows: its AUC is undefined; more "
                f"{name}_days would help"
            )
        splits[name] = {
            "rows": rows,
            "positives": positives,
            "days": [
                {
                    "day": date_of(day),
                    "rows": plan.rows_by_day[day],
                    "positives": plan.positives_by_day[day],
                }
                for day in plan.days_in(code)
            ],
            "file": f"{name}/part-0.parquet",
            "bytes": path.stat().st_size,
            "sha256": files.sha256_file(path),
        }
    return {
        "version": CARD_VERSION,
        "ds": rule.ds.isoformat(),
        "window": {
            "first_day": date_of(rule.first_day),
            "last_day": date_of(rule.last_day),
            "last_judged_day": date_of(rule.last_judged_day),
            "train_days": rule.train_days,
            "label_settle_days": rule.label_settle_days,
            "test_days": rule.test_days,
            "valid_days": rule.valid_days,
            "time_zone": plan.rule.zone.name,
        },
        "newer_days": plan.newer_days,
        "rows": {
            "read": plan.counts.read,
            "lookback": plan.counts.lookback,
            "after_ds": plan.counts.after_ds,
            "unsettled": plan.counts.unsettled,
            "unlabelled": plan.counts.unlabelled,
        },
        "splits": splits,
        "fields": list(spec.names),
        # One row more than values: the out-of-vocabulary row.
        "table_sizes": [profile.distinct + 1 for profile in trained],
        "vocabulary": {profile.values.field.name: profile.distinct for profile in trained},
        "features": profiles.card(),
        "columns": columns,
        "schema_hash": spec.schema_hash,
        "encoding_version": ENCODING_VERSION,
        "warnings": warnings,
        "versions": {
            "nightshift": nightshift.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pyarrow": pa.__version__,
        },
    }
