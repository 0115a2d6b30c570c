"""What must be set in the environment before OneFlow is imported."""

from __future__ import annotations

import os
from pathlib import Path

from tasks import blas


def has_avx2() -> bool:
    """Whether this machine's processor has AVX2 (Linux)."""
    return " avx2" in _processor()


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def threads_of(threads: int) -> int:
    """CPU threads of this process: as asked for, or where that is 0 all that it may use."""
    return threads or len(os.sched_getaffinity(0))


def prepare(threads: int = 0, blas_library: str = blas.BUNDLED) -> int:
    """Choose BLAS kernels and threads, and silence OneFlow's start; returns the thread count.

    The wheel's OpenBLAS picks SSE kernels on processors it does not know; Haswell's double its
    speed wherever there is AVX2. The kernel decides the last bits of a result, so it is pinned.

    Args:
        threads: CPU threads; 0 takes all that the process may use.
        blas_library: `bundled` or `mkl`, see `tasks.blas`.
    """
    threads = threads_of(threads)
    os.environ.setdefault("GLOG_minloglevel", "3")
    # On a busy machine a thread that spins keeps away the one that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if has_avx2():
        os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")
    blas.load(blas_library, _processor())
    return threads
