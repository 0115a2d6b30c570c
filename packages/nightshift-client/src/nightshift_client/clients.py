"""The clients: `Client` for threads, `AsyncClient` for event loops."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from nightshift_client.answers import Health, Predictions, Ranking, Recommendations, Tensors
from nightshift_client.errors import InvalidRequest, NightshiftClientError
from nightshift_client.exchange import Call, Target, error_of

Row = Mapping[str, Any] | Sequence[Any]

_TYPES = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}


class Client:
    """A client for threads; it may be shared among them.

    Args:
        url: base URL of the predict server.
        pipeline: which pipeline; None is the server's default.
        token: bearer token, if the server asks for one.
        timeout_s: of a whole call, all its tries together.
        verify: httpx's: certificates to trust; an SSL context also for one's own certificate.
    """

    def __init__(
        self,
        url: str,
        *,
        pipeline: str | None = None,
        token: str | None = None,
        timeout_s: float = 10.0,
        verify: ssl.SSLContext | str | bool = True,
    ) -> None:
        self._target = Target(url, pipeline, token, timeout_s, verify)
        self._http = httpx.Client(**self._target.options())

    def __enter__(self) -> Client:  # noqa: PYI034
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, rows: Sequence[Row], *, explain: bool = False) -> Predictions:
        """A score a row, in their order.

        Raises:
            NightshiftClientError: there is no answer.
        """
        return Predictions.of(self._call(predict_call(self._target, rows, explain)))

    def rank(
        self,
        *,
        candidates: Sequence[Mapping[str, Any]],
        user: Mapping[str, Any] | None = None,
        n: int = 10,
        explain: bool = False,
    ) -> Ranking:
        """The `n` best candidates, best first.

        Raises:
            NightshiftClientError: there is no answer.
        """
        return Ranking.of(self._call(rank_call(self._target, user, candidates, n, explain)))

    def recommend(
        self,
        user: Any,
        *,
        n: int = 10,
        exclude_consumed: bool = True,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 (the server's own name)
        exclude: Sequence[Any] = (),
        history: Sequence[Any] = (),
        context: Mapping[str, Any] | None = None,
        fields: Sequence[str] = (),
        explain: bool = False,
    ) -> Recommendations:
        """The `n` best items for a user, best first.

        Args:
            user: its id; a new one gets what `history` leads to, and popular items.
            n: items wanted.
            exclude_consumed: leave out what the user touched before the night.
            filter: conditions on the items' columns.
            exclude: ids of items to leave out.
            history: ids of items that the user liked since the night, the newest last.
            context: fields of the request table, such as its time.
            fields: columns of the items to answer with.
            explain: add features, ids and the retrievers that found an item.

        Raises:
            NightshiftClientError: there is no answer.
        """
        body = recommend_body(user, n, exclude_consumed, filter, exclude, history, context, fields)
        call = self._target.call("recommend", json=body, params=_explain(explain))
        return Recommendations.of(self._call(call))

    def infer(self, inputs: Mapping[str, Any]) -> Tensors:
        """Output tensors of input tensors, as nested lists.

        Raises:
            NightshiftClientError: there is no answer.
        """
        return Tensors.of(self._call(self._target.call("infer", json={"inputs": dict(inputs)})))

    def schema(self) -> dict[str, Any]:
        """What the pipeline takes.

        Raises:
            NightshiftClientError: there is no answer.
        """
        found: dict[str, Any] = self._call(self._target.call("schema"))
        return found

    def health(self) -> Health:
        """Whether a prediction can be had now; "not ready" is an answer, too.

        Raises:
            NightshiftClientError: there is no answer.
        """
        call = self._target.call("health")
        try:
            return health_of(self._http.request(**call.request()))
        except httpx.TransportError as error:
            call.deadline = 0
            call.pause(error, "")
            raise

    def upload(self, source: Path | str, target: Path | str, *, timeout_s: float = 3600.0) -> None:
        """Score a csv or parquet file of rows into another of the same format.

        Raises:
            NightshiftClientError: there is no answer; `target` is as it was.
        """
        source, target = Path(source), Path(target)
        staged = target.with_name(f".{target.name}.part")
        headers = {"Content-Type": file_type(source)}
        try:
            with (
                source.open("rb") as file,
                self._http.stream(
                    "POST",
                    self._target.path("upload"),
                    content=file,
                    headers=headers,
                    timeout=timeout_s,
                ) as answer,
            ):
                if answer.status_code != 200:
                    answer.read()
                    raise error_of(answer)
                with staged.open("wb") as out:
                    for piece in answer.iter_bytes():
                        out.write(piece)
            staged.replace(target)
        finally:
            staged.unlink(missing_ok=True)

    def _call(self, call: Call) -> Any:
        while True:
            after = ""
            try:
                answer = self._http.request(**call.request())
                after = answer.headers.get("retry-after", "")
                return call.read(answer)
            except (NightshiftClientError, httpx.TransportError) as error:
                pause = call.pause(error, after)
            time.sleep(pause)


class AsyncClient:
    """The same for an event loop.

    Args:
        url: base URL of the predict server.
        pipeline: which pipeline; None is the server's default.
        token: bearer token, if the server asks for one.
        timeout_s: of a whole call, all its tries together.
        verify: httpx's: certificates to trust; an SSL context also for one's own certificate.
    """

    def __init__(
        self,
        url: str,
        *,
        pipeline: str | None = None,
        token: str | None = None,
        timeout_s: float = 10.0,
        verify: ssl.SSLContext | str | bool = True,
    ) -> None:
        self._target = Target(url, pipeline, token, timeout_s, verify)
        self._http = httpx.AsyncClient(**self._target.options())

    async def __aenter__(self) -> AsyncClient:  # noqa: PYI034
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def predict(self, rows: Sequence[Row], *, explain: bool = False) -> Predictions:
        """As `Client.predict`."""
        return Predictions.of(await self._call(predict_call(self._target, rows, explain)))

    async def rank(
        self,
        *,
        candidates: Sequence[Mapping[str, Any]],
        user: Mapping[str, Any] | None = None,
        n: int = 10,
        explain: bool = False,
    ) -> Ranking:
        """As `Client.rank`."""
        return Ranking.of(await self._call(rank_call(self._target, user, candidates, n, explain)))

    async def recommend(
        self,
        user: Any,
        *,
        n: int = 10,
        exclude_consumed: bool = True,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 (the server's own name)
        exclude: Sequence[Any] = (),
        history: Sequence[Any] = (),
        context: Mapping[str, Any] | None = None,
        fields: Sequence[str] = (),
        explain: bool = False,
    ) -> Recommendations:
        """As `Client.recommend`."""
        body = recommend_body(user, n, exclude_consumed, filter, exclude, history, context, fields)
        call = self._target.call("recommend", json=body, params=_explain(explain))
        return Recommendations.of(await self._call(call))

    async def infer(self, inputs: Mapping[str, Any]) -> Tensors:
        """As `Client.infer`."""
        call = self._target.call("infer", json={"inputs": dict(inputs)})
        return Tensors.of(await self._call(call))

    async def schema(self) -> dict[str, Any]:
        """As `Client.schema`."""
        found: dict[str, Any] = await self._call(self._target.call("schema"))
        return found

    async def health(self) -> Health:
        """As `Client.health`."""
        call = self._target.call("health")
        try:
            return health_of(await self._http.request(**call.request()))
        except httpx.TransportError as error:
            call.deadline = 0
            call.pause(error, "")
            raise

    async def _call(self, call: Call) -> Any:
        while True:
            after = ""
            try:
                answer = await self._http.request(**call.request())
                after = answer.headers.get("retry-after", "")
                return call.read(answer)
            except (NightshiftClientError, httpx.TransportError) as error:
                pause = call.pause(error, after)
            await asyncio.sleep(pause)


def predict_call(target: Target, rows: Sequence[Row], explain: bool) -> Call:
    """A call of `predict`.

    Raises:
        InvalidRequest: one row was given instead of a list of rows.
    """
    if isinstance(rows, (Mapping, str, bytes)):
        raise InvalidRequest("rows is a list of rows; for one row give [row]")
    return target.call("predict", json={"rows": list(rows)}, params=_explain(explain))


def rank_call(
    target: Target,
    user: Mapping[str, Any] | None,
    candidates: Sequence[Mapping[str, Any]],
    n: int,
    explain: bool,
) -> Call:
    """A call of `rank`."""
    body = {"user": dict(user or {}), "candidates": list(candidates), "n": n}
    return target.call("rank", json=body, params=_explain(explain))


def recommend_body(
    user: Any,
    n: int,
    exclude_consumed: bool,
    conditions: Mapping[str, Any] | None,
    exclude: Sequence[Any],
    history: Sequence[Any],
    context: Mapping[str, Any] | None,
    fields: Sequence[str],
) -> dict[str, Any]:
    """The body of a call of `recommend`."""
    return {
        "user": user,
        "n": n,
        "exclude_consumed": exclude_consumed,
        "filter": dict(conditions or {}),
        "exclude": list(exclude),
        "history": list(history),
        "context": dict(context or {}),
        "fields": list(fields),
    }


def health_of(answer: httpx.Response) -> Health:
    """What GET health answered, ready or not.

    Raises:
        NightshiftClientError: it is an error.
    """
    if answer.status_code in (200, 503):
        try:
            return Health.of(answer.json())
        except (ValueError, KeyError):
            pass
    raise error_of(answer)


def file_type(path: Path) -> str:
    """Media type of a file by its name.

    Raises:
        InvalidRequest: it is neither csv nor parquet.
    """
    found = _TYPES.get(path.suffix.lower())
    if found is None:
        raise InvalidRequest(f"{path}: name a .csv or .parquet file")
    return found


def _explain(explain: bool) -> dict[str, str]:
    return {"explain": "true"} if explain else {}
