"""The command line of training."""

import pytest

from nightshift.errors import EXIT_TERMINAL
from tasks.ctr.train.arguments import parse_arguments

NEEDED = ["--dataset", "d", "--spec", "s.yaml", "--out", "m", "--checkpoint", "c", "--result", "r"]


def test_a_recipe_comes_from_a_file_or_from_a_judged_model():
    found = parse_arguments(
        [*NEEDED, "--hyperparameters", "h.yaml", "--set", "a=1", "--set", "b=2"]
    )
    assert (found.hyperparameters.name, found.refit_of) == ("h.yaml", None)
    assert found.set == ["a=1", "b=2"]
    assert parse_arguments([*NEEDED, "--refit-of", "judged"]).refit_of.name == "judged"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "--hyperparameters"),
        (["--hyperparameters", "h.yaml", "--refit-of", "judged"], "not allowed with"),
        (["--hyperparameters", "h.yaml", "--device", "tpu"], "tpu"),
        (["--hyperparameters", "h.yaml", "--epoch", "3"], "--epoch"),
    ],
)
def test_a_wrong_call_ends_the_task_for_good(more, words, capsys):
    with pytest.raises(SystemExit) as raised:
        parse_arguments([*NEEDED, *more])
    assert raised.value.code == EXIT_TERMINAL
    assert words in capsys.readouterr().err
