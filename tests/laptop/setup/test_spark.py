"""Bringing Spark and the batch engine: resumed, checked, and only when it is asked for."""

from __future__ import annotations

import hashlib
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from laptop.setup import environments, spark
from nightshift.errors import ContractError, ServiceUnavailable
from nightshift.settings import Settings


class Maven(ThreadingHTTPServer):
    """A repository of made-up jars that may cut a download off once."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.cut_after: int | None = None
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Maven

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        span = self.headers.get("Range", "")
        self.server.asked.append((name, span))
        body = self.server.files[name]
        start = int(re.findall(r"\d+", span)[0]) if span else 0
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut, self.server.cut_after = self.server.cut_after, None
        self.wfile.write(body[start:] if cut is None else body[start : start + cut])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maven]:
    native = tmp_path / "native.jar"
    with zipfile.ZipFile(native, "w") as archive:
        archive.writestr("libsql_jsdk.so", b"library")
    bodies = [b"b" * 3_000_000, b"c" * 10, native.read_bytes()]
    jars = tuple(
        spark.Jar(jar.artefact, len(body), hashlib.sha256(body).hexdigest())
        for jar, body in zip(spark.JARS, bodies, strict=True)
    )
    monkeypatch.setattr(spark, "JARS", jars)
    monkeypatch.setattr(spark, "NATIVE", jars[2])
    monkeypatch.setattr(environments, "make", lambda *arguments: None)
    monkeypatch.setattr(environments, "is_current", lambda *arguments: True)
    found = Maven({jar.name: body for jar, body in zip(jars, bodies, strict=True)})
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def test_all_of_it_comes_and_a_second_time_nothing(tmp_path: Path, maven: Maven) -> None:
    spark.ensure(tmp_path, maven.url)
    folder = spark.jar_folder(tmp_path)
    assert (folder / "libsql_jsdk.so").read_bytes() == b"library"
    assert sorted(p.name for p in folder.iterdir()) == sorted([*maven.files, "libsql_jsdk.so"])
    asked = len(maven.asked)
    spark.ensure(tmp_path, maven.url)
    assert len(maven.asked) == asked == 3


def test_a_download_that_was_cut_off_goes_on(tmp_path: Path, maven: Maven) -> None:
    maven.cut_after = 1_000_000
    with pytest.raises(ServiceUnavailable, match="goes on from there"):
        spark.ensure(tmp_path, maven.url)
    spark.ensure(tmp_path, maven.url)
    batch = spark.JARS[0].name
    assert [span for name, span in maven.asked if name == batch] == ["", "bytes=1000000-"]
    assert (spark.jar_folder(tmp_path) / batch).read_bytes() == maven.files[batch]


def test_a_wrong_beginning_is_fetched_anew(tmp_path: Path, maven: Maven) -> None:
    batch = spark.JARS[0].name
    folder = spark.jar_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / f"{batch}.part").write_bytes(b"x" * 100)
    spark.ensure(tmp_path, maven.url)
    assert (folder / batch).read_bytes() == maven.files[batch]


def test_another_file_is_refused(tmp_path: Path, maven: Maven) -> None:
    batch = spark.JARS[0].name
    maven.files[batch] = b"z" * 3_000_000
    with pytest.raises(ContractError, match="SHA-256"):
        spark.ensure(tmp_path, maven.url)
    assert not (spark.jar_folder(tmp_path) / batch).exists()


def test_a_repository_that_is_away_is_told_of(tmp_path: Path, maven: Maven) -> None:
    maven.shutdown()
    maven.server_close()
    with pytest.raises(ServiceUnavailable, match="NIGHTSHIFT_MAVEN_URL"):
        spark.ensure(tmp_path, maven.url)


@pytest.mark.parametrize(
    ("argv", "env", "expected"),
    [
        (["setup"], {}, False),
        (["setup", "--spark"], {}, True),
        (["demo", "--offline-engine", "spark"], {}, True),
        (["demo", "--offline-engine=spark"], {}, True),
        (["demo"], {}, False),
        (["up"], {"NIGHTSHIFT_OFFLINE_ENGINE": "spark"}, True),
        (["up", "--offline-engine"], {"NIGHTSHIFT_OFFLINE_ENGINE": "embedded"}, False),
    ],
)
def test_it_comes_only_where_it_is_asked_for(
    argv: list[str], env: dict[str, str], expected: bool
) -> None:
    assert spark.wanted(argv, env) is expected


def test_the_server_is_told_what_the_file_leaves_out(tmp_path: Path) -> None:
    assert spark.server_arguments(Settings()) == []
    path = tmp_path / "taskmanager.properties"
    path.write_text("spark.home = /opt/spark\n#java.home=/x\n")
    found = spark.server_arguments(
        Settings(offline_engine="spark", spark_master="yarn", taskmanager_properties=str(path))
    )
    given = [word.partition("=")[0] for word in found]
    assert "spark.home" not in given
    assert "java.home" in given
    assert "spark.master=yarn" in found
    assert str(path) in found
