"""What Prometheus reads at /metrics, for all workers together.

With `PROMETHEUS_MULTIPROC_DIR` set, as the supervisor sets it, each worker writes its values to a
file there and any of them answers for all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from predict_server.payload import printable

_BUCKETS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
_ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_LABEL = 120
"""Characters of a label's value; a name that came from a broken file may be anything."""


def label(value: object) -> str:
    """A value as a label that can always be written: valid Unicode, not long."""
    return printable(str(value), _LABEL)


class Metrics:
    """The server's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"nightshift_predict_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, mode: Any, *labels: str) -> Gauge:
            return Gauge(
                f"nightshift_predict_{name}",
                text,
                labels,
                registry=self.registry,
                multiprocess_mode=mode,
            )

        def histogram(name: str, text: str, buckets: Any, *labels: str) -> Histogram:
            return Histogram(
                f"nightshift_predict_{name}", text, labels, registry=self.registry, buckets=buckets
            )

        self.requests = counter(
            "requests", "Requests by endpoint and HTTP status", "pipeline", "endpoint", "status"
        )
        self.rows = counter("rows", "Rows scored", "pipeline", "release")
        self.errors = counter(
            "errors", "Requests without an answer, by what was wrong", "pipeline", "kind"
        )
        self.seconds = histogram(
            "request_seconds",
            "Whole time of a request that was answered",
            _BUCKETS,
            *("pipeline", "endpoint"),
        )
        self.stage = histogram(
            "stage_seconds",
            "Time of each stage: retrieve (recommend alone); of a joint call features (OpenMLDB), "
            "encode, score (Triton)",
            _BUCKETS,
            *("pipeline", "stage"),
        )
        self.batch = histogram(
            "batch_rows", "Rows of a joint call to OpenMLDB and Triton", _ROW_BUCKETS, "pipeline"
        )
        self.waiting = gauge(
            "waiting_rows", "Rows that no call has taken yet", "livesum", "pipeline"
        )
        self.ready = gauge(
            "ready",
            "1 where the last probe of the live release was answered",
            "livemin",
            "pipeline",
        )
        self.live = gauge(
            "live_release_info",
            "1 for the release that answers",
            "livemax",
            *("pipeline", "release", "deployment", "model", "model_version"),
        )
        self.workers = gauge("workers", "Worker processes that serve", "livesum")
        self.switches = counter("switches", "Releases taken up", "pipeline")
        self.refused = counter(
            "refused_switches",
            "Times that a new release could not be taken up and the old one went on",
            "pipeline",
        )

        self.logged = counter("log_rows", "Scored rows given to the request log", "pipeline")
        self.log_dropped = counter(
            "log_dropped_rows",
            "Scored rows that the request log lost: full (its queue), disk (it could not write), "
            "bound (its spools reached max_mb)",
            *("pipeline", "reason"),
        )
        self.shadow = counter(
            "shadow_rows",
            "Rows offered to be scored in shadow: scored, or dropped: full (its queue), rate "
            "(live.shadow.rows_per_s), late (answers came first), failed",
            *("pipeline", "result"),
        )
        self.events = counter(
            "events",
            "Streamed events: inserted, duplicate (of an id that was inserted before), changed (a "
            "request sent again with other values), dropped (a scored request, not inserted)",
            *("pipeline", "table", "result"),
        )

    def of(self, pipeline: str) -> PipelineMetrics:
        """The metrics of one pipeline."""
        return PipelineMetrics(self, label(pipeline))

    def text(self) -> bytes:
        """All workers' metrics in Prometheus' text format."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class PipelineMetrics:
    """One pipeline's metrics, its labels looked up once.

    Args:
        metrics: the server's.
        pipeline: the label's value.
    """

    def __init__(self, metrics: Metrics, pipeline: str) -> None:
        self._metrics = metrics
        self._pipeline = pipeline
        self._requests: dict[tuple[str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}
        self._live: Gauge | None = None
        self.features = metrics.stage.labels(pipeline, "features")
        self.retrieve = metrics.stage.labels(pipeline, "retrieve")
        self.encode = metrics.stage.labels(pipeline, "encode")
        self.score = metrics.stage.labels(pipeline, "score")
        self.batch = metrics.batch.labels(pipeline)
        self.waiting = metrics.waiting.labels(pipeline)
        self.ready = metrics.ready.labels(pipeline)
        self.switches = metrics.switches.labels(pipeline)
        self.refused = metrics.refused.labels(pipeline)
        self.logged = metrics.logged.labels(pipeline)

    def request(self, endpoint: str, status: int) -> None:
        """Count a request that was answered with `status`."""
        found = self._requests.get((endpoint, status))
        if found is None:
            found = self._metrics.requests.labels(self._pipeline, endpoint, str(status))
            self._requests[endpoint, status] = found
        found.inc()

    def took(self, endpoint: str, seconds: float) -> None:
        """Note the time of a request that was answered."""
        found = self._seconds.get(endpoint)
        if found is None:
            found = self._metrics.seconds.labels(self._pipeline, endpoint)
            self._seconds[endpoint] = found
        found.observe(seconds)

    def error(self, kind: str) -> None:
        """Count a request without an answer."""
        self._metrics.errors.labels(self._pipeline, kind).inc()

    def events(self, table: str, result: str) -> Counter:
        """The counter of a table's streamed events with a result."""
        return self._metrics.events.labels(self._pipeline, label(table), result)

    def log_dropped(self, reason: str) -> Counter:
        """The counter of rows that the request log lost for a reason."""
        return self._metrics.log_dropped.labels(self._pipeline, reason)

    def shadow(self, result: str) -> Counter:
        """The counter of rows offered to be scored in shadow, by what became of them."""
        return self._metrics.shadow.labels(self._pipeline, result)

    def rows(self, release: str) -> Counter:
        """The counter of rows that a release scores."""
        return self._metrics.rows.labels(self._pipeline, label(release))

    def took_up(self, names: Mapping[str, Any]) -> None:
        """Note the release that answers from now on.

        Args:
            names: what its answers say of it: release, model, model_version, perhaps deployment.
        """
        if self._live is not None:
            self._live.set(0)
        kinds = ("release", "deployment", "model", "model_version")
        values = [label(names.get(kind, "")) for kind in kinds]
        self._live = self._metrics.live.labels(self._pipeline, *values)
        self._live.set(1)
        self.switches.inc()
