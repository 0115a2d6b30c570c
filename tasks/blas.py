"""The library that does OneFlow's matrix products on a CPU.

OneFlow's wheel holds an OpenBLAS of 2020, without AVX-512, which makes a product in one thread. It
calls it by name (`cblas_sgemm`) through the dynamic linker, so a library of the same names that is
loaded before it, with its symbols open to all, takes its place. Intel's MKL is such a library, and
shares a product among the threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from nightshift.errors import ConfigurationError

BUNDLED, MKL = "bundled", "mkl"

_PROJECT = Path(__file__).resolve().parents[1]
_OPENMP, _LIBRARY = "libiomp5.so", "libmkl_rt.so.[0-9]*"


def find(folders: tuple[Path, ...] | None = None) -> Path | None:
    """MKL's library, if it is installed.

    Args:
        folders: environments to look in; by default the one that runs (`pip install mkl`) and
            `.venv-mkl` of the project (`./nightshift setup --mkl`).
    """
    for folder in folders or (Path(sys.prefix), _PROJECT / ".venv-mkl"):
        for found in sorted((folder / "lib").glob(_LIBRARY), reverse=True):
            if (found.parent / _OPENMP).exists():
                return found
    return None


def resolve(asked: str) -> str:
    """What `auto` means on this machine; anything else as it is given.

    Raises:
        ConfigurationError: MKL is asked for and is not there.
    """
    if asked == MKL and find() is None:
        raise ConfigurationError(
            f"blas is mkl, and MKL is neither in {sys.prefix} nor in {_PROJECT / '.venv-mkl'}; "
            "./nightshift setup --mkl brings it, or set blas: bundled"
        )
    if asked == "auto":
        return BUNDLED if find() is None else MKL
    return asked


def load(chosen: str, flags: str) -> None:
    """Load the library, before OneFlow is imported.

    Args:
        chosen: `bundled` or `mkl`.
        flags: of the processor, as /proc/cpuinfo lists them. They decide MKL's kernels, which are
            held to one order of additions: the same machine and number of threads give the same
            bits in every run.
    """
    if chosen != MKL:
        return
    library = find()
    assert library is not None, "resolve comes first"
    known = flags.split()
    branch = next((b for f, b in _BRANCHES if f in known), "COMPATIBLE")
    os.environ["MKL_CBWR"] = branch
    for path in (library.parent / _OPENMP, library):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def share_products(threads: int, among: int = 1) -> None:
    """Have MKL, where it is loaded, make each product in its share of the threads from now on.

    The bundled library needs no telling: it makes each in one.

    Args:
        threads: of all products that are made at a time.
        among: so many products.
    """
    tell = getattr(ctypes.CDLL(None), "MKL_Set_Num_Threads", None)
    if tell is not None:
        tell(-(-threads // among))


_BRANCHES = (("avx512f", "AVX512,STRICT"), ("avx2", "AVX2,STRICT"))
