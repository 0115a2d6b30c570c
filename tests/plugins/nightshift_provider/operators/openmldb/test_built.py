"""SQL that operators make of their fields."""

import pytest
from nightshift_provider.operators.openmldb.built import one_statement, render_options
from openmldb_sql import statements

from nightshift.errors import ConfigurationError


def test_options_read_back_as_they_were():
    options = {
        "format": "csv", "header": True, "delimiter": "'", "quote": "a\\b", "mode": "append",
        "load_mode": "cluster", "thread": 8, "deep_copy": False,
    }  # fmt: skip
    text = f"LOAD DATA INFILE 'f' INTO TABLE t {render_options(options)}"
    found = statements.parse(text).options
    assert {name: found[name] for name in options} == options


@pytest.mark.parametrize("name", ["", "a b", "format='csv', x", "1st", "naïve"])
def test_a_name_cannot_bring_another_option_along(name):
    with pytest.raises(ConfigurationError, match="not a name"):
        render_options({name: "x"})


def test_a_select_is_one_statement_without_what_surrounds_it():
    assert one_statement("-- rows\nSELECT ';' AS a FROM t;\n", "x") == "SELECT ';' AS a FROM t"
    for script in ("", "-- nothing", "SELECT 1; SELECT 2"):
        with pytest.raises(ConfigurationError, match="one statement"):
            one_statement(script, "x")
