"""The environment that OneFlow is given."""

import os

import pytest

from tasks import runtime


@pytest.fixture
def env(monkeypatch):
    own = {}
    monkeypatch.setattr(os, "environ", own)
    return own


def test_every_library_has_the_threads_that_were_asked_for(env):
    assert runtime.prepare(3) == 3
    assert {env[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL")} == {"3"}


def test_without_a_number_all_processors_that_the_process_may_use(env):
    assert runtime.prepare() == len(os.sched_getaffinity(0))


def test_what_a_person_has_set_stays(env):
    env["OPENBLAS_CORETYPE"] = "Zen"
    env["OMP_WAIT_POLICY"] = "ACTIVE"
    runtime.prepare(1)
    assert (env["OPENBLAS_CORETYPE"], env["OMP_WAIT_POLICY"]) == ("Zen", "ACTIVE")


@pytest.mark.parametrize(
    ("flags", "kernel"),
    [("flags : fpu avx avx2 bmi1", "Haswell"), ("flags : fpu avx sse4_2", None)],
)
def test_the_kernel_is_one_that_the_processor_has(env, monkeypatch, flags, kernel):
    monkeypatch.setattr(runtime, "_processor", lambda: flags)
    runtime.prepare(1)
    assert env.get("OPENBLAS_CORETYPE") == kernel
