"""`/docs` and the OpenAPI document."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_name("openapi.json")
ASSETS = "/docs/assets/"
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


def asset(name: str) -> tuple[bytes, str] | None:
    """A file of Swagger UI and its media type; None where there is none of that name."""
    import fastapi_offline

    folder = Path(fastapi_offline.__file__).parent / "static"
    for path in folder.iterdir():
        if path.name == name and path.suffix in _TYPES:
            return path.read_bytes(), _TYPES[path.suffix]
    return None
