"""What tests of commands share."""

import socket

import pytest


@pytest.fixture
def closed_port():
    """A port that refuses connections and that no other process can take meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
