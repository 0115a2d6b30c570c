"""SIGKILL at every step of making, publishing, switching, rolling back and retiring a release.

A child process does one step of a release, as the DAGs do it, and dies by SIGKILL at its k-th
file operation or question to a server, for every k, or at a moment; while loading online and
deploying, OpenMLDB's server is killed as well. After each kill the parent looks: the pointer
names a whole release whose pair answers, also through the predict server, and nothing half-made
has a name that is read; a process beside it looks at the files without a pause. Then a second
try does the step whole, or the next night cleans up, and what is left is counted.

    .venv/bin/python bench/release_kill.py [--only NAME ...] [--scale 1.0]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.operator_tries import Operators  # noqa: E402
from bench.release_house import Bench, Step  # noqa: E402
from bench.switch import DS, LEASE, build  # noqa: E402
from nightshift import files, layout  # noqa: E402
from nightshift.night import Night  # noqa: E402
from nightshift.openmldb import SYSTEM_DATABASE, OpenMLDBClient  # noqa: E402
from nightshift.openmldb import deployments as online  # noqa: E402
from nightshift.openmldb import loads as online_load  # noqa: E402
from nightshift.registry import leases, pointer  # noqa: E402
from nightshift.registry.names import deployment_name  # noqa: E402
from nightshift.release import candidate, rollback, steps  # noqa: E402
from nightshift.triton import repository as model_repository  # noqa: E402


def candidates(bench: Bench, most: int) -> None:
    """Version, manifest, release folder, verdict."""

    def make() -> Step:
        night = bench.night()

        def work() -> None:
            made = steps.make_candidate(night, triggered_by="bench")
            candidate.judge(night, made["release_id"], ["quality"])

        return Step(work)

    bench.phase("candidate", make, most=most, again=4)


def loads(bench: Bench, most: int) -> None:
    """Online load: the rows of one day of one table in turn, and the snapshots."""
    tables = bench.pipeline.features.tables.events
    day = layout.parse_date(DS)
    count = 0

    def work() -> None:
        with OpenMLDBClient.of(bench.settings) as client:
            online_load.bring_online(client, bench.pipeline, ds=DS)

    def make() -> Step:
        nonlocal count
        table = list(tables)[count % len(tables)]
        count += 1
        start = layout.day_start_ms(day)
        with bench.house.client() as client:
            client.execute(
                bench.pipeline.database,
                f"DELETE FROM {table} WHERE {tables[table]} >= {start} "
                f"AND {tables[table]} < {start + layout.DAY_MS}",
                mode="onsync",
            )
        return Step(work, bench.rows)

    bench.phase("load online", make, most=most, timed=most // 3)
    bench.outages("load online, server killed", make, most=most // 3)


def deploys(bench: Bench, most: int) -> None:
    """DEPLOY of a query of its own."""
    base = bench.store.folder(bench.releases[0]).sql.read_text()
    sql = base.replace("BETWEEN 14d PRECEDING", "BETWEEN 3d PRECEDING")
    name = deployment_name(bench.pipeline.owner, sql)

    def make() -> Step:
        with bench.house.client() as client:
            online.drop_deployment(client, bench.pipeline.database, name)
        return Step(bench.operators.deploy(name, sql), lambda: bench.deployed(name, sql))

    bench.phase("deploy", make, most=most, timed=most // 3)
    bench.outages("deploy, server killed", make, most=most // 3)


def rehearsals(bench: Bench, most: int) -> None:
    """Model loaded beside the live one, golden rows, calls of both pairs."""

    def make() -> Step:
        night = bench.night()
        release = str(steps.make_candidate(night)["release_id"])

        def work() -> None:
            steps.gate(night, "rehearsal", release)

        return Step(work, lambda: bench.whole(release, pair=True))

    bench.phase("rehearse", make, most=most, again=4, timed=most // 3)


def consistencies(bench: Bench, most: int) -> None:
    """Held-out requests replayed in a database of the check's own."""

    def make() -> Step:
        night = bench.night()
        report = night.run.reports / "consistency.json"

        def work() -> None:
            steps.gate(night, "consistency", bench.releases[0])

        def after() -> list[str]:
            value = files.read_json(report)
            return [] if value["compared"] > 100 and not value["mismatch_count"] else [str(value)]

        return Step(work, after)

    bench.phase("consistency", make, most=most, again=2)


def verdicts(bench: Bench, most: int) -> None:
    """The verdict out of the reports."""

    def make() -> Step:
        night = bench.night()
        folder = night.folder(steps.make_candidate(night)["release_id"])

        def work() -> None:
            steps.accept(night, folder.id)

        return Step(work, lambda: [] if folder.accepted else ["not accepted"])

    bench.phase("accept", make, most=most)


def switches(bench: Bench, most: int) -> None:
    """Pointer, probe through the predict server."""

    def make() -> Step:
        target = bench.other()

        def work() -> None:
            steps.switch_over(bench.template, target, promote="force")

        return Step(work, lambda: live_is(bench, target))

    bench.phase("switch", make, most=most, again=2, clean=20)


def rollbacks(bench: Bench, most: int) -> None:
    """Back to a release that was retired: deployed and loaded anew, switched, probed."""
    steps.switch_over(bench.template, bench.other(), promote="force")
    lease = leases.read_all(bench.store)[LEASE]
    leases.close(bench.store, LEASE)
    bench.clean("before the rollbacks")

    def make() -> Step:
        bench.runs += 1
        run_id, target = f"rollback {bench.runs}", bench.other()

        def work() -> None:
            rollback.roll_back(target, bench.pipeline, run_id=run_id)

        return Step(work, lambda: live_is(bench, target))

    bench.phase("rollback", make, most=most)
    leases.renew(
        bench.store, run_token=LEASE, run_id=lease.run_id, ds=DS, release_id=lease.release_id,
        versions=lease.versions, deployments=lease.deployments,
    )  # fmt: skip


def live_is(bench: Bench, target: str) -> list[str]:
    """What is wrong where `target` is to be live."""
    live = pointer.read_live(bench.store.root)
    return [] if live and live.release_id == target else [f"{live} is live instead of {target}"]


def left_by_a_dead_run(bench: Bench) -> tuple[Night, str]:
    """A run with a candidate in Triton's repository and a database, neither of any use."""
    night = bench.night()
    made = steps.make_candidate(night)
    folder = night.folder(made["release_id"])
    pipeline = bench.pipeline
    model_repository.publish_version(
        pipeline.model_repo, pipeline.model, folder.manifest().model.version, folder.model
    )
    with bench.house.client() as client:
        client.execute(SYSTEM_DATABASE, f"CREATE DATABASE {night.plan['workspace']}", mode="onsync")
        online.ensure_deployment(
            client, pipeline.database, made["deployment"], folder.sql.read_text()
        )
    return night, folder.id


def ends(bench: Bench, most: int) -> None:
    """The end of a rejected night: retire, retention, the lease's end."""

    def make() -> Step:
        night, release = left_by_a_dead_run(bench)

        def work() -> None:
            steps.retire_old(night)
            steps.finish(night, release=release, failures=["bench"])

        def after() -> list[str]:
            lease = leases.read_all(bench.store).get(night.token)
            return [] if lease is None or lease.closed else ["its lease is open"]

        return Step(work, after)

    bench.phase("retire, finish", make, most=most, again=2)


def begins(bench: Bench, most: int) -> None:
    """The clean-up itself, after a run that died."""

    def make() -> Step:
        dead, release = left_by_a_dead_run(bench)
        leases.renew(bench.store, run_token=dead.token, run_id=dead.plan["run_id"], ds=DS, ttl_s=-1)
        bench.runs += 1
        night = bench.house.of(bench.house.plan(DS, f"night {bench.runs}"))

        def work() -> None:
            steps.begin(night)

        def after() -> list[str]:
            there = bench.store.folder(release).model.is_dir()
            return ["the dead one's model is there"] if there else []

        return Step(work, after)

    bench.phase("begin", make, most=most, again=2)


PHASES: dict[str, tuple[Callable[[Bench, int], None], int]] = {
    "load": (loads, 45),
    "deploy": (deploys, 24),
    "candidate": (candidates, 60),
    "rehearse": (rehearsals, 12),
    "consistency": (consistencies, 20),
    "accept": (verdicts, 16),
    "switch": (switches, 120),
    "rollback": (rollbacks, 12),
    "end": (ends, 30),
    "begin": (begins, 24),
}
"""What is killed, and how often at its steps; timed kills and outages come on top."""


def main() -> int:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of kills")
    parser.add_argument(
        "--home", type=Path, default=Path(tempfile.gettempdir()) / "nightshift-bench-kill"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    house, releases = build(options.home)
    operators = Operators(house.pipeline)
    bench = Bench(house, releases, operators)
    whole = False
    try:
        for name in options.only:
            phase, kills = PHASES[name]
            phase(bench, max(1, round(kills * options.scale)))
        whole = True
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was counted until now\n")
    finally:
        house.down()
        operators.close()
        looks = bench.close()  # last: whoever ends this process may have ended the watcher, too
    result = {
        "whole": whole,
        "kills": sum(bench.kills.values()),
        "by_phase": dict(bench.kills),
        "steps": dict(bench.steps),
        "seconds_of_a_whole_one": bench.seconds,
        "second_tries": sum(bench.again.values()),
        "looks_beside": looks,
        "problems": len(bench.problems),
        "first_problems": bench.problems[:5],
        "load_average": [round(x, 1) for x in os.getloadavg()],
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if whole and not bench.problems else 1


if __name__ == "__main__":
    sys.exit(main())
