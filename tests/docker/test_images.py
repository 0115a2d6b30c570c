"""The task images, built from their own Dockerfiles: what is in them, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tomllib

from testing.engine import PROJECT, Engine

pytestmark = pytest.mark.docker

# As the task operator runs them: nothing to write to but /tmp, no network, no capabilities.
CONFINED = ("--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL")
VERSIONS = """
import importlib.metadata as m, json
print(json.dumps({d.metadata["Name"].lower().replace("_", "-"): d.version for d in m.distributions()}))
"""


def locked() -> dict[str, str]:
    lock = tomllib.loads((PROJECT / "tasks" / "uv.lock").read_text())
    return {package["name"]: package["version"] for package in lock["package"]}


def run(engine: Engine, image: str, *command: str) -> str:
    return engine.docker("run", *CONFINED, image, *command)


def inspect(engine: Engine, image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("image", "inspect", image))[0]
    return found


@pytest.mark.parametrize("task", ["preprocess", "train"])
def test_task_runs_as_nobody_on_a_read_only_root(
    docker_engine: Engine, task_images: dict[str, str], task: str
) -> None:
    code = f"import os, tasks.ctr.{task}.__main__; print(os.getuid(), os.getgid(), os.getcwd())"
    out = run(docker_engine, task_images[task], "python", "-c", code)
    assert out.split() == ["10001", "10001", "/opt/nightshift"]


@pytest.mark.parametrize("task", ["preprocess", "train"])
def test_versions_are_the_locks(
    docker_engine: Engine, task_images: dict[str, str], task: str
) -> None:
    found = json.loads(run(docker_engine, task_images[task], "python", "-c", VERSIONS))
    assert {"numpy", "pyarrow", "xxhash"} <= found.keys()
    assert found.items() <= locked().items()


def test_only_the_training_image_holds_oneflow(
    docker_engine: Engine, task_images: dict[str, str]
) -> None:
    names = {
        task: set(json.loads(run(docker_engine, image, "python", "-c", VERSIONS)))
        for task, image in task_images.items()
    }
    heavy = {"oneflow", "nvidia-cublas-cu11", "nvidia-cudnn-cu11", "scikit-learn", "scipy"}
    assert names["train"] - names["preprocess"] == heavy
    assert inspect(docker_engine, task_images["preprocess"])["Size"] < 600e6


def test_both_images_share_their_first_layers(
    docker_engine: Engine, task_images: dict[str, str]
) -> None:
    small, large = (
        inspect(docker_engine, task_images[task])["RootFS"]["Layers"]
        for task in ("preprocess", "train")
    )
    # base, user, folder, environment; then OneFlow in one, the code in the other
    assert [a == b for a, b in zip(small, large, strict=False)][:5] == [True] * 5


def test_build_tools_and_the_rest_of_the_project_stay_out(
    docker_engine: Engine, task_images: dict[str, str]
) -> None:
    for image in task_images.values():
        listing = run(docker_engine, image, "ls", "-A", "/opt/nightshift")
        assert set(listing.split()) == {"include", "packages", "src", "tasks"}
        packages = run(docker_engine, image, "ls", "-A", "/opt/nightshift/packages")
        assert packages.split() == ["openmldb-files"]
        # What was bound for the build leaves empty names at most.
        assert run(docker_engine, image, "find", "/uv", "/build", "-type", "f", "-size", "+0") == ""


def test_oneflow_computes_in_the_training_image(
    docker_engine: Engine, task_images: dict[str, str]
) -> None:
    code = "import oneflow as f; print(float((f.ones(3, 4) @ f.ones(4, 5)).sum()))"
    assert run(docker_engine, task_images["train"], "python", "-c", code).strip() == "60.0"
