"""The hyper-parameters: defaults for all of them, a documented file, overrides, one check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from nightshift.config.yamlfile import load_yaml_mapping, nearest
from nightshift.errors import ConfigurationError

AUTO: Any = "auto"
"""Stands for a value that training chooses once it knows the data."""

Family = Literal[
    "autoint",
    "dcn",
    "dcnv2",
    "deepfefm",
    "deepfm",
    "din",
    "dlrm",
    "dnn",
    "ffm",
    "fm",
    "gatednn",
    "lr",
    "ncf",
    "wide_deep",
    "xdeepfm",
]


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3 (no point) as text, and true is not a number."""
    if isinstance(value, str) and value != AUTO:
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, (bool, float)):
        raise ValueError("Input should be a whole number")
    return value


def _widths(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_whole(width) for width in value)
    return value


def _or_auto(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, str) and value == AUTO else check(value)


Auto = WrapValidator(_or_auto)

Size = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=65536)]
Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=2**31 - 1)]
Counted = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=2**31 - 1)]
Real = BeforeValidator(_number)
Widths = Annotated[tuple[Size, ...], BeforeValidator(_widths), Field(min_length=1, max_length=20)]
Penalty = Annotated[float, Real, Field(ge=0, le=1e6)]
Share = Annotated[float, Real, Field(ge=0, le=1)]
Positive = Annotated[float, Real, Field(gt=0, le=1)]


class Hyperparameters(BaseModel):
    """Values of one training; `pipelines/jd/hyperparameters.yaml` says what each means.

    `auto` is replaced by `tasks.ctr.train.defaults` once the data is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)

    family: Family = "deepfm"
    embedding_dim: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1024), Auto] = AUTO
    hidden: Annotated[Widths, Auto] = AUTO
    dropout: Annotated[float, Real, Field(ge=0, le=0.9), Auto] = AUTO
    cross_layers: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=20)] = 3
    cross_rank: Whole = 0
    cin_layers: Widths = (64, 64)
    bottom: Widths = (64,)
    attention_layers: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=20)] = 2
    attention_heads: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=64)] = 2
    attention_dim: Size = 16
    attention_hidden: Widths = (64, 32)
    user_field: str = AUTO
    item_field: str = AUTO
    history_field: str = AUTO
    target_field: str = AUTO

    oov_rate: Annotated[
        Annotated[float, Real, Field(ge=0, le=0.5)] | Literal["validation"], Auto
    ] = AUTO
    min_count: Annotated[Counted, Auto] = AUTO
    max_ids: Whole = 0
    bins: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=1024), Auto] = AUTO
    scale: Annotated[Literal["rank", "own"], Auto] = AUTO

    trees: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=2000), Auto] = AUTO

    optimizer: Literal["adam", "sgd", "adagrad"] = "adam"
    table_step: Literal["lazy", "dense"] = "lazy"
    learning_rate: Annotated[Positive, Auto] = AUTO
    schedule: Literal["step", "cosine"] = "step"
    lr_decay: Positive = 0.9
    warmup_steps: Whole = 0
    batch_size: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1_000_000), Auto] = AUTO
    epochs: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10_000)] = 20
    patience: Counted = 3
    monitor: Literal["auc-logloss", "auc", "logloss"] = "auc-logloss"
    l2_by: Literal["id", "lookup"] = "id"
    l2_embedding: Annotated[Penalty, Auto] = AUTO
    l2_linear: Annotated[Penalty, Auto] = AUTO
    weight_decay: Share = 0.001
    init_std: Positive = 0.01
    linear_start: Annotated[Literal["zero", "baseline", "both", "validation"], Auto] = AUTO

    label_smoothing: Annotated[float, Real, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Annotated[float, Real, Field(ge=0, le=10)] = 0.0
    positive_weight: Annotated[float, Real, Field(gt=0, le=1e6)] = 1.0
    negative_rate: Positive = 1.0

    baseline: bool = True
    importance_rows: Whole = 20_000

    seed: Whole = 1
    threads: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=1024)] = 0
    processes: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=64)] = 1
    blas: Annotated[Literal["bundled", "mkl"], Auto] = AUTO
    precision: Literal["float32", "mixed"] = "float32"
    embedding_store: Literal["memory", "one_embedding"] = "memory"
    store_kind: Literal["cached_host_mem", "cached_ssd", "device_mem"] = "cached_host_mem"
    store_cache_mb: Counted = 1024
    block_rows: Annotated[Whole, Auto] = AUTO
    checkpoint_steps: Whole = 0
    golden_rows: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1000)] = 16

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the model card."""
        return self.model_dump(mode="json", warnings=False)

    def replaced(self, values: dict[str, Any]) -> Hyperparameters:
        """With some values replaced, and checked again."""
        return Hyperparameters(**{**self.model_dump(warnings=False), **values})


NAMES = tuple(Hyperparameters.model_fields)


def load(path: Path, overrides: Sequence[str] = ()) -> Hyperparameters:
    """Read the file, then apply `key=value` overrides (values in YAML's syntax).

    Raises:
        ConfigurationError: a key is unknown, or a value out of its range; the message names the
            file or the override, and the nearest known key.
    """
    values = load_yaml_mapping(path)
    origin = dict.fromkeys(values, str(path))
    for item in overrides:
        key, sign, text = item.partition("=")
        if not sign:
            raise ConfigurationError(f"--set {item!r}: write it as key=value")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {item!r}: the value is not YAML: {error}") from None
        origin[key] = f"--set {item}"
    problems = [
        f"{origin[key]}: unknown hyper-parameter {key!r}{nearest(key, NAMES)}"
        for key in values
        if key not in NAMES
    ]
    chosen = None
    try:
        chosen = Hyperparameters(**{key: values[key] for key in values if key in NAMES})
    except ValidationError as error:
        problems += _problems(error, values, origin)
    if problems or chosen is None:
        raise ConfigurationError("\n".join(problems))
    return chosen


def _problems(
    error: ValidationError, values: dict[str, Any], origin: dict[str, str]
) -> Iterator[str]:
    """One line a hyper-parameter: where it was set, its value, and what it may be."""
    wanted: dict[str, list[str]] = {}
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if problem["type"] == "tuple_type":
            message = "a list of whole numbers, such as [256, 128]"
        wanted.setdefault(str(problem["loc"][0]), []).append(message)
    for name, messages in wanted.items():
        yield (
            f"{origin[name]}: {name} is {values[name]!r}; it must be "
            + ", or ".join(dict.fromkeys(messages))
        )
