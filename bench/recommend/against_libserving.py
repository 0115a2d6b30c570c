"""`/recommend` and LibRecommender's libserving (Sanic and Redis), in turns, with one load.

    .venv/bin/python bench/recommend/against_libserving.py --peer PEER/bin/python \\
        --redis redis-server

Builds a house of its own whose release recommends by item neighbours, fits LibRecommender's ItemCF
on the same interactions, fills a Redis with it and starts libserving's own Sanic server. Both are
asked for 10 items of the same users by `../shared/bench/predict_load.py`. Ours ranks its 200
candidates by features of OpenMLDB and the model; libserving adds up similarities alone. Prints a
line of JSON a run. `bench/recommend/peer_libserving.py` says how to make PEER.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from nightshift.config.recommend import Recommend  # noqa: E402
from nightshift.recommend.recommender import Recommender  # noqa: E402
from testing.house import House  # noqa: E402
from testing.serving import free_ports, wait_until  # noqa: E402

LOAD = ROOT.parent / "shared" / "bench" / "predict_load.py"
HERE = Path(__file__).parent
DS = "2026-11-19"


def recommending(home: Path, workers: int) -> House:
    """A house whose live release recommends."""
    house = House.build(home, predict_workers=workers)
    house.pipeline = house.pipeline.with_config(
        recommend=Recommend(
            user="user_id",
            item="sku_id",
            fill={"pair_id": "{user}_{item}"},
            retrievers=("item_neighbours",),
        ),
        gates_run=(*house.pipeline.config.gates_run, "recommend"),
    )
    house.pipeline.gates["recommend"]["level"] = "warn"
    house.generate(16, 300, DS)
    house.up()
    house.night(DS)
    return house


def interactions(house: House, path: Path) -> list[str]:
    """The release's own interactions as the peer reads them; its users."""
    live = json.loads((house.pipeline.releases / "live.json").read_text())
    made = Recommender.load(house.pipeline.store.folder(live["release_id"]).recommend)
    users, items = made.users.values.to_pylist(), made.ids.values.to_pylist()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "item"])
        for place, user in enumerate(users):
            writer.writerows((user, items[at]) for at in made.liked.row(place))
    return [user for place, user in enumerate(users) if len(made.liked.row(place))]


@contextmanager
def libserving(python: str, redis: str, train: Path, folder: Path) -> Iterator[int]:
    """Redis, filled, and the Sanic server; yields its port."""
    redis_port, port = free_ports(2)
    argv = [redis, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""]
    started = [subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL)]
    try:
        time.sleep(1)
        fill = [python, str(HERE / "peer_libserving.py"), str(train), str(folder / "knn")]
        subprocess.run([*fill, str(redis_port)], check=True, stdout=subprocess.DEVNULL)
        app = "libserving.sanic_serving.knn_deploy:app"
        argv = [python, "-m", "sanic", app, "--host", "127.0.0.1", "--port", str(port)]
        env = {**os.environ, "REDIS_HOST": f"127.0.0.1:{redis_port}"}
        options = ["--single-process", "--no-access-logs"]
        started.append(
            subprocess.Popen(
                [*argv, *options], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

        def up() -> bool:
            try:
                httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
            except httpx.TransportError:
                return started[-1].poll() is not None
            return True

        wait_until(up, "libserving answers")
        yield port
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def load(port: int, path: str, file: Path, clients: int, seconds: float) -> str:
    """One run of the load generator."""
    argv = [sys.executable, str(LOAD), str(port), path, str(file), str(clients), str(seconds)]
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="Python with LibRecommender and libserving")
    parser.add_argument("--redis", default="redis-server")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if not LOAD.is_file():
        sys.exit(f"{LOAD} is not there; it makes the load")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        house = recommending(folder / "home", options.workers)
        try:
            users = interactions(house, folder / "train.csv")[:200]
            ours, theirs = folder / "ours.json", folder / "theirs.json"
            ours.write_text(json.dumps([{"user": user, "n": 10} for user in users]))
            theirs.write_text(json.dumps([{"user": user, "n_rec": 10} for user in users]))
            train = folder / "train.csv"
            with libserving(options.peer, options.redis, train, folder) as port:
                for clients in options.clients:
                    for _ in range(options.turns):
                        mine = house.settings.predict_port
                        print("ours", load(mine, "/recommend", ours, clients, options.seconds))
                        peer = load(port, "/knn/recommend", theirs, clients, options.seconds)
                        print("libserving", peer, flush=True)
        finally:
            house.down()


if __name__ == "__main__":
    main()
