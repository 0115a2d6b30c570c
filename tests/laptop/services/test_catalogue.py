"""The laptop's services: their order, their ports, what each lacks while nothing runs."""

import pytest

from laptop.services.catalogue import NAMES, services
from nightshift.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def test_services_start_in_the_order_of_their_names(settings):
    found = services(settings)
    assert tuple(service.name for service in found) == NAMES
    assert [service.phase for service in found] == sorted(service.phase for service in found)


def test_every_port_is_one_services_and_moved_by_its_variable(settings):
    ports = [port for service in services(settings) for port in service.ports]
    assert len({port.number for port in ports}) == len(ports) == 6
    moved = {port.variable: str(20_000 + at) for at, port in enumerate(ports)}
    env = {"NIGHTSHIFT_HOME": str(settings.home), **moved}
    again = [p for service in services(Settings.from_env(env)) for p in service.ports]
    assert [str(port.number) for port in again] == list(moved.values())


def test_addresses_are_of_this_machine(settings):
    for service in services(settings):
        assert not service.address or service.address.startswith("http://127.0.0.1:")
