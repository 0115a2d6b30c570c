"""The command line of `./nightshift data`."""

from pathlib import Path

import pytest

from laptop.data.arguments import make_parser


def parsed(text):
    return make_parser().parse_args(text.split())


def test_meanings_of_columns_add_up():
    found = parsed("load --from f --as t.a=ms --as t.b=whole --pipeline shop")
    assert found.meanings == ["t.a=ms", "t.b=whole"]
    assert (found.folder, found.pipeline, found.extra_columns) == (Path("f"), "shop", "ignore")


def test_options_of_one_call_do_not_stay_for_the_next():
    parsed("load --from f --as t.a=ms")
    assert parsed("load --from f").meanings == []


@pytest.mark.parametrize("command", ["generate", "load --from f", "movielens", "list", "check"])
def test_every_command_may_name_its_pipeline(command):
    assert parsed(f"{command} --pipeline shop").pipeline == "shop"
    assert parsed(command).pipeline is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "command"),
        ("load", "--from"),
        ("criteo", "one of the arguments --from --generate"),
        ("criteo --from a --generate 5", "not allowed with"),
        ("reload --table t", "--ds"),
        ("load --from f --extra-columns drop", "drop"),
        ("generate --days many", "many"),
    ],
)
def test_a_wrong_call_is_refused_with_what_is_wrong(text, words, capsys):
    with pytest.raises(SystemExit):
        parsed(text)
    assert words in capsys.readouterr().err
