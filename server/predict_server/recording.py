"""The worker's end of the request log: receipts at once, the disk by a thread of its own.

An answer waits for nothing here. What it costs is the encoding, some microseconds a row; a full
queue drops what comes and counts it. `nightshift.live.compact` makes parquet of the spool files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import xxhash

from nightshift.config.live import LogConfig
from nightshift.features.specification import sql_type
from nightshift.live import spool
from nightshift.live.folders import hiding_key
from nightshift.live.hiding import Hider
from nightshift.live.watermark import Watermark
from nightshift.registry.pointer import LivePointer
from predict_server.metrics import PipelineMetrics

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LOG = logging.getLogger("predict_server")

QUEUE_BYTES = 16 * 1024 * 1024
"""Encoded answers that may wait for the disk; more are dropped."""

FLUSH_S = 0.25
"""Pause between two writes."""

ROLL_S, ROLL_BYTES = 60.0, 8 * 1024 * 1024
"""When a spool file is closed, so that it can be compacted."""

_Schema = tuple[tuple[str, str], ...]


class Subject:
    """What the answers of one release share.

    Args:
        context: names and schemas.
        hider: of its fields.
    """

    def __init__(self, context: spool.Context, hider: Hider) -> None:
        self.context = context
        self.hider = hider


class Recorder:
    """Gives receipts, and keeps what was answered.

    Args:
        folder: `live_folder` of the pipeline.
        config: what is kept.
        metrics: the pipeline's.
    """

    def __init__(self, folder: Path, config: LogConfig, metrics: PipelineMetrics) -> None:
        self._folder = folder
        self._config = config
        self._metrics = metrics
        self._writer = secrets.token_hex(6)
        self._number = 0
        self._limit = int(config.sample * 2**64) if config.enabled else 0
        self._waiting: deque[tuple[bytes, int]] = deque()
        # One is written by the event loop alone, the other by the thread.
        self._put_bytes = self._taken_bytes = 0
        self._contexts: deque[bytes] = deque(maxlen=16)
        self._subjects = 0
        self._hour = (0, "")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._drops = {reason: metrics.log_dropped(reason) for reason in ("full", "disk", "bound")}
        self._bound = False
        self._warned = False
        self.watermark = Watermark(folder)

    def subject(
        self, pointer: LivePointer, request: _Schema, features: _Schema, key: int | None
    ) -> Subject:
        """What the answers of a release share.

        Args:
            pointer: the release.
            request: name and SQL type of the request row's columns.
            features: the same of the feature row's.
            key: place of the request's id in a feature row.
        """
        hashed, omitted = self._config.hashed, self._config.omitted
        hider = Hider(
            hashed,
            omitted,
            self._key() if hashed else b"",
            [name for name, _ in request],
            [name for name, _ in features],
        )
        self._subjects += 1
        context = spool.Context(
            self._subjects,
            pointer.release_id,
            pointer.deployment,
            pointer.model,
            int(pointer.model_version),
            tuple((name, sql_type(kind)) for name, kind in request),
            tuple((name, sql_type(kind)) for name, kind in features),
            key,
            tuple(hashed),
            tuple(omitted),
        )
        framed = spool.frame(context)
        self._contexts.append(framed)
        if self._thread is not None:  # else its first file begins with it
            self._waiting.append((framed, 0))
        return Subject(context, hider)

    @property
    def sampled(self) -> float:
        """Share of the requests that is kept."""
        return self._limit / 2**64

    def secret(self) -> bytes:
        """The pipeline's key of hashes, the same in all workers.

        Raises:
            OSError: it cannot be read or kept.
        """
        return hiding_key(self._folder)

    def _key(self) -> bytes:
        try:
            return hiding_key(self._folder)
        except OSError as error:
            # A key that nobody keeps: nothing can be told from what is kept, and nobody harmed.
            LOG.warning("%s: the key of hashed fields cannot be kept: %s", self._folder, error)
            return secrets.token_bytes(32)

    def note(
        self,
        subject: Subject,
        operation: str,
        began: float,
        rows: Sequence[Sequence[Any]],
        features: Sequence[Sequence[Any]],
        scores: npt.NDArray[np.float32],
        order: list[int] | None = None,
        *,
        role: str = "live",
        of: str | None = None,
    ) -> dict[str, Any]:
        """Keep an answer, unless it is not sampled or cannot be kept; its receipt.

        Args:
            subject: its release.
            operation: `predict`, `rank` or `recommend`.
            began: of `time.time()`, before its features were asked for.
            rows: n request rows.
            features: n feature rows.
            scores: float32 [n].
            order: of a ranking, the rows that are returned, best first.
            role: `live`, or what else scored the request (`nightshift.live.log.FIXED`).
            of: of shadow scores, the receipt of the answer.
        """
        if not subject.hider.idle:
            rows, features = subject.hider.hide(rows, features)
        packed_rows, packed_features = spool.packed(rows), spool.packed(features)
        request_hash = xxhash.xxh3_64_intdigest(packed_rows)
        feature_hash = xxhash.xxh3_64_hexdigest(packed_features)
        now = time.time()
        receipt = self._receipt(now)
        logged = request_hash < self._limit
        if logged:
            answer = spool.Answer(
                subject.context.number,
                receipt,
                operation,
                role,
                int(now * 1_000_000),
                int(began * 1_000_000),
                f"{request_hash:016x}",
                feature_hash,
                self.watermark.text,
                order,
                scores.tobytes(),
                msgspec.Raw(packed_rows),
                msgspec.Raw(packed_features),
                of,
            )
            logged = self._take(spool.frame(answer), len(rows))
        return {
            "id": receipt,
            "release": subject.context.release,
            "request": f"{request_hash:016x}",
            "features": feature_hash,
            "watermark": self.watermark.tables,
            "logged": logged,
        }

    def _receipt(self, now: float) -> str:
        hour = int(now) // 3600
        if self._hour[0] != hour:
            self._hour = (hour, time.strftime("%Y%m%dT%H", time.gmtime(now)))
        self._number += 1
        return f"{self._hour[1]}-{self._writer}-{self._number}"

    def _take(self, framed: bytes, rows: int) -> bool:
        if self._bound or self._put_bytes - self._taken_bytes + len(framed) > QUEUE_BYTES:
            self._drops["bound" if self._bound else "full"].inc(rows)
            return False
        self._put_bytes += len(framed)
        self._waiting.append((framed, rows))
        self._metrics.logged.inc(rows)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="request log")
            self._thread.start()
        return True

    def close(self) -> None:
        """Write what waits, a moment at most, and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=3.0)

    # In the thread, which only joins and writes: it never holds an answer up.

    def _run(self) -> None:
        files = _Files(self._folder / "requests" / "spool", self._writer)
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(FLUSH_S)
            taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                files.roll_if_due()
                if taken:
                    files.append(b"".join(data for data, _ in taken), self._contexts)
                if files.rolled or self._bound:
                    files.rolled = False
                    self._bound = files.size() > self._config.max_mb * 1_000_000
                if stopping:
                    files.close()
                self._warned = False
            except OSError as error:
                self._drops["disk"].inc(sum(rows for _, rows in taken))
                files.give_up()
                if not self._warned:
                    self._warned = True
                    LOG.warning("the request log cannot be written: %s", error)
            self._taken_bytes += sum(len(data) for data, rows in taken if rows)
            self.watermark.refresh()


class _Files:
    """The spool files of one worker, one after the other."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._folder = folder
        self._writer = writer
        self._number = 0
        self._spool: spool.Spool | None = None
        self._opened = (0.0, 0.0)
        self.rolled = True

    def append(self, data: bytes, contexts: Iterable[bytes]) -> None:
        """Write frames; a new file begins with all contexts."""
        if self._spool is None:
            self._number += 1
            self._spool = spool.Spool(self._folder / f"{self._writer}-{self._number}")
            self._opened = (time.monotonic(), time.time())
            self._spool.append(b"".join(list(contexts)))
        self._spool.append(data)

    def roll_if_due(self) -> None:
        """Close a file that is old or large, or whose end is asked for."""
        if self._spool is None:
            return
        opened, wall = self._opened
        due = time.monotonic() - opened >= ROLL_S or self._spool.size >= ROLL_BYTES
        if due or spool.asked_to_roll(self._folder, wall):
            self.close()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._spool is not None:
            closing, self._spool = self._spool, None
            self.rolled = True
            closing.close()

    def give_up(self) -> None:
        """Close a file that cannot be written; the next write begins another."""
        with contextlib.suppress(OSError):
            self.close()

    def size(self) -> int:
        """Bytes of all workers' spools."""
        with contextlib.suppress(OSError):
            return sum(entry.stat().st_size for entry in os.scandir(self._folder))
        return 0
