"""The mean of two networks as one network, and which of several becomes the model."""

import json
import re

import numpy as np
import pytest

from nightshift.contract import recipe
from testing.workshop import evaluate, golden_of
from tests.tasks.ctr.conftest import parameters, same_bits

SQL = "0" * 64
WIDTHS = ("--set=embedding_dim=4", "--set=hidden=[8, 4]")
FEW = (
    *("--set=epochs=2", "--set=batch_size=64", "--set=trees=0", "--set=threads=1"),
    "--set=importance_rows=0",
)


def test_the_mean_is_a_network_whose_logit_is_the_mean_of_both():
    found = evaluate(
        """
import numpy as np
import oneflow as flow
from tasks.ctr.train import defaults, models, starts
rng = np.random.default_rng(5)
given = (
    rng.integers(0, 12, (30, 4)).astype(np.int32),
    rng.random((30, 4)).astype(np.float32),
    rng.normal(size=(30, 2)).astype(np.float32),
)
answer = {}
for family in defaults.MIXED:
    shape = models.Architecture(
        num_rows=12, num_fields=3, embedding_dim=3, hidden=(5, 4), family=family,
        group_widths=(1, 2, 1), num_dense=2, weighted=True,
    )
    plan = models.plan(shape).items()
    one, other = (
        {name: rng.normal(size=weight.shape).astype(np.float32) for name, weight in plan}
        for _ in range(2)
    )
    wide, mean = starts.mean(shape, one, other)
    logits = [
        models.build(of, values, "cpu")(*map(flow.from_numpy, given)).numpy().tolist()
        for of, values in ((shape, one), (shape, other), (wide, mean))
    ]
    answer[family] = {"logits": logits, "widths": [wide.embedding_dim, *wide.hidden]}
"""
    )
    assert set(found) == {"deepfm", "fm", "wide_deep"}
    for family in found.values():
        one, other, mean = map(np.array, family["logits"])
        assert np.abs(one - other).max() > 1.0
        np.testing.assert_allclose(mean, (one + other) / 2, rtol=1e-4, atol=1e-4)
        assert family["widths"] == [6, 10, 8]


CASES = [
    # The same network twice: its mean is level with both, and of equals the mean is kept.
    ("validation", True, None, "both"),
    ("validation", False, [0.2, 0.1], "baseline"),
    ("validation", False, [0.1, 0.2], "zero"),
    # No rows give a network more than 1.
    ("validation", True, [3.0, 2.0], "baseline"),
    ("both", True, [3.0, 2.0], "both"),
]


def test_the_validation_rows_choose_unless_the_mean_is_asked_for():
    found = evaluate(
        """
import numpy as np
from tasks.ctr.train import defaults, models, starts
from tasks.ctr.train.checkpoint import Progress
from tasks.ctr.train.dataset import Split
from tasks.ctr.train.fit import Fitted
from tasks.ctr.train.hyperparameters import Hyperparameters
from tasks.ctr.train.inputs import Tensors
shape = models.Architecture(num_rows=4, num_fields=1, embedding_dim=2, hidden=(2,))
values = models.initial_parameters(models.plan(shape), seed=1, init_std=0.1, base_rate=0.5)
rows = np.arange(4, dtype=np.int32)[:, None]
valid = Split(Tensors(rows, None, None), np.array([0, 1, 0, 1], np.int8))

def trained(scores):
    return {
        start: Fitted(models.build(shape, values, "cpu"), Progress(best_score=score, best_epoch=at))
        for at, (start, score) in enumerate(zip(("baseline", "zero"), scores))
    }

answer = []
for asked, may_mix, scores, _ in cases:
    chosen = Hyperparameters(linear_start=asked)
    if scores is None:
        first = starts.choose(trained([0.0, 0.0]), chosen, valid, "cpu", may_mix=True)
        scores = [first.rated["both"]] * 2
    found = trained(scores)
    outcome = starts.choose(found, chosen, valid, "cpu", may_mix=may_mix)
    answer.append({
        "name": outcome.name,
        "epochs": starts.epochs(outcome, found),
        "said": starts.said(outcome),
        "width": outcome.fitted.network.shape.embedding_dim,
        "alone": starts.choose({"zero": found["zero"]}, chosen, valid, "cpu", may_mix=True).name,
    })
""",
        cases=CASES,
    )
    by_start = {"baseline": 1, "zero": 2}
    for (_, may_mix, _, name), outcome in zip(CASES, found, strict=True):
        assert (outcome["name"], outcome["alone"]) == (name, "zero")
        assert outcome["epochs"] == (by_start if name == "both" else by_start[name])
        assert outcome["width"] == (4 if name == "both" else 2)
        assert ("both" in outcome["said"]) == may_mix


def test_the_regression_stays_unless_a_network_is_better_by_more_than_chance():
    found = evaluate(
        """
import numpy as np
from tasks.ctr.train import defaults, models, starts
from tasks.ctr.train.checkpoint import Progress
from tasks.ctr.train.dataset import Split
from tasks.ctr.train.fit import Fitted
from tasks.ctr.train.inputs import Tensors
shape = models.Architecture(num_rows=3, num_fields=1, embedding_dim=2, hidden=(2,), family="lr")

def network(*weights):
    values = models.initial_parameters(models.plan(shape), seed=1, init_std=0.1, base_rate=0.5)
    values[models.FIRST_ORDER] = np.array(weights, np.float32)[:, None]
    return models.build(shape, values, "cpu")

# Of id 1 a fourth are positives, of id 2 three fourths.
rows = np.array([1, 1, 1, 1, 2, 2, 2, 2], np.int32)
labels = np.array([1, 0, 0, 0, 1, 1, 1, 0], np.int8)
answer = []
order = np.argsort((rows == 2) != labels, kind="stable")
# Weights of 1.8 make the mean loss fall by 0.09: more than the standard error of 160 rows, 0.06, and
# less than that of 8, or of 40 stretches of rows that are alike, 0.12.
cases = (((0, -1.8, 1.8), 20, False), ((0, -1.8, 1.8), 1, False), ((0, -1.8, 1.8), 20, True),
         ((0, 0, 0), 20, False), ((0, 1, -1), 20, False))
for weights, times, alike in cases:
    at = np.repeat(order, times) if alike else np.tile(np.arange(8), times)
    valid = Split(Tensors(rows[at][:, None], None, None), labels[at])
    for name in ("baseline", "zero"):
        fitted = Fitted(network(*weights), Progress(best_epoch=2, best_score=0.9))
        both = {"baseline": Fitted(network(0, 0, 0), Progress(best_epoch=1)), "zero": fitted}
        given = both if name == "zero" else {"baseline": fitted}
        chosen = starts.Outcome(name, fitted, {})
        begun = network(0, 0, 0)
        outcome = starts.unless_doubtful(chosen, given, lambda: begun, valid, "cpu")
        answer.append({
            "name": outcome.name,
            "epochs": starts.epochs(outcome, given),
            "is_start": outcome.fitted.network is begun,
            "said": starts.said(outcome),
        })
"""
    )
    better, *rest = [found[at : at + 2] for at in range(0, len(found), 2)]
    assert [(one["name"], one["epochs"], one["is_start"]) for one in better] == [
        ("baseline", 3, False),
        ("zero", 3, False),
    ]
    for one in (one for pair in rest for one in pair):
        assert (one["name"], one["epochs"], one["is_start"]) == ("baseline", 0, True)
        assert "the regression itself is kept" in one["said"]
    higher = [["higher, standard error" in one["said"] for one in pair] for pair in rest]
    assert higher == [[False, False]] * 3 + [[True, True]]
    assert all("standard error" not in one["said"] for one in better)


@pytest.fixture(scope="module")
def made(dataset):
    """A network from each start, and their mean."""
    for start in ("baseline", "zero", "both"):
        dataset.train("dataset", *FEW, *WIDTHS, f"--set=linear_start={start}", out=start)
    return dataset


def card(shop, out):
    return json.loads((shop.root / out / "model_card.json").read_text())


def test_a_training_from_both_starts_serves_the_mean(made):
    logits = {}
    for out in ("baseline", "zero", "both"):
        scores = golden_of(made.root / out)[1].astype(np.float64)
        logits[out] = np.log(scores / (1 - scores))
    assert np.abs(logits["baseline"] - logits["zero"]).max() > 0.01
    mean = (logits["baseline"] + logits["zero"]) / 2
    np.testing.assert_allclose(logits["both"], mean, atol=1e-4)
    said = card(made, "both")
    assert said["hyperparameters"]["linear_start"] == "both"
    assert said["recipe"]["epochs"] == {
        start: card(made, start)["recipe"]["epochs"] for start in ("baseline", "zero")
    }
    assert said["parameters"] == sum(v.size for v in parameters(made, "both").values())
    assert not (made.root / "both-checkpoint").exists()


def test_its_refit_repeats_both_trainings(made):
    refit = made.preprocess_arguments(made.root / "features", "--refit", out="all")
    made.run("preprocess", *refit)
    made.run(
        *("train", "--dataset", made.root / "all", "--spec", made.spec),
        *("--refit-of", made.root / "both", "--out", made.root / "mean-refit"),
        *("--checkpoint", made.root / "refit-checkpoint", "--result", made.root / "refit.json"),
    )
    judged, new = card(made, "both"), card(made, "mean-refit")
    assert new["recipe"] == judged["recipe"]
    assert new["parameters"] > judged["parameters"], "later days bring ids"
    data = [
        json.loads((made.root / name / "data_card.json").read_text()) for name in ("dataset", "all")
    ]
    parts = [recipe.recipe_of(*pair, SQL) for pair in zip((judged, new), data, strict=True)]
    assert recipe.differences(*parts) == []
    assert not same_bits(parameters(made, "mean-refit"), parameters(made, "both"))


def test_a_warm_start_takes_the_widths_of_the_mean_where_none_are_asked_for(made):
    made.train("dataset", *FEW, "--warm-start", made.root / "both", out="warm")
    said = card(made, "warm")
    widths = said["hyperparameters"]["embedding_dim"], said["hyperparameters"]["hidden"]
    assert widths == (8, [16, 8])
    assert "begins from" in said["chosen"]["hidden"]


def test_a_start_that_stays_behind_the_other_is_given_up(from_dataset):
    # From zero, a rate of nearly nothing is better each epoch and never as good as the regression.
    slow = ("--set=epochs=6", "--set=patience=1", "--set=learning_rate=1e-6", *FEW[1:], *WIDTHS)
    done, _ = from_dataset.train("dataset", *slow, "--set=linear_start=validation")
    epochs = [int(number) for number in re.findall(r"epoch (\d+): train loss", done.stdout)]
    assert epochs == [1, 2, 1, 2]
    said = card(from_dataset, "model")
    assert said["hyperparameters"]["linear_start"] == "baseline"
