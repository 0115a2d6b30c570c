"""What is said of a disk that takes no more."""

import errno
import os
import re
import shutil

import pytest
from openmldb_files.disk import why_not_written


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_the_folder_and_what_is_free_are_named(tmp_path, number, cause):
    folder = tmp_path / "not" / "there"
    told = why_not_written(OSError(number, os.strerror(number)), folder, "the dataset")
    assert cause in told
    assert f"the dataset is written to {folder}, where " in told
    free = float(re.search(r"where ([0-9.]+) GB of ", told)[1]) * 1e9
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


def test_other_errors_are_not_explained(tmp_path):
    assert why_not_written(FileNotFoundError(errno.ENOENT, "x"), tmp_path) is None
    assert why_not_written(OSError("no number"), tmp_path) is None
