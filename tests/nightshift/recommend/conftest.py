"""The retrieval of a small world, made once."""

import pytest

from nightshift.recommend.recommender import Recommender
from testing.retrieval import build, options, world


@pytest.fixture(scope="session")
def found():
    return world()


@pytest.fixture(scope="session")
def made(found, tmp_path_factory):
    """The world's retrieval by all retrievers."""
    folder = tmp_path_factory.mktemp("retrieval") / "recommend"
    build(found, options(), folder)
    return Recommender.load(folder)
