"""Click and purchase models: a request row, OpenMLDB's features, ids, one probability."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import functools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nightshift.config.live import ShadowConfig
from nightshift.errors import ContractError, DeadlineExceeded, NightshiftError
from nightshift.features.encoding import Ids, RowEncoder, shown
from nightshift.features.specification import FeatureSpec, sql_type
from nightshift.features.tables import SourceTables
from nightshift.live.share import position
from nightshift.openmldb.protocol import DeploymentInfo
from nightshift.recommend.recommender import Candidates, Recommender
from nightshift.registry.pointer import Canary, LivePointer
from nightshift.registry.store import ReleaseFolder, moment_of
from nightshift.triton import INPUT, OUTPUT, check_scores
from predict_server.batching import Batcher
from predict_server.beside import Answered, Beside, Shadow
from predict_server.errors import InvalidRows, Problem, RequestError
from predict_server.families.base import (
    Answer,
    Call,
    Context,
    Family,
    Operation,
    Release,
    encode_json,
    overloaded,
    problem_of,
    timed,
)
from predict_server.payload import printable
from predict_server.recommend import Ask, Retrieval
from predict_server.recording import Recorder, Subject
from predict_server.rows import EXPECTED, RowReader

LOG = logging.getLogger("predict_server")

DEFAULT_TOP_N = 10

SMALL = 64
"""Rows of a request that shares its calls; more go by themselves and hold no small one up."""

QUICK = 256
"""Rows that are encoded at once: a thread in between costs more."""

CALLS = 2
"""Calls under way at once: OpenMLDB works on one while Triton scores the other."""

LARGE_CALLS = 4
"""The same for requests of many rows, which a cluster's servers answer side by side."""

FAIR_S = 0.5
"""Seconds in which a release should answer. Where a client gives it less, being late is not logged
as its failure: an impatient client would have releases withdrawn."""


@dataclass(frozen=True)
class Scored:
    """Rows with their features, ids and scores.

    Attributes:
        features: n feature rows, in the deployment's order.
        ids: int64 [n, fields].
        scores: float32 [n], probabilities.
    """

    features: list[list[Any]]
    ids: Ids
    scores: npt.NDArray[np.float32]

    def cut(self, start: int, stop: int) -> Scored:
        """The rows from `start` up to `stop`."""
        if start == 0 and stop == len(self.features):
            return self
        return Scored(self.features[start:stop], self.ids[start:stop], self.scores[start:stop])


class CtrRelease(Release):
    """A deployment and a model version that answer together.

    Args:
        pointer: the content of live.json.
        spec: the feature specification kept with the release.
        info: the deployment's schemas.
        context: the server.
        made: the release's retrieval; None where it does not recommend.
        role: how its answers are logged: `live` or `canary`.
        moment: the request's field that says when it was; None where that is not known.

    Raises:
        ContractError: retrieval and deployment do not fit each other.
    """

    def __init__(
        self,
        pointer: LivePointer,
        spec: FeatureSpec,
        info: DeploymentInfo,
        context: Context,
        made: Recommender | None = None,
        role: str = "live",
        moment: str | None = None,
    ) -> None:
        self.pointer = pointer
        self.shadow: Shadow | None = None
        self._role = role
        self._canary: Canaries | None = None
        self.spec = spec
        self.request_schema = tuple(info.input_schema)
        self.feature_schema = tuple(info.output_schema)
        self.feature_names = tuple(name for name, _ in info.output_schema)
        self.key = next(
            (self.feature_names.index(k) for k in spec.keys if k in self.feature_names), None
        )
        self._encoder = RowEncoder(spec, self.feature_names)
        self._context = context
        self._subject: Subject | None = None
        self._reader = RowReader(self.request_schema, () if moment is None else (moment,))
        self._rows_scored = context.metrics.rows(pointer.release_id)
        self._names = {
            "release": pointer.release_id,
            "deployment": pointer.deployment,
            "model": pointer.model,
            "model_version": pointer.model_version,
        }
        self._small = Batcher(self._score, Scored.cut, max_rows=512, concurrency=CALLS)
        self._large = Batcher(self._score, Scored.cut, max_rows=SMALL, concurrency=LARGE_CALLS)
        self._operations: dict[str, Operation] = {"predict": self.predict, "rank": self.rank}
        self._retrieval: Retrieval | None = None
        if made is not None:
            self._retrieval = Retrieval(made, self.request_schema)
            self._operations["recommend"] = self.recommend

    @property
    def operations(self) -> Mapping[str, Operation]:
        """POST predict and rank, and recommend where the release has a retrieval."""
        return self._operations

    @property
    def waiting_rows(self) -> int:
        """Rows that no call has taken yet."""
        return self._small.waiting_rows + self._large.waiting_rows

    def names(self) -> dict[str, Any]:
        """Release, deployment, model and version."""
        return self._names

    def schema(self) -> dict[str, Any]:
        """Fields of a request row and columns of a feature row."""
        settings = self._context.settings
        return {
            "request": [
                {"name": name, "type": kind, "takes": f"{EXPECTED.get(kind, kind)}, or null"}
                for name, kind in self.request_schema
            ],
            "features": [
                {"name": f.name, "type": f.type, "kind": f.kind} for f in self.spec.fields
            ],
            "recommend": self._retrieval.describe() if self._retrieval is not None else None,
            "limits": {
                "rows": settings.predict_max_rows,
                "body_bytes": settings.predict_max_body,
                "upload_bytes": settings.predict_max_upload,
            },
            **self._names,
        }

    def read(self, payload: Any) -> list[list[Any]]:
        """A request's rows in the order of the request schema.

        Raises:
            RequestError: they do not fit it.
        """
        return self._reader.read(payload, max_rows=self._context.settings.predict_max_rows)

    async def score(self, rows: Sequence[Sequence[Any]], deadline: float) -> Scored:
        """Score checked rows, jointly with those of other requests.

        Raises:
            RequestError: too many rows wait (429).
            NightshiftError: a part behind this server did not answer, or refused.
        """
        waiting = self.waiting_rows
        if waiting and waiting + len(rows) > self._context.settings.predict_queue_rows:
            raise overloaded(waiting)
        lane = self._small if len(rows) <= SMALL else self._large
        return await lane.submit(rows, deadline)

    async def _score(self, rows: list[Any], timeout_s: float) -> Scored:
        """One joint call: features, ids, scores."""
        p, context, metrics = self.pointer, self._context, self._context.metrics
        deadline = time.monotonic() + timeout_s
        with timed(metrics.features.observe):
            features = await context.openmldb.call(*deployment_of(p), rows, timeout_s=timeout_s)
        with timed(metrics.encode.observe):
            ids = await self._encoded(features)
        with timed(metrics.score.observe):
            left = max(deadline - time.monotonic(), 0.001)
            scores = await self._infer(ids, left)
        metrics.batch.observe(len(rows))
        self._rows_scored.inc(len(rows))
        return Scored(features, ids, scores)

    async def _encoded(self, features: Sequence[Sequence[Any]]) -> Ids:
        """The features' ids, made in another thread where that takes longer than a millisecond."""
        if len(features) <= QUICK:
            return self._encoder.encode(features)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._context.threads, self._encoder.encode, features)

    async def _infer(self, ids: Ids, timeout_s: float) -> npt.NDArray[np.float32]:
        p = self.pointer
        answer = await self._context.triton.infer(
            p.model, p.model_version, {INPUT: ids}, (OUTPUT,), timeout_s=timeout_s
        )
        return check_scores(answer[OUTPUT], len(ids), f"{p.model}/{p.model_version}")

    async def predict(self, call: Call) -> Answer:
        """A score a row, in order."""
        began = time.time()
        rows = self.read(call.json())
        if self._canary is not None and (canary := self._canary.of(rows, call)) is not None:
            with self._canary.falling_back(canary, "predict", began, rows, call) as hurried:
                return await canary.predict(hurried)
        scored = await self._scored("predict", began, rows, call)
        predictions = [
            self.prediction(scored, row, explain=call.explain) for row in range(len(scored.scores))
        ]
        receipt = self._recorded("predict", began, rows, scored, probe=call.probe)
        return Answer(encode_json({"predictions": predictions, **receipt, **self._names}))

    async def rank(self, call: Call) -> Answer:
        """The `n` best candidates of one user, best first."""
        began = time.time()
        user, candidates, n = _rank_parts(call.json())
        most = self._context.settings.predict_max_rows
        rows = self._reader.joined(user, candidates) if len(candidates) <= most else None
        if rows is None:
            rows = self._reader.check(_join(user, candidates), max_rows=most)
        if self._canary is not None and (canary := self._canary.of(rows, call)) is not None:
            with self._canary.falling_back(canary, "rank", began, rows, call) as hurried:
                return await canary.rank(hurried)
        scored = await self._scored("rank", began, rows, call)
        # Equal scores keep the candidates' own order.
        order = np.argsort(-scored.scores, kind="stable")[:n].tolist()
        ranking = [
            {"rank": place, "candidate": row, **self.prediction(scored, row, explain=call.explain)}
            for place, row in enumerate(order, start=1)
        ]
        receipt = self._recorded("rank", began, rows, scored, order, probe=call.probe)
        return Answer(encode_json({"ranking": ranking, **receipt, **self._names}))

    def _recorded(
        self,
        operation: str,
        began: float,
        rows: Sequence[Sequence[Any]],
        scored: Scored,
        order: list[int] | None = None,
        *,
        probe: bool = False,
    ) -> dict[str, Any]:
        """Give an answer to the request log and the shadow; its receipt as part of the answer.

        Of a ranking the rows that are returned are inserted, as a table of requests has them: the
        candidates that nobody is shown are not requests.
        """
        inserts = None if probe else self._inserts(rows, scored, order)
        recorder = self._context.recorder
        if recorder is None:
            if inserts is not None:
                inserts()
            return {}
        receipt = recorder.note(
            self._subject_of(recorder),
            operation,
            began,
            rows,
            scored.features,
            scored.scores,
            order,
            role="probe" if probe else self._role,
        )
        shadowed = not probe and self.shadow is not None and self.shadow.wants(receipt)
        if inserts is not None and not shadowed:
            inserts()
        if shadowed and self.shadow is not None:
            self.shadow.offer(
                Answered(receipt["id"], operation, began, rows, scored.features, inserts)
            )
        return {"receipt": receipt}

    def _inserts(
        self, rows: Sequence[Sequence[Any]], scored: Scored, order: list[int] | None
    ) -> Callable[[], None] | None:
        """What inserts the rows that are answered; None where they are not inserted."""
        if self._context.scored is None or self.key is None:
            return None
        answered = range(len(rows)) if order is None else order
        ids = [scored.features[n][self.key] for n in answered]
        return functools.partial(self._context.scored, ids, [rows[n] for n in answered])

    def _subject_of(self, recorder: Recorder) -> Subject:
        if self._subject is None:
            self._subject = recorder.subject(
                self.pointer, self.request_schema, self.feature_schema, self.key
            )
        return self._subject

    async def _scored(
        self, operation: str, began: float, rows: Sequence[Sequence[Any]], call: Call
    ) -> Scored:
        """`score`; that it failed is logged, which needs no labels to be seen."""
        fair = _is_fair(call)
        try:
            return await self.score(rows, call.deadline)
        except DeadlineExceeded:
            raise  # the client's, or too much to do
        except NightshiftError:
            late = time.monotonic() >= call.deadline
            if not call.probe and (fair or not late):  # who probes is told its failure
                self.record_failure(operation, began, rows)
            raise

    def record_failure(self, operation: str, began: float, rows: Sequence[Sequence[Any]]) -> None:
        """Log that this release did not answer a request: no score, no features."""
        recorder = self._context.recorder
        if recorder is not None and rows:
            nothing = [[None] * len(self.feature_schema)] * len(rows)
            scores = np.full(len(rows), np.nan, dtype=np.float32)
            recorder.note(
                self._subject_of(recorder), operation, began, rows, nothing, scores, role="error"
            )

    def same_features(self, other: CtrRelease) -> bool:
        """Whether another release's features are this one's."""
        return (
            deployment_of(self.pointer) == deployment_of(other.pointer)
            and self.feature_schema == other.feature_schema
        )

    async def score_beside(
        self, rows: Sequence[Sequence[Any]], features: list[list[Any]] | None, deadline: float
    ) -> Scored:
        """Scores that no answer waits for; `features` where they are known already.

        Raises:
            RequestError: too many rows wait.
            NightshiftError: a part behind this server did not answer, or refused.
        """
        if features is None:
            return await self.score(rows, deadline)
        ids = await self._encoded(features)
        left = max(deadline - time.monotonic(), 0.001)
        return Scored(features, ids, await self._infer(ids, left))

    def record_shadow(self, answered: Answered, scored: Scored) -> None:
        """Log scores that nobody was answered, beside those of the answer."""
        recorder = self._context.recorder
        if recorder is not None:
            recorder.note(
                self._subject_of(recorder),
                answered.operation,
                answered.began,
                answered.rows,
                scored.features,
                scored.scores,
                role="shadow",
                of=answered.receipt,
            )

    def stand_beside(self, canary: Beside | None, before: Beside | None) -> None:
        """Give some users to a canary, and have another release score in shadow.

        While there is a canary, it and this release score each other's requests. Otherwise the
        release that served before scores, until its time is over.
        """
        recorder, named = self._context.recorder, self.pointer.canary
        config = self._context.shadow or ShadowConfig()
        logged = recorder.sampled if recorder is not None else 0.0
        metrics, until = self._context.metrics, None
        if canary is not None and named is not None and recorder is not None:
            self._canary = Canaries(
                canary, named, [name for name, _ in self.request_schema], recorder.secret()
            )
            by = canary
        elif before is not None and self.pointer.shadow is not None:
            by = before
            until = moment_of(self.pointer.shadow.until).timestamp()
        else:
            return
        if logged:
            self.shadow = Shadow(self, by, config, logged, until, metrics)

    async def recommend(self, call: Call) -> Answer:
        """The `n` best items for one user, best first."""
        retrieval = self._retrieval
        if retrieval is None:
            raise ContractError(f"release {self.pointer.release_id} has no retrieval")
        began = time.time()
        ask = retrieval.read(call.json())
        if self._canary is not None:
            given = {retrieval.user: ask.user, **ask.context}
            value = given.get(self._canary.column)
            if (canary := self._canary.of_value(value, call)) is not None:
                with self._canary.falling_back(canary, "recommend", began, (), call) as hurried:
                    return await canary.recommend(hurried)
        loop = asyncio.get_running_loop()
        most = self._context.settings.predict_max_rows
        with timed(self._context.metrics.retrieve.observe):
            found, made = await loop.run_in_executor(
                self._context.threads, _candidates, retrieval, ask, most
            )
        order: list[int] = []
        rows: list[list[Any]] = []
        scored = None
        if made:
            rows = self._reader.check(made, max_rows=most)
            scored = await self._scored("recommend", began, rows, call)
            # Equal scores keep the order of retrieval.
            order = np.argsort(-scored.scores, kind="stable")[: ask.n].tolist()
        recommendations = []
        for place, (row, item) in enumerate(
            zip(order, retrieval.shown(ask, found, order), strict=True), start=1
        ):
            assert scored is not None
            prediction = self.prediction(scored, row, explain=call.explain)
            prediction.pop("request_id", None)
            answer = {"rank": place, **item, **prediction}
            if call.explain:
                at = int(found.items[row])
                answer["retrieved"] = {
                    name: ranks[at] for name, ranks in found.found.items() if at in ranks
                }
            recommendations.append(answer)
        receipt = {}
        if scored is not None:
            # What the user is shown; the other candidates are not requests.
            shown = Scored(
                [scored.features[n] for n in order], scored.ids[order], scored.scores[order]
            )
            receipt = self._recorded(
                "recommend",
                began,
                [rows[n] for n in order],
                shown,
                list(range(len(order))),
                probe=call.probe,
            )
        return Answer(
            encode_json(
                {
                    "recommendations": recommendations,
                    **receipt,
                    "user_known": found.known,
                    "candidates": len(found.items),
                    **self._names,
                }
            )
        )

    def prediction(self, scored: Scored, row: int, *, explain: bool = False) -> dict[str, Any]:
        """One row's part of an answer."""
        found: dict[str, Any] = {}
        if self.key is not None:
            found["request_id"] = scored.features[row][self.key]
        found["score"] = float(scored.scores[row])
        if explain:
            pairs = zip(self.feature_names, scored.features[row], strict=True)
            found["features"] = {name: _finite(value) for name, value in pairs}
            # Text: JavaScript's numbers hold 53 bits.
            found["ids"] = shown(self.spec, scored.ids[row])
        return found

    async def probe(self, timeout_s: float) -> dict[str, str | None]:
        """Call the deployment with a row of plain values, and the model with a row of ids."""
        p = self.pointer
        rows = [[_neutral(sql_type(kind)) for _, kind in self.request_schema]]
        ids = np.zeros((1, self.spec.width), dtype=np.int64)
        openmldb, triton = await asyncio.gather(
            problem_of(self._context.openmldb.call(*deployment_of(p), rows, timeout_s=timeout_s)),
            problem_of(self._infer(ids, timeout_s)),
        )
        return {"openmldb": openmldb, "triton": triton}


class Canaries:
    """Which requests a canary answers.

    Args:
        beside: the canary, once it is ready.
        named: its part of the pointer.
        columns: of a request row.
        key: the secret of the users' hashes.

    Raises:
        ContractError: the request table has no such column.
    """

    def __init__(self, beside: Beside, named: Canary, columns: list[str], key: bytes) -> None:
        if named.column not in columns:
            raise ContractError(
                f"the canary {named.pair.release_id} is chosen by {named.column}, which is not a column "
                f"of the request table; there are: {', '.join(columns)}"
            )
        self.column = named.column
        self._beside = beside
        self._named = named
        self._at = columns.index(named.column)
        self._key = key

    def of(self, rows: Sequence[Sequence[Any]], call: Call) -> CtrRelease | None:
        """The canary, if every row is of a user that it has; an answer is of one release."""
        values = {row[self._at] for row in rows}
        if call.probe or not all(self._has(value) for value in values):
            return None
        return self._beside.get()

    def of_value(self, value: Any, call: Call) -> CtrRelease | None:
        """The canary, if it has the user."""
        return self._beside.get() if self._has(value) and not call.probe else None

    def _has(self, value: Any) -> bool:
        release = self._named.pair.release_id
        return value is not None and position(value, release, self._key) < self._named.share

    @contextlib.contextmanager
    def falling_back(
        self,
        canary: CtrRelease,
        operation: str,
        began: float,
        rows: Sequence[Sequence[Any]],
        call: Call,
    ) -> Iterator[Call]:
        """Let the live release answer, all of it, what the canary failed to.

        Yields:
            The request as the canary gets it.
        """
        hurried = _hurried(call)
        fair = _is_fair(hurried)
        try:
            yield hurried
        except DeadlineExceeded:
            if fair:
                canary.record_failure(operation, began, rows)
        except (NightshiftError, RequestError):
            pass  # logged where it was scored; what the request itself lacks, the live one says


def _hurried(call: Call) -> Call:
    """The same request with half of its time, so that another release can answer after it."""
    now = time.monotonic()
    return dataclasses.replace(call, deadline=now + max(call.deadline - now, 0.0) / 2)


def _is_fair(call: Call) -> bool:
    """Whether a release that has just got the request has enough time to answer it."""
    return call.deadline - time.monotonic() >= FAIR_S


def deployment_of(pointer: LivePointer) -> tuple[str, str]:
    """Database and deployment of a release with features.

    Raises:
        ContractError: the release has none: it is of another family.
    """
    if pointer.database is None or pointer.deployment is None:
        raise ContractError(f"release {pointer.release_id} has no features")
    return pointer.database, pointer.deployment


def _candidates(
    retrieval: Retrieval, ask: Ask, most: int
) -> tuple[Candidates, list[dict[str, Any]]]:
    found = retrieval.candidates(ask, most)
    return found, retrieval.rows(ask, found)


@dataclass(frozen=True)
class Files:
    """What is read of a release's files, and of those of the pairs beside it.

    Attributes:
        spec: the feature specification.
        made: the retrieval; None where it does not recommend.
        moment: the request's field that says when it was; None where the release is of before
            releases kept their tables.
        canary: of the canary; what is wrong with them.
        shadow: of the release before; what is wrong with them.
    """

    spec: FeatureSpec
    made: Recommender | None
    moment: str | None = None
    canary: Files | NightshiftError | None = None
    shadow: Files | NightshiftError | None = None


def _read(pointer: LivePointer, releases: Path) -> Files:
    canary, shadow = pointer.canary, pointer.shadow
    files = _read_one(pointer, releases)
    return dataclasses.replace(
        files,
        canary=_try_read(pointer.beside(canary.pair), releases) if canary is not None else None,
        shadow=_try_read(pointer.beside(shadow.pair), releases) if shadow is not None else None,
    )


def _try_read(pointer: LivePointer, releases: Path) -> Files | NightshiftError:
    """The files of a pair beside the live one, which must not keep that from answering."""
    try:
        return _read_one(pointer, releases)
    except NightshiftError as error:
        return error


def _read_one(pointer: LivePointer, releases: Path) -> Files:
    deployment_of(pointer)
    spec = FeatureSpec.load(Path(str(pointer.feature_spec)))
    if not spec.accepts(str(pointer.spec_hash)):
        raise ContractError(
            f"{pointer.feature_spec} has schema hash {spec.schema_hash} and release "
            f"{pointer.release_id} was tested with {pointer.spec_hash}; the file was changed"
        )
    tables = ReleaseFolder(releases / pointer.release_id).tables
    moment = SourceTables.load(tables).request_time if tables.is_file() else None
    return Files(spec, _retrieval_of(pointer, releases), moment)


def _retrieval_of(pointer: LivePointer, releases: Path) -> Recommender | None:
    """The retrieval of a release, whole and unchanged; None where its manifest has none."""
    folder = ReleaseFolder(releases / pointer.release_id)
    if not folder.manifest_path.exists():
        return None
    stamp = folder.manifest().recommend
    return None if stamp is None else Recommender.load(folder.recommend, stamp.sha256)


async def _prepare(pointer: LivePointer, read: Files, context: Context) -> Release:
    release = await _prepare_one(pointer, read, context)
    canary, before = pointer.canary, pointer.shadow
    beside = before_it = None
    if canary is not None:
        beside = _beside(release, pointer.beside(canary.pair), read.canary, context, "canary")
    elif before is not None:
        before_it = _beside(release, pointer.beside(before.pair), read.shadow, context, "shadow")
    try:
        release.stand_beside(beside, before_it)
    except (NightshiftError, OSError) as error:
        LOG.warning("no pair is loaded beside %s: %s", pointer.release_id, error)
        return release
    if beside is not None:
        await beside.wait()
    return release


def _beside(
    live: CtrRelease,
    pointer: LivePointer,
    read: Files | NightshiftError | None,
    context: Context,
    role: str,
) -> Beside:
    async def prepare() -> CtrRelease:
        if not isinstance(read, Files):
            raise read or ContractError(f"the files of {pointer.release_id} were not read")
        made = await _prepare_one(pointer, read, context, role)
        if made.request_schema != live.request_schema:
            raise ContractError(
                f"{pointer.release_id} takes other request rows than {live.pointer.release_id}"
            )
        if role == "canary" and live.shadow is not None:
            made.shadow = live.shadow.other_way(made, Beside.ready(live))
        return made

    return Beside(pointer.release_id, prepare)


async def _prepare_one(
    pointer: LivePointer, read: Files, context: Context, role: str = "live"
) -> CtrRelease:
    info = await context.openmldb.describe(*deployment_of(pointer))
    read.spec.check_columns(info.output_schema)
    release = CtrRelease(pointer, read.spec, info, context, read.made, role, read.moment)
    # A model whose process died is READY to Triton: only an inference shows it.
    ids = np.zeros((1, read.spec.width), dtype=np.int64)
    await release._infer(ids, context.settings.predict_timeout_s)
    return release


FAMILY = Family(read=_read, prepare=_prepare, parts=("openmldb", "triton"))


def _neutral(kind: str) -> Any:
    """A value that every column of a type takes; NULL as a time or key may mean something."""
    now = dt.datetime.now(dt.timezone.utc)
    values: dict[str, Any] = {
        "bool": False,
        "string": "",
        "float": 0.0,
        "double": 0.0,
        "date": now.date().isoformat(),
        "timestamp": int(now.timestamp() * 1000),
    }
    return values.get(kind, 0)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rank_parts(payload: Any) -> tuple[dict[str, Any], list[Any], int]:
    def refuse(why: str) -> RequestError:
        return RequestError(422, "invalid_request", f"{why}; see /docs")

    if not isinstance(payload, dict):
        raise refuse('give {"user": {...}, "candidates": [{...}], "n": 10}')
    unknown = [key for key in payload if key not in ("user", "candidates", "n")]
    if unknown:
        raise refuse(f"unknown key {printable(repr(unknown[0]), 60)}")
    user = payload.get("user", {})
    candidates = payload.get("candidates")
    n = payload.get("n", DEFAULT_TOP_N)
    if not isinstance(user, dict):
        raise refuse("'user' holds the fields that all rows share, as an object")
    if not isinstance(candidates, list) or not candidates:
        raise refuse("'candidates' is a list of at least one object")
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise refuse("'n' is a whole number of at least 1")
    return user, candidates, n


def _join(user: dict[str, Any], candidates: list[Any]) -> list[dict[str, Any]]:
    rows = []
    for number, candidate in enumerate(candidates):
        if not isinstance(candidate, dict):
            raise InvalidRows([Problem(number, "", "a candidate is an object")])
        both = user.keys() & candidate.keys()
        if both:
            field = printable(sorted(both)[0], 60)
            raise InvalidRows([Problem(number, field, "it is in 'user', too; give it once")])
        rows.append({**user, **candidate})
    return rows
