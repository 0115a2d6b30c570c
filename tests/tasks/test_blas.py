"""Which library does OneFlow's matrix products, and that it is really called."""

import subprocess
from pathlib import Path

import pytest

from nightshift.errors import ConfigurationError
from tasks import blas
from testing.workshop import TASKS_PYTHON

ROOT = Path(__file__).resolve().parents[2]

PRODUCT = """
import hashlib, sys
from pathlib import Path
from tasks import blas, runtime
if sys.argv[1] == "mkl":
    runtime.prepare(2, blas.MKL)
else:
    runtime.prepare(2)
import numpy as np, oneflow as flow
rng = np.random.default_rng(3)
a, b = (rng.standard_normal(shape).astype("f4") for shape in ((300, 2000), (2000, 130)))
found = flow.matmul(flow.from_numpy(a), flow.from_numpy(b)).numpy()
assert abs(found - a.astype("f8") @ b.astype("f8")).max() < 1e-2
loaded = "libmkl_core" in Path("/proc/self/maps").read_text()
import ctypes
if loaded:
    count = ctypes.CDLL(None).MKL_Get_Max_Threads
    counts = [count(), blas.share_products(1), count(), blas.share_products(2), count()]
    assert counts == [2, None, 1, None, 2], counts
else:
    blas.share_products(1)
print(hashlib.sha256(found.tobytes()).hexdigest(), loaded)
"""


def product(library):
    done = subprocess.run(
        [TASKS_PYTHON, "-c", PRODUCT, library],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "GLOG_minloglevel": "3"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()[-2:]


def installed(folder, *names):
    (folder / "lib").mkdir(parents=True)
    for name in names:
        (folder / "lib" / name).touch()
    return folder


def test_the_library_is_found_with_its_threads_and_the_first_folder_wins(tmp_path):
    whole = installed(tmp_path / "a", "libmkl_rt.so.3", "libiomp5.so")
    bare = installed(tmp_path / "b", "libmkl_rt.so.2")
    assert blas.find((bare, whole)) == whole / "lib" / "libmkl_rt.so.3"
    assert blas.find((bare, tmp_path / "none")) is None


def test_what_is_not_installed_is_refused_or_done_without(monkeypatch):
    monkeypatch.setattr(blas, "find", lambda: None)
    assert blas.resolve("auto") == blas.resolve("bundled") == "bundled"
    with pytest.raises(ConfigurationError, match="setup --mkl"):
        blas.resolve("mkl")


def test_mkl_does_the_products_the_same_bits_each_time():
    if not TASKS_PYTHON.exists() or blas.find((ROOT / ".venv-mkl",)) is None:
        pytest.skip("MKL is not installed; ./nightshift setup --mkl brings it")
    first, second, own = product("mkl"), product("mkl"), product("bundled")
    assert first == second and first[1] == "True"
    assert own[1] == "False" and own[0] != first[0]
