"""The address of a job's log, for any names that Airflow allows."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from nightshift_provider.links.openmldb import URL_PREFIX, OpenMLDBJobLogLink, job_log_url


@pytest.mark.parametrize(
    "parts",
    [
        ("retrain_jd", "scheduled__2026-03-01T02:00:00+00:00", "extract_features"),
        ("a b", "by/hand?x=1#y", "grüße"),
    ],
)
def test_names_survive_the_way_through_a_url(parts):
    found = urlsplit(job_log_url(*parts, 3))
    path = found.path.partition(f"{URL_PREFIX}/jobs/")[2]
    assert [unquote(part) for part in path.split("/")] == list(parts)
    assert parse_qs(found.query) == {"map_index": ["3"]}
    assert not found.fragment


def test_a_task_that_is_not_mapped_has_airflows_index():
    assert job_log_url("d", "r", "t", None).endswith("?map_index=-1")


def test_the_button_reads_what_operators_push():
    link = OpenMLDBJobLogLink()
    assert link.name
    assert link.xcom_key == "openmldb_job_log"
