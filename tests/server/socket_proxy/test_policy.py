"""What the proxy's variables allow, and what is refused at its start."""

import pytest
from socket_proxy.policy import Policy, PolicyError, size_bytes

ENV = {
    "NIGHTSHIFT_HOME": "/srv/home",
    "NIGHTSHIFT_PROJECT": "/srv/project",
    "NIGHTSHIFT_TASK_IMAGE_TRAIN": "train:1",
    "NIGHTSHIFT_TASK_USER": "10001:10001",
}


def test_defaults_and_images():
    policy = Policy.from_env(ENV | {"NIGHTSHIFT_TASK_IMAGE_SCORE": ""})
    assert policy.images == {"train:1"}
    assert (policy.memory, policy.nano_cpus, policy.gpu) == (8 << 30, 2 * 10**9, False)
    assert Policy.from_env(ENV | {"NIGHTSHIFT_TASK_DEVICE": "cuda"}).gpu


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NIGHTSHIFT_TASK_IMAGE_TRAIN", ""),
        ("NIGHTSHIFT_TASK_USER", "0:0"),
        ("NIGHTSHIFT_TASK_USER", "10001:0"),
        ("NIGHTSHIFT_TASK_USER", "root"),
        ("NIGHTSHIFT_HOME", "srv/home"),
        ("NIGHTSHIFT_HOME", "/srv/../etc"),
        ("NIGHTSHIFT_HOME", "/"),
        ("NIGHTSHIFT_PROJECT", ""),
        ("NIGHTSHIFT_TASK_MEMORY", "lots"),
        ("NIGHTSHIFT_TASK_CPUS", "0"),
        ("NIGHTSHIFT_TASK_CPUS", "nan"),
    ],
)
def test_a_wrong_variable_keeps_the_proxy_from_starting(name, value):
    with pytest.raises(PolicyError):
        Policy.from_env(ENV | {name: value})


@pytest.mark.parametrize(
    ("path", "run", "readable"),
    [
        ("/srv/home/runs/jd/2026-03-01/0123abcd", True, False),
        ("/srv/home/runs/2026-03-01/0123abcd", True, False),
        ("/srv/home/runs/jd/2026-03-01/../x", False, False),
        ("/srv/home/runs/jd/2026-03-01", False, False),
        ("/srv/home/runs/jd/experiments/trainings/0123456789abcdef", True, False),
        ("/srv/home/runs/jd/experiments/datasets/0123456789abcdef", True, False),
        ("/srv/home/runs/jd/experiments/trainings", False, False),
        ("/srv/home/runs/jd/experiments/named/0123456789abcdef", False, False),
        ("/srv/home/runs/jd/experiments/trainings/../../../../xxxx", False, False),
        ("/srv/home/runs", False, True),
        ("/srv/home/releases/jd", False, True),
        ("/srv/home/data/jd", False, True),
        ("/srv/home/data/jd/orders", False, False),
        ("/srv/home/data/..", False, False),
        ("/srv/home/secrets", False, False),
        ("/srv/project/include", False, True),
        ("/srv/project", False, False),
        ("/etc", False, False),
    ],
)
def test_which_folders_may_be_mounted_and_how(path, run, readable):
    policy = Policy.from_env(ENV)
    assert (policy.is_run(path), policy.is_readable(path)) == (run, readable)


def test_the_root_of_a_path_is_the_installations():
    policy = Policy.from_env(ENV)
    assert str(policy.root_of("/srv/home/data")) == "/srv/home"
    assert policy.root_of("/srv/homework") is None


@pytest.mark.parametrize(
    ("text", "size"), [("8g", 8 << 30), ("512MB", 512 << 20), ("100", 100), ("1k", 1024)]
)
def test_sizes(text, size):
    assert size_bytes(text) == size
