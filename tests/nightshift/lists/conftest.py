"""The retrieval of a small world, made once."""

import pytest

from nightshift.recommend.recommender import Recommender
from testing.retrieval import build, options, world


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists") / "recommend"
    build(world(), options(retrievers=("popular",)), folder)
    return Recommender.load(folder)
