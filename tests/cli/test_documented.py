"""The commands that the documents show exist, with the flags that they show."""

import re
import shlex

import pytest

from cli import reference
from cli.main import all_commands, build_parser
from nightshift.settings import PROJECT

DOCUMENTS = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "SECURITY.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
]
PASSED_ON = ("airflow", "test")
"""Commands whose arguments are another program's."""


@pytest.fixture(scope="module")
def parsers():
    _, children = build_parser()
    return {
        name: parser
        for command in all_commands()
        for name, parser in reference._parsers(
            command.name, command.help_of([]) if command.help_of else children[command.name]
        )
    }


BLOCK = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```", re.M | re.S)


def commands(text):
    """Argument lists after `./nightshift`, of lines in blocks and of words in back quotes."""
    text = text.replace("\\\n", " ")
    lines = [line for _, block in BLOCK.findall(text) for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]*\./nightshift [^`\n]*)`", BLOCK.sub("", text))
    for line in lines:
        for found in re.findall(r"\./nightshift ([^|;&#]*)", line):
            yield shlex.split(re.sub(r"['\"`]", " ", found))


def problem(words, parsers):
    """What is wrong with a command's words; None where nothing is."""
    if not words or words[0].startswith(("-", "<", "COMMAND", "…", "...")):
        return None
    name = words[0].rstrip(".,:")
    if name in PASSED_ON:
        return None
    if name not in parsers:
        return f"no command {name}"
    for word in words[1:]:
        if f"{name} {word}" not in parsers:
            if word[:1].isalpha() and any(known.startswith(f"{name} ") for known in parsers):
                return f"no command {name} {word}"
            break
        name = f"{name} {word}"
    known = parsers[name]._option_string_actions
    wrong = [
        w for w in words if w.startswith("--") and w.partition("=")[0].rstrip(".,") not in known
    ]
    return f"{name} has no {', '.join(wrong)}" if wrong else None


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT).as_posix()
)
def test_commands_of_a_document_exist_with_their_flags(document, parsers):
    found = {" ".join(words): problem(words, parsers) for words in commands(document.read_text())}
    assert {words: why for words, why in found.items() if why} == {}


def test_a_wrong_command_and_a_wrong_flag_would_show(parsers):
    text = "```bash\n./nightshift rum --ds X\n./nightshift run --date X   # --no\n```\n`./nightshift data laod`"
    assert [problem(words, parsers) for words in commands(text)] == [
        "no command rum",
        "run has no --date",
        "no command data laod",
    ]


def test_commands_are_found_in_the_readme():
    assert len(list(commands((PROJECT / "README.md").read_text()))) > 20
