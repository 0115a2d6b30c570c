"""What every family gives: a release made ready, and its answers."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from nightshift.config.live import ShadowConfig
from nightshift.errors import NightshiftError
from nightshift.registry.pointer import LivePointer
from nightshift.settings import Settings
from predict_server.errors import RequestError
from predict_server.metrics import PipelineMetrics
from predict_server.openmldb import Deployments
from predict_server.payload import parse_json
from predict_server.recording import Recorder
from predict_server.triton import AsyncTriton

JSON = "application/json"

_encode = msgspec.json.Encoder().encode


def encode_json(value: Any) -> bytes:
    """JSON bytes of plain values; NaN and the infinities become null."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        # Half of a surrogate pair, from a broken file of ours: escaped, it can be written.
        return json.dumps(value).encode()


@dataclass(frozen=True)
class Context:
    """What a release needs of its server.

    Attributes:
        settings: limits.
        openmldb: the deployments.
        triton: the models.
        metrics: the pipeline's.
        threads: where work of more than a millisecond goes; it never waits for anything.
        recorder: the pipeline's request log.
        scored: told of the ids and rows of each answered request, where these are inserted.
        shadow: what is scored in shadow, where another pair is loaded beside the live one.
    """

    settings: Settings
    openmldb: Deployments
    triton: AsyncTriton
    metrics: PipelineMetrics
    threads: Executor
    recorder: Recorder | None = None
    scored: Callable[[Sequence[Any], Sequence[Sequence[Any]]], None] | None = None
    shadow: ShadowConfig | None = None


@dataclass(slots=True)
class Call:
    """One request.

    Attributes:
        body: its bytes.
        content_type: without parameters, lower case; empty where the client gave none.
        accept: what the client would take.
        explain: whether the answer shows features and ids.
        deadline: of `time.monotonic()`.
        probe: whether it is a request that no user made (`nightshift.serving.probe.PROBE`).
    """

    body: bytes
    content_type: str
    accept: str
    explain: bool
    deadline: float
    probe: bool = False

    def json(self) -> Any:
        """The body's JSON.

        Raises:
            RequestError: it is none.
        """
        return parse_json(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer."""

    content: bytes
    media_type: str = JSON


Operation = Callable[[Call], Awaitable[Answer]]


class Release(ABC):
    """One release, ready to answer."""

    pointer: LivePointer

    @property
    @abstractmethod
    def operations(self) -> Mapping[str, Operation]:
        """What clients may POST, by the last part of its path."""

    @abstractmethod
    def names(self) -> dict[str, Any]:
        """What every answer says of its release."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """What a request holds and what the limits are."""

    @abstractmethod
    async def probe(self, timeout_s: float) -> dict[str, str | None]:
        """Ask the whole of it: by part, what is wrong, or None."""

    def page(self) -> bytes | None:
        """A page on which a person can try it; None where there is none."""
        return None

    @property
    def waiting_rows(self) -> int:
        """Rows that no call has taken yet."""
        return 0


@dataclass(frozen=True)
class Family:
    """A kind of release.

    Attributes:
        read: reads a release's files, given the pointer and the releases' root; it runs in a
            thread of its own, because a path may hang.
        prepare: makes ready what `read` gave, and sees that all its parts answer.
        parts: names of the parts behind a release of this kind.
        body: how many times `NIGHTSHIFT_PREDICT_MAX_BODY` a request may hold.
    """

    read: Callable[[LivePointer, Path], Any]
    prepare: Callable[[LivePointer, Any, Context], Awaitable[Release]]
    parts: tuple[str, ...]
    body: int = 1


def overloaded(waiting: int) -> RequestError:
    """The answer to a request that finds the queue full."""
    return RequestError(
        429,
        "overloaded",
        f"{waiting} rows wait already (NIGHTSHIFT_PREDICT_QUEUE_ROWS); try again in a second",
    )


async def problem_of(asked: Awaitable[Any]) -> str | None:
    """None if something is answered, else what is wrong with it."""
    try:
        await asked
    except NightshiftError as error:
        return str(error)
    return None


@contextmanager
def timed(observe: Callable[[float], None]) -> Iterator[None]:
    """Note the block's seconds, if it ends without an error."""
    started = time.perf_counter()
    yield
    observe(time.perf_counter() - started)
