"""Every `NIGHTSHIFT_*` environment variable, in one place, with its default.

`./nightshift settings` prints this table. Settings hold no secrets: passwords live in
Airflow connections and in the compose profile's `.env`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.runners import RUNNERS

PROJECT = Path(__file__).resolve().parents[2]
"""The project folder; in an image it is where the project was copied."""

_PREFIX = "NIGHTSHIFT_"


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one process; the field `x_y` is read from `NIGHTSHIFT_X_Y`."""

    project: Path = _setting(PROJECT, "the project folder: dags/, pipelines/, tasks/")
    home: Path = _setting(Path(), "everything that Nightshift writes (default: <project>/var)")
    data: Path = _setting(Path(), "source tables, by pipeline (default: <home>/data)")
    bind: str = _setting("127.0.0.1", "address that services listen on")
    pipelines: Path = _setting(Path(), "a folder a pipeline (default: <project>/pipelines)")
    pipeline: str = _setting("jd", "pipeline that commands and paths without a name mean")
    installation: str = _setting("", "id in shared systems (default: made once, kept in the home)")
    model_repo: Path = _setting(Path(), "Triton's model repository (default: <home>/model_repo)")
    openmldb_host: str = _setting("127.0.0.1", "host of OpenMLDB's API server")
    openmldb_port: int = _setting(9080, "port of OpenMLDB's API server")
    offline_engine: str = _setting(
        "embedded", "what runs offline jobs on the laptop: embedded | spark (OpenMLDB's own engine)"
    )
    spark_master: str = _setting("", "Spark's master for offline jobs (default: local[*])")
    taskmanager_properties: str = _setting(
        "", "file of further settings of offline jobs on Spark, as OpenMLDB's TaskManager has them"
    )
    maven_url: str = _setting(
        "https://repo1.maven.org/maven2", "Maven repository with OpenMLDB's batch engine"
    )
    openmldb_settle_s: float = _setting(
        2.0,
        "seconds between FINISHED and the second look at a job (a cluster's may still turn to "
        "FAILED; the embedded server's does not, and is not waited for)",
    )
    openmldb_mode: str = _setting(
        "strict",
        "strict: the embedded OpenMLDB refuses what OpenMLDB 0.9.2 would; lenient: it may run it",
    )
    triton_host: str = _setting("127.0.0.1", "host of Triton")
    triton_http_port: int = _setting(8000, "Triton's HTTP port")
    triton_grpc_port: int = _setting(8001, "Triton's gRPC port: model control and inference")
    triton_metrics_port: int = _setting(8002, "Triton's Prometheus port")
    triton_threads: int = _setting(
        1, "CPU threads of one model version in Triton; small batches gain nothing by more"
    )
    predict_host: str = _setting("127.0.0.1", "host of the predict server")
    predict_port: int = _setting(8100, "port of the predict server")
    predict_max_rows: int = _setting(1000, "rows that one prediction request may hold")
    predict_max_body: int = _setting(4_194_304, "bytes that one prediction request may hold")
    predict_timeout_s: float = _setting(10.0, "limit of one prediction, and of each call it makes")
    predict_workers: int = _setting(1, "processes of the predict server behind its one port")
    predict_queue_rows: int = _setting(
        4000, "rows of one pipeline that may wait in a worker; more are answered 429"
    )
    predict_client_timeout_s: float = _setting(
        15.0, "seconds that a client may take to send a request, or to read its answer"
    )
    predict_max_upload: int = _setting(268_435_456, "bytes that one uploaded file may hold")
    predict_token_file: str = _setting(
        "", "file with one bearer token a line; empty: the predict server asks for none"
    )
    predict_tls_cert: str = _setting("", "PEM certificate chain of the predict server; empty: HTTP")
    predict_tls_key: str = _setting("", "PEM key of that certificate")
    predict_tls_client_ca: str = _setting(
        "", "PEM authorities of client certificates; set, every client must show one"
    )
    predict_cors_origins: str = _setting(
        "", "web origins that may call the predict server, with commas; empty: none"
    )
    airflow_host: str = _setting("127.0.0.1", "host of Airflow's UI and API")
    airflow_port: int = _setting(8080, "port of Airflow's UI and API")
    airflow_user: str = _setting("admin", "user that `./nightshift up` creates")
    start_timeout_s: float = _setting(180.0, "seconds that `up` waits for a service's answer")
    stop_grace_s: float = _setting(20.0, "seconds between `down`'s SIGTERM and its SIGKILL")
    task_runner: str = _setting("process", f"how container tasks run: {' | '.join(RUNNERS)}")
    task_python: Path = _setting(
        Path(), "Python of the tasks' environment (default: <project>/.venv-tasks/bin/python)"
    )
    task_device: str = _setting("cpu", "device of training: cpu | cuda")
    task_memory: str = _setting("8g", "memory limit of a task container")
    task_cpus: float = _setting(2.0, "CPU limit of a task container")
    task_image_preprocess: str = _setting(
        "nightshift/preprocess:0.1.0", "image of tasks.ctr.preprocess"
    )
    task_image_train: str = _setting(
        "nightshift/train:0.1.0", "image of tasks.ctr.train and tasks.tensor.train"
    )
    task_image_score: str = _setting("nightshift/train:0.1.0", "image of tasks.ctr.score")
    docker_url: str = _setting(
        "unix:///var/run/docker.sock", "Docker engine of the task containers"
    )
    schedules: str = _setting(
        "on", "on: pipelines run by their schedules, and as backfills; off: by hand only"
    )
    retire_grace_s: float = _setting(30.0, "seconds between a switch and dropping the old pair")
    keep_days: int = _setting(
        400, "days that records of releases without a model, and of loads, stay (at least 60)"
    )
    keep_log_days: int = _setting(
        30, "days that Airflow's runs and the logs of their tasks stay (at least 2)"
    )
    log_max_mb: int = _setting(50, "megabytes of a service's log; a longer one is put away")
    notify_file: str = _setting(
        "", "file of Apprise URLs, one a line: who is told what goes wrong; empty: nobody"
    )
    notify: str = _setting(
        "now",
        "now: a process that sees an incident sends it; later: it has no way out, and "
        "`nightshift watch --every` sends",
    )
    disk_min_free: float = _setting(
        0.1, "share of a disk that must be free; with less, a message is sent"
    )
    heartbeat_url: str = _setting(
        "", "URL of an outside monitor, called (GET) at each look while Airflow is alive"
    )

    def __post_init__(self) -> None:
        home = self.home if self.home != Path() else self.project / "var"
        derived = {
            "home": home,
            "data": home / "data",
            "pipelines": self.project / "pipelines",
            "model_repo": home / "model_repo",
            "task_python": self.project / ".venv-tasks" / "bin" / "python",
        }
        for name, value in derived.items():
            if getattr(self, name) == Path():
                object.__setattr__(self, name, value)
        _one_of("task_runner", self.task_runner, tuple(RUNNERS))
        _one_of("openmldb_mode", self.openmldb_mode, ("strict", "lenient"))
        _one_of("task_device", self.task_device, ("cpu", "cuda"))
        _one_of("offline_engine", self.offline_engine, ("embedded", "spark"))
        self._check_plain()
        self._check_predict()
        for name in (
            "openmldb",
            "triton_http",
            "triton_grpc",
            "triton_metrics",
            "predict",
            "airflow",
        ):
            port = getattr(self, f"{name}_port")
            if not 0 < port < 65536:
                raise ConfigurationError(
                    f"{_PREFIX}{name.upper()}_PORT is {port}; a port is 1 to 65535"
                )
        _one_of("schedules", self.schedules, ("on", "off"))
        _one_of("notify", self.notify, ("now", "later"))

    def _check_plain(self) -> None:
        for item in fields(self):
            value, name = getattr(self, item.name), f"{_PREFIX}{item.name.upper()}"
            if isinstance(value, float) and not 0 <= value < float("inf"):
                raise ConfigurationError(f"{name} is {value:g}; it must be a number from 0 on")
            if isinstance(value, str | Path) and not str(value).isprintable():
                raise ConfigurationError(f"{name} holds a line break or another control character")
            is_host = item.name.endswith("_host") or item.name == "bind"
            if is_host and not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", str(value)):
                raise ConfigurationError(
                    f"{name} is {value!r}; give the name or the address of a host alone"
                )
        for name, least in (("keep_days", 60), ("keep_log_days", 2), ("log_max_mb", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{_PREFIX}{name.upper()} must be at least {least}")
        if self.disk_min_free >= 1:
            raise ConfigurationError(
                f"{_PREFIX}DISK_MIN_FREE is {self.disk_min_free:g}; it is a share, such as 0.1"
            )
        if self.heartbeat_url and not re.match(r"https?://", self.heartbeat_url):
            raise ConfigurationError(f"{_PREFIX}HEARTBEAT_URL must begin with http:// or https://")
        if self.triton_threads < 1:
            raise ConfigurationError(f"{_PREFIX}TRITON_THREADS must be at least 1")
        if not self.task_cpus:
            raise ConfigurationError(f"{_PREFIX}TASK_CPUS must be more than 0")
        if not re.fullmatch(r"[1-9][0-9]*[bkmgBKMG]?", self.task_memory):
            raise ConfigurationError(
                f"{_PREFIX}TASK_MEMORY is {self.task_memory!r}; write a size such as 8g"
            )
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,29}", self.pipeline):
            raise ConfigurationError(
                f"{_PREFIX}PIPELINE is {self.pipeline!r}; a pipeline's name has letters a-z, "
                "digits and _, a letter first"
            )
        if self.home == self.home.parent:
            raise ConfigurationError(f"{_PREFIX}HOME is {self.home}; give a folder of its own")

    def _check_predict(self) -> None:
        for name in (
            *("predict_workers", "predict_queue_rows"),
            *("predict_max_rows", "predict_max_body", "predict_max_upload"),
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{_PREFIX}{name.upper()} must be at least 1")
        for name in ("predict_timeout_s", "predict_client_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{_PREFIX}{name.upper()} must be more than 0 seconds")
        if bool(self.predict_tls_cert) != bool(self.predict_tls_key):
            raise ConfigurationError(
                f"{_PREFIX}PREDICT_TLS_CERT and {_PREFIX}PREDICT_TLS_KEY are set together"
            )
        if self.predict_tls_client_ca and not self.predict_tls_cert:
            raise ConfigurationError(
                f"{_PREFIX}PREDICT_TLS_CLIENT_CA needs {_PREFIX}PREDICT_TLS_CERT and its key"
            )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read `NIGHTSHIFT_*`; an empty value counts as unset.

        Raises:
            ConfigurationError: a value is of the wrong type or out of its range.
        """
        env = os.environ if env is None else env
        values: dict[str, Any] = {}
        for item in fields(cls):
            raw = env.get(_PREFIX + item.name.upper(), "")
            if raw != "":
                values[item.name] = _convert(item.name, raw, str(item.type))
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """The variables that give another process these settings."""
        return {_PREFIX + f.name.upper(): str(getattr(self, f.name)) for f in fields(self)}

    @property
    def include(self) -> Path:
        """What all pipelines share: the default pipeline's SQL, Triton's template and backend."""
        return self.project / "include"

    @property
    def dags(self) -> Path:
        """Airflow's DAG files: the project's, or those of this home for pipelines elsewhere."""
        if self.pipelines.resolve() == (self.project / "pipelines").resolve():
            return self.project / "dags"
        return self.home / "dags"

    @property
    def runs_root(self) -> Path:
        """Run folders, by pipeline and date."""
        return self.home / "runs"

    @property
    def releases_root(self) -> Path:
        """Releases and live pointers, by pipeline."""
        return self.home / "releases"

    @property
    def openmldb_url(self) -> str:
        """Base URL of the API server."""
        return f"http://{self.openmldb_host}:{self.openmldb_port}"

    @property
    def triton_grpc_url(self) -> str:
        """`host:port` as tritonclient wants it."""
        return f"{self.triton_host}:{self.triton_grpc_port}"

    @property
    def predict_url(self) -> str:
        """Base URL of the predict server."""
        scheme = "https" if self.predict_tls_cert else "http"
        return f"{scheme}://{self.predict_host}:{self.predict_port}"

    @property
    def airflow_url(self) -> str:
        """Base URL of Airflow's UI and API."""
        return f"http://{self.airflow_host}:{self.airflow_port}"


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(
            f"{_PREFIX}{name.upper()} is {value!r}; it must be one of {', '.join(allowed)}"
        )


def _convert(name: str, raw: str, kind: str) -> Any:
    try:
        if kind == "Path":
            # Not resolve(): a virtual environment is found by the path of its python, a link.
            return Path(os.path.abspath(Path(raw).expanduser()))  # noqa: PTH100
        if kind == "int":
            return int(raw)
        if kind == "float":
            return float(raw)
    except ValueError:
        raise ConfigurationError(
            f"{_PREFIX}{name.upper()} is {raw!r}; it must be of type {kind}"
        ) from None
    return raw


def describe() -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of every setting, in order."""
    default = Settings()
    rows = []
    for item in fields(Settings):
        value = str(getattr(default, item.name)).replace(str(default.project), "<project>")
        rows.append((_PREFIX + item.name.upper(), value, str(item.metadata["doc"])))
    return rows
