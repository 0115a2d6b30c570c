"""From a template to an answer."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from nightshift_provider.pages import HEADERS

if TYPE_CHECKING:
    import jinja2
    from fastapi.responses import HTMLResponse


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("nightshift_provider", "pages/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; every value is escaped."""
    from fastapi.responses import HTMLResponse

    text = _environment().get_template(template).render(values)
    return HTMLResponse(text, status_code=status, headers=HEADERS)
