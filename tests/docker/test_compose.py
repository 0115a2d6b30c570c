"""The Compose files, by docker-compose's own parser: complete, closed, and without secrets."""

from __future__ import annotations

import base64
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from laptop.services import airflow
from nightshift.settings import Settings
from testing.engine import PROJECT, EngineUnavailable, install_packages
from tests.docker.production import COMPOSE, EXAMPLE, OPTIONAL, example_env

pytestmark = pytest.mark.docker

SECRETS = (
    "POSTGRES_PASSWORD",
    "AIRFLOW_FERNET_KEY",
    "AIRFLOW_SECRET_KEY",
    "AIRFLOW_JWT_SECRET",
    "NIGHTSHIFT_TRITON_KEY",
    "NIGHTSHIFT_AIRFLOW_PASSWORD",
)
FILES = ("docker-compose.yaml", "docker-compose.gpu.yaml", "tests/docker/compose.test.yaml")


@pytest.fixture(scope="module", autouse=True)
def _compose_is_installed() -> None:
    try:
        install_packages()
    except EngineUnavailable as error:
        if not Path(COMPOSE).exists():
            pytest.skip(str(error))


def config(env_file: Path, *files: str) -> subprocess.CompletedProcess[str]:
    command = [COMPOSE, "--project-directory", str(PROJECT), "--env-file", str(env_file)]
    for file in files:
        command += ["--file", str(PROJECT / file)]
    env = {"PATH": os.environ["PATH"], "HOME": str(env_file.parent)}
    return subprocess.run(
        [*command, "config"], env=env, capture_output=True, text=True, check=False
    )


@functools.cache
def parsed(*files: str) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", prefix="nightshift-env-") as env_file:
        env_file.write(example_env())
        env_file.flush()
        done = config(Path(env_file.name), *files)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = yaml.safe_load(done.stdout)
    return result


@pytest.mark.parametrize(
    "files", [FILES[:1], FILES[:2], (FILES[0], FILES[2])], ids=["plain", "gpu", "test"]
)
def test_files_are_valid(files: tuple[str, ...]) -> None:
    assert parsed(*files)["services"]


@pytest.mark.parametrize("secret", SECRETS)
def test_missing_secret_stops_compose_with_its_name(tmp_path: Path, secret: str) -> None:
    env_file = tmp_path / "env"
    env_file.write_text(re.sub(rf"(?m)^{secret}=.*$", f"{secret}=", example_env()))
    done = config(env_file, FILES[0])
    assert done.returncode != 0
    assert "set it in .env" in done.stderr


def test_documented_commands_fill_in_what_compose_asks_for(tmp_path: Path) -> None:
    # Given docs/production.md's commands that make `.env`, with a file in the socket's place
    document = (PROJECT / "docs" / "production.md").read_text()
    found = re.search(r" +install -m 600 \.env\.example(.*\n)+?.*fill DOCKER_GID.*\n", document)
    assert found is not None
    commands = found[0].replace("/var/run/docker.sock", "/dev/null")
    shutil.copy(EXAMPLE, tmp_path)

    # When they run in a folder with the example alone
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True)

    # Then Compose has all it needs, and every secret is another
    done = config(tmp_path / ".env", FILES[0])
    assert done.returncode == 0, done.stderr
    made = dict(re.findall(r"(?m)^([A-Z_0-9]+)=(.*)$", (tmp_path / ".env").read_text()))
    assert len({made[secret] for secret in SECRETS}) == len(SECRETS)
    assert len(base64.urlsafe_b64decode(made["AIRFLOW_FERNET_KEY"])) == 32
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_example_names_each_variable_of_the_files_and_no_other() -> None:
    text = "".join((PROJECT / file).read_text() for file in FILES[:2])
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_0-9]+)", text))
    described = set(re.findall(r"(?m)^([A-Z_0-9]+)=", EXAMPLE.read_text()))
    assert described == used


def test_example_holds_no_secret_and_the_files_defaults() -> None:
    example = dict(re.findall(r"(?m)^([A-Z_0-9]+)=(.*)$", EXAMPLE.read_text()))
    assert {name for name, value in example.items() if not value} == {*SECRETS, *OPTIONAL}
    for file in FILES[:2]:
        for name, default in re.findall(
            r"\$\{([A-Z_0-9]+):-([^}]*)\}", (PROJECT / file).read_text()
        ):
            assert example[name] == default, name


def test_only_ui_and_predict_server_are_published_and_on_the_loopback() -> None:
    services = parsed(FILES[0])["services"]
    published = {name: s["ports"] for name, s in services.items() if s.get("ports")}
    assert set(published) == {"airflow-api-server", "predict"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_only_published_services_and_the_messenger_are_on_a_network_with_a_way_out() -> None:
    file = parsed(FILES[0])
    closed = {name for name, network in file["networks"].items() if network.get("internal")}
    for name, service in file["services"].items():
        networks = set(service.get("networks", {}))
        if service.get("network_mode") != "none":
            assert networks, f"{name} is on Compose's default network"
            assert networks <= closed or service.get("ports") or name == "watch", name
    watch = file["services"]["watch"]
    # It has a way out: no server to reach, no secret to lose, nothing to be reached by.
    assert set(watch["networks"]) == {"outside"}
    assert not watch.get("ports")
    named = {n for n, s in file["services"].items() if "outside" in s.get("networks", {})}
    assert named == {"watch"}
    assert not {
        n for n in watch["environment"] if re.search("PASSWORD|SECRET|FERNET|TRITON_KEY", n)
    }


def test_engines_socket_is_the_proxys_alone_and_the_proxy_airflows_alone() -> None:
    services = parsed(FILES[0])["services"]
    holders = [n for n, s in services.items() if "docker.sock" in str(s.get("volumes", ""))]
    assert holders == ["docker-proxy"]
    callers = {n for n, s in services.items() if "engine" in s.get("networks", {})}
    assert callers == {"docker-proxy", "airflow-scheduler", "airflow-triggerer"}


def test_proxy_sees_what_may_be_mounted_and_cannot_change_it() -> None:
    volumes = parsed(FILES[0])["services"]["docker-proxy"]["volumes"]
    folders = [volume for volume in volumes if "docker.sock" not in volume]
    assert len(folders) == 3
    assert all(volume.endswith(":ro") for volume in folders)


def test_services_are_bounded_and_checked() -> None:
    services = parsed(FILES[0])["services"]
    one_shot = {"volumes-init", "airflow-init", "task-preprocess", "task-train"}
    for name in services.keys() - one_shot:
        service = services[name]
        assert service["healthcheck"]["test"], name
        assert service["mem_limit"] and service["cpus"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == "unless-stopped", name
        assert not service.get("privileged"), name
        if service["image"].startswith("nightshift/"):
            assert service["read_only"] and service["cap_drop"] == ["ALL"], name
            assert not service["user"].startswith("0"), name


def test_airflow_behaves_as_on_a_laptop() -> None:
    laptop = airflow.environment(Settings())
    production = parsed(FILES[0])["services"]["airflow-scheduler"]["environment"]
    for option in (
        "CORE__EXECUTOR",
        "CORE__LOAD_EXAMPLES",
        "OPERATORS__DEFAULT_DEFERRABLE",
        "USAGE_DATA_COLLECTION__ENABLED",
        "WORKERS__MIN_HEARTBEAT_INTERVAL",
    ):
        assert production[f"AIRFLOW__{option}"] == laptop[f"AIRFLOW__{option}"], option


def test_home_has_one_path_everywhere(tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text(example_env(NIGHTSHIFT_HOME="/srv/models", NIGHTSHIFT_PROJECT="/srv/code"))
    services = yaml.safe_load(config(env_file, FILES[0]).stdout)["services"]
    holders = set()
    for name, service in services.items():
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            if source.startswith("/srv"):
                assert source == target, name
                holders.add(name)
    assert {"openmldb", "triton", "predict", "airflow-scheduler"} <= holders


def test_gpu_file_asks_for_a_gpu_and_the_plain_one_does_not() -> None:
    plain = parsed(FILES[0])["services"]
    gpu = parsed(*FILES[:2])["services"]
    assert not any("deploy" in service for service in plain.values())
    devices = gpu["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]
    for name in ("airflow-scheduler", "airflow-triggerer"):
        assert plain[name]["environment"]["NIGHTSHIFT_TASK_DEVICE"] == "cpu"
        assert gpu[name]["environment"]["NIGHTSHIFT_TASK_DEVICE"] == "cuda"


def test_tokens_and_certificate_are_secrets_of_those_who_need_them() -> None:
    services = parsed(FILES[0], "docker-compose.tokens.yaml", "docker-compose.tls.yaml")["services"]
    holders = {name: _secrets(one) for name, one in services.items() if one.get("secrets")}
    assert holders == {
        "predict": {"predict_tokens", "predict_tls_cert", "predict_tls_key"},
        "airflow-scheduler": {"predict_tokens", "predict_tls_cert"},
    }
    for name in holders:
        environment = services[name]["environment"]
        assert environment["NIGHTSHIFT_PREDICT_TOKEN_FILE"] == "/run/secrets/predict_tokens"
        assert environment["NIGHTSHIFT_PREDICT_TLS_CERT"] == "/run/secrets/predict_tls_cert"
        assert environment["NIGHTSHIFT_PREDICT_HOST"] == "predict", "the rest is kept"
    assert "HTTPSConnection" in str(services["predict"]["healthcheck"]["test"])
    assert not any(one.get("secrets") for one in parsed(FILES[0])["services"].values())


def _secrets(service: dict[str, Any]) -> set[str]:
    return {one["source"] if isinstance(one, dict) else one for one in service["secrets"]}


def test_images_are_pinned() -> None:
    for name, service in parsed(FILES[0])["services"].items():
        _, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d+\.\d+", tag), f"{name}: {service['image']}"
