"""Airflow's own web app, and a user of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

Get = Callable[[str], Any]


@pytest.fixture(scope="session")
def web(airflow_home) -> Iterator[Any]:
    """A browser of nobody's."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def get(web) -> Get:
    """GET as an admin."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="a", role="ADMIN"))
    return lambda url: web.get(url, headers={"Authorization": f"Bearer {token}"})
