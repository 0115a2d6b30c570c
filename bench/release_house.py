"""What `bench/release_kill.py` works on: two releases, and what must hold after every kill."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmldb_sql.pretty import pretty

from bench.killing import Children, Ended, Work, points
from bench.operator_tries import Operators
from bench.switch import DS, LEASE
from nightshift import files, layout
from nightshift.layout import RunFolder
from nightshift.night import Night, servers
from nightshift.openmldb import loads as online_load
from nightshift.openmldb import normalise_sql
from nightshift.openmldb.rows import stored_count
from nightshift.registry import leases, pointer
from nightshift.registry.names import is_deployment_of, is_workspace_of
from nightshift.release import recover
from nightshift.serving import pair as serving_pair
from nightshift.serving import probe
from nightshift.triton import repository as model_repository
from testing.house import House


@dataclass(frozen=True)
class Step:
    """One step of a release, ready to be done in a child.

    `after` is asked once the step has been done whole, by a second try: what is wrong.
    """

    work: Work
    after: Callable[[], list[str]] = list


class Bench:
    """The releases, the servers, the counts."""

    def __init__(self, house: House, releases: tuple[str, str], operators: Operators) -> None:
        self.house, self.releases, self.operators = house, releases, operators
        self.settings, self.pipeline = house.settings, house.pipeline
        self.store = house.pipeline.store
        self.template = house.of(house.plan(DS, "bench"))
        self.children = Children(
            self.settings.home, self.settings.home / "child.log", Operators.in_child
        )
        self.kills: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.again: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.problems: list[str] = []
        self.runs = 0
        self._watch = subprocess.Popen(
            [sys.executable, "-m", "bench.watch_releases", str(self.settings.home)],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close(self) -> int:
        """End the watcher; how often it looked."""
        told, _ = self._watch.communicate()
        value = json.loads(told)
        self.problems += [f"seen {n} times: {text}" for text, n in value["found"].items()]
        return int(value["looks"])

    # What a phase does.

    def phase(
        self,
        name: str,
        make: Callable[[], Step],
        *,
        most: int,
        again: int = 1,
        clean: int = 1,
        timed: int = 0,
    ) -> None:
        """Kill a step `most` times at its steps in turn, and `timed` times at moments of it.

        Args:
            name: what it is called in the result.
            make: prepares one and gives it.
            most: kills at steps.
            again: every so many kills are followed by a second try, which must do the step whole.
            clean: every so many kills are followed by the next night's clean-up.
            timed: kills at moments spread over the duration, waits on servers included.
        """
        if most + timed == 0:
            return
        begun = time.monotonic()
        first = make()
        ended = self.children.whole(first.work)
        self.tell(f"{name}, whole", first.after())
        self.clean(f"{name}, whole")
        plan: list[dict[str, Any]] = [{"kill_at": k} for k in points(ended.steps, most)]
        plan += [{"after_s": ended.seconds * (n + 0.5) / timed} for n in range(timed)]
        for n, where in enumerate(plan):
            step = make()

            def run(step: Step, where: dict[str, Any] = where) -> Ended:
                return self.children.run(step.work, **where)

            self.one(f"{name} {where}", name, step, run, again=n % again == 0, clean=n % clean == 0)
        if clean > 1:
            self.clean(f"{name}, end")
        self.steps[name] = ended.steps
        self.seconds[name] = round(ended.seconds, 1)
        self.say(name, begun)

    def outages(self, name: str, make: Callable[[], Step], *, most: int) -> None:
        """Kill OpenMLDB's server `most` times while a step is under way, and start it again."""
        if most == 0:
            return
        begun = time.monotonic()
        duration = self.children.whole(make().work).seconds
        self.clean(f"{name}, whole")

        def outage() -> None:
            self.kills[name] += 1
            server = self.house.processes["openmldb"]
            server.stop(signal.SIGKILL)
            time.sleep(0.3)
            server.start()
            self.house.wait()

        for n in range(most):
            moment = duration * (n + 0.5) / most
            step = make()

            def run(step: Step, moment: float = moment) -> Ended:
                return self.children.run(step.work, after_s=moment, meanwhile=outage)

            self.one(f"{name} after {moment:.2f} s", name, step, run, again=True, clean=True)
        self.say(name, begun)

    def one(
        self,
        where: str,
        name: str,
        step: Step,
        run: Callable[[Step], Ended],
        *,
        again: bool,
        clean: bool,
    ) -> None:
        """One kill, and what must hold after it."""
        ended = run(step)
        self.kills[name] += ended.killed
        self.look(where)
        if again:
            try:
                self.children.whole(step.work)
                self.again[name] += 1
                self.tell(f"{where}, second try", step.after())
                self.look(f"{where}, second try")
            except AssertionError as error:
                self.tell(f"{where}, second try", [str(error)])
        if clean:
            self.clean(where)

    def tell(self, where: str, found: list[str]) -> None:
        """Note problems, and show them at once."""
        self.problems += [f"{where}: {text}" for text in found]
        for text in found:
            sys.stderr.write(f"PROBLEM {where}: {text}\n")

    def say(self, name: str, begun: float) -> None:
        """One line of progress."""
        sys.stderr.write(
            f"{name}: {self.kills[name]} kills, {self.steps[name]} steps, {self.again[name]} second "
            f"tries, {time.monotonic() - begun:.0f} s, {len(self.problems)} problems so far\n"
        )

    # What must hold.

    def look(self, where: str) -> None:
        """A whole release is live and answers a client; nothing half-made has a read name."""
        found: list[str] = []
        try:
            live = pointer.read_live(self.store.root)
            if live is None:
                found.append("no release is live")
            else:
                found += self.whole(live.release_id, pair=True)
                answer = probe.answers_by(
                    self.settings.predict_url,
                    self.pipeline.name,
                    live.release_id,
                    [self.request(live)],
                    deadline_s=20,
                )
                if answer["model_version"] != live.model_version:
                    found.append(f"an answer names {answer}")
            for folder in self.store.root.glob("????-??-??.???"):
                if not (folder / "manifest.json").is_file():
                    found.append(f"{folder} has a name and no manifest")
            for release in self.store.releases():
                if release.model.is_dir():
                    found += self.whole(release.id, pair=False)
            repo, model = self.pipeline.model_repo, self.pipeline.model
            for version in model_repository.versions(repo, model):
                path = model_repository.version_folder(repo, model, version)
                if not (path / "golden.npz").is_file() or not (path / "model").is_dir():
                    found.append(f"{path} is half a version")
            model_repository.pins(repo, model)
        except Exception as error:
            found.append(repr(error))
        self.tell(where, found)

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
            with servers(self.settings) as both:
                wrong += serving_pair.problems(both.openmldb, both.triton, folder, manifest)
        return wrong

    def request(self, live: pointer.LivePointer) -> dict[str, Any]:
        """A request row as a client posts it."""
        assert live.database is not None
        assert live.deployment is not None
        with self.house.client() as client:
            columns = [n for n, _ in client.deployment(live.database, live.deployment).input_schema]
        (row,) = serving_pair.request_rows(self.pipeline, columns, 1)
        return dict(zip(columns, row, strict=True))

    def rows(self) -> list[str]:
        """Days of which the online store does not hold exactly the rows of the partition."""
        wrong = []
        data, features = self.pipeline.data, self.pipeline.features
        with self.house.client() as client:
            for table, column in features.tables.events.items():
                last = layout.parse_date(DS)
                days = layout.days_back(last, features.spec.lookback_days.get(table, 0) + 1)
                for day in layout.present(data, table, days):
                    rows = online_load.partition_rows(data, table, day)
                    start = layout.day_start_ms(day)
                    found = stored_count(
                        client,
                        self.pipeline.database,
                        table,
                        column,
                        start,
                        start + layout.DAY_MS,
                    )
                    if found != rows:
                        wrong.append(f"{table} of {day}: {found} rows instead of {rows}")
        return wrong

    def deployed(self, name: str, sql: str) -> list[str]:
        """What is wrong with a deployment: there is one of this name, and its query is this."""
        with self.house.client() as client:
            names = client.deployments(self.pipeline.database)
            if list(names).count(name) != 1:
                return [f"{name} is {list(names).count(name)} times among {list(names)}"]
            text = client.deployment_text(self.pipeline.database, name)
        wanted, there = (
            "".join(part.replace("`", "").split()).lower()
            for part in (pretty(normalise_sql(sql)), text)
        )
        return [] if wanted in there else [f"{name} has another query: {text[:200]}"]

    # The next night, and what a step needs.

    def clean(self, where: str) -> None:
        """The next night begins: every lease of the killed runs has run out."""
        for token, lease in leases.read_all(self.store).items():
            if token != LEASE and not lease.closed:
                leases.renew(
                    self.store, run_token=token, run_id=lease.run_id, ds=lease.ds, ttl_s=-1
                )
        for folder in (self.store.root, self.pipeline.model_repo / self.pipeline.model):
            files.sweep_staging(folder, older_than_s=0)
        with servers(self.settings) as both:
            recover.recover(both, self.pipeline, run_token=None)
            names = both.openmldb.deployments(self.pipeline.database)
            databases = both.openmldb.databases()
        found = []
        kept = {folder.id for folder in self.store.releases() if folder.model.is_dir()}
        judged = {f.id for f in self.store.releases() if f.accepted}
        if kept - judged:
            found.append(f"{sorted(kept - judged)} outlived the clean-up")
        ours = {self.store.folder(r).manifest().sql.deployment for r in self.releases}
        left = {n for n in names if is_deployment_of(self.pipeline.owner, n)} - ours
        if left:
            found.append(f"deployments {sorted(left)} outlived the clean-up")
        if any(is_workspace_of(self.pipeline.owner, name) for name in databases):
            found.append(f"a run's database outlived the clean-up: {sorted(databases)}")
        self.tell(f"{where}, clean-up", found)
        self.look(f"{where}, clean-up")

    def night(self) -> Night:
        """A run of its own with the template's artefacts."""
        self.runs += 1
        plan = self.house.plan(DS, f"kill {self.runs}")
        target = RunFolder(Path(plan["run_dir"]))
        for part in ("dataset", "model", "results", "reports", "scores", "features"):
            shutil.copytree(self.template.run.root / part, target.root / part)
        return self.house.of(plan)

    def other(self) -> str:
        """That of the two releases which is not live."""
        live = pointer.read_live(self.store.root)
        return self.releases[1 if live and live.release_id == self.releases[0] else 0]
