"""SIGKILL at every step of making, publishing, switching and retiring a release.

A child process does one phase and kills itself with SIGKILL at its k-th file operation (an audit
hook counts files opened to be written, renames, links, folders, removals, locks), for every k;
the publication, which waits for Triton's load, is also killed at moments spread over its time.
After every kill the parent looks with its own eyes: the pointer names a whole release whose pair
answers, nothing half-written has a name that a reader reads; then the next night's clean-up
runs, and what is left is the live release and the kept ones.

    python bench/release_kill.py [--candidate 120] [--switches 150] [--publish 60] [--timed 30]
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.switch import DS, build  # noqa: E402
from nightshift import files, layout, model_repository  # noqa: E402
from nightshift.layout import RunFolder  # noqa: E402
from nightshift.openmldb import OpenMLDBClient  # noqa: E402
from nightshift.release import (  # noqa: E402
    candidate,
    leases,
    pointer,
    recover,
    rehearse,
    retention,
    switch,
)
from nightshift.release.store import ReleaseStore  # noqa: E402
from nightshift.settings import Settings  # noqa: E402
from nightshift.triton import TritonControl  # noqa: E402

EVENTS = ("open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.copytree",
          "shutil.copyfile", "shutil.rmtree", "fcntl.flock", "os.truncate", "os.utime")  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def operations(work: Callable[[], None], root: Path, *, kill_at: int = 0) -> tuple[bool, int]:
    """Fork, do `work`, die at the `kill_at`-th file operation below `root` (0: never).

    Returns:
        (whether it died, how many operations it did, of a child that lived).
    """
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(work, root, kill_at, into)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        told = pipe.read()
    return _died(pid), int(told or b"0")


def timed(work: Callable[[], None], root: Path, after_s: float) -> tuple[bool, float]:
    """Fork, do `work`, and SIGKILL it after so many seconds; (whether it died, seconds)."""
    out, into = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(work, root, 0, into)
    os.close(into)
    ended, _, _ = select.select([out], [], [], after_s)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    os.close(out)
    return _died(pid), time.monotonic() - started


def _child(work: Callable[[], None], root: Path, kill_at: int, into: int) -> None:
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in EVENTS or (event == "open" and not args[2] & WRITES):
            return
        if event == "fcntl.flock" or str(root) in str(args[0]):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    try:
        work()
        os.write(into, str(seen).encode())
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _died(pid: int) -> bool:
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the phase failed by itself; see above"
    return False


class Bench:
    """The house, its releases, the counts."""

    def __init__(self, settings: Settings, releases: tuple[str, str], run: Path) -> None:
        self.settings = settings
        self.store = ReleaseStore(settings.releases)
        self.releases = releases
        self.template = run
        self.kills: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.problems: list[str] = []
        self.runs = 0

    def plan(self) -> Any:
        """A run of its own with the template's artefacts."""
        from tests.nightshift.release.house import House

        self.runs += 1
        plan = House(self.settings).plan(DS, f"kill {self.runs}")
        target = RunFolder(Path(plan["run_dir"]))
        for part in ("dataset", "model", "results", "reports"):
            shutil.copytree(self.template / part, target.root / part)
        target.features.mkdir()
        return plan

    def look(self, where: str) -> None:
        """The invariants after a kill."""
        found: list[str] = []
        try:
            live = pointer.read_live(self.settings.releases)
            if live is None:
                found.append("no release is live")
            else:
                found += self.whole(live.release_id, pair=True)
            for folder in self.store.root.glob("????-??-??.???"):
                if not (folder / "manifest.json").is_file():
                    found.append(f"{folder} has a name and no manifest")
            for release in self.store.releases():
                if release.model.is_dir():
                    found += self.whole(release.id, pair=False)
            for version in model_repository.versions(self.settings.model_repo, self.settings.model):
                path = model_repository.version_folder(
                    self.settings.model_repo, self.settings.model, version
                )
                if not (path / "golden.json").is_file() or not (path / "model").is_dir():
                    found.append(f"{path} is half a version")
            model_repository.pins(self.settings.model_repo, self.settings.model)
        except Exception as error:
            found.append(repr(error))
        self.problems += [f"{where}: {text}" for text in found]

    def whole(self, release: str, *, pair: bool) -> list[str]:
        """What is wrong with a release."""
        folder = self.store.folder(release)
        manifest = folder.manifest()
        wrong = []
        if files.sha256_tree(folder.model) != manifest.model.sha256:
            wrong.append(f"{release}: its model is not that of its manifest")
        if not (folder.spec.is_file() and folder.sql.is_file() and folder.data_card.is_file()):
            wrong.append(f"{release}: a file is missing")
        if pair:
            with (
                OpenMLDBClient(self.settings.openmldb_url) as client,
                TritonControl(self.settings.triton_grpc_url) as control,
            ):
                wrong += rehearse.problems(client, control, folder, manifest)
        return wrong

    def clean(self, where: str) -> None:
        """The next night begins: every lease of the killed runs has run out."""
        for token, lease in leases.read_all(self.store).items():
            if token != "benchbench" and not lease.closed:
                leases.renew(
                    self.store, run_token=token, run_id=lease.run_id, ds=lease.ds, ttl_s=-1
                )
        for folder in (self.store.root, self.settings.model_repo / self.settings.model):
            files.sweep_staging(folder, older_than_s=0)
        with (
            OpenMLDBClient(self.settings.openmldb_url) as client,
            TritonControl(self.settings.triton_grpc_url) as control,
        ):
            recover.recover(client, control, self.settings, run_token=None)
        kept = {folder.id for folder in self.store.releases() if folder.model.is_dir()}
        judged = {f.id for f in self.store.releases() if f.accepted}
        if kept - judged:
            self.problems.append(f"{where}: {sorted(kept - judged)} outlived the clean-up")
        self.look(f"{where}, after the clean-up")

    def phase(
        self, name: str, make: Callable[[], Callable[[], None]], *, most: int, every: bool = True,
    ) -> None:  # fmt: skip
        """Kill `most` times: at each operation in turn, over and over.

        Where there are more operations than kills, half go to the last operations and half are
        spread over the others. `every` cleans up after each kill.
        """
        begun = time.monotonic()
        if most < 1:
            return
        _, count = operations(make(), self.settings.home)
        self.clean(f"{name}, whole")
        if count <= most:
            points = [1 + n % count for n in range(most)]
        else:
            late = list(range(count - most // 2 + 1, count + 1))
            early = count - len(late)
            points = [1 + n * early // (most - len(late)) for n in range(most - len(late))] + late
        for k in points:
            died, _ = operations(make(), self.settings.home, kill_at=k)
            self.kills[name] += died
            self.look(f"{name} killed at {k}")
            if every:
                self.clean(f"{name} killed at {k}")
        self.operations[name] = count
        self.say(name, begun)

    def timed_phase(self, name: str, make: Callable[[], Callable[[], None]], *, most: int) -> None:
        """Kill `most` times at moments spread over the phase's duration, waits included."""
        begun = time.monotonic()
        if most < 1:
            return
        _, duration = timed(make(), self.settings.home, 600.0)
        self.clean(f"{name}, whole")
        for n in range(most):
            moment = duration * (n + 0.5) / most
            died, _ = timed(make(), self.settings.home, moment)
            self.kills[name] += died
            self.look(f"{name} killed after {moment:.2f} s")
            self.clean(f"{name} killed after {moment:.2f} s")
        self.say(name, begun)

    def say(self, name: str, begun: float) -> None:
        """One line of progress."""
        sys.stderr.write(
            f"{name}: {self.kills[name]} kills, {self.operations[name]} operations, "
            f"{time.monotonic() - begun:.0f} s, {len(self.problems)} problems\n"
        )


def main() -> int:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidate", type=int, default=120, help="kills of the candidate")
    parser.add_argument("--publish", type=int, default=60, help="kills while Triton loads")
    parser.add_argument("--timed", type=int, default=30, help="of them, at moments of the load")
    parser.add_argument("--retire", type=int, default=32, help="kills of retire and retention")
    parser.add_argument("--switches", type=int, default=150, help="kills of the switch")
    parser.add_argument("--home", type=Path, default=Path("/tmp/nightshift-bench-kill"))
    options = parser.parse_args()
    house, releases = build(options.home)
    try:
        settings = house.settings
        template = Path(house.plan(DS, "bench")["run_dir"])
        bench = Bench(settings, releases, template)
        run_phases(bench, options)
    finally:
        house.down()
    result = {
        "kills": sum(bench.kills.values()),
        "by_phase": dict(bench.kills),
        "operations": dict(bench.operations),
        "problems": len(bench.problems),
        "first_problems": bench.problems[:5],
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if not bench.problems else 1


def run_phases(bench: Bench, options: argparse.Namespace) -> None:
    """Candidate, switch, publish, retire."""
    settings, store = bench.settings, bench.store

    def make_candidate() -> Callable[[], None]:
        plan = bench.plan()

        def work() -> None:
            made = candidate.create(plan, settings)
            candidate.judge(plan, settings, made["release_id"], ["quality"])

        return work

    bench.phase("candidate", make_candidate, most=options.candidate)

    def make_switch() -> Callable[[], None]:
        live = pointer.read_live(settings.releases)
        target = bench.releases[1 if live and live.release_id == bench.releases[0] else 0]

        def work() -> None:
            with (
                OpenMLDBClient(settings.openmldb_url) as client,
                TritonControl(settings.triton_grpc_url) as control,
            ):
                pointer.switch_live(
                    settings.releases,
                    target,
                    probe=lambda f, m: rehearse.problems(client, control, f, m),
                    promote="force",
                )

        return work

    bench.phase("switch", make_switch, most=options.switches, every=False)
    bench.clean("switches")

    def make_publish() -> Callable[[], None]:
        plan = bench.plan()
        made = candidate.create(plan, settings)
        folder = store.folder(made["release_id"])

        def work() -> None:
            with TritonControl(settings.triton_grpc_url) as control:
                rehearse.publish(control, store, settings.model_repo, folder, folder.manifest())

        return work

    bench.phase("publish", make_publish, most=options.publish)
    bench.timed_phase("publish, timed", make_publish, most=options.timed)

    def make_retire() -> Callable[[], None]:
        plan = bench.plan()
        made = candidate.create(plan, settings)
        folder = store.folder(made["release_id"])
        model_repository.publish_version(
            settings.model_repo, settings.model, folder.manifest().model.version, folder.model
        )
        candidate.reject(plan, settings, folder.id, ["bench"])
        leases.close(store, layout.run_token(plan["run_id"]))

        def work() -> None:
            with (
                OpenMLDBClient(settings.openmldb_url) as client,
                TritonControl(settings.triton_grpc_url) as control,
            ):
                switch.retire(client, control, settings, run_token=None)
                retention.run(store, settings)

        return work

    bench.phase("retire", make_retire, most=options.retire)


if __name__ == "__main__":
    sys.exit(main())
