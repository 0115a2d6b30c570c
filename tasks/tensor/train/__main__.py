"""`python -m tasks.tensor.train`: build, perhaps train, save, and compute golden examples."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from nightshift import files
from nightshift.config.yamlfile import load_yaml_mapping
from nightshift.contract.golden import Golden
from nightshift.contract.signature import FILE as SIGNATURE
from nightshift.errors import ConfigurationError
from tasks import runtime
from tasks.entry import TaskParser, log, run_task

CARD_VERSION = 1
DEFAULT_SEED = 1


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Command line of the task."""
    parser = TaskParser(prog="tasks.tensor.train", description="a pipeline's module in, model out")
    parser.add_argument("--module", type=Path, required=True, help="the pipeline's Python file")
    parser.add_argument("--ds", required=True, help="the night's date")
    parser.add_argument("--data", type=Path, required=True, help="the pipeline's source tables")
    parser.add_argument("--hyperparameters", type=Path, help="YAML file of options")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one of them"
    )
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--result", type=Path, required=True, help="result file (JSON) to write")
    return parser.parse_args(arguments)


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Do the task; returns the result's figures."""
    chosen = _options(options.hyperparameters, options.set)
    threads = runtime.prepare(int(chosen.get("threads", 0)))
    import oneflow as flow

    from tasks.tensor import module as modules
    from tasks.tensor import serving

    seed = int(chosen.get("seed", DEFAULT_SEED))
    made = modules.load(options.module)
    flow.manual_seed(seed)
    network = made.build(chosen)
    parameters = sum(int(p.numel()) for p in network.parameters())
    log(f"{options.module.name}: {parameters} parameters, {threads} threads")
    figures: dict[str, Any] = {}
    if hasattr(made.code, "train"):
        network.to(options.device)
        network.train()
        context = modules.Context(options.ds, options.data, options.device, chosen, seed, log)
        figures = dict(made.code.train(network, context) or {})
    examples = made.examples(seed)
    with files.staged_dir(options.out, replace=True) as staged:
        serving.save(staged, options.module, chosen, network)
        files.write_json(staged / SIGNATURE, made.signature.to_json())
        run = serving.load(staged, options.device, threads)
        outputs = made.signature.check_outputs(run(examples), f"{options.module}: the module")
        golden = Golden(examples, outputs)
        golden.save(staged)
        files.write_json(
            staged / "model_card.json",
            {
                "version": CARD_VERSION,
                "family": "tensor",
                "ds": options.ds,
                "parameters": parameters,
                "options": chosen,
                "figures": figures,
                "oneflow": flow.__version__,
            },
        )
    log(f"saved {options.out}")
    return {
        "parameters": parameters,
        "figures": figures,
        "artefacts": {"model": str(options.out), "golden": str(options.out / "golden.npz")},
    }


def _options(path: Path | None, overrides: list[str]) -> dict[str, Any]:
    chosen = load_yaml_mapping(path) if path is not None else {}
    for item in overrides:
        key, sign, text = item.partition("=")
        if not sign:
            raise ConfigurationError(f"--set {item!r}: write it as key=value")
        chosen[key] = yaml.safe_load(text)
    return chosen


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    return run_task("train", options.result, options.out, lambda: train(options))


if __name__ == "__main__":
    sys.exit(main())
