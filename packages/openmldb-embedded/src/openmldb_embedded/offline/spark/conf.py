"""The settings of the Spark engine, named as in OpenMLDB's taskmanager.properties."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from openmldb_sql.errors import SqlError

ZONE = "+08:00"
"""OpenMLDB's fixed time zone: a text without a zone is a time there, a date is a day there."""

_OWN = (
    "spark.master",
    "spark.home",
    "spark.default.conf",
    "batchjob.jar.path",
    "offline.data.prefix",
    "hadoop.conf.dir",
    "hadoop.user.name",
    "java.home",
)
_OF_OTHERS = re.compile(
    r"server\.|zookeeper\.|job\.|track\.|external\.|enable\.hive|hive\.|k8s\.|namenode\.|user|"
    r"password|prefetch\.|batchjob\.jar\.version"
)
"""Settings of a TaskManager that are of no use here."""


class ConfError(SqlError):
    """A setting of the Spark engine that is missing or wrong."""

    default_code = 2000


@dataclass(frozen=True)
class SparkConf:
    """Where Spark and the engine lie, and how applications are started.

    Attributes:
        master: ``spark.master``: ``local[*]``, ``spark://host:7077``, ``yarn``, ``k8s://...``.
        home: ``spark.home``: a Spark 3.2, as unpacked or as pyspark installs it.
        jars: ``batchjob.jar.path``: the engine's jars in the order of the class path.
        native: The engine's library, unpacked beside the jars; None leaves it to the jars.
        java_home: ``java.home``; None leaves it to the environment.
        python: Runs the driver: ``spark.pyspark.driver.python``.
        spark: All other ``spark.*`` settings, those of ``spark.default.conf`` among them.
        environment: What else applications are given of the environment.
    """

    master: str
    home: Path
    jars: tuple[Path, ...]
    native: Path | None = None
    java_home: Path | None = None
    python: str = "python3"
    spark: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, str]) -> SparkConf:
        """Check settings.

        Raises:
            ConfError: One is unknown, missing, or leads nowhere; the message names it.
        """
        spark = {}
        for name, value in given.items():
            if name in _OWN or _OF_OTHERS.match(name):
                continue
            if not name.startswith("spark."):
                raise ConfError(
                    f"the Spark engine has no setting {name!r}; it has {', '.join(_OWN)} and "
                    f"Spark's own, which begin with spark."
                )
            spark[name] = value
        spark = {**_assignments(given.get("spark.default.conf", "")), **spark}
        if spark.get("spark.submit.deployMode", "client") != "client":
            raise ConfError(
                "spark.submit.deployMode must be client: the server follows the driver as a "
                "process of its own machine"
            )
        home = _folder(given, "spark.home", "bin/spark-submit")
        jars = _jars(given)
        native = jars[0].parent / "libsql_jsdk.so"
        java = given.get("java.home") or os.environ.get("JAVA_HOME")
        environment = {
            variable: given[name]
            for name, variable in (
                ("hadoop.conf.dir", "HADOOP_CONF_DIR"),
                ("hadoop.user.name", "HADOOP_USER_NAME"),
            )
            if given.get(name)
        }
        return cls(
            given.get("spark.master") or "local[*]",
            home,
            jars,
            native if native.is_file() else None,
            Path(java) if java else None,
            spark.get("spark.pyspark.driver.python")
            or spark.get("spark.pyspark.python", "python3"),
            spark,
            environment,
        )

    @property
    def is_local(self) -> bool:
        """Whether the driver does all the work itself."""
        return self.master.split("[")[0] == "local"

    @property
    def is_loopback(self) -> bool:
        """Whether nothing outside this machine takes part."""
        return self.is_local or bool(re.match(r"spark://(127\.|localhost\b|\[::1\])", self.master))

    def properties(self, folder: Path, memory: int) -> dict[str, str]:
        """The properties of one application, lowest first: ours, spark-defaults.conf, the user's.

        Args:
            folder: The application's own folder, for what it unpacks and spills.
            memory: Bytes that a job may take, where the driver does all the work.
        """
        path = ":".join(str(jar) for jar in self.jars)
        log4j = Path(__file__).with_name("log4j.properties").as_uri()
        java = f"-Duser.timezone=GMT{ZONE} -Dlog4j.configuration={log4j}"
        ours = {
            "spark.ui.port": "0",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
        }
        if self.is_local:
            cores = os.cpu_count() or 1
            ours["spark.driver.memory"] = f"{max(memory >> 20, 1024)}m"
            ours["spark.sql.shuffle.partitions"] = str(max(8, 4 * cores))
            ours["spark.local.dir"] = str(folder / "local")
        if self.is_loopback:
            ours["spark.driver.host"] = "127.0.0.1"
            ours["spark.driver.bindAddress"] = "127.0.0.1"
        found = {**ours, **self._defaults(), **self.spark}
        # A driver that is killed leaves in its temporary folder what it unpacked.
        unpacks = f'{java} "-Djava.io.tmpdir={folder / "tmp"}"'
        # What the answers depend on is not the user's to change; paths come before the user's.
        for side, options in (("driver", unpacks), ("executor", java)):
            for name, value, between in (
                (f"spark.{side}.extraClassPath", path, ":"),
                (f"spark.{side}.extraJavaOptions", options, " "),
            ):
                found[name] = between.join(filter(None, (value, found.get(name))))
        found.update(
            {
                "spark.sql.session.timeZone": ZONE,
                "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MILLIS",
                **{
                    f"spark.sql.parquet.{kind}RebaseModeIn{way}": "CORRECTED"
                    for kind in ("datetime", "int96")
                    for way in ("Read", "Write")
                },
            }
        )
        if self.native is not None:
            found.setdefault("spark.openmldb.jsdk.library.path", str(self.native))
        return found

    def _defaults(self) -> dict[str, str]:
        """The Spark installation's own spark-defaults.conf: --properties-file would hide it."""
        folder = Path(os.environ.get("SPARK_CONF_DIR") or self.home / "conf")
        path = folder / "spark-defaults.conf"
        return read_properties(path) if path.is_file() else {}

    def env(self) -> dict[str, str]:
        """The environment of an application."""
        astray = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYSPARK_SUBMIT_ARGS", "SPARK_MASTER")
        env = {name: value for name, value in os.environ.items() if name not in astray}
        env.update(self.environment, SPARK_HOME=str(self.home), PYSPARK_PYTHON=self.python)
        env["PYSPARK_DRIVER_PYTHON"] = self.python
        if self.java_home is not None:
            env["JAVA_HOME"] = str(self.java_home)
        if self.is_loopback:
            env["SPARK_LOCAL_IP"] = "127.0.0.1"
        return env


def read_properties(path: Path) -> dict[str, str]:
    """A properties file: ``name=value``, ``name: value`` or ``name value`` a line; ``#`` comments.

    Raises:
        ConfError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfError(f"the properties file {path} cannot be read: {error}") from error
    found = {}
    for line in re.sub(r"\\\n[ \t]*", "", text).splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in "#!":
            name, _, value = re.sub(r"\s*[=:\s]\s*", "\0", stripped, count=1).partition("\0")
            found[name] = value.strip()
    return found


def write_properties(values: Mapping[str, str]) -> str:
    """The inverse of ``read_properties``, as Java reads it."""
    lines = []
    for name, value in sorted(values.items()):
        escaped = value.replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"{name}={escaped}\n")
    return "".join(lines)


def _assignments(text: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, sign, value = part.partition("=")
        if not sign or not name.strip().startswith("spark."):
            raise ConfError(
                f"spark.default.conf holds {part!r}; write it as spark.name=value;spark.name=value"
            )
        found[name.strip()] = value.strip()
    return found


def _folder(given: Mapping[str, str], name: str, holds: str) -> Path:
    text = given.get(name)
    if not text:
        raise ConfError(f"the Spark engine needs {name}: a folder that holds {holds}")
    path = Path(text)
    if not (path / holds).is_file():
        raise ConfError(f"{name} is {path}, which holds no {holds}")
    return path


def _jars(given: Mapping[str, str]) -> tuple[Path, ...]:
    """The engine's jars: a folder's, or those named one by one."""
    name = "batchjob.jar.path"
    text = given.get(name)
    if not text:
        raise ConfError(f"the Spark engine needs {name}: the folder of openmldb-batch's jars")
    folder = Path(text)
    if folder.is_dir():
        # openmldb-batch first: it shades what the others would bring.
        jars = sorted(folder.glob("openmldb-*.jar"))
        if not jars:
            raise ConfError(f"{name} is {folder}, which holds no openmldb-*.jar")
        return tuple(jars)
    jars = [Path(part) for part in re.split(r"[,:]", text) if part]
    for jar in jars:
        if not jar.is_file():
            raise ConfError(f"{name} names {jar}, which is not there")
    return tuple(jars)


def data_prefix(given: Mapping[str, str]) -> Path | None:
    """``offline.data.prefix``: where the tables' offline data lies, if not in the data folder.

    Raises:
        ConfError: It is not a folder of this machine.
    """
    prefix = given.get("offline.data.prefix")
    if not prefix:
        return None
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(?://)?", prefix)
    if match is None:
        return Path(prefix).absolute()
    if match.group(1).lower() != "file":
        raise ConfError(
            f"offline.data.prefix is {prefix!r}: the server adds INSERTed rows to the tables' "
            f"offline data itself, so it must be a folder that it and Spark see at the same path "
            f"(a network file system on a cluster)"
        )
    return Path(prefix[match.end() :]).absolute()
