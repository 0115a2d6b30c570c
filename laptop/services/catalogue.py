"""What the laptop profile's services are: how each starts, listens, and shows that it works."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from laptop.services import airflow
from laptop.services.launch import Launch, base_env
from laptop.setup import spark
from nightshift import credentials
from nightshift.errors import ConfigurationError
from nightshift.serving.access import predict_tls
from nightshift.settings import Settings


@dataclass(frozen=True)
class Port:
    """A port that a service listens on, and the variable that moves it."""

    number: int
    variable: str


@dataclass(frozen=True)
class Service:
    """One server process."""

    name: str
    title: str
    ports: tuple[Port, ...]
    launch: Callable[[Settings], Launch]
    not_ready: Callable[[Settings, float], str | None]
    """None when it answers as it should; else what it lacks. The float is its start time."""
    address: str = ""
    prepare: Callable[[Settings], None] | None = None
    """What must be done once before this service and those of its phase start."""
    phase: int = 0
    """Services of a phase start together, after the phases below; they stop before those."""


NAMES = (
    "openmldb",
    "triton",
    "predict",
    *(f"airflow-{component}" for component in airflow.COMPONENTS),
)
"""Services in the order in which they start; they stop in the reverse order."""


def services(settings: Settings) -> list[Service]:
    """Every service, in the order of `NAMES`."""
    ports = {
        name: Port(getattr(settings, f"{name}_port"), f"NIGHTSHIFT_{name.upper()}_PORT")
        for name in (
            "openmldb",
            "triton_http",
            "triton_grpc",
            "triton_metrics",
            "predict",
            "airflow",
        )
    }
    found = [
        Service(
            "openmldb",
            "embedded OpenMLDB",
            (ports["openmldb"],),
            openmldb,
            _openmldb_not_ready,
            settings.openmldb_url,
        ),
        Service(
            "triton",
            "Triton",
            (ports["triton_http"], ports["triton_grpc"], ports["triton_metrics"]),
            _triton,
            _triton_not_ready,
            f"http://{settings.triton_host}:{settings.triton_http_port}",
        ),
        Service(
            "predict",
            "predict server",
            (ports["predict"],),
            _predict,
            _predict_not_ready,
            settings.predict_url,
        ),
    ]
    for component in airflow.COMPONENTS:
        api = component == "api-server"
        found.append(
            Service(
                f"airflow-{component}",
                f"Airflow {component}",
                (ports["airflow"],) if api else (),
                _airflow(component),
                _airflow_not_ready(component),
                settings.airflow_url if api else "",
                airflow.prepare if api else None,
                # Stopped first, so that no task is failed by a server that goes before it.
                phase=1,
            )
        )
    return found


def _python(settings: Settings, *arguments: str) -> list[str]:
    return [str(settings.project / ".venv/bin/python"), "-P", *arguments]


def openmldb(settings: Settings) -> Launch:
    """The embedded OpenMLDB; it demands the home's token and sees the data and the runs alone."""
    data = settings.home / "openmldb"
    data.mkdir(parents=True, exist_ok=True)
    credentials.ensure(settings, credentials.OPENMLDB_TOKEN)
    arguments = [
        *("-m", "openmldb_embedded"),
        *("--host", settings.bind, "--port", str(settings.openmldb_port), "--data", str(data)),
        *("--token-file", str(credentials.path(settings, credentials.OPENMLDB_TOKEN))),
        # The only places that LOAD DATA reads and INTO OUTFILE writes.
        *(part for root in file_roots(settings) for part in ("--root", str(root))),
        *spark.server_arguments(settings),
        *(["--lenient"] if settings.openmldb_mode == "lenient" else []),
        # Nothing of a cluster's delays has to be waited for here.
        "--consistent",
    ]
    return Launch(_python(settings, *arguments), base_env(settings), settings.project)


def file_roots(settings: Settings) -> list[Path]:
    """Folders of data and of runs: the home's, and where a pipeline keeps its data elsewhere."""
    from nightshift.pipeline import Pipelines  # the launcher has no pydantic

    roots = [settings.data, settings.runs_root]
    for pipeline in Pipelines(settings):
        if not any(pipeline.data.is_relative_to(root) for root in roots):
            roots.append(pipeline.data)
    return roots


def _triton(settings: Settings) -> Launch:
    from laptop.triton.launch import command

    return command(settings)


def _predict(settings: Settings) -> Launch:
    return Launch(_python(settings, "-m", "predict_server"), base_env(settings), settings.project)


def _airflow(component: str) -> Callable[[Settings], Launch]:
    return lambda settings: airflow.launch(settings, component)


def get(url: str, timeout_s: float = 5.0, tls: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """Status and body of a GET; an HTTP error is an answer, too.

    Raises:
        OSError: nobody answered.
    """
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
    )
    try:
        with opener.open(url, timeout=timeout_s) as answer:
            return answer.status, answer.read(1 << 20)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(1 << 20)


def _answers(url: str, tls: ssl.SSLContext | None = None) -> tuple[int, bytes] | str:
    try:
        return get(url, tls=tls)
    except OSError as error:
        return f"no answer at {url} ({getattr(error, 'reason', error)})"


def _openmldb_not_ready(settings: Settings, since: float) -> str | None:
    answer = _answers(f"{settings.openmldb_url}/health")
    if isinstance(answer, str):
        return answer
    return None if answer[1].strip() == b"OK" else f"/health answered {answer[1][:80]!r}"


def _triton_not_ready(settings: Settings, since: float) -> str | None:
    # Not /v2/health/ready: it is 400 while any model loads, and after a load that failed.
    url = f"http://{settings.triton_host}:{settings.triton_http_port}/v2/health/live"
    answer = _answers(url)
    if isinstance(answer, str):
        return answer
    return None if answer[0] == 200 else f"{url} answered {answer[0]}"


def _predict_not_ready(settings: Settings, since: float) -> str | None:
    # Not /health: it asks for a token where one is set, and is 503 without a live release.
    url = f"{settings.predict_url}/health/live"
    try:
        answer = _answers(url, predict_tls(settings))
    except ConfigurationError as error:
        return str(error)
    if isinstance(answer, str):
        return answer
    return None if answer[0] == 200 else f"{url} answered {answer[0]}"


def _airflow_not_ready(component: str) -> Callable[[Settings, float], str | None]:
    key = component.replace("-", "_")

    def check(settings: Settings, since: float) -> str | None:
        answer = _answers(f"{settings.airflow_url}/api/v2/monitor/health")
        if isinstance(answer, str):
            return answer
        if answer[0] != 200:
            return f"Airflow's health page answered {answer[0]}"
        health = json.loads(answer[1])
        if component == "api-server":
            state = health["metadatabase"]["status"]
            return None if state == "healthy" else f"its database is {state}"
        part = health.get(key) or {}
        beat = part.get(f"latest_{key}_heartbeat")
        if not beat or dt.datetime.fromisoformat(beat).timestamp() < since:
            return "no heartbeat yet"
        return None if part.get("status") == "healthy" else f"it is {part.get('status')}"

    return check
