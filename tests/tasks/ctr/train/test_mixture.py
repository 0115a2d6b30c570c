"""A mean of regression, trees and network as one network, and what each of them weighs."""

import json

import numpy as np
import pytest

from testing.workshop import evaluate

SHARES = [
    {"regression": 0.3, "trees": 0.25, "network": 0.45},
    {"regression": 0.0, "trees": 0.0, "network": 1.0},
    {"regression": 1.0, "trees": 0.0, "network": 0.0},
    {"regression": 0.0, "trees": 1.0, "network": 0.0},
    {"regression": 0.98, "trees": 0.0, "network": 0.02},
]


def test_the_mean_is_a_network_whose_logit_is_the_mean_of_its_parts():
    found = evaluate(
        """
import types
import numpy as np
import oneflow as flow
from nightshift.features.numbers import NumberStatistics
from tasks.ctr.train import defaults, mixture, models
from tasks.ctr.train.baseline import Baseline
from tasks.ctr.train.inputs import Tensors
rng = np.random.default_rng(5)
n, ids = 40, 12
rows = np.hstack([rng.integers(0, ids, (n, 4)), np.full((n, 1), ids)]).astype(np.int32)
trees = rng.normal(size=n) - 2
number = NumberStatistics("standard", shift=-2.0, scale=0.7)
value = number.apply(trees.astype(np.float32))[:, None]
weights = np.hstack([rng.random((n, 4)).astype(np.float32), value])
dense = np.hstack([rng.normal(size=(n, 2)).astype(np.float32), value])
linear = Baseline(rng.normal(size=ids), -1.5, 0.1, n)
plain = Tensors(rows[:, :4], weights[:, :4], dense[:, :2])
inputs = types.SimpleNamespace(trees=object(), statistics={"(trees)": number})
answer = {}
for family in defaults.MIXED:
    shape = models.Architecture(
        num_rows=ids + 1, num_fields=4, embedding_dim=3, hidden=(5, 4), family=family,
        group_widths=(1, 2, 1, 1), num_dense=3, weighted=True,
    )
    plan = models.plan(shape)
    network = {name: rng.normal(size=w.shape).astype(np.float32) for name, w in plan.items()}

    def logits(values):
        built = models.build(shape, values, "cpu")
        return built(*map(flow.from_numpy, (rows, weights, dense))).numpy().tolist()

    joined = [mixture.join(shape, network, each, linear, inputs) for each in shares]
    # Of logits as large as these a probability float32 says little: small ones are taken back.
    small = {name: value * np.float32(0.1) for name, value in network.items()}
    parts = mixture.parts(
        models.build(shape, small, "cpu"), linear, plain, Tensors(rows, weights, dense), inputs,
        "cpu",
    )
    answer[family] = {
        "network": logits(network), "mixed": [logits(each) for each in joined],
        "same": all(joined[1][k].tobytes() == network[k].tobytes() for k in network),
        "regression": linear.logits(plain).tolist(), "trees": trees.tolist(),
        "small": logits(small), "parts": {name: part.tolist() for name, part in parts.items()},
    }
""",
        shares=SHARES,
    )
    assert set(found) == {"deepfm", "fm", "wide_deep"}
    for family in found.values():
        parts = {name: np.array(family[name]) for name in ("regression", "trees", "network")}
        for shares, mixed in zip(SHARES, family["mixed"], strict=True):
            expected = sum(share * parts[name] for name, share in shares.items())
            np.testing.assert_allclose(mixed, expected, rtol=2e-4, atol=2e-4)
        assert family["same"], "a network that has the whole share keeps its bits"
        seen = family["parts"]
        assert list(seen) == ["regression", "trees", "network"]
        for name, expected in (("regression", "regression"), ("trees", "trees")):
            np.testing.assert_allclose(seen[name], family[expected], atol=1e-5)
        np.testing.assert_allclose(seen["network"], family["small"], atol=2e-3)


def test_the_more_the_rows_say_the_more_the_better_part_weighs():
    few, many, alike, same, three = evaluate(
        """
import numpy as np
from tasks.ctr.train import mixture

def weighed(rows, times=1, parts=("other", "truth")):
    rng = np.random.default_rng(3)
    truth = np.repeat(rng.normal(size=rows) - 1, times)
    labels = np.repeat((rng.random(rows) < 1 / (1 + np.exp(-truth[::times]))), times)
    other = np.repeat(rng.normal(size=rows), times)
    found = {name: truth if name.startswith("truth") else other for name in parts}
    return mixture.weigh(found, labels.astype(np.int8))

answer = [
    weighed(100), weighed(20000), weighed(100, 200),
    weighed(20000, parts=("truth", "truth again")), weighed(500, parts=("other", "one", "truth")),
]
"""
    )
    for shares in (few, many, alike, same, three):
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-9)
        assert min(shares.values()) > 0
    assert 0.5 < few["truth"] < 0.9
    assert many["truth"] > 0.97
    # 200 equal rows on end are no more than one of them, as far as 40 stretches can tell.
    assert alike["truth"] < many["truth"] - 0.01
    assert same["truth"] == pytest.approx(0.5, abs=1e-3)
    assert three["other"] == pytest.approx(three["one"], abs=2e-3)
    assert three["truth"] > three["other"]


@pytest.fixture(scope="module")
def made(workshops):
    """A training that gives the regression the whole share, a plain one, and its refit."""
    shop = workshops("mixture")
    features = shop.features(rows_a_day=500)
    shop.preprocess(features)
    few = (
        *("--set=epochs=1", "--set=batch_size=200", "--set=trees=12", "--set=threads=1"),
        *("--set=linear_start=validation", "--set=importance_rows=0", "--set=blas=bundled"),
    )
    whole = [*map(str, shop.train_arguments("dataset", *few, out="whole"))]
    evaluate(
        """
from tasks.ctr.train import mixture, worker
from tasks.ctr.train.arguments import parse_arguments
mixture.weigh = lambda logits, labels: {
    name: float(name == "regression") for name in logits
}
answer = worker.train(parse_arguments(whole))["test"]
""",
        whole=whole,
    )
    shop.train("dataset", *few)
    shop.run("preprocess", *shop.preprocess_arguments(features, "--refit", out="all"))
    shop.run(
        *("train", "--dataset", shop.root / "all", "--spec", shop.spec),
        *("--refit-of", shop.root / "model", "--out", shop.root / "refit"),
        *("--checkpoint", shop.root / "refit-checkpoint", "--result", shop.root / "refit.json"),
    )
    return shop


def card(shop, out):
    return json.loads((shop.root / out / "model_card.json").read_text())


def test_with_the_whole_share_the_regression_is_what_is_served(made):
    said = card(made, "whole")
    theirs = said["baseline"]["test"]
    assert said["test"]["auc"] == pytest.approx(theirs["auc"], abs=1e-4)
    assert said["test"]["logloss"] == pytest.approx(theirs["logloss"], abs=1e-6)
    assert said["baseline"]["auc_difference"]["high"] == pytest.approx(0, abs=1e-3)


def test_the_card_says_what_each_part_weighs_and_a_refit_takes_it_over(made):
    said = card(made, "model")
    shares = said["recipe"]["shares"]
    assert set(shares) == {"regression", "trees", "network"}
    assert sum(shares.values()) == pytest.approx(1.0)
    for name, share in shares.items():
        assert f"{name} {share:.2f}" in said["chosen"]["linear_start"]
    assert said["test"]["logloss"] != pytest.approx(said["baseline"]["test"]["logloss"], abs=1e-6)
    assert card(made, "refit")["recipe"] == said["recipe"]
