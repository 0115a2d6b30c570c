"""JSON schemas of the configuration files that pydantic models read, for editors.

`python -m cli.reference` writes them and those of the other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from nightshift.config.gates import GatesConfig
from nightshift.config.pipeline import PipelineConfig

MODELS: Mapping[str, type[BaseModel]] = {"pipeline": PipelineConfig, "gates": GatesConfig}
"""The files' models, by the name of their schema."""


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema by the name of its file, without the ending."""
    return {name: model.model_json_schema() for name, model in MODELS.items()}
