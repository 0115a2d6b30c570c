"""One of the processes that share each training step: `tasks.ctr.train.team` starts it.

The ranks run one graph of OneFlow over global tensors. Each takes its share of the rows. The dense
parameters are the same everywhere and their gradients are added up over the ranks; of an
embedding, each rank holds and updates its share of the columns, and looks them up for all rows. A
rank does as it is told over its channel; it ends when the channel is closed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nightshift.errors import RetryableError
from tasks import runtime
from tasks.ctr.train.channel import Channel
from tasks.ctr.train.checkpoint import Arrays
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.ranks import FAILED
from tasks.entry import die_with_parent

if TYPE_CHECKING:
    from tasks.ctr.train.models import Architecture


@dataclass(frozen=True)
class Order:
    """What the ranks are to train.

    Attributes:
        shape: of the network.
        chosen: hyper-parameters without `auto`.
        steps: an epoch.
        device: `cpu` or `cuda`.
        threads: CPU threads of this rank.
    """

    shape: Architecture
    chosen: Hyperparameters
    steps: int
    device: str
    threads: int


def serve(channel: Channel, rank: int, world: int) -> None:
    """Do as the channel says, until it is closed."""
    threads, library = channel.hear()
    runtime.prepare(threads, library)
    if rank:
        _wait_for_first()
    # OneFlow reads its environment at import, and waits there for the other ranks.
    from tasks.ctr.train import sharing

    (order,) = channel.hear()
    steps = sharing.Steps(order, channel.receive_named(), world)
    while True:
        try:
            what, *more = channel.hear()
        except EOFError:
            return
        if what == "step":
            count, arrays = more
            steps.do(channel.receive(arrays), count)
        elif what == "begin":
            steps.begin(*more)
        elif what == "load":
            steps.load(channel.receive_named())
        else:
            found: Any = {
                "loss": steps.loss_sum,
                "parameters": steps.parameters,
                "state": steps.state,
            }[what]()
            if rank == 0:
                _answer(channel, found)


def _wait_for_first() -> None:
    """Wait until the first rank listens; OneFlow looks again only after ten seconds."""
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    listens = False
    while not listens:
        with contextlib.suppress(OSError):
            socket.create_connection(address).close()
            listens = True
        time.sleep(0.02)


def _answer(channel: Channel, found: float | Arrays) -> None:
    if isinstance(found, float):
        channel.say("loss", found)
    else:
        channel.say("arrays")
        channel.send_named(found)


def main() -> None:
    """Entry point: the channel's file descriptor, this rank's number, and how many there are."""
    die_with_parent()
    # The training process notes it and says when to end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    handle, rank, world = (int(argument) for argument in sys.argv[1:])
    channel = Channel(handle)
    code = 0
    try:
        serve(channel, rank, world)
    except Exception as error:
        code = FAILED
        retryable = isinstance(error, (RetryableError, OSError))
        with contextlib.suppress(OSError):
            channel.say("failed", f"{type(error).__name__}: {error}", retryable)
    # OneFlow's own end waits for the other ranks, which may have failed.
    os._exit(code)


if __name__ == "__main__":
    main()
