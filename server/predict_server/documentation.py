"""`/docs`, the OpenAPI document, and the page of a pipeline without a release."""

from __future__ import annotations

import html
from pathlib import Path
from string import Template

FILE = Path(__file__).with_name("openapi.json")
ASSETS = "/docs/assets/"
NO_RELEASE = Path(__file__).with_name("pages") / "no_release.html"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}


def page() -> bytes:
    """Swagger UI, with this server's own copy of its files."""
    from fastapi.openapi.docs import get_swagger_ui_html

    answer = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Nightshift predict server",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon.png",
    )
    return bytes(answer.body)


def no_release(pipeline: str, problem: str) -> bytes:
    """What a browser sees where a pipeline has no live release: what to do about it."""
    text = Template(NO_RELEASE.read_text(encoding="utf-8"))
    return text.substitute(pipeline=html.escape(pipeline), problem=html.escape(problem)).encode()


def asset(name: str) -> tuple[bytes, str] | None:
    """A file of Swagger UI and its media type; None where there is none of that name."""
    import fastapi_offline

    folder = Path(fastapi_offline.__file__).parent / "static"
    for path in folder.iterdir():
        if path.name == name and path.suffix in _TYPES:
            return path.read_bytes(), _TYPES[path.suffix]
    return None
