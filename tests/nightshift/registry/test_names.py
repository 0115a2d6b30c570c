import datetime as dt
import hashlib

import pytest

from nightshift.errors import ConfigurationError
from nightshift.registry import names


def test_comments_and_white_space_do_not_change_the_name():
    plain = "SELECT a, 'x  -- y' AS b FROM t"
    spaced = "-- the query\nSELECT a,\n   'x  -- y' AS b /* why */ FROM\tt ;\n"
    assert names.deployment_name("deepfm", spaced) == names.deployment_name("deepfm", plain)
    digest = hashlib.sha256(plain.encode()).hexdigest()
    assert names.deployment_name("deepfm", spaced) == f"deepfm_{digest[:8]}"


@pytest.mark.parametrize(
    "other",
    ["SELECT a, 'x -- y' AS b FROM t", "SELECT a, 'x  -- y' AS c FROM t", "SELECT a FROM t"],
)
def test_another_query_has_another_name(other):
    plain = "SELECT a, 'x  -- y' AS b FROM t"
    assert names.deployment_name("deepfm", other) != names.deployment_name("deepfm", plain)


def test_names_that_openmldb_would_refuse():
    with pytest.raises(ConfigurationError, match="cannot begin a deployment"):
        names.deployment_name("deep-fm", "SELECT 1")
    with pytest.raises(ConfigurationError, match="empty"):
        names.deployment_name("deepfm", "-- nothing\n")


def test_release_ids():
    assert names.release_id("2016-04-10", 20160410002) == "2016-04-10.002"
    assert names.version_of("2016-04-10.002") == 20160410002
    with pytest.raises(ConfigurationError, match="not of the date 2016-04-11"):
        names.release_id("2016-04-11", 20160410002)
    with pytest.raises(ConfigurationError, match="release id"):
        names.version_of("../../etc")


def test_whose_deployment():
    assert names.is_deployment_of("deepfm", "deepfm_0123abcd")
    assert not names.is_deployment_of("deepfm", "deepfm_backup")
    assert not names.is_deployment_of("deep", "deepfm_0123abcd")


def test_whose_workspace():
    owner, day = "jd_ab12cd", dt.date(2016, 4, 10)
    name = names.workspace_name(owner, day, "0123abcd")
    assert name == "jd_ab12cd_20160410_0123abcd"
    assert names.is_workspace_of(owner, name)
    assert names.is_workspace_of(owner, f"{name}_check")
    for other in ("jd_ab12ce", "jd", "jd_ab12cd_20160410"):
        assert not names.is_workspace_of(other, name)
