"""MKL comes only when it is asked for, into the folder that training looks in."""

from __future__ import annotations

from pathlib import Path

from laptop.setup import mkl
from tasks import blas

ROOT = Path(__file__).resolve().parents[3]


def test_training_looks_where_the_setup_puts_it() -> None:
    assert mkl.ENVIRONMENT.folder(ROOT) == ROOT / ".venv-mkl"
    assert mkl.ENVIRONMENT.folder(ROOT) == blas._PROJECT / ".venv-mkl"


def test_its_lock_pins_what_its_file_asks_for() -> None:
    for source in mkl.ENVIRONMENT.sources:
        assert (ROOT / source).is_file(), source
    lock = (ROOT / mkl.ENVIRONMENT.sources[0]).read_text()
    assert 'name = "mkl"' in lock and 'name = "intel-openmp"' in lock
