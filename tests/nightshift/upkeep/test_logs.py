"""Old logs go with their folders; a long one is cut while its service writes."""

import datetime as dt
import os

from nightshift.upkeep import logs

NOW = dt.datetime.now(dt.timezone.utc)
BEFORE = NOW - dt.timedelta(days=30)
OLD = (BEFORE - dt.timedelta(days=1)).timestamp()


def put(path, *, old):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("line\n")
    if old:
        for one in (path, path.parent):
            os.utime(one, (OLD, OLD))
    return path


def test_old_files_and_the_folders_that_they_leave_empty_go(tmp_path):
    root = tmp_path / "logs"
    gone = put(root / "dag_id=a" / "run_id=1" / "attempt=1.log", old=True)
    stays = put(root / "dag_id=a" / "run_id=2" / "attempt=1.log", old=False)
    mixed = put(root / "dag_id=b" / "run_id=1" / "attempt=1.log", old=True)
    retried = put(mixed.with_name("attempt=2.log"), old=False)
    os.utime(mixed.parent, (OLD, OLD))
    fresh = root / "dag_id=c" / "run_id=9"  # a run that is about to write
    fresh.mkdir(parents=True)
    outside = put(tmp_path / "elsewhere" / "kept.txt", old=True)
    (root / "link").symlink_to(outside.parent)
    assert logs.sweep(root, before=BEFORE) == 2
    assert not gone.parent.exists()
    assert not mixed.exists()
    for path in (stays, retried, fresh, outside):
        assert path.exists()
    assert logs.sweep(tmp_path / "nothing", before=BEFORE) == 0


def test_a_service_goes_on_writing_to_its_log(tmp_path):
    path = tmp_path / "triton.log"
    (tmp_path / "airflow.log").write_bytes(b"short\n")
    with path.open("ab", buffering=0) as service:
        service.write(b"x" * 2000)
        assert logs.cut(tmp_path, most=1000) == ["triton.log"]
        service.write(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "triton.log.1").read_bytes() == b"x" * 2000
    assert logs.cut(tmp_path, most=1000) == []
