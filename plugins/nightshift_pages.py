"""Airflow plugin: pages of Nightshift in Airflow's web server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from nightshift_provider.links.openmldb import URL_PREFIX

_Message = MutableMapping[str, Any]


class _LazyApp:
    """An ASGI app made at its first request: schedulers and DAG processors load plugins too."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if self._app is None:
            from nightshift_provider.pages import make_app

            self._app = make_app()
        await self._app(scope, receive, send)


class NightshiftPlugin(AirflowPlugin):
    """Mounts the pages, and lists the releases in the menu *Browse*."""

    name = "nightshift"
    fastapi_apps: list[Any] = [  # noqa: RUF012 (declared so by Airflow)
        {"app": _LazyApp(), "url_prefix": URL_PREFIX, "name": "Nightshift"}
    ]
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Nightshift releases",
            "href": f"{URL_PREFIX}/releases",
            "destination": "nav",
            "category": "browse",
            "url_route": "nightshift-releases",
        },
        {
            "name": "Nightshift live",
            "href": f"{URL_PREFIX}/live",
            "destination": "nav",
            "category": "browse",
            "url_route": "nightshift-live",
        },
    ]
