"""A real server in a process of its own, and a client that kills it and checks what it kept."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """Starts, asks and kills ``python -m openmldb_embedded``."""

    python = sys.executable

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.port = free_port()
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def start(self) -> ServerProcess:
        self.client.close()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        self.log = self.data.parent / f"{self.data.name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.python,
                    "-m",
                    "openmldb_embedded",
                    "--port",
                    str(self.port),
                    "--data",
                    str(self.data),
                    *self.arguments,
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()[-2000:]}")
            try:
                if self.client.get("/health").text == "OK":
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError("the server did not become ready")

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.process.wait(120)

    def post(self, path: str, body: Any) -> dict[str, Any]:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, sql: str, db: str = "db", mode: str = "onsync", **more: Any) -> dict[str, Any]:
        return self.post(f"/dbs/{db}", {"mode": mode, "sql": sql, **more})

    def do(self, sql: str, db: str = "db", mode: str = "onsync", **more: Any) -> list[list[Any]]:
        """The rows of an answer that must be ok."""
        found = self.ask(sql, db, mode, **more)
        assert found["code"] == 0, f"{sql}: {found}"
        rows: list[list[Any]] = found.get("data", {}).get("data", [])
        return rows

    def reason(self, job: list[Any]) -> str:
        """Why a job failed: the head of its log, for its row's error column is always empty."""
        assert job[8] == ""
        log: str = self.do(f"SHOW JOBLOG {job[0]}")[0][0]
        return log.removeprefix("Stdout:\nGet exception: ").partition("\n")[0]


class Shaken:
    """Clients that change a server's state, and know what it acknowledged before it died.

    Each client owns its objects, so that after a kill only its last, unanswered change is open: it
    may have happened or not, but not by half.
    """

    LOADED = 1000

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.file = server.data.parent / "rows.parquet"
        table = pa.table({"id": pa.array(range(self.LOADED), pa.int64())})
        pq.write_table(table, self.file)
        self.rows: dict[str, list[int]] = {"ins_0": [], "ins_1": []}
        self.open_rows: dict[str, list[int] | None] = {}
        self.cleared: set[str] = set()
        self.tables: set[str] = set()
        self.open_table: str | None = None
        self.deployments: set[str] = set()
        self.open_deployment: str | None = None
        self.finished: set[int] = set()
        self.next = 0
        self.kills = 0
        self.answered = 0

    def prepare(self) -> None:
        do = self.server.do
        do("CREATE DATABASE db")
        for name in (*self.rows, "online", "offline"):
            do(f"CREATE TABLE {name}(id bigint, INDEX(key=id))")
        do("CREATE TABLE req(k string, ts timestamp, v int)")

    def number(self) -> int:
        self.next += 1
        return self.next

    def _insert(self, name: str) -> None:
        if self.random.random() < 0.02:
            self.cleared.add(name)
            self.server.do(f"TRUNCATE TABLE {name}")
            self.rows[name] = []
            self.cleared.discard(name)
            return
        rows = [self.number() for _ in range(self.random.choice([1, 3, 200]))]
        self.open_rows[name] = rows
        self.server.do(f"INSERT INTO {name} VALUES {', '.join(f'({n})' for n in rows)}")
        self.rows[name] += rows
        self.open_rows[name] = None

    def _ddl(self) -> None:
        if self.tables and self.random.random() < 0.4:
            name = self.random.choice(sorted(self.tables))
            self.open_table = name
            self.server.do(f"DROP TABLE {name}")
            self.tables.discard(name)
        else:
            name = f"t{self.number()}"
            self.open_table = name
            self.server.do(f"CREATE TABLE {name}(a int, INDEX(key=a))")
            self.tables.add(name)
        self.open_table = None

    def _load(self, name: str) -> None:
        mode = "onsync" if name == "online" else "offsync"
        row = self.server.do(
            f"LOAD DATA INFILE '{self.file}' INTO TABLE {name} "
            f"OPTIONS(format='parquet', mode='append')",
            mode=mode,
        )[0]
        assert row[2] == "FINISHED", row
        self.finished.add(row[0])

    def _deploy(self) -> None:
        if self.deployments and self.random.random() < 0.4:
            name = self.random.choice(sorted(self.deployments))
            self.open_deployment = name
            self.server.do(f"DROP DEPLOYMENT {name}")
            self.deployments.discard(name)
        else:
            name = f"d{self.number()}"
            self.open_deployment = name
            self.server.do(
                f"DEPLOY {name} SELECT k, count(v) OVER w AS c FROM req WINDOW w AS "
                f"(PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)"
            )
            self.deployments.add(name)
        self.open_deployment = None

    def shake(self, seconds: float) -> None:
        """Change things from several threads, and kill the server after so long."""
        failures: list[BaseException] = []
        works: list[Callable[[], None]] = [
            lambda: self._insert("ins_0"),
            lambda: self._insert("ins_1"),
            self._ddl,
            self._deploy,
            lambda: self._load("online"),
            lambda: self._load("offline"),
        ]
        dead = threading.Event()
        ending = threading.Event()

        def run(work: Callable[[], None]) -> None:
            try:
                while not dead.is_set():
                    work()
                    self.answered += 1
            except (httpx.TransportError, OSError):
                return
            except AssertionError as error:
                if not ending.is_set():  # a clean end answers what it stops with an error
                    failures.append(error)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        if self.random.random() < 0.1:
            ending.set()
            self.server.end(signal.SIGTERM)
        else:
            self.server.end(signal.SIGKILL)
        dead.set()
        for thread in threads:
            thread.join()
        self.kills += 1
        if failures:
            raise failures[0]

    def check(self) -> None:
        """Compare the restarted server with what was acknowledged."""
        do = self.server.do
        for name, kept in self.rows.items():
            found = sorted(row[0] for row in do(f"SELECT id FROM {name}"))
            also = self.open_rows.get(name) or []
            allowed = [kept, kept + also]
            if name in self.cleared:
                allowed.append([])
            assert found in allowed, f"{name}: {len(found)} rows, {len(kept)} acknowledged"
            self.rows[name] = found
        self.open_rows.clear()
        self.cleared.clear()
        fixed = {*self.rows, "online", "offline", "req"}
        tables = {row[0] for row in do("SHOW TABLES")} - fixed
        assert tables ^ self.tables <= {self.open_table}
        self.tables, self.open_table = tables, None
        deployed = {row[1] for row in do("SHOW DEPLOYMENTS")}
        assert deployed ^ self.deployments <= {self.open_deployment}
        for name in sorted(deployed)[:3]:
            answer = self.server.post(f"/dbs/db/deployments/{name}", {"input": [["a", 1, 1]]})
            assert answer["data"]["data"] == [["a", 1]], answer
        self.deployments, self.open_deployment = deployed, None
        jobs = do("SHOW JOBS")
        for job in jobs:
            assert job[2] in ("FINISHED", "LOST", "STOPPED"), job
        done = {job[0] for job in jobs if job[2] == "FINISHED"}
        assert self.finished <= done
        self.finished = done
        for name, mode in (("online", "onsync"), ("offline", "offsync")):
            loads = sum(f"INTO TABLE {name} " in job[5] and job[0] in done for job in jobs)
            count = do(f"SELECT count(id) FROM {name}", mode=mode)
            assert (count or [[0]])[0][0] == loads * self.LOADED, f"{name}: {count}, {loads} loads"
