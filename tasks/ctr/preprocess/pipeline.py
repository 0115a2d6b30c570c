"""Two passes over the feature files: one decides the splits, one encodes and writes them."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    stored_columns,
    stored_types,
)
from nightshift.features.profile import FeatureProfile, row_days
from nightshift.features.specification import ENCODING_VERSION, FeatureSpec
from nightshift.features.values import FieldValues
from tasks.ctr.preprocess.daily import Daily
from tasks.ctr.preprocess.ordering import RowSorter, in_blocks
from tasks.ctr.preprocess.overlap import ahead, done
from tasks.ctr.preprocess.window import (
    SPLITS,
    TRAIN,
    Census,
    Plan,
    WindowRule,
    date_of,
    days_of,
)
from tasks.entry import log

CARD_VERSION = 1
BATCH_ROWS = 65_536
"""A row group of the written files holds as many rows at most."""

READ_ROWS = 131_072
"""Rows that are encoded at a time: what is done once a distinct value is done less often."""

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
    columns = _check_schemas(sources, spec)
    plan = _census(sources, spec, rule, label_absent).plan(refit=refit)
    log(
        f"{plan.counts.read} rows read, "
        + ", ".join(
            f"{plan.total(plan.rows_by_day, code)} to {name}" for code, name in enumerate(SPLITS)
        )
    )
    daily = Daily(spec, rule)
    with files.staged_dir(out, replace=True) as staged:
        trained, recent = _write_splits(sources, spec, plan, staged, daily, label_absent)
        card = _card(spec, plan, columns, trained, recent, staged)
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


def _batches(
    sources: list[Path], columns: list[str], encoded: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Rows of all files, `READ_ROWS` or a little more at a time, however small the files are."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in reading.batches(sources, columns=columns, batch_rows=BATCH_ROWS, encoded=encoded):
        # One file may hold a column as a dictionary, the next one as texts.
        if held and held[0].schema != batch.schema:
            yield pa.concat_batches(held)
            held, rows = [], 0
        held.append(batch)
        rows += batch.num_rows
        if rows >= READ_ROWS:
            yield pa.concat_batches(held)
            held, rows = [], 0
    if held:
        yield pa.concat_batches(held)


def _census(sources: list[Path], spec: FeatureSpec, rule: WindowRule, absent: int | None) -> Census:
    census = Census(rule)
    for batch in _batches(sources, [spec.time, spec.label]):
        days = days_of(batch.column(spec.time), spec.time, rule.zone)
        census.add(days, *_settled(_labels(batch.column(spec.label), spec), absent))
    return census


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
    labelled = column.is_valid().to_numpy(zero_copy_only=False)
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


def _write_splits(
    sources: list[Path],
    spec: FeatureSpec,
    plan: Plan,
    staged: Path,
    daily: Daily,
    absent: int | None,
) -> tuple[list[FeatureProfile], list[FeatureProfile]]:
    schema = pa.schema(
        [
            ("request_id", pa.string()),
            ("request_time", pa.timestamp("ms")),
            ("label", pa.int8()),
            *stored_types(spec),
        ]
    )
    with contextlib.ExitStack() as stack:
        sorters = [
            RowSorter(schema, ("request_time", "request_id"), stack.enter_context(_scratch(staged)))
            for _ in SPLITS
        ]
        pool = stack.enter_context(ThreadPoolExecutor(len(os.sched_getaffinity(0))))
        features = _Features(spec, pool)
        sorting: list[Future[None]] = []
        columns = list(dict.fromkeys([spec.keys[0], spec.time, spec.label, *spec.names]))
        texts = {field.name for field in spec.fields if field.type == "string"}
        for batch in ahead(_batches(sources, columns, texts - {spec.keys[0]}), pool):
            days = days_of(batch.column(spec.time), spec.time, plan.rule.zone)
            given = _labels(batch.column(spec.label), spec)
            daily.add(batch, days, *given)
            labels, labelled = _settled(given, absent)
            codes = plan.split_codes(days, labelled)
            ids = features.encode(batch, days, codes == TRAIN, plan.is_newer_than_train(days))
            written = pa.RecordBatch.from_arrays(
                [
                    batch.column(spec.keys[0]).cast(pa.string()),
                    batch.column(spec.time).cast(pa.timestamp("ms"), safe=False),
                    pa.array(labels),
                    *ids,
                ],
                schema=schema,
            )
            done(sorting)
            sorting = [
                pool.submit(sorter.add, written.filter(pa.array(codes == code)))
                for code, sorter in enumerate(sorters)
            ]
        done(sorting)
        for name, sorter in zip(SPLITS, sorters, strict=True):
            (staged / name).mkdir()
            path = staged / name / "part-0.parquet"
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                # Blocks of one size: the file depends on the rows, not on how they came.
                for block in ahead(in_blocks(sorter.sorted(), BATCH_ROWS), pool):
                    writer.write_table(block, row_group_size=BATCH_ROWS)
    return features.trained, features.recent


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


class _Features:
    """The features of all rows: encoded, and counted on the way.

    Args:
        spec: the feature specification.
        pool: features are independent of each other, so its threads share them.
    """

    def __init__(self, spec: FeatureSpec, pool: ThreadPoolExecutor) -> None:
        self._spec, self._pool = spec, pool
        values = [FieldValues(field) for field in spec.fields]
        self._values = values
        self.trained = [FeatureProfile(one) for one in values]
        self.recent = [FeatureProfile(one) for one in values]

    def encode(
        self,
        batch: pa.RecordBatch,
        days: npt.NDArray[np.int32],
        in_train: npt.NDArray[np.bool_],
        is_recent: npt.NDArray[np.bool_],
    ) -> list[pa.Array]:
        """The features' columns of a batch of n rows.

        Args:
            batch: the rows.
            days: days since 1970, int32 [n].
            in_train: rows to learn from, bool [n].
            is_recent: rows of the newest days, bool [n].
        """
        train, recent = np.flatnonzero(in_train), np.flatnonzero(is_recent)
        train_days, recent_days = row_days(days[train]), row_days(days[recent])

        def one(position: int) -> npt.NDArray[np.int64]:
            ids, places = self._values[position].add(batch.column(self._spec.names[position]))
            self.trained[position].add(places[train], train_days)
            self.recent[position].add(places[recent], recent_days)
            return ids

        return stored_columns(self._spec, list(self._pool.map(one, range(len(self._values)))))


def _card(
    spec: FeatureSpec,
    plan: Plan,
    columns: dict[str, str],
    trained: list[FeatureProfile],
    recent: list[FeatureProfile],
    staged: Path,
) -> dict[str, Any]:
    rule = plan.rule
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
    features = {
        field.name: {
            "kind": field.kind,
            "type": field.type,
            "decimals": field.decimals,
            **trained[at].summary(),
            "usual": trained[at].usual({1, plan.rule.newest_days}),
            "recent": recent[at].summary(),
        }
        for at, field in enumerate(spec.fields)
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
        "features": features,
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
