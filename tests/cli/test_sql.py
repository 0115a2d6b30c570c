"""`./nightshift sql`: one statement, refused before a server is asked."""

import dataclasses

import pytest

from cli import sql
from nightshift.errors import ConfigurationError, ServiceUnavailable
from nightshift.pipeline import Pipeline
from nightshift.settings import Settings


@pytest.fixture
def jd(tmp_path, closed_port):
    settings = Settings(home=tmp_path, openmldb_port=closed_port)
    pipeline = Pipeline.load(settings, "jd")
    return dataclasses.replace(pipeline, tables_in="jd_test")


@pytest.mark.parametrize("text", ["", "  -- a comment", "SELECT 1; SELECT 2"])
def test_not_one_statement(jd, text):
    with pytest.raises(ConfigurationError, match="give one statement"):
        sql.run(jd, text, "online", "table")


def test_a_semicolon_within_text_ends_no_statement(jd):
    with pytest.raises(ServiceUnavailable):
        sql.run(jd, "SELECT 'a;b';", "online", "table")
