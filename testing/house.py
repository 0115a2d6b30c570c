"""A house with real servers, and nights in it without Airflow.

The steps are those of the retrain DAGs in their order, so that what the release library does can
be seen, broken and killed at any step within seconds.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from laptop.data.cli import make_tables
from laptop.data.generate import Spec
from laptop.services import catalogue
from laptop.services.launch import Launch, base_env
from laptop.triton.launch import command
from nightshift import commands, layout
from nightshift.night import Night
from nightshift.openmldb import (
    JobState,
    OpenMLDBClient,
    job_error,
    load_data,
    quote_literal,
    split_script,
)
from nightshift.openmldb import deployments as online
from nightshift.openmldb import loads as online_load
from nightshift.pipeline import Pipeline
from nightshift.plan import Plan, make_plan
from nightshift.release import steps
from nightshift.settings import Settings
from nightshift.triton import TritonControl
from testing.serving import Process, serving_settings, wait_until

ROOT = Path(__file__).resolve().parents[1]
TRAIN_DAYS = 12


@dataclass
class House:
    """Settings, three servers, and what a night does."""

    pipeline: Pipeline
    processes: dict[str, Process] = field(default_factory=dict)
    mood: str = "failed_seconds=0"

    @classmethod
    def build(cls, home: Path, *, mood: str = "failed_seconds=0", **changes: Any) -> House:
        """A house on free ports; its grace time is none.

        Args:
            home: its folder.
            mood: the mood of its OpenMLDB (`openmldb_embedded.moods`).
            changes: settings.
        """
        settings = replace(serving_settings(home), retire_grace_s=0.0, **changes)
        return cls(Pipeline.load(settings), mood=mood)

    @property
    def settings(self) -> Settings:
        """The machine."""
        return self.pipeline.settings

    def up(self, *only: str) -> None:
        """Start the servers, or some of them, and wait until each answers."""
        s = self.settings
        python = str(ROOT / ".venv" / "bin" / "python")
        launches = {
            "openmldb": catalogue.openmldb(s),
            "triton": command(s),
            "predict": Launch([python, "-m", "predict_server"], base_env(s), ROOT),
        }
        s.home.mkdir(parents=True, exist_ok=True)
        self.turn(self.mood)
        mooded = {**launches["openmldb"].env, "OPENMLDB_EMBEDDED_MOODS": f"@{s.home / 'moods'}"}
        launches["openmldb"] = replace(launches["openmldb"], env=mooded)
        for name, launch in launches.items():
            if not only or name in only:
                self.processes[name] = Process(launch, s.home / f"{name}.log")
        self.wait()

    def turn(self, moods: str) -> None:
        """Choose the mood of OpenMLDB, which runs."""
        staged = self.settings.home / "moods.staged"
        staged.write_text(moods)
        staged.rename(self.settings.home / "moods")

    def wait(self) -> None:
        """Wait until every server that was started answers."""
        if "triton" in self.processes:
            with TritonControl.of(self.settings) as control:
                wait_until(control.live, "Triton is live", 180)
        urls = {"openmldb": self.settings.openmldb_url, "predict": self.settings.predict_url}
        for name, url in urls.items():
            if name in self.processes:
                wait_until(functools.partial(_answers, url), f"{url} answers", 180)

    def down(self) -> None:
        """Stop the servers."""
        for process in self.processes.values():
            process.stop()

    def generate(self, days: int, rows_per_day: int, end: str, seed: int = 10) -> None:
        """Source tables with a signal."""
        spec = Spec(seed=seed, rows_per_day=rows_per_day)
        make_tables(self.pipeline.data, spec, layout.parse_date(end), days)

    def client(self) -> OpenMLDBClient:
        """A client of the API server."""
        return OpenMLDBClient.of(self.settings)

    def plan(self, ds: str, run_id: str | None = None, train_days: int = TRAIN_DAYS) -> Plan:
        """The plan of a night."""
        return make_plan(
            self.pipeline,
            ds=ds,
            run_id=run_id or f"manual__{ds}",
            train_days=train_days,
            allow_missing=True,
        )

    def of(self, plan: Plan) -> Night:
        """The night of a plan."""
        return Night(self.pipeline, plan)

    def features(self, plan: Plan) -> None:
        """Offline: load the partitions into the run's database and export the features."""
        files = self.pipeline.features
        with self.client() as client:
            online.drop_database(client, plan["workspace"])
            for name in (plan["workspace"], plan["database"]):
                if name not in client.databases():
                    client.execute("INFORMATION_SCHEMA", f"CREATE DATABASE {name}", mode="onsync")
                for statement in split_script(files.create_script()):
                    client.execute(name, statement, mode="onsync")
            for table, path in plan["sources"].items():
                self.job(
                    client,
                    plan["workspace"],
                    load_data(path, table, "overwrite"),
                    "offasync",
                )
            query = files.query().rstrip().rstrip(";")
            self.job(
                client,
                plan["workspace"],
                f"{query} INTO OUTFILE {quote_literal(plan['run_dir'] + '/features')} "
                "OPTIONS(format='parquet', mode='overwrite')",
                "offasync",
            )

            recommend = self.pipeline.config.recommend
            if recommend is not None and recommend.sql_list is not None:
                query = self.pipeline.file(recommend.sql_list).read_text().rstrip().rstrip(";")
                self.job(
                    client,
                    plan["workspace"],
                    f"{query} INTO OUTFILE {quote_literal(plan['run_dir'] + '/listed')} "
                    "OPTIONS(format='parquet', mode='overwrite')",
                    "offasync",
                )

    @staticmethod
    def job(client: OpenMLDBClient, database: str, sql: str, mode: Any) -> None:
        """Run one job to its end."""
        job = client.submit(database, sql, mode)
        while not job.state.is_terminal:
            time.sleep(0.05)
            job = client.job(job.job_id)
        if job.state is not JobState.FINISHED:
            raise job_error(job, client.job_log(job.job_id))

    def task(
        self,
        plan: Plan,
        name: str,
        arguments: list[str],
        *,
        family: str = "ctr",
        result: str | None = None,
    ) -> dict[str, Any]:
        """Run a container task as a process; `result` is its id where that is not its name."""
        env = {**os.environ, "PYTHONPATH": "src:."}
        done = subprocess.run(
            [str(self.settings.task_python), "-m", f"tasks.{family}.{name}", *arguments],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        run = layout.RunFolder(Path(plan["run_dir"]))
        value: dict[str, Any] = json.loads(run.result(result or name).read_text())
        return value

    def load_online(self, plan: Plan) -> None:
        """What the online store lacks."""
        with self.client() as client:
            online_load.bring_online(client, self.pipeline, ds=plan["ds"])

    def preprocess(self, plan: Plan) -> None:
        """Features to a dataset, and the data checks."""
        self.task(plan, "preprocess", commands.preprocess_arguments(self.of(plan), OWN))

    def train(self, plan: Plan, **more: Any) -> dict[str, Any]:
        """A model; `more` are hyper-parameters."""
        own = replace(OWN, hyperparameters={**OWN.hyperparameters, **more})
        return self.task(plan, "train", commands.train_arguments(self.of(plan), own))

    def refit(self, plan: Plan) -> None:
        """The judged recipe on all judged days."""
        for result, arguments in commands.refit_arguments(self.of(plan), OWN).items():
            self.task(plan, result.removeprefix("refit_"), arguments, result=result)

    def recommend(self, plan: Plan) -> None:
        """Retrieval, where the pipeline recommends."""
        if self.pipeline.config.recommend is not None:
            arguments = commands.recommend_arguments(self.of(plan), OWN)
            done = subprocess.run(
                [str(self.settings.task_python), "-m", "tasks.recommend.train", *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": "src:."},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    def candidate(self, plan: Plan) -> dict[str, Any]:
        """A candidate, its held-out rows scored."""
        made = steps.make_candidate(self.of(plan), triggered_by="test")
        self.task(plan, "score", made["score_arguments"])
        return made

    def gates(self, plan: Plan, release: str) -> None:
        """All gates after the candidate, and the verdict."""
        recommends = self.pipeline.config.recommend is not None
        for name in ("quality", *(["recommend"] if recommends else []), "rehearsal", "consistency"):
            steps.gate(self.of(plan), name, release)
        steps.accept(self.of(plan), release)

    def night(
        self,
        ds: str,
        run_id: str | None = None,
        *,
        promote: str = "newer",
        before_training: Callable[[Plan], None] | None = None,
        before_candidate: Callable[[Plan], None] | None = None,
        before_gates: Callable[[Plan, str], None] | None = None,
    ) -> dict[str, Any]:
        """One whole night; the hooks may spoil it."""
        plan = self.plan(ds, run_id)
        steps.begin(self.of(plan))
        release = None
        try:
            self.features(plan)
            self.preprocess(plan)
            if before_training is not None:
                before_training(plan)
            steps.gate(self.of(plan), "data")
            self.train(plan)
            self.recommend(plan)
            if before_candidate is not None:
                before_candidate(plan)
            release = str(self.candidate(plan)["release_id"])
            self.load_online(plan)
            if before_gates is not None:
                before_gates(plan, release)
            self.gates(plan, release)
            return steps.switch_over(self.of(plan), release, promote=promote, actor="test")
        finally:
            self.end(plan, release)

    def end(self, plan: Plan, release: str | None) -> None:
        """Retire, drop the run's database, retention."""
        steps.retire_old(self.of(plan))
        with self.client() as client:
            online.drop_database(client, plan["workspace"])
        steps.finish(self.of(plan), release=release)


OWN = commands.Overrides(
    epochs=2, label_settle_days=1, test_days=2, valid_days=1, hyperparameters={"threads": 1}
)


def _answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True
