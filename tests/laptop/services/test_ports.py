"""A port that is taken is named with the process that holds it."""

import os
import socket

from laptop.services import ports


def test_a_port_is_free_again_after_its_holder_is_gone():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        told = ports.problem("127.0.0.1", port)
        assert told.startswith(f"port {port} is in use by pid {os.getpid()} (")
    assert ports.problem("127.0.0.1", port) is None


def test_a_host_that_is_not_this_machine():
    assert "is not an address of this machine" in ports.problem("no-such-host.invalid", 1234)
    assert "cannot be listened on" in ports.problem("192.0.2.1", 1234)
