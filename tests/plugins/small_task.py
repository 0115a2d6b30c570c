"""A task as small as can be, and what tests of both runners look at."""

from __future__ import annotations

import time
from pathlib import Path

TASK = '''
"""A task as small as can be: counts its starts, then does as it is told."""
import json, os, pathlib, signal, sys, time

result, what = pathlib.Path(sys.argv[1]), sys.argv[2]
with (result.parent / "starts").open("a") as file:
    file.write(f"{os.getpid()}\\n")
print("started", os.environ.get("COLOUR"), flush=True)

def leave(signum, frame):
    print("told to stop", flush=True)
    sys.exit(143)

signal.signal(signal.SIGTERM, leave)
if what == "wait":
    while not (result.parent / "go").exists():
        time.sleep(0.02)
if what == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if what == "hungry":
    hoard = [bytes([1]) * (1 << 20) for n in range(1000)]
if what == "noise":
    for n in range(300_000):
        print("line", n, "x" * 80)
if what.startswith("exit"):
    result.write_text(json.dumps({"task": "train", "version": 1, "status": "error", "error": "because"}))
    sys.exit(int(what[4:]))
out = {"task": "train", "version": 1, "status": "ok", "pid": os.getpid(), "env": sorted(os.environ)}
if what == "large":
    out["padding"] = "x" * 100_000
if what in ("link", "linked"):  # of what the worker may read and the task may not
    secret = result.parent.parent / "secret.json"
    secret.write_text(json.dumps(out))
    (result if what == "link" else result.parent / "model").symlink_to(secret)
if what == "pipe":
    os.mkfifo(result)
if what in ("link", "pipe"):
    sys.exit(0)
if what == "nan":
    out["auc"] = float("nan")
if what != "silent":
    result.write_text(json.dumps(out))
print("all done", flush=True)
'''


def body(workshop: Path, what: str, more: str = "") -> str:
    run_dir = workshop / "home" / "runs" / "r"
    return (
        f"NightshiftTaskOperator(task_id='x', task='train', run_dir={str(run_dir)!r}, "
        f"result_path={str(run_dir / 'result.json')!r}, poll_interval_s=0.1, "
        f"arguments=[{str(run_dir / 'result.json')!r}, '{what}'], "
        f"environment={{'COLOUR': 'blue'}}, {more})"
    )


def starts(workshop: Path) -> list[int]:
    path = workshop / "home" / "runs" / "r" / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def let_go(workshop: Path) -> None:
    (workshop / "home" / "runs" / "r" / "go").touch()


def folders(workshop: Path) -> list[Path]:
    root = workshop / "home" / "tasks"
    return sorted(root.iterdir()) if root.is_dir() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, what: str) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
