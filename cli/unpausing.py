"""A paused DAG that works for runs by hand, and is paused again after the last of them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from cli.airflow_api import AirflowApi


class Unpaused:
    """Unpauses a DAG for one run, several of which may be at work at once, each in its process.

    That the DAG was paused is noted, for a second run sees it unpaused. Whoever ends
    last pauses it.

    Args:
        api: Airflow.
        folder: for notes.
        dag_id: the DAG.

    Raises:
        ConfigurationError: its file does not import.
        DeadlineExceeded: Airflow has not read it in time.
    """

    def __init__(self, api: AirflowApi, folder: Path, dag_id: str) -> None:
        self._api = api
        self._dag_id = dag_id
        self._note = folder / f".unpaused_{dag_id}"
        api.wait_for_dag(dag_id)
        if not api.unfinished(dag_id):
            # Left by one that was killed; since then people have the DAG as it is.
            self._note.unlink(missing_ok=True)
        self._again = self._paused() or self._note.exists()

    def __enter__(self) -> Self:
        """To be entered once the run is triggered."""
        if self._again:
            self._leave_note()
        if self._paused():
            self._api.set_paused(self._dag_id, False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The note may have come back: another run paused the DAG just as this one was triggered.
        again = self._again or self._note.exists()
        if not again or self._api.unfinished(self._dag_id):
            return
        self._api.set_paused(self._dag_id, True)
        self._note.unlink(missing_ok=True)
        if self._api.unfinished(self._dag_id):  # triggered meanwhile, it would wait for ever
            self._leave_note()
            self._api.set_paused(self._dag_id, False)

    def _leave_note(self) -> None:
        self._note.parent.mkdir(parents=True, exist_ok=True)
        if not self._note.exists():  # another user's cannot be touched
            self._note.touch()

    def _paused(self) -> bool:
        return bool(self._api.wait_for_dag(self._dag_id)["is_paused"])
