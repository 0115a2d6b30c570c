"""YAML files as mappings: both parsers give the same values and the same errors."""

import pytest

from nightshift.config import yamlfile
from nightshift.errors import ConfigurationError


@pytest.fixture(params=[2000, -1], ids=["libyaml", "python"])
def read(request, tmp_path, monkeypatch):
    monkeypatch.setattr(yamlfile, "_MAX_QUICK", request.param)

    def read(text):
        path = tmp_path / "a.yaml"
        path.write_text(text)
        return yamlfile.load_yaml_mapping(path)

    return read


def test_values_are_plain(read):
    text = "a: [1, 2.5, null, true, 2026-01-02]\nb: &x {c: 'é'}\nd: *x\ne: 010\n"
    found = read(text)
    assert found["a"][:4] == [1, 2.5, None, True]
    assert found["a"][4].isoformat() == "2026-01-02"
    assert (found["b"], found["d"], found["e"]) == ({"c": "é"}, {"c": "é"}, 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' is given twice"),
        ("a:\n  b: 1\n  b: 2\n", "line 3, column 3: the key 'b' is given twice"),
        ("a: [1\n", "line 2, column 1: expected ',' or '\\]', but got '<stream end>'"),
        ("a: !!python/object:os.system x\n", "could not determine a constructor"),
        ("- 1\n", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("a: 1\n---\nb: 2\n", "but found another document"),
        ("a: &a [*a]\n", "an alias refers to itself"),
        ("? [1, 2]\n: 3\n", "a key must be text"),
    ],
)
def test_what_is_refused_and_where(read, text, said):
    with pytest.raises(ConfigurationError, match=said):
        read(text)


@pytest.mark.parametrize("level", ["[", "- ", "{a: ", "? "])
def test_a_deeply_nested_file_is_refused_and_does_not_crash(tmp_path, level):
    path = tmp_path / "a.yaml"
    path.write_text("a: " * (level != "- ") + level * 100_000)
    with pytest.raises(ConfigurationError):
        yamlfile.load_yaml_mapping(path)


def test_an_alias_bomb_is_refused(read):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigurationError, match="write fewer aliases"):
        read("\n".join(lines))


def test_a_number_of_thousands_of_digits_is_refused_without_a_hint_for_programmers(read):
    with pytest.raises(ConfigurationError, match="4300 digits") as told:
        read(f"a: {'9' * 6000}\n")
    assert "sys." not in str(told.value)
