"""What goes into one end of a channel comes out of the other."""

import socket
import threading

import numpy as np
import pytest

from tasks.ctr.train.channel import Channel


@pytest.fixture
def ends():
    pair = [Channel(end.detach()) for end in socket.socketpair()]
    yield pair
    for end in pair:
        end.close()


def test_messages_keep_their_order(ends):
    ours, theirs = ends
    ours.say("begin", 0.5)
    ours.say("loss")
    assert [theirs.hear(), theirs.hear()] == [("begin", 0.5), ("loss",)]


def test_arrays_keep_names_order_bits_shape_and_dtype(ends):
    ours, theirs = ends
    rng = np.random.default_rng(1)
    arrays = {
        "large": rng.normal(size=(3000, 41)).astype(np.float32),
        "turned": rng.integers(-9, 9, (4, 3)).T,
        "step": np.array(7),
        "mask": rng.integers(0, 2, (5, 2)).astype(np.uint8),
    }
    # More than a socket holds: the other end has to read while this one writes.
    sender = threading.Thread(target=ours.send_named, args=(arrays,))
    sender.start()
    found = theirs.receive_named()
    sender.join()
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_a_closed_end_is_told_to_the_other(ends):
    ours, theirs = ends
    ours.close()
    with pytest.raises(EOFError):
        theirs.hear()
