"""Nightshift's pages in Airflow's web server: the log of a task's job, the releases, what is served.

Airflow mounts plugins' apps without any authentication, so each route asks for the same rights as
Airflow's own page of the same thing does. What they show may come from data and from task
containers, so a page may run no script and load nothing from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def make_app() -> FastAPI:
    """The app that `plugins/nightshift_pages.py` mounts."""
    from fastapi import FastAPI

    from nightshift_provider.pages import job_log, live, releases

    app = FastAPI(title="Nightshift", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(job_log.make_router())
    app.include_router(releases.make_router())
    app.include_router(live.make_router())
    return app
