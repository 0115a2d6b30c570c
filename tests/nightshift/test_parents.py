"""A process ends with its parent, whether that dies before or after it asks for it."""

import os
import subprocess
import sys

import pytest

ASKS = """
import os, pathlib, signal, sys, time
from nightshift.parents import end_with
parent, place, late = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3] == "late"
while late and os.getppid() == parent:
    time.sleep(0.01)
(place / "asks").touch()
end_with(parent, signal.SIGTERM)
(place / "asked").touch()
time.sleep(60)
"""

PARENT = """
import os, pathlib, subprocess, sys, time
place, when = pathlib.Path(sys.argv[1]), sys.argv[2]
subprocess.Popen([sys.executable, "-c", sys.argv[3], str(os.getpid()), str(place), when])
while when == "early" and not (place / "asked").exists():
    time.sleep(0.01)
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_process_ends_with_its_parent(tmp_path, project, when):
    command = [sys.executable, "-c", PARENT, str(tmp_path), when, ASKS]
    env = {**os.environ, "PYTHONPATH": str(project / "src")}
    # `run` waits for the child, too: it holds the pipes.
    subprocess.run(command, capture_output=True, check=True, env=env, timeout=30)
    assert (tmp_path / "asks").exists()
    assert (tmp_path / "asked").exists() == (when == "early")
