"""What a task must know of itself to find its own work again after a crash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from nightshift.errors import TerminalError

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


@dataclass(frozen=True)
class TaskIdentity:
    """One task instance; `generation` tells a clear (another number) from a retry (the same).

    Airflow sets `max_tries` to the present try plus the retries when a finished task is cleared,
    so the difference to the configured retries is the try at which it was last cleared.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    generation: int

    @classmethod
    def of(cls, context: Context) -> TaskIdentity:
        """Identity of the running task."""
        ti = context["ti"]
        retries = int(getattr(ti.task, "retries", 0) or 0)
        return cls(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            try_number=ti.try_number,
            generation=max(0, (ti.max_tries or 0) - retries),
        )

    def name_in(self, home: str) -> str:
        """A name for containers and folders, the same for all tries: `nightshift-<task>-<hash>`.

        Args:
            home: the installation's id; others may have the same runs on the same engine.
        """
        text = "\0".join((home, self.dag_id, self.run_id, self.task_id, str(self.map_index)))
        slug = re.sub(r"[^a-z0-9]+", "-", self.task_id.lower()).strip("-")[:40] or "task"
        return f"nightshift-{slug}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


class Notes:
    """A small JSON object kept with the task instance, across tries, deferrals and crashes.

    Kept in Airflow's task state store under one key; notes of another generation or another
    subject (`about`: a digest of what is to be done) are not read.
    """

    def __init__(self, context: Context, key: str, about: str) -> None:
        self._store: Any = context.get("task_state_store")
        self._key = key
        self._stamp = {"generation": TaskIdentity.of(context).generation, "about": about}
        self.values: dict[str, Any] = {}
        if self._store is not None:
            stored = self._store.get(key)
            if isinstance(stored, dict) and all(
                stored.get(name) == value for name, value in self._stamp.items()
            ):
                values = stored.get("values")
                self.values = dict(values) if isinstance(values, dict) else {}

    def write(self, **values: Any) -> None:
        """Merge and keep; returns when the store has them."""
        self.values.update(values)
        if self._store is not None:
            self._store.set(self._key, {**self._stamp, "values": self.values})


def digest(*parts: str) -> str:
    """Short digest that tells two pieces of work apart."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Let Airflow retry what may pass, and give up at once on what cannot."""
    try:
        yield
    except TerminalError as error:
        raise AirflowFailException(str(error)) from error
