"""One Docker engine for all tests that ask for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from testing import images
from testing.engine import Engine, EngineUnavailable, running


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """A running engine; skips where none can be had."""
    with contextlib.ExitStack() as stack:
        try:
            engine = stack.enter_context(running())
        except EngineUnavailable as error:
            pytest.skip(str(error))
        yield engine


@pytest.fixture(scope="session")
def task_images(docker_engine: Engine) -> dict[str, str]:
    """The images of `tasks/*`, built from their own Dockerfiles."""
    try:
        preprocess, train = images.build_tasks(docker_engine)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    return {"preprocess": preprocess, "train": train}
