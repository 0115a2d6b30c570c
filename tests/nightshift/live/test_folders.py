"""The secret of hashed fields."""

import stat
from concurrent.futures import ThreadPoolExecutor

from nightshift.live.folders import hiding_key


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    folder = tmp_path / "live" / "jd"
    first = hiding_key(folder)
    assert len(first) == 32
    assert hiding_key(folder) == first
    assert stat.S_IMODE((folder / "hiding.key").stat().st_mode) == 0o600
    assert hiding_key(tmp_path / "other") != first


def test_workers_that_begin_together_have_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(hiding_key, [tmp_path] * 8))
    assert len(keys) == 1
