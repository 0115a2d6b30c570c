"""What the figures of a training say in words."""

import pytest
import yaml

from tasks.ctr.train import advice
from tasks.ctr.train.checkpoint import Progress
from tasks.ctr.train.hyperparameters import load


@pytest.fixture
def chosen(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"epochs": 4}))
    return load(path)


def ended(epochs, best):
    return Progress(history=[{}] * epochs, best_epoch=best - 1)


@pytest.mark.parametrize(
    ("epochs", "best", "words"),
    [
        (4, 1, "best epoch 1 of 4: overfits from epoch 1"),
        (3, 0, "best epoch 0 of 3: no epoch is surely better than the start"),
        (4, 4, "best epoch 4 of 4, the last one allowed"),
    ],
)
def test_where_the_best_epoch_is_says_what_to_try(chosen, epochs, best, words):
    (found,) = advice.of(ended(epochs, best), chosen, None)
    assert found.startswith(words)
    assert "learning_rate" in found or "raise epochs" in found


def test_a_training_that_stopped_where_it_should_says_nothing(chosen):
    assert advice.of(ended(4, 2), chosen, None) == []


@pytest.mark.parametrize(("low", "high", "said"), [(-0.035, -0.016, 1), (-0.02, 0.001, 0)])
def test_worse_than_the_baseline_is_said_where_it_is_sure(chosen, low, high, said):
    gap = {"difference": -0.0256, "low": low, "high": high, "confidence": 0.95}
    found = advice.of(ended(4, 2), chosen, {"auc_difference": gap})
    assert len(found) == said
    assert not said or "-0.0256, 95% interval [-0.0350, -0.0160]" in found[0]
