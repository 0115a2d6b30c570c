"""The list of users by items: rows a second, memory, a kill half way, and each bit of a sample.

    .venv/bin/python bench/lists.py --pairs 10000000 --sample 10000

Builds a house of its own (tables, one night, real OpenMLDB and Triton) and writes the list of
`--users` users by as many items as make up `--pairs` with `./nightshift score`. The command is
killed (SIGKILL) half way and started again; it has to go on from its finished files. Then
`--sample` pairs of the list, taken at random, are asked of the predict server one by one, and
their scores have to be those of the list, bit for bit. Prints lines of JSON.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from laptop.services.launch import base_env  # noqa: E402
from testing.house import House  # noqa: E402

DS = "2026-11-19"


def tables(house: House, folder: Path, users: int, items: int) -> tuple[Path, Path]:
    """Files of users and of items: those that there are, repeated under names of their own."""
    rows = pq.read_table(house.pipeline.data / "flattenRequest").to_pydict()
    known_users = list(dict.fromkeys(rows["user_id"]))
    known_items = list(dict.fromkeys(rows["sku_id"]))
    left = pa.table(
        {
            "user_id": [known_users[n % len(known_users)] for n in range(users)],
            "main_id": [str(n) for n in range(users)],
        }
    )
    right = pa.table({"sku_id": [known_items[n % len(known_items)] for n in range(items)]})
    for name, table in (("users", left), ("items", right)):
        pq.write_table(table, folder / f"{name}.parquet")
    return folder / "users.parquet", folder / "items.parquet"


class Command:
    """`./nightshift score`, and the most memory that it held."""

    def __init__(self, house: House, argv: list[str]) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [str(ROOT / ".venv" / "bin" / "python"), "-m", "cli", "score", *argv],
            cwd=ROOT, env=base_env(house.settings), stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.peak_kib = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        status = Path(f"/proc/{self.process.pid}/status")
        while self.process.poll() is None:
            for line in status.read_text().splitlines() if status.exists() else []:
                if line.startswith("VmHWM"):
                    self.peak_kib = max(self.peak_kib, int(line.split()[1]))
            time.sleep(0.2)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> str:
        told, _ = self.process.communicate()
        if self.process.returncode:
            sys.exit(told)
        return told


def show(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def compare(house: House, listed: Path, count: int) -> tuple[int, int]:
    """Pairs of the list that were asked one by one, and how many answers differ in a bit."""
    summary = json.loads((listed / "_list.json").read_text())
    table = pq.read_table(listed, columns=["user", "item", "score"])
    places = np.random.default_rng(9).choice(len(table), min(count, len(table)), replace=False)
    chosen = table.take(pa.array(np.sort(places))).to_pylist()
    connection = http.client.HTTPConnection("127.0.0.1", house.settings.predict_port, timeout=60)
    schema = ask(connection, "GET", "/schema", None)["request"]
    names = [column["name"] for column in schema]
    tables = house.pipeline.features.tables
    differ = 0
    for pair in chosen:
        row = dict.fromkeys(names)
        row |= {"user_id": pair["user"], "sku_id": pair["item"], tables.request_id: "one"}
        row[tables.request_time] = summary["job"]["at"]
        # What the list's own rows hold besides takes no part in any feature.
        answer = ask(connection, "POST", "/predict", row)
        score = np.float32(answer["predictions"][0]["score"])
        differ += score.tobytes() != np.float32(pair["score"]).tobytes()
    return len(chosen), differ


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> Any:
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        sys.exit(content.decode()[:500])
    return json.loads(content)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=10_000)
    parser.add_argument("--no-kill", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        house = House.build(folder / "home")
        house.generate(16, 300, DS)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            house.up()
            house.night(DS)
            users, items = tables(house, folder, options.users, options.pairs // options.users)
            out = folder / "lists"
            argv = ["--out", str(out), "--users", str(users), "--items", str(items)]
            if not options.no_kill:
                killed(house, argv, out, options.pairs)
            command = Command(house, argv)
            told = command.end()
            show(
                step="list", pairs=options.pairs, said=told.strip().splitlines()[-1],
                seconds=round(time.monotonic() - command.began, 1),
                peak_mib=round(command.peak_kib / 1024),
            )  # fmt: skip
            asked, differ = compare(house, out / f"ds={DS}", options.sample)
            show(step="sample", asked_one_by_one=asked, differ=differ)
        finally:
            house.down()


def killed(house: House, argv: list[str], out: Path, pairs: int) -> None:
    """Kill the command when half of its files are there."""
    command = Command(house, argv)
    partial = out / f".partial-ds={DS}"
    half = max(1, pairs // 100_000 // 2)
    while len(list(partial.glob("part-*"))) < half:
        if command.process.poll() is not None:
            sys.exit("the list ended before it was killed; give more --pairs")
        time.sleep(0.05)
    command.kill()
    whole = not (out / f"ds={DS}").exists()
    show(
        step="killed", after_s=round(time.monotonic() - command.began, 1),
        files=len(list(partial.glob("part-*"))), nothing_under_its_name=whole,
    )  # fmt: skip


if __name__ == "__main__":
    main()
