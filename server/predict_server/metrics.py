"""What Prometheus reads at /metrics."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)


class Metrics:
    """The server's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "nightshift_predict_requests",
            "Requests by endpoint and HTTP status",
            ["endpoint", "status"],
            registry=self.registry,
        )
        self.rows = Counter(
            "nightshift_predict_rows", "Rows scored", ["release"], registry=self.registry
        )
        self.errors = Counter(
            "nightshift_predict_errors",
            "Requests without an answer, by what was wrong",
            ["kind"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "nightshift_predict_request_seconds",
            "Whole time of a request that was answered",
            ["endpoint"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.stage = Histogram(
            "nightshift_predict_stage_seconds",
            "Time of each stage: features (OpenMLDB), encode, score (Triton)",
            ["stage"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.live = Gauge(
            "nightshift_predict_live_release_info",
            "1 for the release that answers",
            ["release", "deployment", "model", "model_version"],
            registry=self.registry,
        )
        self.switches = Counter(
            "nightshift_predict_switches", "Releases taken up", registry=self.registry
        )
        self.refused = Counter(
            "nightshift_predict_refused_switches",
            "Times that a new release could not be taken up and the old one went on",
            registry=self.registry,
        )

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the block's time, if it ends without an error, to a stage."""
        started = time.perf_counter()
        yield
        self.stage.labels(stage).observe(time.perf_counter() - started)
