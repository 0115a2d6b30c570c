"""Airflow's REST API, as far as a night needs it: trigger a run, follow it, read its logs."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from nightshift import credentials
from nightshift.errors import ConfigurationError, DeadlineExceeded, ServiceUnavailable
from nightshift.settings import Settings


def _is_of_token(status: int, reason: str) -> bool:
    """Whether another token may be taken: each is good for a day, and for one secret.

    Where the clock was set back since, it is not valid yet, which Airflow calls invalid.
    """
    return status == 401 or (status == 403 and "JWT" in reason)


@dataclass(frozen=True)
class Task:
    """One task instance at the moment of looking."""

    name: str
    state: str
    """Airflow's states: running, deferred, success, failed, up_for_retry, skipped, ...; none."""
    attempt: int
    map_index: int
    duration_s: float


class AirflowApi:
    """A client of the server that the settings name, as the settings' user.

    Args:
        settings: where the server is, and its user.
        password: that user's; by default the laptop profile's own.
    """

    def __init__(self, settings: Settings, password: str = "") -> None:
        self.settings = settings
        self._password = password
        self._token = ""
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """One call below `/api/v2`; the answer's JSON, None where it has none.

        Raises:
            ServiceUnavailable: nobody answered, or the server failed (status 5xx).
            ConfigurationError: the server refused (status 4xx); the message holds its reason.
        """
        url = f"{self.settings.airflow_url}/api/v2{path}"
        for fresh in (False, True):
            if fresh or not self._token:
                self._log_in()
            try:
                return self._send(method, url, body)
            except urllib.error.HTTPError as error:
                with error:
                    reason = _reason(error)
                if not fresh and _is_of_token(error.code, reason):
                    continue
                if error.code >= 500:
                    raise ServiceUnavailable(f"{method} {url}: {error.code} {reason}") from error
                raise ConfigurationError(f"{method} {url}: {error.code} {reason}") from error
        raise AssertionError("unreachable")

    def _send(self, method: str, url: str, body: Any) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(  # noqa: S310 (our own server)
            url,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
            method=method,
        )
        try:
            with self._opener.open(request, timeout=60) as answer:
                raw = answer.read()
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnavailable(
                f"no answer from Airflow at {url} ({getattr(error, 'reason', error)}); "
                "./nightshift up starts it"
            ) from error
        return json.loads(raw) if raw else None

    def _log_in(self) -> None:
        self._token = ""
        login = {
            "username": self.settings.airflow_user,
            "password": self._password or _password(self.settings),
        }
        try:
            answer = self._send("POST", f"{self.settings.airflow_url}/auth/token", login)
        except urllib.error.HTTPError as error:
            with error:
                reason = _reason(error)
            raise ConfigurationError(
                f"Airflow at {self.settings.airflow_url} refuses the user "
                f"{self.settings.airflow_user}: {reason}; check NIGHTSHIFT_AIRFLOW_USER and "
                "NIGHTSHIFT_AIRFLOW_PASSWORD, or whether this is the Airflow you mean"
            ) from error
        self._token = answer["access_token"]

    # DAGs

    def wait_for_dag(self, dag_id: str, timeout_s: float = 120.0) -> dict[str, Any]:
        """The DAG, once the DAG processor has read it.

        Raises:
            ConfigurationError: its file does not import; the message holds the error.
            DeadlineExceeded: it did not appear in time.
        """
        began = time.monotonic()
        while True:
            try:
                found: dict[str, Any] = self.request("GET", f"/dags/{dag_id}")
                return found
            except ConfigurationError as error:
                missing = error
            waited = time.monotonic() - began
            errors = self.request("GET", "/importErrors")["import_errors"]
            # An error may be of a file as it was; it is read again within half a minute.
            if errors and waited > min(40.0, timeout_s):
                text = "\n".join(f"{e['filename']}:\n{e['stack_trace']}" for e in errors)
                raise ConfigurationError(f"a DAG file does not import:\n{text}")
            if waited > timeout_s:
                raise DeadlineExceeded(
                    f"Airflow has not read the DAG {dag_id} after {timeout_s:g} s; see "
                    "./nightshift logs airflow-dag-processor"
                ) from missing
            time.sleep(1.0)

    def params(self, dag_id: str) -> dict[str, Any]:
        """The DAG's Params by name."""
        found: dict[str, Any] = self.request("GET", f"/dags/{dag_id}/details").get("params") or {}
        return found

    def unfinished(self, dag_id: str) -> int:
        """Number of runs of the DAG that wait or work."""
        path = f"/dags/{dag_id}/dagRuns?state=queued&state=running&limit=1"
        return int(self.request("GET", path)["total_entries"])

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause; a paused DAG's runs wait."""
        self.request("PATCH", f"/dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> str:
        """Start a run by hand; `conf` fills its Params. Returns the run's id."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        try:
            answer = self.request("POST", f"/dags/{dag_id}/dagRuns", body)
        except ConfigurationError as error:
            # The schema that a value fails is Airflow's to know; its first line says which and why.
            _, wrong, said = str(error).partition("Invalid input for param ")
            if not wrong:
                raise
            raise ConfigurationError(f"Param {said.splitlines()[0]}") from error
        return str(answer["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self.request("GET", _run_path(dag_id, run_id))["state"])

    def mark_failed(self, dag_id: str, run_id: str) -> None:
        """End a run; Airflow stops its tasks."""
        self.request("PATCH", _run_path(dag_id, run_id), {"state": "failed"})

    def tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """Every task instance of the run."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances?limit=1000"
        return [
            Task(
                t["task_id"],
                t["state"] or "none",
                t["try_number"],
                t["map_index"],
                t["duration"] or 0,
            )
            for t in self.request("GET", path)["task_instances"]
        ]

    def log_lines(self, dag_id: str, run_id: str, task: Task) -> list[str]:
        """A task's log of its latest attempt, one text a line, with what an error said.

        What Airflow notes of itself around a task is left out, unless there is nothing else.
        """
        attempt = max(task.attempt, 1)
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{task.name}/logs/{attempt}"
        content = self.request("GET", f"{path}?full_content=true&map_index={task.map_index}")
        entries = content["content"]
        lines: list[str] = []
        for entry in [one for one in entries if not _is_airflows_own(one)] or entries:
            if isinstance(entry, str):
                lines.append(entry)
                continue
            lines.append(f"{entry.get('level', '')} {entry.get('event', '')}".strip())
            lines.extend(
                f"{detail.get('exc_type')}: {detail.get('exc_value')}"
                for detail in entry.get("error_detail") or ()
            )
        return lines


def _is_airflows_own(entry: Any) -> bool:
    """Whether a line of a log is about Airflow's worker and not of the task."""
    if isinstance(entry, str):
        return False
    if str(entry.get("event", "")).startswith(("::group::", "::endgroup::")):
        return True
    logger = str(entry.get("logger", ""))
    own = logger in ("task", "py.warnings") or logger.startswith("airflow.dag_processing")
    return own and entry.get("level") in ("debug", "info", "warning")


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}"


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        value = json.loads(text)
    except ValueError:
        return text[:500]
    return str(value.get("detail", value) if isinstance(value, dict) else value)[:2000]


def _password(settings: Settings) -> str:
    """Password of the UI's user: a variable, or the file that `up` made.

    Raises:
        ConfigurationError: there is neither.
    """
    found = credentials.read(settings, credentials.AIRFLOW_PASSWORD)
    if found is None:
        raise ConfigurationError(
            "no password of Airflow's user: ./nightshift up makes one, or set "
            "NIGHTSHIFT_AIRFLOW_PASSWORD"
        )
    return found
