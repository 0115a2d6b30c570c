"""The supervisor's housekeeping makes parquet of spools, by the command that it starts."""

import asyncio
import contextlib
import time

import pytest
from predict_server.compacting import compact_for_ever

from nightshift.live import spool
from nightshift.live.log import RequestLog
from nightshift.settings import Settings
from tests.nightshift.live.conftest import answer, context, write


@pytest.mark.slow
async def test_what_workers_logged_becomes_parquet(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path)
    for variable, value in settings.to_env().items():
        monkeypatch.setenv(variable, value)
    log = RequestLog(tmp_path / "live" / "jd" / "requests")
    # Of this hour: an old one would be removed for its age.
    write(log.folder, "w-1", [context(), answer(1, time.time_ns() // 1000)])
    keeping = asyncio.create_task(compact_for_ever(settings, every_s=0.05))
    try:
        for _ in range(2000):
            if not spool.paths(log.folder / "spool"):
                break
            await asyncio.sleep(0.05)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
    (hour,) = log.hours()
    assert len(log.parts(hour)) == 1
    assert log.read()["request_id"].to_pylist() == ["q1.0"]
