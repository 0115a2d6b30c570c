import os
import signal

import pytest
from openmldb_compiler.errors import CompilerCrashed, CompilerError, CompilerTimeout
from openmldb_compiler.process import Process

CATALOG = {"db": {"t": [["a", "string"], ["id", "int32"], ["ts", "timestamp"]]}}
FINE = {"sql": "SELECT a FROM t", "db": "db", "catalog": CATALOG, "mode": "batch"}
DEADLY = {
    **FINE,
    "sql": "SELECT count(a) OVER (PARTITION BY a ORDER BY ts ROWS BETWEEN id PRECEDING AND CURRENT ROW) FROM t",
}


@pytest.fixture
def process(compiler):
    found = Process()
    yield found
    found.close()


def test_one_process_answers_one_question_after_the_other(process):
    assert process.ask("judge", FINE, 30) == {"refused": []}
    first = process._child.pid
    assert process.ask("judge", {**FINE, "sql": "SELECT x FROM t"}, 30)["refused"][0]
    assert process._child.pid == first


def test_a_death_is_told_and_the_next_question_is_answered(process):
    with pytest.raises(CompilerCrashed, match="SIGSEGV"):
        process.ask("judge", DEADLY, 30)
    assert process.ask("judge", FINE, 30) == {"refused": []}


def test_a_process_that_ended_by_itself_is_replaced_unseen(process):
    process.ask("judge", FINE, 30)
    process._child.stdin.close()  # what makes it end, as idleness does
    process._child.wait(180)
    assert process.ask("judge", FINE, 30) == {"refused": []}


def test_no_answer_in_time_ends_the_process(process):
    process.ask("judge", FINE, 30)
    pid = process._child.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(CompilerTimeout, match=r"0\.2 s"):
        process.ask("judge", FINE, 0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert process.ask("judge", FINE, 30) == {"refused": []}


def test_a_question_it_does_not_know_is_an_error_not_a_death(process):
    with pytest.raises(CompilerError, match="AttributeError|nothing"):
        process.ask("nothing", FINE, 30)
    assert process.ask("judge", FINE, 30) == {"refused": []}


def test_the_process_ends_with_its_last_pipe(process):
    process.ask("judge", FINE, 30)
    child = process._child
    process.close()
    assert child.poll() is not None
