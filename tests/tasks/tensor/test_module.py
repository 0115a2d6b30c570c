"""A tensor pipeline's file: what it must define."""

import subprocess

import pytest

from tests.tasks.conftest import PROJECT, TASKS_PYTHON

WHOLE = {
    "INPUTS": "INPUTS = [{'name': 'X', 'dtype': 'FP32', 'dims': [2]}]",
    "OUTPUTS": "OUTPUTS = [{'name': 'Y', 'dtype': 'FP32', 'dims': [1]}]",
    "build": "def build(options):\n    from oneflow import nn\n    return nn.Linear(2, 1)",
    "examples": "def examples(seed):\n    import numpy as np\n    return {'X': np.ones((3, 2), 'f4')}",
    "MAX_BATCH_SIZE": "MAX_BATCH_SIZE = 16",
}


def train(folder, source, *more):
    if not TASKS_PYTHON.exists():
        pytest.skip(f"{TASKS_PYTHON} is not there; ./nightshift setup makes it")
    (folder / "model.py").write_text(source)
    command = [TASKS_PYTHON, "-m", "tasks.tensor.train", "--module", folder / "model.py"]
    command += ["--ds", "2026-11-20", "--data", folder, "--out", folder / "out", *more]
    command += ["--result", folder / "result.json"]
    return subprocess.run(
        list(map(str, command)), cwd=PROJECT, env={"PYTHONPATH": "src:."},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_batched_module_is_saved_with_its_golden_examples(tmp_path):
    done = train(tmp_path, "\n".join(WHOLE.values()))
    assert done.returncode == 0, done.stdout + done.stderr
    made = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert made == ["golden.npz", "model", "model_card.json", "signature.json"]


@pytest.mark.parametrize("part", ["INPUTS", "OUTPUTS", "build", "examples"])
def test_a_missing_part_is_named_and_not_retried(tmp_path, part):
    source = "\n".join(text for name, text in WHOLE.items() if name != part)
    done = train(tmp_path, source)
    assert done.returncode == 64
    assert f"does not define {part}" in done.stdout


def test_outputs_that_do_not_fit_the_signature_end_the_task(tmp_path):
    source = "\n".join(WHOLE.values()).replace("'dims': [1]", "'dims': [5]")
    done = train(tmp_path, source)
    assert done.returncode == 64
    assert "Y has the shape [3, 1]" in done.stdout
    assert not (tmp_path / "out").exists()
