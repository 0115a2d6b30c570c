"""Templates escape every value and refuse one that is missing."""

import jinja2
import pytest
from nightshift_provider.pages import rendering


def rendered(text, **values):
    return rendering._environment().from_string(text).render(values)


def test_a_value_cannot_become_markup():
    found = rendered("<b>{{ name }}</b>", name="<script>alert(1)</script>")
    assert found == "<b>&lt;script&gt;alert(1)&lt;/script&gt;</b>"


def test_a_value_that_nobody_gave_is_an_error_and_no_blank():
    with pytest.raises(jinja2.UndefinedError):
        rendered("{{ nmae }}", name="x")


def test_every_template_is_well_formed():
    environment = rendering._environment()
    names = environment.list_templates()
    assert names
    for name in names:
        environment.get_template(name)
