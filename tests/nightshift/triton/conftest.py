"""What tests of Triton share."""

import numpy as np
import pytest

from nightshift import triton as subject


@pytest.fixture
def model(triton):
    """A model's name; what the test left of it is unloaded."""
    name = triton.new_model()
    yield name
    triton.control.unload(name)


def publish(server, model, version, folder):
    return subject.publish(server.control, server.repo, model, version, folder)


def scores(server, model, version, golden):
    return server.control.score(model, version, {"INPUT_0": np.array(golden.ids)})
