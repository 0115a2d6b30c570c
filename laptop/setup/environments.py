"""Make `.venv` (Airflow, Python 3.11+) and `.venv-tasks` (OneFlow, Python 3.10) from the locks.

Only the standard library: this runs before anything is installed. A step that is done leaves a
stamp in its environment, a hash of what it was made from, and is skipped from then on.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.console import progress, say, tail
from nightshift import files
from nightshift.errors import ConfigurationError, ServiceUnavailable

NEEDED_BYTES = 6 * 1024**3
"""Both environments, measured: 5.2 GB, and room to unpack."""

UV_MINIMUM = (0, 8)
"""The oldest uv that reads our lock files."""

UV_PACKAGE = "uv>=0.9"

STAMP = ".nightshift-stamp"


@dataclass(frozen=True)
class Environment:
    """One environment and what it is made from, relative to the project."""

    name: str
    title: str
    sources: tuple[str, ...]
    sync: tuple[str, ...]

    def folder(self, project: Path) -> Path:
        """Where the environment lies."""
        return project / self.name

    def python(self, project: Path) -> Path:
        """The environment's interpreter."""
        return self.folder(project) / "bin" / "python"


AIRFLOW = Environment(
    ".venv",
    "Airflow environment (.venv)",
    (
        "uv.lock",
        "pyproject.toml",
        "packages/http-arrival/pyproject.toml",
        "packages/openmldb-compiler/pyproject.toml",
        "packages/openmldb-embedded/pyproject.toml",
        "packages/openmldb-files/pyproject.toml",
        "packages/openmldb-sql/pyproject.toml",
    ),
    (),
)
TASKS = Environment(
    ".venv-tasks",
    "OneFlow and Triton environment (.venv-tasks, about 1 GB to download)",
    ("tasks/uv.lock", "tasks/pyproject.toml", "packages/openmldb-files/pyproject.toml"),
    ("--project", "tasks", "--group", "triton"),
)


def ensure(project: Path, *, tasks: bool) -> None:
    """Make what is missing; return at once where all is there.

    Args:
        project: the project folder.
        tasks: whether the tasks' environment is needed too.

    Raises:
        ConfigurationError: the machine cannot hold the environments: its kind, its disk or
            a missing Python; the message says what to do.
        ServiceUnavailable: uv could not install; the message ends with its last lines.
    """
    wanted = [AIRFLOW, TASKS] if tasks else [AIRFLOW]
    if all(is_current(project, environment) for environment in wanted):
        return
    check_platform()
    with files.locked(project / ".cache" / "setup.lock", timeout_s=1800):
        missing = [e for e in wanted if not is_current(project, e)]
        if not missing:
            return
        say(f"Setting up in {project} (once; {len(missing)} step(s) to do)")
        if any(not e.python(project).exists() for e in missing):
            check_disk(project, NEEDED_BYTES)
        uv = find_uv(project)
        for environment in missing:
            python = (
                find_python(project, uv, ("3.10",))
                if environment is TASKS
                else find_python(project, uv, ("3.11", "3.12", "3.13"))
            )
            _sync(project, uv, environment, python)


def make(project: Path, environment: Environment, versions: Sequence[str]) -> None:
    """Make one environment, of the first of these Pythons that there is, unless it is current.

    Raises:
        ConfigurationError: there is no uv or no such Python, and no way to get it.
        ServiceUnavailable: uv could not install.
    """
    if not is_current(project, environment):
        uv = find_uv(project)
        _sync(project, uv, environment, find_python(project, uv, versions))


def is_current(project: Path, environment: Environment) -> bool:
    """Whether the environment is there and was made from the files of now."""
    try:
        stamp = (environment.folder(project) / STAMP).read_text()
    except OSError:
        return False
    return stamp == fingerprint(project, environment) and environment.python(project).exists()


def fingerprint(project: Path, environment: Environment) -> str:
    """Hash of the environment's sources and of its place (editable installs name it)."""
    digest = hashlib.sha256(f"{project}\0{' '.join(environment.sync)}\0".encode())
    for source in environment.sources:
        digest.update(f"{source}\0{files.sha256_file(project / source)}\0".encode())
    return digest.hexdigest() + "\n"


def check_platform(system: str | None = None, machine: str | None = None) -> None:
    """Refuse a machine for which OneFlow and Triton have no wheels.

    Raises:
        ConfigurationError: not Linux on x86-64.
    """
    system, machine = system or platform.system(), machine or platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise ConfigurationError(
            f"this machine is {system} on {machine}; OneFlow 0.9.0 and the Triton wheel exist for "
            "Linux on x86-64 only. Use such a machine, or a virtual one"
        )


def check_disk(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        ConfigurationError: fewer than `needed` bytes are free where `folder` lies.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigurationError(
            f"the disk of {folder} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are "
            "needed; free some, or clone the project onto a larger disk"
        )


def tool_env(project: Path) -> dict[str, str]:
    """The caller's environment without what would lead uv or Python astray."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name
        not in (
            "PYTHONPATH",
            "PYTHONHOME",
            "VIRTUAL_ENV",
            "CONDA_PREFIX",
            "UV_PROJECT_ENVIRONMENT",
            "UV_PYTHON",
            "UV_PROJECT",
            "UV_WORKING_DIRECTORY",
        )
    }
    env.setdefault("UV_PYTHON_INSTALL_DIR", str(project / ".cache" / "python"))
    return env


def find_uv(project: Path) -> Path:
    """An uv that reads our locks: on PATH, or installed into the project's `.cache`.

    Raises:
        ConfigurationError: there is none and no way to install it.
    """
    own = project / ".cache" / "uv-tool" / "bin" / "uv"
    for candidate in (own, *_on_path("uv")):
        if (version := _uv_version(candidate)) and version >= UV_MINIMUM:
            return candidate
    shutil.rmtree(own.parents[1], ignore_errors=True)
    log = project / ".cache" / "setup.log"
    pip = [str(own.parent / "python"), "-m", "pip", "--disable-pip-version-check"]
    pip_here = [sys.executable, *pip[1:]]
    with progress("uv, the installer"):
        for steps in (
            [
                [sys.executable, "-m", "venv", str(own.parents[1])],
                [*pip, "install", UV_PACKAGE],
            ],
            # Debian without python3-venv, but with pip.
            [[*pip_here, "install", "--target", str(own.parents[1]), UV_PACKAGE]],
        ):
            if all(_run(step, project, log) == 0 for step in steps) and _uv_version(own):
                return own
            shutil.rmtree(own.parents[1], ignore_errors=True)
    raise ConfigurationError(
        "uv could not be installed. Either `apt-get install python3-venv`, or put uv "
        f"{UV_MINIMUM[0]}.{UV_MINIMUM[1]} or newer on PATH (`pipx install uv`). "
        f"Tried and failed:\n{tail(log)}"
    )


def _uv_version(candidate: Path) -> tuple[int, int] | None:
    try:
        answer = subprocess.run(
            [candidate, "--version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # absent, or a pyenv shim whose version is not chosen
    match = re.match(r"uv (\d+)\.(\d+)", answer)
    return (int(match[1]), int(match[2])) if match else None


def find_python(
    project: Path, uv: Path, versions: Sequence[str], env: Mapping[str, str] | None = None
) -> Path:
    """A real interpreter of one of `versions`, with a shared libpython where 3.10 is asked for.

    Looked for in this order: the running one, PATH, pyenv's versions, what uv knows; at last
    uv is asked to install one into the project's `.cache`.

    Raises:
        ConfigurationError: none was found and uv could not install one.
    """
    env = tool_env(project) if env is None else env
    seen = set()
    for candidate in _python_candidates(versions, env):
        if candidate not in seen and _is_python(candidate, versions):
            return candidate
        seen.add(candidate)
    for version in versions:
        known = _uv_python(uv, version, project, env)
        if known and _is_python(known, versions):
            return known
    log = project / ".cache" / "setup.log"
    with progress(f"Python {versions[0]} (none found, uv installs one)"):
        installed = _run([str(uv), "python", "install", versions[0]], project, log, env) == 0
    if installed and (known := _uv_python(uv, versions[0], project, env)):
        return known
    raise ConfigurationError(
        f"no Python {' or '.join(versions)} is on this machine and uv could not download one. Any "
        f"of these helps: (1) put python{versions[0]} on PATH (a Debian or Ubuntu package where "
        f"there is one), (2) `pyenv install {versions[0]}`, (3) `uv python install "
        f"{versions[0]}` with a way to its download site. uv said:\n{tail(log)}"
    )


def _python_candidates(versions: Sequence[str], env: Mapping[str, str]) -> Iterator[Path]:
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if running in versions and sys.prefix == sys.base_prefix:
        yield Path(os.path.realpath(sys.executable))
    for version in versions:
        for shim in _on_path(f"python{version}", env.get("PATH")):
            if shim.parent.name != "shims":  # pyenv's shims change with the folder one is in
                yield shim
    root = Path(env.get("PYENV_ROOT") or Path(env.get("HOME", "/root")) / ".pyenv")
    for version in versions:
        found = root.glob(f"versions/{version}.*/bin/python{version}")
        yield from sorted(found, key=lambda p: [int(n) for n in re.findall(r"\d+", p.parts[-3])])


def _is_python(candidate: Path, versions: Sequence[str]) -> bool:
    # Triton's python backend links against libpython, so a static 3.10 is of no use.
    question = (
        "import os, sys, sysconfig as s, venv; name = s.get_config_var('INSTSONAME') or ''; "
        "folders = [s.get_config_var('LIBDIR') or '', sys.base_prefix + '/lib', "
        "'/usr/lib/x86_64-linux-gnu']; print('%d.%d' % sys.version_info[:2], '.so' in name and "
        "any(os.path.exists(os.path.join(f, name)) for f in folders))"
    )
    try:
        answer = subprocess.run(
            [candidate, "-I", "-c", question],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return False
    return answer[0] in versions and (answer[0] != "3.10" or answer[1] == "True")


def _uv_python(uv: Path, version: str, project: Path, env: Mapping[str, str]) -> Path | None:
    try:
        answer = subprocess.run(
            [uv, "python", "find", "--no-project", "--no-python-downloads", version],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=project,
            env=env,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(answer)


def _sync(project: Path, uv: Path, environment: Environment, python: Path) -> None:
    folder = environment.folder(project)
    stamp = folder / STAMP
    stamp.unlink(missing_ok=True)
    log = project / ".cache" / "setup.log"
    env = tool_env(project) | {"UV_PROJECT_ENVIRONMENT": str(folder)}
    # A night starts many processes; where PYTHONDONTWRITEBYTECODE is set, each would compile all.
    command = [str(uv), "sync", "--frozen", "--no-progress", "--compile-bytecode"]
    command += environment.sync
    with progress(environment.title, lambda: _last_line(log)):
        code = _run([*command, "--python", str(python)], project, log, env)
    if code != 0:
        raise ServiceUnavailable(
            f"{environment.name} could not be installed (uv's exit code {code}); is PyPI "
            f"reachable? The whole log: {log}\n{tail(log)}"
        )
    files.write_text(stamp, fingerprint(project, environment))


def _run(command: list[str], project: Path, log: Path, env: Mapping[str, str] | None = None) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=project,
                env=tool_env(project) if env is None else env,
                check=False,
            ).returncode
        except OSError as error:
            out.write(f"{error}\n".encode())
            return 127


def _on_path(name: str, path: str | None = None) -> list[Path]:
    path = os.environ.get("PATH", "") if path is None else path
    found = (Path(folder) / name for folder in path.split(os.pathsep) if folder)
    return [p for p in found if os.access(p, os.X_OK)]


def _last_line(log: Path) -> str:
    return tail(log, 1).strip()[:70]
