"""Checkpoints: the newest whole one of the same training counts."""

import numpy as np

from tasks.ctr.train.checkpoint import Checkpoint, CheckpointStore, Progress


def checkpoint(epoch, step=0):
    return Checkpoint(
        Progress(epoch=epoch, step=step, loss_sum=0.1 + 0.2, history=[{"epoch": 1}], best_epoch=0),
        {"network/a.weight": np.array([[1.5, float(epoch)]], np.float32), "step": np.array([7])},
        {"a.weight": np.array([2.5], np.float32)},
    )


def test_what_was_saved_comes_back_to_the_bit(tmp_path):
    store = CheckpointStore(tmp_path / "ck", "f")
    store.save(checkpoint(1, 3))
    found = store.load()
    assert found.progress == checkpoint(1, 3).progress
    for group in ("state", "best"):
        expected, held = getattr(checkpoint(1, 3), group), getattr(found, group)
        assert held.keys() == expected.keys()
        assert all(np.array_equal(held[k], expected[k]) for k in held)
        assert all(held[k].dtype == expected[k].dtype for k in held)


def test_the_newest_stays_alone(tmp_path):
    store = CheckpointStore(tmp_path, "f")
    for epoch, step in ((0, 900), (9, 5), (10, 0), (10, 1000)):
        store.save(checkpoint(epoch, step))
    assert len(list(tmp_path.iterdir())) == 1
    assert (store.load().progress.epoch, store.load().progress.step) == (10, 1000)


def test_one_of_another_training_is_not_used(tmp_path, capsys):
    CheckpointStore(tmp_path, "other").save(checkpoint(5))
    assert CheckpointStore(tmp_path, "f").load() is None
    assert "other data or hyper-parameters" in capsys.readouterr().out


def test_a_broken_one_is_passed_over(tmp_path):
    store = CheckpointStore(tmp_path, "f")
    store.save(checkpoint(1))
    kept = next(tmp_path.iterdir())
    broken = tmp_path / "epoch-0002-step-00000000"
    broken.mkdir()
    (broken / "progress.json").write_bytes((kept / "progress.json").read_bytes())
    (broken / "state.npz").write_bytes((kept / "state.npz").read_bytes()[:100])
    assert store.load().progress.epoch == 1
    (tmp_path / "epoch-0003-step-00000000").mkdir()
    assert store.load().progress.epoch == 1


def test_nothing_is_there_at_first_and_nothing_stays_at_the_end(tmp_path):
    store = CheckpointStore(tmp_path / "ck", "f")
    assert store.load() is None
    store.save(checkpoint(0))
    store.clear()
    assert not (tmp_path / "ck").exists()
