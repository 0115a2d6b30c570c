"""The operator of container tasks: one command, run where NIGHTSHIFT_TASK_RUNNER says.

A task has one name for all its tries (`TaskIdentity.name_in`), which its container or its process's
folder bears. So a retry finds what a dead worker left: a running task is followed from where its
log was, an ended one is read and not run again. A cleared task starts anew.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import (
    EXIT_TERMINAL,
    ConfigurationError,
    ContractError,
    DeadlineExceeded,
    NightshiftError,
    RetryableError,
    ServiceUnavailable,
    TaskFailed,
)
from nightshift.settings import Settings
from nightshift_provider.durable import Notes, TaskIdentity, airflow_errors
from nightshift_provider.operators.waiting import WaitingOperator
from nightshift_provider.runners import make_runner
from nightshift_provider.runners.base import (
    LogPump,
    Phase,
    Runner,
    Status,
    TaskSpec,
    home_id,
    task_spec,
    too_little_memory,
)
from nightshift_provider.runners.reaper import reap
from nightshift_provider.triggers.task import NightshiftTaskTrigger, TaskOutcome

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

RESULT_MAX_BYTES = 64 * 1024
RESULT_VERSION = 1


class NightshiftTaskOperator(WaitingOperator):
    """Run `python -m tasks.<task> <arguments>` as a local process or as a container.

    Returns as XCom the JSON object that the task wrote to `result_path`: at most 64 KiB, with
    `{"task": <last part of task>, "version": 1, "status": "ok"}` in it. Besides `WaitingOperator`'s arguments:

    Args:
        task: a module of `tasks/`, such as `ctr.train`; its last part names the setting of its
            image.
        arguments: of the module; templated.
        result_path: the task's `--result`; templated.
        run_dir: folder that the task may write to, besides its temporary one; templated.
        environment: the task's variables; templated. Nothing of the worker's own is passed on.
        readable: further folders that it reads; the project's `include/`, its pipelines and all runs are.
        image: overrides the image of the settings.
        docker_conn_id: Airflow connection of a private registry.
        timeout_s: seconds that the task may take from its start; then it is stopped.
        stop_grace_s: seconds between SIGTERM and SIGKILL: time to keep a checkpoint.
    """

    template_fields: Sequence[str] = (
        "arguments",
        "environment",
        "result_path",
        "run_dir",
        "readable",
        "image",
    )
    ui_color = "#eef7ea"

    def __init__(
        self,
        *,
        task: str,
        arguments: Sequence[str],
        result_path: str,
        run_dir: str,
        environment: Mapping[str, str] | None = None,
        readable: Sequence[str] = (),
        image: str | None = None,
        docker_conn_id: str | None = None,
        timeout_s: float = 12 * 3600.0,
        stop_grace_s: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task = task
        self.arguments = arguments
        self.result_path = result_path
        self.run_dir = run_dir
        self.environment = environment
        self.readable = readable
        self.image = image
        self.docker_conn_id = docker_conn_id
        self.timeout_s = timeout_s
        self.stop_grace_s = stop_grace_s
        self._running: tuple[Runner, TaskSpec] | None = None

    @property
    def _kind(self) -> str:
        """The last part of the task's name: `train`."""
        return self.task.rpartition(".")[2]

    def execute(self, context: Context) -> Any:
        """Start the task, or find it, and see it to its end."""
        with airflow_errors():
            settings = Settings.from_env()
            spec = self._spec(context, settings)
            notes = Notes(context, "task", spec.name)
            if notes.values.get("ended"):
                self.log.info("An earlier try ended well; its result is read")
                return self._read_result(spec)
            runner = make_runner(settings.task_runner, settings.docker_url, self.docker_conn_id)
            self._running = runner, spec
            self._reap(settings, spec.name)
            context["ti"].xcom_push(key="task_name", value=spec.name)
            status = self._ensure_started(runner, spec)
            if status.deadline is not None:
                spec = replace(spec, deadline=status.deadline)
                self._running = runner, spec
            if self.deferrable and not self._wait(runner, spec, patience_s=self.defer_after_s):
                self.defer(
                    trigger=NightshiftTaskTrigger(
                        runner=settings.task_runner,
                        docker_url=settings.docker_url,
                        docker_conn_id=self.docker_conn_id,
                        spec=spec.to_dict(),
                        poll_s=self.poll_interval_s,
                        outage_s=self.outage_s,
                        not_before=time.time() + self.defer_after_s,
                    ),
                    method_name="execute_complete",
                )
            if not self.deferrable:
                self._wait(runner, spec)
            return self._finish(runner, spec, notes)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Read the result after the trigger's event."""
        with airflow_errors():
            settings = Settings.from_env()
            spec = TaskSpec.from_dict(dict(event["spec"]))
            runner = make_runner(settings.task_runner, settings.docker_url, self.docker_conn_id)
            self._running = runner, spec
            outcome, message = TaskOutcome(event["outcome"]), str(event["message"])
            if outcome is TaskOutcome.UNAVAILABLE:
                raise ServiceUnavailable(message)
            if outcome is TaskOutcome.TIMEOUT:
                self._overdue(runner, spec)
            notes = Notes(context, "task", spec.name)
            if outcome is TaskOutcome.GONE and not notes.values.get("ended"):
                raise RetryableError(f"{message}; somebody removed it, or its engine was reset")
            return self._finish(runner, spec, notes)

    def on_kill(self) -> None:
        """Stop and remove the task: nothing of it outlives a task that a user ended.

        One that has ended well is left for a later try to read: Airflow also sends SIGTERM to
        tasks whose heartbeats it missed while its api-server was away.
        """
        self._killed = True
        if self._running is None:
            return
        runner, spec = self._running
        runner = runner.fresh()
        try:
            # Asked again after the stop: it may have been ending when it was asked first.
            if not self._ended_well(runner.status(spec), spec):
                runner.stop(spec)
            if self._ended_well(runner.status(spec), spec):
                self.log.info("%s has ended well; its result stays", spec.name)
                return
            self._show(LogPump(runner, spec).last())
            runner.remove(spec)
            self.log.info("%s is stopped and removed", spec.name)
        except NightshiftError as error:
            self.log.warning("%s may still run: %s", spec.name, error)

    # The parts of it.

    def _spec(self, context: Context, settings: Settings) -> TaskSpec:
        identity = TaskIdentity.of(context)
        image = self.image or getattr(settings, f"task_image_{self._kind}", None)
        if not image:
            raise ConfigurationError(
                f"there is no NIGHTSHIFT_TASK_IMAGE_{self._kind.upper()}; "
                f"give task {self.task_id} an image"
            )
        run_dir, result = Path(self.run_dir), Path(self.result_path)
        if not result.is_relative_to(run_dir):
            raise ConfigurationError(
                f"the result {result} of task {self.task_id} must lie in its run_dir {run_dir}"
            )
        result.parent.mkdir(parents=True, exist_ok=True)
        return task_spec(
            settings,
            name=identity.name_in(home_id(settings.home)),
            generation=identity.generation,
            command=[f"tasks.{self.task}", *(str(a) for a in self.arguments)],
            environment=self.environment or {},
            result=result,
            writable=run_dir,
            readable=[Path(path) for path in self.readable],
            image=str(image),
            deadline=time.time() + self._time_limit(self.timeout_s),
            stop_grace_s=self.stop_grace_s,
            labels={
                "task": self._kind,
                "dag_id": identity.dag_id,
                "run_id": identity.run_id,
                "task_id": identity.task_id,
                "map_index": str(identity.map_index),
                "try_number": str(identity.try_number),
            },
        )

    def _ensure_started(self, runner: Runner, spec: TaskSpec) -> Status:
        status = runner.status(spec)
        if status.phase is not Phase.ABSENT and status.generation != spec.generation:
            self.log.info("%s is from before the task was cleared; it is removed", spec.name)
            runner.remove(spec)
            status = Status(Phase.ABSENT)
        given_up = status.exit_code == EXIT_TERMINAL
        # An engine that was killed while it started a container may say 0 of one that never ran.
        ended = self._ended_well(status, spec) and Path(spec.result_path).exists()
        if status.phase is Phase.EXITED and not (given_up or ended):
            self.log.info(
                "%s of an earlier try ended with exit code %s; it is started anew",
                spec.name,
                status.exit_code,
            )
            runner.remove(spec)
            status = Status(Phase.ABSENT)
        if status.phase in (Phase.RUNNING, Phase.EXITED):
            self.log.info("%s of an earlier try is %s; found again", spec.name, status.phase.value)
            return status
        if status.phase is Phase.ABSENT:
            Path(spec.result_path).unlink(missing_ok=True)
        self.log.info("%s starts in %s: %s", spec.name, runner.where, " ".join(spec.command))
        runner.start(spec)
        return runner.status(spec)

    def _wait(self, runner: Runner, spec: TaskSpec, *, patience_s: float = math.inf) -> bool:
        """Block until the task has ended, showing its log; False when patience ends before."""
        give_up = time.monotonic() + patience_s
        pump = LogPump(runner, spec)
        away_since: float | None = None
        pause = min(0.1, self.poll_interval_s)
        while not self._killed:
            now = time.time()
            try:
                status = runner.status(spec)
                if status.phase is Phase.EXITED:
                    return True
                if time.monotonic() >= give_up:
                    return False
                if status.phase is Phase.ABSENT:
                    raise RetryableError(f"{spec.name} is not there any more; was it removed?")
                self._show(pump.round())
                away_since = None
            except ServiceUnavailable as error:
                away_since = time.monotonic() if away_since is None else away_since
                self.log.warning("%s", error)
                if time.monotonic() - away_since >= self.outage_s:
                    raise
            if now >= spec.deadline:
                self._overdue(runner, spec)
            time.sleep(min(pause, max(0.05, spec.deadline - now)))
            pause = min(self.poll_interval_s, pause * 1.6)
        raise RetryableError(f"the wait for {spec.name} was ended from outside")

    def _overdue(self, runner: Runner, spec: TaskSpec) -> None:
        runner.stop(spec)
        self._show(LogPump(runner, spec).last())
        runner.remove(spec)
        when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(spec.deadline))
        raise DeadlineExceeded(
            f"{spec.name} had not ended by its deadline, {when}, and was stopped; "
            "see timeout_s of the operator"
        )

    def _finish(self, runner: Runner, spec: TaskSpec, notes: Notes) -> Any:
        """Show the rest of the log, judge the exit code, read the result, clean up."""
        status = runner.status(spec)
        self._show(LogPump(runner, spec).last())
        if self._ended_well(status, spec):
            try:
                result = self._read_result(spec)
            except ContractError:
                runner.remove(spec)
                raise
            notes.write(ended=True)
            runner.remove(spec)
            return result
        error = self._error(spec, status)
        runner.remove(spec)
        raise error

    def _ended_well(self, status: Status, spec: TaskSpec) -> bool:
        """Exit code 0; where nobody knows the code any more, the result decides.

        A task writes its result last, and an earlier one is deleted before it starts.
        """
        if status.phase is not Phase.EXITED or status.exit_code is not None:
            return status.phase is Phase.EXITED and status.exit_code == 0
        try:
            self._read_result(spec)
        except ContractError:
            return False
        return True

    def _error(self, spec: TaskSpec, status: Status) -> NightshiftError:
        code = status.exit_code
        said = _said(Path(spec.result_path))
        text = f"tasks.{self.task} ended with exit code {code}"
        if status.out_of_memory:
            return TaskFailed(f"{text}: {too_little_memory(spec)}")
        if code is None:
            text = f"tasks.{self.task} was killed"
        text += "".join(f": {words}" for words in (status.detail, said) if words)
        if code == EXIT_TERMINAL:
            return TaskFailed(text)
        return RetryableError(f"{text}; it is tried again if the task has retries left")

    def _read_result(self, spec: TaskSpec) -> dict[str, Any]:
        path = Path(spec.result_path)
        for folder in spec.writable:
            files.check_plain(Path(folder))
        try:
            data = files.read_plain(path, max_bytes=RESULT_MAX_BYTES)
        except FileNotFoundError:
            raise ContractError(f"tasks.{self.task} ended well but wrote no {path}") from None
        except ContractError as error:
            raise ContractError(f"{error}; a result holds figures and paths") from None
        try:
            result = json.loads(data, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"{path} is not JSON: {error}") from error
        expected = {"task": self._kind, "version": RESULT_VERSION, "status": "ok"}
        if not isinstance(result, dict) or any(result.get(k) != v for k, v in expected.items()):
            raise ContractError(f"{path} is not a result of tasks.{self.task}: it lacks {expected}")
        return result

    def _reap(self, settings: Settings, sparing: str) -> None:
        try:
            for name in reap(settings, sparing=sparing):
                self.log.warning("%s was left over from a dead worker; removed", name)
        except NightshiftError as error:
            self.log.warning("Leftovers were not looked for: %s", error)

    def _show(self, lines: list[str]) -> None:
        for line in lines:
            self.log.info("%s", line)


def _said(path: Path) -> str:
    """The error that a failed task wrote into its result file."""
    try:
        value = json.loads(files.read_plain(path, max_bytes=RESULT_MAX_BYTES))
    except (OSError, ContractError, ValueError, RecursionError):
        return ""
    return str(value.get("error", ""))[:4000] if isinstance(value, dict) else ""


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")
