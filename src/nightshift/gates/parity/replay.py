"""Offline row against online replay: id by id, score by score.

A sample of the held-out requests is replayed through the deployment, the encoding and Triton,
against a database of the check's own that holds exactly the rows that the offline run saw
before each request (see `fairness`, and docs/release.md for why). Nothing that serves is
touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightshift import files
from nightshift.data import reading
from nightshift.errors import (
    ContractError,
    DataError,
    ServiceUnavailable,
)
from nightshift.features.encoding import encode_rows, encode_table, encoded_of_stored
from nightshift.features.specification import FeatureSpec, Field
from nightshift.features.tables import SourceTables
from nightshift.features.ttl import everlasting
from nightshift.gates.base import Finding, report
from nightshift.gates.parity import fairness, source_rows
from nightshift.layout import RunFolder
from nightshift.openmldb import (
    SYSTEM_DATABASE,
    AbstractClient,
    OpenMLDBClient,
    load_data,
    quote_literal,
    quote_name,
    split_script,
)
from nightshift.openmldb import deployments as online
from nightshift.openmldb.following import finish_all, submit_once
from nightshift.openmldb.health import settled
from nightshift.plan import Plan
from nightshift.serving.pair import plain_values

if TYPE_CHECKING:
    import numpy.typing as npt

    from nightshift.triton import TritonControl

MAX_MISMATCHES = 50
"""So many are listed in the report; all are counted."""

_INSERT_ROWS = 500
_ASKED_ROWS = 100


@dataclass(frozen=True)
class Offline:
    """What the run made of the sampled requests, row i of each part being request i.

    `values` has the feature query's columns, `ids` is int64 [n, fields] out of the dataset,
    `scores` float64 [n] out of the training environment (None: not scored there).
    """

    request_ids: list[str]
    values: pa.Table
    ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64] | None


def sample_offline(
    run: RunFolder, spec: FeatureSpec, *, size: int, seed: int, scores: Path | None = None
) -> Offline:
    """Draw requests of the held-out days and gather their offline rows.

    Args:
        run: the run's folder.
        spec: the specification of the run.
        size: requests to draw; fewer where there are fewer.
        seed: the same seed draws the same requests.
        scores: `tasks.ctr.score`'s file of the held-out rows, where there is one.

    Raises:
        ContractError: a held-out request is not among the feature rows.
    """
    test = pq.read_table(run.dataset / "test")
    drawn = np.sort(
        np.random.default_rng(seed).choice(len(test), min(size, len(test)), replace=False)
    )
    chosen = test.take(pa.array(drawn))
    names = [str(name) for name in chosen["request_id"].to_pylist()]
    key = spec.keys[0]
    features = reading.table(
        reading.parquet_files(run.features), where=pc.field(key).cast(pa.string()).isin(names)
    )
    where = {str(name): at for at, name in enumerate(features[key].to_pylist())}
    absent = [name for name in names if name not in where]
    if absent:
        raise ContractError(
            f"request {absent[0]} is in {run.dataset / 'test'} and not in {run.features}; "
            "run the night again from the feature extraction"
        )
    offline_scores = None
    if scores is not None and scores.exists():
        table = pq.read_table(scores, columns=["challenger"])
        if len(table) != len(test):
            raise ContractError(
                f"{scores} scores {len(table)} rows, the test split has {len(test)}"
            )
        offline_scores = table["challenger"].to_numpy().astype(np.float64)[drawn]
    return Offline(
        names,
        features.take(pa.array([where[name] for name in names])),
        encoded_of_stored(spec, chosen),
        offline_scores,
    )


@dataclass(frozen=True)
class Replay:
    """What the check's database gets: requests in the order of time, and the other tables."""

    source: SourceTables
    requests: fairness.Table
    sample: list[tuple[Any, ...]]
    tables: dict[str, pa.Table]
    excluded: fairness.Excluded


def prepare(
    data: Path,
    plan: Plan,
    names: Sequence[str],
    *,
    tables: SourceTables,
    sql: str,
    create: str,
) -> Replay:
    """Read the run's source partitions, down to what the sampled requests can see.

    Args:
        data: root of the source partitions.
        plan: the run's plan.
        names: ids of the sampled requests.
        tables: what each table is.
        sql: the feature query.
        create: the script that makes the tables.

    Raises:
        DataError: a sampled request is not in the partitions of the run.
        ConfigurationError: the check cannot tell what the query reaches.
    """
    from nightshift.features import lineage as query

    reach = query.reach_of(sql, tables=tables, columns=query.columns_of(create, tables))
    if tables.label_table is not None:
        reach = reach.without(tables.label_table, keep_windows=True)
    name, key = tables.request_table, tables.request_id
    requests = source_rows.rows_of(
        data, plan, name, pc.field(key).cast(pa.string()).isin(list(names))
    )
    found = {str(one) for one in requests[key].to_pylist()}
    absent = [one for one in names if one not in found]
    if absent:
        raise DataError(
            f"request {absent[0]} has offline features but is not in the run's partitions of "
            f"{name} under {data}; the partitions changed during the run: run it again"
        )
    seen = source_rows.rows_seen(data, plan, reach, tables, requests)
    history = _table(name, seen.pop(name))
    wanted = set(names)
    time_at = history.at(tables.request_time)
    history = dataclasses.replace(history, rows=sorted(history.rows, key=itemgetter(time_at)))
    sample = [row for row in history.rows if str(row[history.at(key)]) in wanted]
    excluded = fairness.exclude(
        history,
        sample,
        {other: _table(other, rows) for other, rows in seen.items()},
        reach,
        request_id=key,
        request_time=tables.request_time,
    )
    return Replay(tables, history, sample, seen, excluded)


def _table(name: str, table: pa.Table) -> fairness.Table:
    columns = [plain_values(column) for column in table.columns]
    rows = list(zip(*columns, strict=True)) if len(table) else []
    return fairness.Table(name, tuple(table.column_names), rows)


@contextlib.contextmanager
def database(
    client: AbstractClient, name: str, create: str, deployment: str, sql: str
) -> Iterator[None]:
    """An empty database with the tables and the deployment, dropped at the end.

    The deployment comes before the data: its indexes are then made on empty tables.
    """
    online.drop_database(client, name)
    client.execute(SYSTEM_DATABASE, f"CREATE DATABASE {quote_name(name)}", mode="onsync")
    try:
        for statement in split_script(everlasting(create)):
            client.execute(name, statement, mode="onsync")
        online.ensure_deployment(client, name, deployment, sql)
        yield
    finally:
        with contextlib.suppress(ServiceUnavailable):
            online.drop_database(client, name)


def load_online(
    client: AbstractClient,
    name: str,
    sources: Mapping[str, tuple[Path, int]],
    *,
    timeout_s: float,
    settle_s: float,
) -> None:
    """LOAD DATA parquet files into online tables, follow the jobs, and count the rows.

    Args:
        client: the server.
        name: the database.
        sources: by table its file, and the rows in it.
        timeout_s: limit of all loads together.
        settle_s: seconds between FINISHED and the second look at a load.

    Raises:
        JobFailed: a load failed.
        DeadlineExceeded: one did not end in time.
        ContractError: a table holds another number of rows afterwards.
    """
    jobs = [
        submit_once(
            client,
            name,
            load_data(str(path), table, "append"),
            "online",
        )
        for table, (path, rows) in sources.items()
        if rows
    ]
    finish_all(client, jobs, time.time() + timeout_s, settle_s=settle_s)
    for table, (path, rows) in sources.items():
        count = settled(client, name, table, partial(_count, client, name, table)) if rows else 0
        if count != rows:
            raise ContractError(
                f"{name}.{table} holds {count} rows after a load of {rows}; see {path}"
            )


def _count(client: AbstractClient, name: str, table: str) -> int:
    found = client.execute(name, f"SELECT count(*) FROM {quote_name(table)}", mode="onsync")
    return int(found.rows[0][0]) if found is not None and found.rows else 0


def replay(
    client: AbstractClient, name: str, deployment: str, prepared: Replay
) -> tuple[list[str], list[str], list[list[Any]]]:
    """Feed the requests in the order of time and call the deployment at each sampled one.

    Sampled requests without a row to feed between them are asked in one call.

    Returns:
        (output column names, request ids, output rows), rows in the order of time.
    """
    at = prepared.requests.at(prepared.source.request_id)
    time_at = prepared.requests.at(prepared.source.request_time)
    info = client.deployment(name, deployment)
    inputs = [prepared.requests.at(column) for column, _ in info.input_schema]
    out = [column for column, _ in info.output_schema]
    skip = prepared.excluded.ids
    feed = iter(prepared.requests.rows)
    pending = next(feed, None)
    request_ids: list[str] = []
    rows: list[list[Any]] = []
    asked: list[list[Any]] = []

    def ask() -> None:
        if asked:
            answers, _ = client.call(name, deployment, asked, need_schema=False)
            if len(answers) != len(asked):
                raise ContractError(
                    f"deployment {deployment} gave {len(answers)} rows for {len(asked)} requests"
                )
            rows.extend(answers)
            asked.clear()

    for request in prepared.sample:
        if str(request[at]) in skip:
            continue
        earlier = []
        while pending is not None and pending[time_at] < request[time_at]:
            earlier.append(pending)
            pending = next(feed, None)
        if earlier or len(asked) == _ASKED_ROWS:
            ask()
            _insert(client, name, prepared.requests, earlier)
        request_ids.append(str(request[at]))
        asked.append([request[i] for i in inputs])
    ask()
    return out, request_ids, rows


def _insert(
    client: AbstractClient, name: str, table: fairness.Table, rows: Sequence[Sequence[Any]]
) -> None:
    listed = ", ".join(quote_name(column) for column in table.columns)
    for start in range(0, len(rows), _INSERT_ROWS):
        values = ", ".join(
            f"({', '.join(_literal(value) for value in row)})"
            for row in rows[start : start + _INSERT_ROWS]
        )
        client.execute(
            name,
            f"INSERT INTO {quote_name(table.name)} ({listed}) VALUES {values}",
            mode="onsync",
        )


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote_literal(value)
    return repr(value)


def compare(
    spec: FeatureSpec,
    offline: Offline,
    columns: Sequence[str],
    request_ids: Sequence[str],
    rows: Sequence[Sequence[Any]],
    score: TritonScore,
    gates: Mapping[str, Any],
    excluded: fairness.Excluded,
) -> dict[str, Any]:
    """Compare each replayed request with its offline row.

    Args:
        spec: the specification; its encoder makes the online ids.
        offline: the offline side.
        columns: the deployment's output columns.
        request_ids: the replayed requests.
        rows: the deployment's answers to them.
        score: ids int64 [n, fields] -> float32 [n], the candidate in Triton.
        gates: the `consistency` part of include/gates.yaml.
        excluded: what was not replayed, and why.

    Returns:
        The report `consistency`: status, failures, counts, mismatches with both values.
    """
    where = {name: at for at, name in enumerate(offline.request_ids)}
    order = [where[name] for name in request_ids]
    ids = encode_rows(spec, columns, rows)
    stored = offline.ids[order]
    values = offline.values.take(pa.array(order, pa.int64()))
    again = encode_table(spec, values)
    mismatches: list[dict[str, Any]] = []
    for i, j in np.argwhere(ids != stored).tolist():
        field = spec.field_of_column(j)
        name = field.name
        before, after = plain_values(values[name].slice(i, 1))[0], rows[i][columns.index(name)]
        mismatches.append(
            {
                "request_id": request_ids[i],
                "feature": name,
                "offline": before,
                "online": after,
                "offline_id": str(stored[i, j]),
                "online_id": str(ids[i, j]),
                "cause": _cause(field, before, after)
                if again[i, j] == stored[i, j]
                else "the encoders differ: preprocessing gave the value another id",
            }
        )
    worst, wrong = _scores(offline, order, ids, score, request_ids, gates["tolerance"])
    findings = []
    if mismatches:
        first = mismatches[0]
        touched = sorted({m["feature"] for m in mismatches})
        findings.append(
            Finding(
                "ids",
                "fail",
                f"{len(mismatches)} ids of {len({m['request_id'] for m in mismatches})} requests "
                f"differ, in {', '.join(touched)}; request {first['request_id']}, feature "
                f"{first['feature']}: offline {first['offline']!r} (id {first['offline_id']}), "
                f"online {first['online']!r} (id {first['online_id']}); {first['cause']}",
            )
        )
    if wrong:
        first = wrong[0]
        findings.append(
            Finding(
                "scores",
                "fail",
                f"{len(wrong)} scores differ by more than {gates['tolerance']:g}; request "
                f"{first['request_id']}: offline {first['offline']:.9g}, online "
                f"{first['online']:.9g}",
            )
        )
    least = gates["min_compared"]
    if len(request_ids) < least["value"]:
        findings.append(
            Finding(
                "min_compared",
                least["level"],
                f"only {len(request_ids)} requests could be compared, {least['value']} are asked; "
                + "; ".join(f"{len(n)} excluded: {why}" for why, n in excluded.by_reason.items()),
            )
        )
    return report(
        "consistency",
        findings,
        compared=len(request_ids),
        ids_compared=int(ids.size),
        excluded={why: len(names) for why, names in excluded.by_reason.items()},
        mismatches=mismatches[:MAX_MISMATCHES],
        mismatch_count=len(mismatches),
        score_mismatches=wrong[:MAX_MISMATCHES],
        score_mismatch_count=len(wrong),
        largest_score_difference=worst,
        scores_from="training" if offline.scores is not None else "Triton, from the offline ids",
    )


def _cause(field: Field, before: Any, after: Any) -> str:
    if field.number and field.decimals is None:
        pair = np.array([before, after], dtype=np.float64)
        if np.isclose(pair[0], pair[1], rtol=1e-5, atol=0.0):
            return (
                "the values differ by rounding: sums may be added up in another order offline; "
                f"give numeric.{field.name} decimals"
            )
    return "the values differ: the query, or the rows it saw"


def _scores(
    offline: Offline,
    order: list[int],
    ids: npt.NDArray[np.int64],
    score: TritonScore,
    request_ids: Sequence[str],
    tolerance: float,
) -> tuple[float | None, list[dict[str, Any]]]:
    if not len(ids):
        return None, []
    served = np.asarray(score(ids), dtype=np.float64)
    if offline.scores is not None:
        trained = offline.scores[order]
    else:
        trained = np.asarray(score(offline.ids[order]), dtype=np.float64)
    gaps = np.abs(served - trained)
    wrong = [
        {
            "request_id": request_ids[i],
            "offline": float(trained[i]),
            "online": float(served[i]),
        }
        for i in np.flatnonzero(~(gaps <= tolerance)).tolist()
    ]
    return float(gaps.max()), wrong


class TritonScore:
    """The candidate in Triton as a function of ids."""

    def __init__(self, control: TritonControl, model: str, version: int) -> None:
        self._control, self._model, self._version = control, model, version

    def __call__(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Scores float32 [n] of ids int64 [n, fields]."""
        return self._control.score(self._model, self._version, {"INPUT_0": ids})


def check(
    plan: Plan,
    *,
    data: Path,
    tables: SourceTables,
    create_sql: Path,
    sql: str,
    deployment: str,
    spec: FeatureSpec,
    openmldb_url: str,
    score: TritonScore,
    gates: Mapping[str, Any],
    scores: Path | None = None,
    timeout_s: float = 600.0,
    headers: Mapping[str, str] | None = None,
    settle_s: float = 2.0,
) -> dict[str, Any]:
    """Run the whole check; see the module.

    Args:
        plan: the run's plan.
        data: root of the source partitions, as OpenMLDB's server sees it too.
        tables: what each table is.
        create_sql: the script of the online tables.
        sql: the feature query of the candidate.
        deployment: its deployment's name.
        spec: the candidate's specification.
        openmldb_url: the API server.
        score: the candidate in Triton.
        gates: the `consistency` part of include/gates.yaml.
        scores: scores of the held-out rows by the training environment.
        timeout_s: limit of the loads.
        headers: sent to the API server with each request, e.g. its token.
        settle_s: seconds between FINISHED and the second look at a load.

    Returns:
        The report `consistency`.
    """
    run = RunFolder(Path(plan["run_dir"]))
    offline = sample_offline(run, spec, size=gates["sample"], seed=gates["seed"], scores=scores)
    create = create_sql.read_text()
    prepared = prepare(data, plan, offline.request_ids, tables=tables, sql=sql, create=create)
    name = f"{plan['workspace']}_check"
    slices = run.root / "check"
    with files.staged_dir(slices, replace=True) as staged:
        for table, rows in prepared.tables.items():
            pq.write_table(rows.replace_schema_metadata(None), staged / f"{table}.parquet")
    started = time.monotonic()
    with (
        OpenMLDBClient(openmldb_url, timeout_s=60.0, headers=headers) as client,
        database(client, name, create, deployment, sql),
    ):
        sources = {
            table: (slices / f"{table}.parquet", len(rows))
            for table, rows in prepared.tables.items()
        }
        load_online(client, name, sources, timeout_s=timeout_s, settle_s=settle_s)
        columns, request_ids, answers = replay(client, name, deployment, prepared)
    value = compare(spec, offline, columns, request_ids, answers, score, gates, prepared.excluded)
    value["seconds"] = round(time.monotonic() - started, 3)
    value["online_rows"] = {t: len(rows) for t, rows in prepared.tables.items()} | {
        tables.request_table: len(prepared.requests.rows)
    }
    return value
