"""The serving half as real processes: trained models, Triton, the embedded OpenMLDB."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from laptop.services.launch import Launch, base_env
from laptop.triton.launch import command
from nightshift import files
from nightshift.contract.signature import ModelSignature, ctr_signature
from nightshift.features.specification import FeatureSpec
from nightshift.settings import Settings
from nightshift.triton import Golden, TritonControl
from testing.workshop import TASKS_PYTHON, Workshop

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class GoldenRows:
    """Golden examples of a model of ids alone, as rows."""

    ids: list[list[int]]
    scores: list[float]
    tolerance: float


def golden_of(model: Path) -> Golden:
    return Golden.load(model, ModelSignature.load(model))


def golden_rows(model: Path) -> GoldenRows:
    signature = ModelSignature.load(model)
    golden = Golden.load(model, signature)
    return GoldenRows(
        golden.inputs["INPUT_0"].tolist(),
        golden.outputs["OUTPUT_0"].reshape(-1).tolist(),
        signature.outputs[0].tolerance,
    )


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nothing listens on just now, each another."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def listens(port: int) -> bool:
    """Whether a server of this machine takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 180.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


@dataclass
class Process:
    """A server in a process group of its own."""

    launch: Launch
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.launch.argv,
                env=self.launch.env,
                cwd=self.launch.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> bool:
        """Raise if it has ended."""
        code = self.process.poll()
        assert code is None, f"it ended with {code}:\n{self.log.read_text()[-3000:]}"
        return True

    def answers(self, url: str) -> bool:
        """Whether a GET is answered with 200; raises if the process has ended."""
        import httpx

        self.check()
        try:
            return httpx.get(url, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def cpu_s(self) -> float:
        """Processor time of it and its children so far, in seconds."""
        process = psutil.Process(self.process.pid)
        seconds = 0.0
        for one in (process, *process.children()):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                seconds += sum(one.cpu_times()[:4])
        return seconds

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
        try:
            return self.process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


@dataclass(frozen=True)
class Trained:
    """Small models made by `tasks.ctr.train`: two of one specification, one of ids alone."""

    workshop: Workshop
    models: tuple[Path, Path]
    narrow: Path

    @property
    def spec_path(self) -> Path:
        return self.workshop.spec

    @property
    def spec(self) -> FeatureSpec:
        return FeatureSpec.load(self.spec_path)

    def golden(self, which: int) -> GoldenRows:
        return golden_rows(self.models[which])

    def check(self, control: TritonControl, model: str, version: int, which: int) -> float:
        """Compare a published version with the golden examples."""
        folder = self.models[which]
        return control.check_golden(model, version, golden_of(folder), ModelSignature.load(folder))

    def copy(self, which: int, target: Path) -> Path:
        """A copy to be spoilt."""
        shutil.copytree(self.models[which], target)
        return target


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Models that differ: other seeds, other epochs."""
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    workshop = Workshop(tmp_path_factory.mktemp("trained"))
    features = workshop.features()
    workshop.preprocess(features)
    for number, name in ((1, "first"), (2, "second")):
        changes = ("--set", f"epochs={number}", "--set", f"seed={number}")
        workshop.train("dataset", *changes, out=name)
    narrow = Workshop(tmp_path_factory.mktemp("narrow"))
    spec = yaml.safe_load(narrow.spec.read_text())
    del spec["categorical"]["weekday"]
    others = ["weekday", *spec.pop("numeric")]
    spec["ignored"] |= dict.fromkeys(others, "the model knows user and product alone")
    narrow.spec.write_text(yaml.safe_dump(spec, sort_keys=False))
    narrow.preprocess(features)
    narrow.train("dataset", "--set", "epochs=1")
    return Trained(
        workshop, (workshop.root / "first", workshop.root / "second"), narrow.root / "model"
    )


@dataclass
class Triton:
    """A running tritonserver, with an empty repository at first."""

    settings: Settings
    server: Process
    control: TritonControl
    names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def repo(self) -> Path:
        return self.settings.model_repo

    def new_model(self) -> str:
        """A name that no other test uses."""
        return f"model{next(self.names)}"

    def wait_live(self) -> None:
        wait_until(lambda: self.server.check() and self.control.live(), "Triton is live")
        # It listens for gRPC first.
        wait_until(lambda: listens(self.settings.triton_http_port), "Triton answers over HTTP")

    def stubs(self) -> list[int]:
        """Processes that run model versions."""
        children = Path(f"/proc/{self.server.process.pid}/task").glob("*/children")
        return [int(pid) for path in children for pid in path.read_text().split()]


def serving_settings(home: Path) -> Settings:
    """Settings of a house of its own, on free ports."""
    names = ("triton_http", "triton_grpc", "triton_metrics", "openmldb", "predict")
    ports: dict[str, Any] = {
        f"{name}_port": port for name, port in zip(names, free_ports(5), strict=True)
    }
    return Settings(home=home, **ports)


@pytest.fixture(scope="session")
def serving_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings that the session's servers share."""
    return serving_settings(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def triton(serving_home: Settings) -> Iterator[Triton]:
    """The real server from its wheel."""
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    server = Process(command(serving_home), serving_home.home / "triton.log")
    running = Triton(serving_home, server, TritonControl.of(serving_home))
    try:
        running.wait_live()
        yield running
    finally:
        running.control.close()
        running.server.stop()


@pytest.fixture(scope="session")
def openmldb_server(serving_home: Settings) -> Iterator[Process]:
    """The embedded OpenMLDB, empty at first."""
    import httpx

    home = serving_home.home
    argv = [str(ROOT / ".venv" / "bin" / "python"), "-m", "openmldb_embedded", "--host"]
    argv += ["127.0.0.1", "--port", str(serving_home.openmldb_port)]
    argv += ["--data", str(home / "openmldb"), "--root", str(home)]
    env = {**base_env(serving_home), "OPENMLDB_EMBEDDED_MOODS": f"@{home / 'moods'}"}
    server = Process(Launch(argv, env, ROOT), home / "openmldb.log")

    def up() -> bool:
        server.check()
        try:
            return httpx.get(f"{serving_home.openmldb_url}/health").text == "OK"
        except httpx.TransportError:
            return False

    try:
        wait_until(up, "OpenMLDB answers")
        yield server
    finally:
        server.stop()


def spoil(model: Path, how: str) -> Path:
    """Break a copy of a model in one of the ways in which nights go wrong."""
    if how == "cut parameters":
        target = next((model / "model").glob("module.embedding*/out"))
        target.write_bytes(target.read_bytes()[:-4])
    elif how == "no vocabulary":
        (model / "model" / "vocabulary.npz").unlink()
    elif how == "other weights":
        target = model / "model" / "module.out.bias" / "out"
        target.write_bytes(b"\0\0\0\x40")
    elif how == "not a number":
        target = model / "model" / "module.out.bias" / "out"
        target.write_bytes(b"\0\0\xc0\x7f")
    elif how == "fewer fields":
        golden = golden_of(model)
        ids = golden.inputs["INPUT_0"][:, :-1]
        files.write_json(model / "signature.json", ctr_signature(ids.shape[1]).to_json())
        Golden({"INPUT_0": ids}, golden.outputs).save(model)
    else:
        raise ValueError(how)
    return model
