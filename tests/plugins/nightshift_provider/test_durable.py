"""What a task knows of itself: the same over its tries, another after a clear."""

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException
from nightshift_provider.durable import Notes, TaskIdentity, airflow_errors, digest

from nightshift.errors import ConfigurationError, ServiceUnavailable


class Store(dict):
    """Airflow's task state store, in memory."""

    def set(self, key, value):
        self[key] = value


def context(try_number=1, max_tries=2, retries=2, store=None, **names):
    named = {"dag_id": "d", "run_id": "r", "task_id": "train", "map_index": -1} | names
    ti = SimpleNamespace(
        task=SimpleNamespace(retries=retries), try_number=try_number, max_tries=max_tries, **named
    )
    return {"ti": ti, "task_state_store": store}


def test_all_tries_have_one_name_and_every_other_task_has_another():
    first, retry = TaskIdentity.of(context()), TaskIdentity.of(context(try_number=2))
    assert first.name_in("home") == retry.name_in("home")
    others = [
        TaskIdentity.of(context(**{key: value})).name_in("home")
        for key, value in (("dag_id", "e"), ("run_id", "s"), ("task_id", "score"), ("map_index", 0))
    ]
    # Another installation on the same engine has the same runs.
    assert len({first.name_in("home"), first.name_in("other"), *others}) == 6
    # Joined otherwise, the parts are others.
    assert TaskIdentity.of(context(dag_id="a", run_id="bc")).name_in("home") != (
        TaskIdentity.of(context(dag_id="ab", run_id="c")).name_in("home")
    )


@pytest.mark.parametrize("task", ["train", "Größe.der_Rolle", "x" * 250, "___"])
def test_a_name_is_one_that_a_container_may_have(task):
    name = TaskIdentity.of(context(task_id=task)).name_in("home")
    assert len(name) <= 64  # HOST_NAME_MAX of Linux
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_clear_begins_another_generation_and_a_retry_does_not():
    # Airflow raises max_tries by the present try when a finished task is cleared.
    assert TaskIdentity.of(context(try_number=2)).generation == 0
    assert TaskIdentity.of(context(try_number=3, max_tries=4)).generation == 2


def test_notes_are_read_by_the_next_try_of_the_same_work_alone():
    store = Store()
    Notes(context(store=store), "job", about="load a").write(job=7)
    assert Notes(context(try_number=2, store=store), "job", about="load a").values == {"job": 7}
    assert Notes(context(store=store), "job", about="load b").values == {}
    assert Notes(context(max_tries=4, store=store), "job", about="load a").values == {}
    store["job"] = "no mapping"
    assert Notes(context(store=store), "job", about="load a").values == {}


def test_without_a_store_notes_last_as_long_as_the_try():
    notes = Notes(context(), "job", about="x")
    notes.write(job=7)
    notes.write(done=True)
    assert notes.values == {"job": 7, "done": True}


def test_pieces_of_work_are_told_apart():
    assert digest("a", "bc") != digest("ab", "c")
    assert digest("a", "b") == digest("a", "b")


def test_airflow_gives_up_at_once_on_what_cannot_pass():
    with pytest.raises(AirflowFailException, match="epochs"), airflow_errors():
        raise ConfigurationError("epochs is 0")
    with pytest.raises(ServiceUnavailable), airflow_errors():
        raise ServiceUnavailable("no answer")
