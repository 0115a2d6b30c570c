import contextlib
import datetime as dt

import pytest

from nightshift.config.live import LogConfig
from nightshift.live import compact as compacting
from nightshift.live import spool
from nightshift.live.compact import compact
from nightshift.live.log import RequestLog
from tests.nightshift.live.conftest import HOUR_US, answer, context, write

NOW = dt.datetime.fromtimestamp(HOUR_US / 1e6, dt.timezone.utc) + dt.timedelta(minutes=30)
LATER = NOW + dt.timedelta(hours=3)


@pytest.fixture
def log(tmp_path):
    return RequestLog(tmp_path)


def fill(log, names, start=0):
    for number, name in enumerate(names, start):
        write(log.folder, name, [context(), answer(number, HOUR_US + number)])


def ids(log):
    return log.read()["request_id"].to_pylist()


def test_past_hours_become_one_file_and_late_ones_join_it(log):
    fill(log, ["a", "b"])
    compact(log, LogConfig(), now=NOW)
    (hour,) = log.hours()
    assert len(log.parts(hour)) == 2
    compact(log, LogConfig(), now=LATER)
    assert len(list((log.folder / f"hour={hour:%Y-%m-%dT%H}").iterdir())) == 1
    fill(log, ["c"], 2)
    compact(log, LogConfig(), now=LATER)
    assert len(log.parts(hour)) == 1
    assert ids(log) == ["q0.0", "q1.0", "q2.0"]


@pytest.mark.parametrize("moment", range(8))
def test_killed_at_any_write_or_removal_no_row_is_lost_or_doubled(log, monkeypatch, moment):
    fill(log, ["a", "b"])
    compact(log, LogConfig(), now=NOW)
    fill(log, ["c", "d"], 2)
    left = [moment]

    def dying(call):
        def wrapped(*arguments, **options):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return call(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(compacting, "write_part", dying(compacting.write_part))
        patched.setattr(compacting.Path, "unlink", dying(compacting.Path.unlink))
        with contextlib.suppress(KeyboardInterrupt):
            compact(log, LogConfig(), now=LATER)
    wanted = ["q0.0", "q1.0", "q2.0", "q3.0"]
    assert ids(log) == wanted
    compact(log, LogConfig(), now=LATER)
    assert ids(log) == wanted
    assert not spool.paths(log.folder / "spool")


def test_the_file_of_a_living_writer_is_left_to_it(log):
    living = write(log.folder, "a", [context(), answer(1, HOUR_US)], close=False)
    compact(log, LogConfig(), now=NOW)
    assert living.path.exists()
    living.append(spool.frame(answer(2, HOUR_US)))
    living.close()
    compact(log, LogConfig(), now=NOW)
    assert ids(log) == ["q1.0", "q2.0"]


def test_old_hours_go_and_then_the_oldest_beyond_the_bound(log):
    hours = range(5)
    many = [answer(n, HOUR_US + h * 3_600_000_000, count=500) for h in hours for n in range(4)]
    write(log.folder, "a", [context(), *many])
    compact(log, LogConfig(), now=LATER)
    assert len(log.hours()) == 5
    old = LATER + dt.timedelta(days=1)
    compact(log, LogConfig(keep_days=1), now=old - dt.timedelta(minutes=1))
    assert [hour.hour for hour in log.hours()] == [1, 2]
    tight = LogConfig.model_construct(max_mb=0, keep_days=30)
    compact(log, tight, now=old)
    assert log.hours() == []
