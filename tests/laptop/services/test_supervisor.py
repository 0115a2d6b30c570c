"""The supervisor on real processes: small web servers that can be made to misbehave."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from laptop.services import catalogue, processes
from laptop.services.catalogue import Port, Service
from laptop.services.launch import Launch
from laptop.services.supervisor import Supervisor
from nightshift.errors import ConfigurationError, ServiceUnavailable
from nightshift.files import write_json
from nightshift.settings import Settings
from testing.serving import free_ports

SERVER = textwrap.dedent(
    """
    import http.server, os, signal, subprocess, sys
    port, kind = int(sys.argv[1]), sys.argv[2]
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    if kind == "dies":
        sys.exit("no licence found")
    if kind == "family":                    # a child here, and one in a session of its own
        subprocess.Popen(sleeper)
        subprocess.Popen(sleeper, start_new_session=True)
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if kind == "renamed":                   # as setproctitle does: the environment is gone
        child = subprocess.Popen(sleeper, start_new_session=True, env={})
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers(); self.wfile.write(b"OK")
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
    """
)


def service(name: str, port: int, kind: str = "plain", phase: int = 0) -> Service:
    def launch(settings: Settings) -> Launch:
        argv = [sys.executable, "-c", SERVER, str(port), kind]
        return Launch(argv, dict(os.environ), settings.home)

    def not_ready(settings: Settings, since: float) -> str | None:
        try:
            return None if catalogue.get(f"http://127.0.0.1:{port}")[1] == b"OK" else "rubbish"
        except OSError as error:
            return str(error)

    return Service(
        name, name, (Port(port, f"PORT_OF_{name.upper()}"),), launch, not_ready, "", None, phase
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "a home"
    home.mkdir()
    return Settings(home=home, start_timeout_s=30, stop_grace_s=1)


@pytest.fixture
def supervise(settings):
    made: list[Supervisor] = []

    def make(*services: Service) -> Supervisor:
        made.append(Supervisor(settings, services))
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.down()


def answers(port: int) -> bool:
    try:
        return catalogue.get(f"http://127.0.0.1:{port}")[1] == b"OK"
    except OSError:
        return False


def alive(pid: int) -> bool:
    process = processes.look(pid)
    return process is not None and process.running


def test_up_starts_what_does_not_run_and_only_that(supervise):
    first, second = free_ports(2)
    supervisor = supervise(service("one", first), service("two", second))
    assert supervisor.up(["one"]) == ["one"]
    pid = supervisor.record("one").pid
    assert supervisor.up() == ["two"]
    assert supervisor.up() == []
    assert supervisor.record("one").pid == pid
    assert answers(first)
    assert answers(second)
    assert [row.state for row in supervisor.status()] == ["running", "running"]
    assert supervisor.dead() == []


def test_another_supervisor_of_the_same_home_sees_and_stops_it(supervise):
    (port,) = free_ports(1)
    supervise(service("one", port)).up()
    other = supervise(service("one", port))
    assert other.up() == []
    assert other.down() == 1
    assert not answers(port)
    assert [row.state for row in other.status()] == ["stopped"]
    assert other.down() == 0


def test_down_ends_children_also_those_that_left_the_session(supervise):
    (port,) = free_ports(1)
    supervisor = supervise(service("one", port, "family"))
    supervisor.up()
    family = processes.members([supervisor.record("one").leader])
    assert len(family) == 3
    assert supervisor.down() == 3
    assert not any(alive(p.pid) for p in family)


def test_down_finds_what_outlived_its_parent_in_a_session_of_its_own(supervise):
    (port,) = free_ports(1)
    supervisor = supervise(service("one", port, "family"))
    supervisor.up()
    family = [p.pid for p in processes.members([supervisor.record("one").leader])]
    os.kill(supervisor.record("one").pid, signal.SIGKILL)
    supervisor.children["one"].wait()
    assert supervisor.dead() == ["one"]
    assert [row.state for row in supervisor.status()] == ["died"]
    assert sum(map(alive, family)) == 2
    assert supervisor.down() == 2
    assert not any(map(alive, family))


def test_down_finds_a_child_without_the_marker_in_its_environment(supervise):
    (port,) = free_ports(1)
    supervisor = supervise(service("one", port, "renamed"))
    supervisor.up()
    assert supervisor.down() == 2


def test_what_ignores_sigterm_is_killed_after_the_grace(supervise):
    (port,) = free_ports(1)
    supervisor = supervise(service("one", port, "stubborn"))
    supervisor.up()
    pid = supervisor.record("one").pid
    supervisor.down()
    assert not alive(pid)


def test_a_service_that_died_is_started_again_and_its_leftovers_do_not_hold_the_port(supervise):
    (port,) = free_ports(1)
    supervisor = supervise(service("one", port, "family"))
    supervisor.up()
    leftover = [p.pid for p in processes.members([supervisor.record("one").leader])]
    os.kill(supervisor.record("one").pid, signal.SIGKILL)
    supervisor.children["one"].wait()
    assert supervisor.up() == ["one"]
    assert answers(port)
    assert not alive(leftover[0])


def test_down_does_not_touch_other_processes_nor_one_with_a_recycled_number(supervise, settings):
    (port,) = free_ports(1)
    supervisor = supervise(service("one", port))
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        start_new_session=True,
        env={**os.environ, "NIGHTSHIFT_HOME": str(settings.home)},
    )
    try:
        supervisor.up()
        record = supervisor.record("one")
        supervisor.down()
        # As if the number had been given to the bystander since.
        write_json(
            supervisor.folder / "one.json",
            {"pid": bystander.pid, "start_ticks": 1, "boot": record.boot, "argv": [], "ports": []},
        )
        assert [row.state for row in supervisor.status()] == ["died"]
        assert supervisor.down() == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_taken_port_is_named_with_its_holder_and_the_setting_and_nothing_starts(supervise):
    free, taken = free_ports(2)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", taken))
        sock.listen()
        supervisor = supervise(service("one", free), service("two", taken))
        with pytest.raises(ConfigurationError) as caught:
            supervisor.up()
        message = str(caught.value)
        assert f"port {taken}" in message
        assert "PORT_OF_TWO" in message
        assert f"pid {os.getpid()} " in message
        assert not answers(free)
        assert [row.state for row in supervisor.status()] == ["stopped", "taken"]


def test_a_service_that_dies_at_start_shows_the_end_of_its_log_and_the_others_stop(supervise):
    first, second = free_ports(2)
    supervisor = supervise(service("one", first), service("two", second, "dies"))
    with pytest.raises(ServiceUnavailable, match="no licence found"):
        supervisor.up()
    assert not answers(first)
    assert supervisor.down() == 0


def test_a_service_that_does_not_answer_in_time_says_what_it_lacks(supervise, settings):
    (port,) = free_ports(1)
    deaf = dataclasses.replace(service("one", port), not_ready=lambda *_: "no heartbeat yet")
    supervisor = supervise(deaf)
    supervisor.settings = dataclasses.replace(settings, start_timeout_s=0.5)
    with pytest.raises(ServiceUnavailable, match="no heartbeat yet"):
        supervisor.up()
    assert not answers(port)


def test_a_port_changed_meanwhile_is_said_instead_of_waited_for(supervise):
    first, second = free_ports(2)
    supervise(service("one", first)).up()
    with pytest.raises(ConfigurationError, match=rf"runs on port {first}.*PORT_OF_ONE is {second}"):
        supervise(service("one", second)).up()
    assert answers(first)


def test_a_later_phase_is_stopped_before_the_earlier(supervise):
    first, second = free_ports(2)
    supervisor = supervise(service("base", first, "stubborn"), service("top", second, phase=1))
    supervisor.up()
    base, top = supervisor.record("base").pid, supervisor.record("top").pid
    seen: list[tuple[bool, bool]] = []
    send = processes.send

    def spy(process, number):
        seen.append((process.pid == base, alive(top)))
        send(process, number)

    processes.send = spy
    try:
        supervisor.down()
    finally:
        processes.send = send
    # Whenever the base was signalled, the top was gone.
    assert [still for is_base, still in seen if is_base] == [False] * sum(b for b, _ in seen)
    assert any(is_base for is_base, _ in seen)


def test_the_pid_of_a_process_and_its_start_name_it(settings):
    me = processes.look(os.getpid())
    boot = processes.boot_id()
    assert processes.is_same(me.pid, me.start_ticks, boot)
    assert not processes.is_same(me.pid, me.start_ticks + 1, boot)
    assert not processes.is_same(me.pid, me.start_ticks, "another boot")
    assert abs(processes.started_at(me) - time.time()) < 24 * 3600
