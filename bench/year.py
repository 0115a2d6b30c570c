"""A year of releases through Triton: what it holds of versions that were loaded and unloaded.

    .venv/bin/python bench/year.py [--versions 60] [--every 10]

One small model is published as one version after the other, as nights do: the new version is loaded
beside the old one, its golden examples are compared, the old one is unloaded and removed. Printed
are the memory (RSS) of Triton and of the processes that run versions, their number, and the files
of the model repository. The exit code is 1 where Triton's own memory grows by more than `--most` KiB a
version after the first third.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from laptop.triton.launch import command  # noqa: E402
from nightshift import triton  # noqa: E402
from nightshift.contract.golden import Golden  # noqa: E402
from nightshift.contract.signature import ModelSignature  # noqa: E402
from nightshift.settings import Settings  # noqa: E402
from nightshift.triton import TritonControl, repository  # noqa: E402
from testing.serving import Process, serving_settings, wait_until  # noqa: E402
from testing.workshop import Workshop  # noqa: E402

MODEL = "year"
FIRST = dt.date(2026, 1, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=60)
    parser.add_argument("--every", type=int, default=10, help="versions between two lines")
    parser.add_argument("--most", type=float, default=100.0, help="KiB a version")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="year-") as name:
        home = Path(name)
        (home / "workshop").mkdir()
        workshop = Workshop(home / "workshop")
        workshop.preprocess(workshop.features())
        workshop.train("dataset", "--set", "epochs=1")
        settings = serving_settings(home / "home")
        settings.home.mkdir()
        server = Process(command(settings), home / "triton.log")
        try:
            with TritonControl.of(settings) as control:
                wait_until(lambda: server.check() and control.live(), "Triton is live", 120)
                held = _year(settings, control, server, workshop.root / "model", options)
        finally:
            server.stop()
    # The first third pays for what is loaded once: the backend, buffers, thread pools.
    begin = len(held) // 3
    slope = (held[-1] - held[begin]) / max(len(held) - 1 - begin, 1)
    print(json.dumps({"versions": len(held), "growth_kib_a_version": round(slope, 1)}))
    return int(slope > options.most)


def _year(
    settings: Settings,
    control: TritonControl,
    server: Process,
    model: Path,
    options: argparse.Namespace,
) -> list[int]:
    """KiB of Triton's own process after each version."""
    repo, signature = settings.model_repo, ModelSignature.load(model)
    golden = Golden.load(model, signature)
    repository.claim(repo, MODEL, "year_bench")
    held: list[int] = []
    before: int | None = None
    began = time.monotonic()
    for number in range(options.versions):
        day = FIRST + dt.timedelta(days=number)
        version = repository.allocate_version(repo, MODEL, day, owner=f"{day}")
        triton.publish(control, repo, MODEL, version, model)
        control.check_golden(MODEL, version, golden, signature)
        if before is not None:
            triton.pin(control, repo, MODEL, {version})
            repository.remove_version(repo, MODEL, before)
            repository.forget_versions(repo, MODEL, before=day, needed=())
        before = version
        wait_until(lambda: len(_stubs(server)) <= 1, "the old version's process ended")
        held.append(_rss(server.process.pid))
        if (number + 1) % options.every == 0 or number == 0:
            stubs = _stubs(server)
            line = {
                "version": number + 1,
                "triton_kib": held[-1],
                "stubs": len(stubs),
                "stubs_kib": sum(map(_rss, stubs)),
                "files": sum(1 for path in repo.rglob("*") if path.is_file()),
                "seconds": round(time.monotonic() - began, 1),
            }
            print(json.dumps(line), flush=True)
    return held


def _stubs(server: Process) -> list[int]:
    """Processes that run model versions."""
    children = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return [int(pid) for path in children for pid in path.read_text().split()]


def _rss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))


if __name__ == "__main__":
    sys.exit(main())
