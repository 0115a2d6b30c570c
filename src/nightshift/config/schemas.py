"""JSON schemas of the configuration files, for editors.

python -m nightshift.config.schemas docs/reference/schemas
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from nightshift import files
from nightshift.config.gates import GatesConfig
from nightshift.config.pipeline import PipelineConfig

MODELS: Mapping[str, type[BaseModel]] = {"pipeline": PipelineConfig, "gates": GatesConfig}
"""The files' models, by the name of their schema."""


def schemas() -> dict[str, str]:
    """Text of each schema by its file name."""
    return {
        f"{name}.json": json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"
        for name, model in MODELS.items()
    }


def main() -> None:
    """Write the schemas into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        files.write_text(folder / name, text)


if __name__ == "__main__":
    main()
