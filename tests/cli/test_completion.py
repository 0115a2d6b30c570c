"""The shells' own completion, with the script that the command prints."""

import shutil
import subprocess

import pytest

from cli.completion import SHELLS, script

ASK = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
compgen_of=$(complete -p nightshift | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$compgen_of" nightshift
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(folder, *words):
    path = folder / "completion.bash"
    path.write_text(script("bash"))
    command = ["bash", "-c", ASK, "ask", path, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_choices(tmp_path):
    assert {"predict", "pipelines"} <= completed(tmp_path, "nightshift", "p")
    assert "rollback" not in completed(tmp_path, "nightshift", "p")
    assert {"--pipeline", "--ds"} <= completed(tmp_path, "nightshift", "run", "--")
    assert completed(tmp_path, "nightshift", "completion", "z") == {"zsh"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_its_script(tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    path = tmp_path / "completion"
    path.write_text(script(shell))
    assert subprocess.run([shell, "-n", path]).returncode == 0
