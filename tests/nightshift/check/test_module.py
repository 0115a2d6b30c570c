"""Slips in the file of a tensor pipeline and beside it."""

import shutil

import pytest

from nightshift.check import check_pipeline
from nightshift.check.module import batch_of, module_problems
from nightshift.settings import Settings
from tests.nightshift.check.conftest import expect, plant

MODEL, OPTIONS, PIPELINE = "model.py", "hyperparameters.yaml", "pipeline.yaml"
INPUT = r'"dtype": "FP32", "dims": \[3, SIZE, SIZE\], "minimum": 0.0'

SLIPS = [
    # file, what is there, what is written instead, key, a word of the message, a word of the fix
    (MODEL, r"^SIZE = 256", "SIZE = 256)", "line 17", "not Python", ""),
    (MODEL, r"^def build", "def biuld", "build", "not defined", "'biuld'"),
    (MODEL, r"^def examples", "def golden", "examples", "not defined", "tasks/tensor/module.py"),
    (MODEL, r"^OUTPUTS = ", "OUTPUT = ", "OUTPUTS", "not defined", "'OUTPUT'"),
    (MODEL, r"^def build\(options: dict\[str, Any\]\)", "def build()", "build", "takes ()",
     "def build(options)"),
    (MODEL, r"^def train\(module: Style, context: Any\)", "def train(module: Style)", "train",
     "takes (module)", "def train(module, context)"),
    (MODEL, INPUT, '"dtype": "FLOAT32", "dims": [3, SIZE, SIZE], "minimum": 0.0', "INPUTS[0].dtype",
     "'FLOAT32'", "FP32"),
    (MODEL, INPUT, '"dtype": "float32", "dims": [3, SIZE, SIZE], "minimum": 0.0', "INPUTS[0].dtype",
     "'float32'", "write 'FP32'"),
    (MODEL, INPUT, '"dtype": "FP32", "dims": "3,256,256", "minimum": 0.0', "INPUTS[0].dims",
     "3,256,256", "a list of sizes"),
    (MODEL, INPUT, '"dtype": "FP32", "dims": [3, SIZE, 0], "minimum": 0.0', "INPUTS[0].dims",
     "[3, 256, 0]", "any size"),
    (MODEL, INPUT, '"dtype": "FP32", "dim": [3, SIZE, SIZE], "minimum": 0.0', "INPUTS[0].dim",
     "unknown key", "'dims'"),
    (MODEL, INPUT, '"dims": [3, SIZE, SIZE], "minimum": 0.0', "INPUTS[0].dtype", "missing", "add it"),
    (MODEL, INPUT, '"dtype": "FP32", "dims": [3, SIZE, SIZE], "minimum": 300', "INPUTS[0].minimum",
     "above the maximum 255", "exchange"),
    (MODEL, r'"tolerance": 0.05', '"tolerance": -0.05', "OUTPUTS[0].tolerance", "-0.05", "0 or more"),
    (MODEL, r'"tolerance": 0.05', '"tolerance": "5%"', "OUTPUTS[0].tolerance", "5%", "a number"),
    (MODEL, r'"name": "OUTPUT_0"', '"name": "INPUT_0"', "OUTPUTS[0].name", "twice", "its own name"),
    (MODEL, r"^OUTPUTS = \[(?s:.*?)^\]", "OUTPUTS = []", "OUTPUTS", "not a list of tensors", "name"),
    (MODEL, r"^MAX_BATCH_SIZE = 0", "MAX_BATCH_SIZE = -1", "MAX_BATCH_SIZE", "-1", "one request"),
    (OPTIONS, r"^channels: 8", "chanels: 8", "chanels", "does not name", "'channels'"),
    (OPTIONS, r"^channels: 8", "channels: 8\nchannels: 16", "", "given twice", ""),
    (OPTIONS, r"^channels: 8", "channels 8", "", "not YAML", ""),
    (PIPELINE, r"^module: model.py", "module: modle.py", "", "not there", "module"),
    (PIPELINE, r"^gates_run: .*", "gates_run: [quality]", "gates_run", "cannot judge", "leave it out"),
    (PIPELINE, r"^gates_run: .*", "serving: {max_batch_size: 8}", "serving.max_batch_size", "no effect", "MAX_BATCH_SIZE"),
    (PIPELINE, r"^gates_run: .*", "features: {sql: a.sql}", "features", "no features", "leave it out"),
]  # fmt: skip


@pytest.fixture
def settings(project, tmp_path):
    shutil.copytree(project / "pipelines" / "style", tmp_path / "pipelines" / "paint")
    return Settings(home=tmp_path / "home", pipelines=tmp_path / "pipelines")


def problems(settings):
    return [p for p in check_pipeline(settings, "paint") if not p.file.endswith("dags/paint.py")]


def test_the_module_as_it_is_has_no_problem(settings):
    assert problems(settings) == []


@pytest.mark.parametrize("slip", SLIPS, ids=lambda s: f"{s[0]} {s[2]:.40}")
def test_a_slip_is_named_with_file_key_message_and_fix(settings, slip):
    file, old, new, key, word, fix = slip
    plant(settings, file, old, new, "paint")
    expect(problems(settings), key, word, fix)


@pytest.mark.parametrize(
    "text",
    [
        # What is computed otherwise is left to training.
        "INPUTS, OUTPUTS = declare()\nfrom elsewhere import build, examples\n",
        "from elsewhere import *\n",
        (
            "if True:\n    INPUTS = OUTPUTS = read()\ntry:\n    from a import build\nexcept ImportError:\n"
            "    from b import build\nexamples = lambda seed: {}\n"
        ),
        (
            "INPUTS = [tensor('a')]\nOUTPUTS = [*INPUTS]\nbuild = Network\n"
            "def examples(*given, **named): ...\n"
        ),
        (
            "SIZE = -(-7 // 2)\nINPUTS = [{'name': 'a', 'dtype': 'INT64', 'dims': (SIZE, -1)}]\n"
            "OUTPUTS = [{'name': 'b', 'dtype': 'FP32', 'dims': [2 * SIZE]}]\n"
            "def build(options, size=3): ...\ndef examples(seed): ...\n"
        ),
        (
            "INPUTS = [{'name': 'a', 'dtype': 'FP32', 'dims': [1 // 0]}]\nOUTPUTS = f()\n"
            "build = examples = f\n"
        ),
    ],
)
def test_what_may_be_right_is_not_refused(tmp_path, text):
    path = tmp_path / "model.py"
    path.write_text(text)
    assert module_problems(path, {}, tmp_path / "options.yaml") == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", 0),
        ("MAX_BATCH_SIZE = 0", 0),
        ("MAX_BATCH_SIZE = 4 * 8", 32),
        ("MAX_BATCH_SIZE = rows()", None),
        ("from elsewhere import *", None),
        ("from elsewhere import MAX_BATCH_SIZE", None),
        ("if cuda:\n    MAX_BATCH_SIZE = 8\n", None),
    ],
)
def test_the_rows_that_a_module_declares(tmp_path, text, rows):
    path = tmp_path / "model.py"
    path.write_text(text)
    assert batch_of(path) == rows


@pytest.mark.parametrize(
    "content", [b"x = '\xff'", b"x = 1\x00", b"(" * 10_000, b"-" * 100_000 + b"1"]
)
def test_a_file_that_is_no_python_at_all_is_said_to_be_so(tmp_path, content):
    path = tmp_path / "model.py"
    path.write_bytes(content)
    (problem,) = module_problems(path, {}, tmp_path / "options.yaml")
    assert problem.message.startswith("is not Python")
