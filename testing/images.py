"""Images of the tests, made without any image registry.

`debian:bookworm-slim` comes from debootstrap, `python:3.1x-slim-bookworm` from it and this
machine's own CPython; every Dockerfile of the project then builds on them unchanged. Each base
carries a label with the hash of what it was made from, so that it is made anew only when that
changes; the rest is BuildKit's own cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from laptop.setup import environments
from testing.engine import DOCKER, PROJECT, Engine, EngineUnavailable

VERSION = "0.1.0"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
DEBIAN_SUITE = "bookworm"
DEBIAN_PACKAGES = (
    "ca-certificates",
    "libbz2-1.0",
    "libexpat1",
    "libffi8",
    "libgdbm6",
    "liblzma5",
    "libncursesw6",
    "libreadline8",
    "libsqlite3-0",
    "libssl3",
    "libuuid1",
    "netbase",
    "tzdata",
    "zlib1g",
)
# Left out as the official slim images leave it out: tests, static libraries, byte code, Tk.
PYTHON_OMITTED = ("test", "tests", "idlelib", "idle_test", "tkinter", "turtledemo", "__pycache__")
PYTHON_DOCKERFILE = """\
FROM debian:bookworm-slim
ADD python.tar /
RUN ldconfig && python3 -m ensurepip && ln -sf pip3 /usr/local/bin/pip
CMD ["python3"]
"""


@contextmanager
def _timed(engine: Engine, step: str) -> Iterator[None]:
    """Print how long a step took, and keep it beside the engine's data."""
    start = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - start, 1)
    print(f"[images] {step}: {seconds} s", file=sys.stderr, flush=True)
    path = engine.data_root.parent / "timings.json"
    timings = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(timings | {step: seconds}, indent=2))


def _digest(*parts: str | bytes) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode() if isinstance(part, str) else part)
        sha.update(b"\0")
    return sha.hexdigest()


def _is_current(engine: Engine, image: str, key: str) -> bool:
    template = '{{index .Config.Labels "nightshift.made-from"}}'
    command = [DOCKER, "image", "inspect", "--format", template, image]
    done = subprocess.run(command, env=engine.env, capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == key


def ensure_debian(engine: Engine) -> str:
    """Make `debian:bookworm-slim` with debootstrap, with this machine's certificates in it."""
    image = "debian:bookworm-slim"
    bundle = CA_BUNDLE.read_bytes()
    key = _digest(DEBIAN_SUITE, *DEBIAN_PACKAGES, bundle)
    if _is_current(engine, image, key):
        return key
    with (
        _timed(engine, image),
        tempfile.TemporaryDirectory(prefix="nightshift-rootfs-", dir=engine.data_root.parent) as d,
    ):
        root = Path(d) / "rootfs"
        include = f"--include={','.join(DEBIAN_PACKAGES)}"
        command = ["debootstrap", "--variant=minbase", include, DEBIAN_SUITE, str(root)]
        command.append("http://deb.debian.org/debian")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EngineUnavailable(f"debootstrap failed: {(done.stdout + done.stderr)[-800:]}")
        (root / CA_BUNDLE.relative_to("/")).write_bytes(bundle)
        for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir(parents=True)
        changes = [f"LABEL nightshift.made-from={key}", 'CMD ["bash"]']
        changes += [f"ENV {name}={CA_BUNDLE}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
        arguments = [part for change in changes for part in ("--change", change)]
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                [DOCKER, "import", *arguments, "-", image],
                env=engine.env,
                stdin=tar.stdout,
                check=True,
                capture_output=True,
            )
    return key


def find_python(version: str) -> Path:
    """The prefix of this machine's CPython `version`: of an environment here, pyenv's or uv's.

    Raises:
        EngineUnavailable: there is none.
    """
    code = "import sys; print('%d.%d' % sys.version_info[:2], sys.base_prefix)"
    for candidate in filter(Path.exists, _pythons(version)):
        command = [str(candidate), "-I", "-c", code]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found, _, prefix = said.strip().partition(" ")
        # A distribution's Python, below /usr, is not a tree of its own.
        if found == version and prefix != "/usr":
            return Path(prefix)
    raise EngineUnavailable(f"no CPython {version} to make an image of; install one with pyenv")


def _pythons(version: str) -> Iterator[Path]:
    yield from (PROJECT / name / "bin" / "python" for name in (".venv-tasks", ".venv"))
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    uv = environments.find_uv(PROJECT)
    command = [str(uv), "python", "find", "--no-project", "--system", version]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        yield Path(done.stdout.strip())


def ensure_python(engine: Engine, version: str) -> str:
    """Make `python:<version>-slim-bookworm` from this machine's CPython."""
    image = f"python:{version}-slim-bookworm"
    base = ensure_debian(engine)
    prefix = find_python(version)
    exe = prefix / "bin" / f"python{version}"
    said = subprocess.run([exe, "-VV"], capture_output=True, text=True, check=True).stdout
    key = _digest(base, said, PYTHON_DOCKERFILE, *PYTHON_OMITTED)
    if _is_current(engine, image, key):
        return key
    with (
        _timed(engine, image),
        tempfile.TemporaryDirectory(prefix="nightshift-python-", dir=engine.data_root.parent) as d,
    ):
        _pack_python(prefix, version, Path(d) / "python.tar")
        (Path(d) / "Dockerfile").write_text(PYTHON_DOCKERFILE)
        label = f"nightshift.made-from={key}"
        engine.docker("build", "--network=none", "--label", label, "--tag", image, d)
    return key


def _pack_python(prefix: Path, version: str, target: Path) -> None:
    """Write the interpreter, its library and headers-free standard library below /usr/local."""
    library = prefix / "lib" / f"python{version}"
    entries = [prefix / "bin" / f"python{version}", prefix / "bin" / "python3"]
    entries += sorted(prefix.glob("lib/libpython*.so*"))

    for folder, folders, files in os.walk(library):
        folders[:] = sorted(
            f
            for f in folders
            if f not in PYTHON_OMITTED and f != "site-packages" and not f.startswith("config-")
        )
        entries += [Path(folder) / name for name in sorted(files) if not name.endswith(".a")]

    def clean(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(target, "w") as tar:
        for entry in entries:
            tar.add(entry, f"usr/local/{entry.relative_to(prefix)}", recursive=False, filter=clean)
        link = tarfile.TarInfo("usr/local/bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, "python3"
        tar.addfile(link)


def build(engine: Engine, image: str, dockerfile: Path, *arguments: str) -> str:
    """Build one of the project's Dockerfiles; the context is the project folder."""
    with _timed(engine, image):
        # The tests' engine has no NAT; a build reaches the package index by the host's network.
        where = ("--network=host", "--file", str(dockerfile), "--tag", image)
        engine.docker("build", *where, *arguments, str(PROJECT))
    return image


def build_tasks(engine: Engine) -> list[str]:
    """The images of `tasks/*`, from their own Dockerfiles."""
    ensure_python(engine, "3.10")
    return [
        build(
            engine, f"nightshift/{task}:{VERSION}", PROJECT / "tasks" / "ctr" / task / "Dockerfile"
        )
        for task in ("preprocess", "train")
    ]


def build_services(engine: Engine) -> None:
    """The images of docker-compose.yaml.

    Those of the project's own Dockerfiles are built from them; of the three that come from a
    registry, `tests/docker/standins` says what stands in for each.
    """
    build_tasks(engine)
    ensure_python(engine, "3.11")
    for name in ("socket-proxy", "airflow", "predict"):
        dockerfile = PROJECT / "docker" / name / "Dockerfile"
        build(engine, f"nightshift/{name}:{VERSION}", dockerfile)
    train = PROJECT / "tasks" / "ctr" / "train" / "Dockerfile"
    build(engine, "nightshift-standin/environment", train, "--target", "environment")
    standins = PROJECT / "tests" / "docker" / "standins"
    for name in ("postgres", "openmldb", "tritonserver"):
        build(engine, f"nightshift-standin/{name}", standins / name / "Dockerfile")
    base = "TRITON_IMAGE=nightshift-standin/tritonserver"
    triton = PROJECT / "docker" / "triton" / "Dockerfile"
    build(engine, f"nightshift/triton:24.10-{VERSION}", triton, "--build-arg", base)
