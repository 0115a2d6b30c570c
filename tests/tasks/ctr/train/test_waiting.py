"""Which thread of a process stands back, and that the others do not."""

import os
import threading
from pathlib import Path

import pytest

from tasks.ctr.train.waiting import NICENESS, stand_back

KERNEL_TICKS, USER_TICKS = 12, 11


def ticks(thread, field):
    stat = Path(f"/proc/self/task/{thread}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[field])


def busy_until(field, wanted, work):
    """Run `work` in a thread until it has spent so many clock ticks; the thread then waits."""
    done, end = threading.Event(), threading.Event()
    found = []

    def run():
        found.append(threading.get_native_id())
        while ticks(found[0], field) < wanted:
            work()
        done.set()
        end.wait()

    thread = threading.Thread(target=run)
    thread.start()
    done.wait()
    return found[0], thread, end


@pytest.fixture
def threads():
    started = []

    def start(*given):
        thread, handle, end = busy_until(*given)
        started.append((handle, end))
        return thread

    yield start
    for handle, end in started:
        end.set()
        handle.join()


def copy_zeros():
    with Path("/dev/zero").open("rb", buffering=0) as zeros:
        zeros.read(1 << 22)


def count():
    sum(range(100_000))


def test_the_thread_that_was_longest_in_the_kernel_stands_back_alone(threads):
    in_kernel, in_user = (
        threads(KERNEL_TICKS, 60, copy_zeros),
        threads(USER_TICKS, 80, count),
    )
    main = os.getpriority(os.PRIO_PROCESS, os.getpid())
    assert stand_back() == in_kernel
    assert os.getpriority(os.PRIO_PROCESS, in_kernel) == max(NICENESS, main)
    assert os.getpriority(os.PRIO_PROCESS, in_user) == main
    assert os.getpriority(os.PRIO_PROCESS, os.getpid()) == main


def test_none_stands_back_before_one_stands_out(tmp_path):
    assert stand_back(tmp_path) is None
    for thread, user, kernel in ((os.getpid(), 0, 900), (2, 900, 100), (3, 2, 5)):
        (tmp_path / str(thread)).mkdir()
        fields = " ".join(["S", *["0"] * 10, str(user), str(kernel), "0"])
        (tmp_path / str(thread) / "stat").write_text(f"{thread} (a) b) {fields}\n")
    assert stand_back(tmp_path) is None
