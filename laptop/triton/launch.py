"""How Triton is started: its backend directory, its arguments, its environment.

The wheel `nvidia-pytriton` holds the server of NVIDIA's own images, the python backend and its
stubs. In production the image has them in its own places and this module is not used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from laptop.services.launch import Launch, base_env
from nightshift import credentials, files
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings
from nightshift.triton.startable import startable


@dataclass(frozen=True)
class TasksPython:
    """What Triton needs to know of the tasks' Python."""

    executable: Path
    version: str
    site_packages: Path
    library_folder: Path

    @classmethod
    def inspect(cls, executable: Path) -> TasksPython:
        """Ask the interpreter itself.

        Raises:
            ConfigurationError: it is not there, or has no shared libpython.
        """
        question = (
            "import sys, sysconfig as s; from pathlib import Path; "
            "d = [s.get_config_var('LIBDIR') or '', sys.base_prefix + '/lib']; "
            "n = s.get_config_var('INSTSONAME') or ''; "
            "print('%d.%d' % sys.version_info[:2]); print(s.get_path('purelib')); print(n); "
            "print(next((x for x in d if '.so' in n and (Path(x) / n).exists()), ''))"
        )
        try:
            answer = subprocess.run(
                [str(executable), "-I", "-c", question],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout.split("\n")
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigurationError(
                f"the tasks' Python {executable} does not run ({error}); run any ./nightshift "
                "command to set it up, or set NIGHTSHIFT_TASK_PYTHON"
            ) from error
        version, site_packages, library, folder = answer[:4]
        if not folder and not _system_library(f"libpython{version}.so.1.0"):
            raise ConfigurationError(
                f"{executable} has no shared library (libpython{version}.so.1.0; its build says "
                f"{library!r}), which Triton's python backend needs; make the tasks' environment "
                "with a Python that has one: `uv python install 3.10`"
            )
        return cls(executable, version, Path(site_packages), Path(folder or "/usr/lib"))


def _system_library(name: str) -> bool:
    return any(
        (Path(folder) / name).exists()
        for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
    )


def assemble_backends(target: Path, python: TasksPython, project: Path) -> Path:
    """Lay out Triton's backend directory; doing it again repairs it.

    `libtriton_python.so` and `model.py` are copies: Triton refuses a link that leaves the
    directory. The stub is a link: a copy would lose the libraries it finds by its own place,
    and loading a model would hang.

    Args:
        target: the backend directory; `oneflow/` and `python/` appear in it.
        python: the Python that runs the models.
        project: the project folder, which holds `include/triton_backend/`.

    Raises:
        ConfigurationError: the wheel is not installed or has no stub for that Python.
    """
    wheel = python.site_packages / "pytriton" / "tritonserver"
    stub = wheel / "python_backend_stubs" / python.version / "triton_python_backend_stub"
    for path in (wheel / "bin" / "tritonserver", stub):
        if not path.exists():
            raise ConfigurationError(
                f"{path} is missing: install nvidia-pytriton into the tasks' environment "
                "(`uv sync --project tasks --group triton`), which must be of Python 3.8 to 3.13"
            )
    source = wheel / "backends" / "python"
    for origin, copy in (
        (source / "libtriton_python.so", target / "python" / "libtriton_python.so"),
        (
            project / "include" / "triton_backend" / "oneflow" / "model.py",
            target / "oneflow" / "model.py",
        ),
    ):
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.read_bytes() != origin.read_bytes():
            staged = files.staging_path(copy)
            shutil.copyfile(origin, staged)
            staged.replace(copy)
    for origin in (source / "triton_python_backend_utils.py", stub):
        link = target / "python" / origin.name
        if not link.is_symlink() or link.readlink() != origin:
            staged = files.staging_path(link)
            staged.symlink_to(origin)
            staged.replace(link)
    return target


def command(settings: Settings) -> Launch:
    """Make the backend directory ready and say how to start the server.

    The server starts with every model that has a configuration and whose versions are as they
    were published; `nightshift.triton.revive` loads what is whole.

    Raises:
        ConfigurationError: the tasks' environment or the wheel is not as needed.
    """
    python = TasksPython.inspect(settings.task_python)
    backends = assemble_backends(settings.home / "triton" / "backends", python, settings.project)
    settings.model_repo.mkdir(parents=True, exist_ok=True)
    env = _environment(settings, python)
    key = credentials.ensure(settings, credentials.TRITON_KEY)
    env |= {"NIGHTSHIFT_HTTP_RULE": f"--http-restricted-api={restriction(HTTP, key)}"}
    env |= {"NIGHTSHIFT_GRPC_RULE": f"--grpc-restricted-protocol={restriction(CONTROL, key)}"}
    argv = [
        # Becomes the server, and keeps the key out of what other users see of a process.
        *(str(python.executable), "-I", str(Path(__file__).with_name("hidden.py"))),
        str(python.site_packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        # Relative: the python backend starts its stubs by a shell line without quotes, and a
        # blank in a path makes the load of a model hang for ever.
        f"--model-repository={os.path.relpath(settings.model_repo, settings.home)}",
        f"--backend-directory={backends.relative_to(settings.home)}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--exit-on-error=false",
        # A version whose process died never reports itself unloaded; requests take milliseconds.
        "--exit-timeout-secs=5",
        f"--http-address={settings.bind}",
        f"--http-port={settings.triton_http_port}",
        f"--grpc-address={settings.bind}",
        f"--grpc-port={settings.triton_grpc_port}",
        f"--metrics-address={settings.bind}",
        f"--metrics-port={settings.triton_metrics_port}",
        # A port held by another server must be an error, not a share of its requests.
        "--reuse-http-port=false",
        "--reuse-grpc-port=false",
    ]
    argv += ["@NIGHTSHIFT_HTTP_RULE", "@NIGHTSHIFT_GRPC_RULE"]
    argv += [f"--load-model={model}" for model in startable(settings.model_repo)]
    return Launch(argv, env, settings.home)


CONTROL = "model-repository,model-config,shared-memory,trace,logging"
"""What a key is needed for: loading a model runs code, a trace or a log writes files."""

HTTP = f"{CONTROL},inference,metadata,statistics"
"""What a key is needed for over HTTP: all but health.

Web pages reach HTTP and not gRPC, which the product itself uses; and a tensor of 2**40 rows in JSON
ends the server.
"""


def restriction(apis: str, key: str) -> str:
    """What lets only requests with the key use some of the server's APIs."""
    return f"{apis}:{credentials.TRITON_HEADER}={key}"


def _environment(settings: Settings, python: TasksPython) -> dict[str, str]:
    env = base_env(settings)
    libraries = [python.site_packages / "nvidia_pytriton.libs", python.library_folder]
    env.update(
        # The first python3 on PATH is the environment that the stub runs models in.
        PATH=os.pathsep.join([str(python.executable.parent), env["PATH"]]),
        LD_LIBRARY_PATH=os.pathsep.join(map(str, libraries)),
        PYTHONPATH=os.pathsep.join([str(settings.project / "src"), str(settings.project)]),
        PYTHONDONTWRITEBYTECODE="1",
        GLOG_minloglevel="3",
        # NumPy's, which is there before the backend can say how many it wants.
        OPENBLAS_NUM_THREADS=str(settings.triton_threads),
    )
    return env
