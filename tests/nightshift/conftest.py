"""What tests of notifications share."""

import pytest

from testing.receivers import web_server


@pytest.fixture
def web():
    """A web server that keeps what is posted to it."""
    with web_server() as server:
        yield server
