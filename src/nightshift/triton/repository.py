"""Triton's model repository: versions that appear whole, and the file that pins them.

Layout and rules: `include/model_repo/README.md`. Nothing here talks to Triton; see
`nightshift.triton` for loading what lies here.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from nightshift import files
from nightshift.contract.golden import Golden
from nightshift.contract.signature import ANY, ModelSignature, Tensor
from nightshift.errors import ConfigurationError, ContractError
from nightshift.settings import PROJECT

CONFIG = "config.pbtxt"

CANDIDATE = "-candidate"
"""What the name of a model ends with while one version of it is tried alone."""
TEMPLATE = PROJECT / "include" / "model_repo" / "config.pbtxt.in"
OWNER = ".owner.json"
"""Whose model a folder is: only its installation and pipeline may change it."""

_ALLOCATED = ".versions.json"
_LOCK = ".lock"
_PER_DAY = 999
_MODEL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_PINS = re.compile(r"version_policy\s*\{\s*specific\s*\{\s*versions:\s*\[([^\]]*)\]")


def model_folder(repo: Path, model: str) -> Path:
    """`<repo>/<model>`.

    Raises:
        ConfigurationError: the name is none that Triton and a file system both take.
    """
    if not _MODEL_NAME.fullmatch(model):
        raise ConfigurationError(
            f"model name {model!r}: use letters, digits, _ and -, and begin with a letter"
        )
    return repo / model


def models(repo: Path) -> list[str]:
    """Models that have a `config.pbtxt`, by name."""
    return sorted(
        path.parent.name
        for path in repo.glob(f"*/{CONFIG}")
        if _MODEL_NAME.fullmatch(path.parent.name)
    )


def version_folder(repo: Path, model: str, version: int) -> Path:
    """`<repo>/<model>/<version>`."""
    return model_folder(repo, model) / str(version)


@contextlib.contextmanager
def repository_lock(repo: Path, model: str, *, timeout_s: float = 120.0) -> Iterator[None]:
    """Hold the lock under which a model's versions and pins change.

    The kernel drops it when the holder dies. It is not re-entrant.

    Raises:
        LockHeld: another process held it for the whole of `timeout_s`.
    """
    with files.locked(model_folder(repo, model) / _LOCK, timeout_s=timeout_s):
        yield


def claim(repo: Path, model: str, owner: str) -> None:
    """Say that a model's folder is this owner's (`Pipeline.owner`).

    Raises:
        ContractError: it is another's: two pipelines or installations gave one model name.
    """
    folder = model_folder(repo, model)
    with repository_lock(repo, model):
        path = folder / OWNER
        if not path.exists():
            files.write_json(path, {"owner": owner})
            return
        value = files.read_json(path)
        holder = value.get("owner") if isinstance(value, dict) else None
        if holder != owner:
            raise ContractError(
                f"model {model} in {repo} belongs to {holder}, not to {owner}; give this "
                "pipeline another `model` in its pipeline.yaml"
            )


def owner_of(repo: Path, model: str) -> str | None:
    """The owner of a model's folder; None for one made before folders had owners.

    Where the file that says so is damaged it is empty: no pipeline may change it.
    """
    path = model_folder(repo, model) / OWNER
    if not path.exists():
        return None
    value = files.read_json(path)
    owner = value.get("owner") if isinstance(value, dict) else None
    return owner if isinstance(owner, str) else ""


def allocate_version(
    repo: Path,
    model: str,
    ds: str | dt.date,
    *,
    owner: str = "",
    taken: Iterable[int] = (),
) -> int:
    """Give out a version number `YYYYMMDDnnn` that no other run has or ever had.

    Args:
        repo: Triton's model repository.
        model: name of the model.
        ds: date of the data, `YYYY-MM-DD`.
        owner: what the number stands for, for example a run id and the digest of its model.
            The same owner and date get the same number again, so a retry takes no second one.
        taken: numbers that are in use elsewhere, such as releases under another model name.

    Raises:
        ConfigurationError: all 999 numbers of the date are given out.
    """
    day = dt.date.fromisoformat(ds) if isinstance(ds, str) else ds
    first = int(day.strftime("%Y%m%d")) * 1000 + 1
    folder = model_folder(repo, model)
    with repository_lock(repo, model):
        record = folder / _ALLOCATED
        given: dict[str, str] = files.read_json(record) if record.exists() else {}
        known = {int(number): who for number, who in given.items()}
        known |= {n: "" for n in (*versions(repo, model), *taken) if n not in known}
        of_day = {n: who for n, who in known.items() if first <= n < first + _PER_DAY}
        if owner:
            mine = [n for n, who in of_day.items() if who == owner]
            if mine:
                return max(mine)
        version = max(of_day, default=first - 1) + 1
        if version >= first + _PER_DAY:
            raise ConfigurationError(
                f"all {_PER_DAY} versions of {model} for {day} are given out in {record}"
            )
        given[str(version)] = owner
        files.write_json(record, given)
        return version


def forget_versions(repo: Path, model: str, *, before: dt.date, needed: Collection[int]) -> int:
    """Forget numbers that were given out for dates long ago, and of which nothing is left.

    Args:
        repo: Triton's model repository.
        model: name of the model.
        before: numbers of this date and later ones are remembered.
        needed: numbers that something else knows, such as a release's record.

    Returns:
        How many were forgotten.
    """
    record = model_folder(repo, model) / _ALLOCATED
    if not record.exists():
        return 0
    with repository_lock(repo, model):
        given: dict[str, str] = files.read_json(record)
        there = {*needed, *versions(repo, model), *pins(repo, model)}
        first = int(before.strftime("%Y%m%d")) * 1000
        kept = {n: who for n, who in given.items() if int(n) > first or int(n) in there}
        if len(kept) < len(given):
            files.write_json(record, kept)
    return len(given) - len(kept)


def versions(repo: Path, model: str) -> list[int]:
    """Version numbers whose folder is there, ascending."""
    folder = model_folder(repo, model)
    if not folder.is_dir():
        return []
    return sorted(
        int(path.name) for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()
    )


def publish_version(repo: Path, model: str, version: int, model_dir: Path) -> Path:
    """Copy a trained model into the repository as one version, whole or not at all.

    A version is written once: the same content again is not an error and changes nothing.

    Args:
        repo: Triton's model repository.
        model: name of the model.
        version: a number from `allocate_version`.
        model_dir: what training wrote: `model/`, `signature.json`, `golden.npz`, `model_card.json`.

    Returns:
        The version's folder. Triton serves it only once it is pinned and loaded.

    Raises:
        ContractError: `model_dir` lacks a part, or the version exists with other content.
    """
    if not (model_dir / "model").exists():
        raise ContractError(f"{model_dir} holds no model; train the model again")
    Golden.load(model_dir, ModelSignature.load(model_dir))
    target = version_folder(repo, model, version)
    if target.exists():
        if files.sha256_tree(target) == files.sha256_tree(model_dir):
            return target
        raise ContractError(
            f"{target} exists with other content; a version is written once, "
            "so allocate a new number"
        )
    with files.staged_dir(target) as staged:
        files.copy_tree(model_dir, staged)
        files.write_text(_digest_path(target), files.sha256_tree(staged) + "\n")
    return target


def damaged(repo: Path, model: str, versions: Iterable[int]) -> dict[int, str]:
    """Those of the versions whose folder is gone or was changed, and what is wrong with it.

    Triton must not be asked to load such a version together with others: when one version of a
    load fails, the whole server may crash (2.51).
    """
    wrong = {}
    for version in versions:
        folder = version_folder(repo, model, version)
        if not folder.is_dir():
            wrong[version] = f"{folder} is not there"
            continue
        written = _digest_path(folder)
        if written.exists() and written.read_text().strip() != files.sha256_tree(folder):
            wrong[version] = f"{folder} is not as it was published"
    return wrong


def _digest_path(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.sha256"


def remove_version(repo: Path, model: str, version: int) -> bool:
    """Take a version's folder away; return whether there was one.

    Raises:
        ContractError: the version is pinned: Triton may serve it.
    """
    if version in pins(repo, model):
        raise ContractError(
            f"version {version} of {model} is pinned in {config_path(repo, model)}; "
            "unpin it and load the model first"
        )
    return put_away(version_folder(repo, model, version))


def put_away(folder: Path) -> bool:
    """Remove a folder in such a way that no reader sees half of it."""
    gone = files.staging_path(folder)
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return False
    finally:
        _digest_path(folder).unlink(missing_ok=True)
    shutil.rmtree(gone, ignore_errors=True)
    return True


def config_path(repo: Path, model: str) -> Path:
    """`<repo>/<model>/config.pbtxt`."""
    return model_folder(repo, model) / CONFIG


@dataclass(frozen=True)
class ServingOptions:
    """How Triton runs a model: the part `serving` of `pipeline.yaml`.

    Attributes:
        max_batch_size: rows of one request; None takes the signature's.
        instances: instances of a version.
        dynamic_batching: whether waiting requests are scored in one batch.
        max_queue_delay_us: microseconds that a request may be held back to fill a batch.
    """

    max_batch_size: int | None = None
    instances: int = 1
    dynamic_batching: bool = True
    max_queue_delay_us: int = 0


def render_config(
    model: str,
    *,
    signature: ModelSignature,
    versions: Iterable[int],
    device: str = "cpu",
    serving: ServingOptions = ServingOptions(),
    optional: Collection[str] = (),
    template: Path = TEMPLATE,
) -> str:
    """The text of `config.pbtxt`.

    Args:
        model: name of the model and of its folder.
        signature: its inputs and outputs.
        versions: versions to serve, at least one.
        device: `cpu`, or `cuda` for the first GPU.
        serving: batching and instances.
        optional: inputs that not every version takes.
        template: the documented template.

    Raises:
        ConfigurationError: a value is out of its range, or the template names an unknown one.
    """
    pinned = sorted(set(versions))
    if not pinned:
        raise ConfigurationError(f"{CONFIG} of {model}: no version to serve")
    kinds = {"cpu": "kind: KIND_CPU", "cuda": "kind: KIND_GPU\n    gpus: [ 0 ]"}
    if device not in kinds:
        raise ConfigurationError(f"device {device!r} of {CONFIG}: use {' or '.join(kinds)}")
    batch = signature.max_batch_size
    if batch and serving.max_batch_size is not None:
        batch = min(batch, serving.max_batch_size)
    text = "".join(
        line for line in template.read_text().splitlines(keepends=True) if not line.startswith("#")
    )
    try:
        return Template(text).substitute(
            model=model,
            inputs="\n".join(
                _tensor("input", t, optional=t.name in optional) for t in signature.inputs
            ),
            outputs="\n".join(_tensor("output", t) for t in signature.outputs),
            batching=_batching(serving) if batch else "",
            versions=", ".join(map(str, pinned)),
            instances=serving.instances,
            kind=kinds[device],
            max_batch_size=batch,
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"{template} holds an unknown placeholder: {error}") from None


def _tensor(role: str, tensor: Tensor, *, optional: bool = False) -> str:
    dims = ", ".join(map(str, tensor.dims))
    dtype = "FP" + tensor.dtype[2:] if tensor.dtype.startswith("FP") else tensor.dtype
    more = "\n    optional: true" if optional else ""
    return (
        f'{role} [\n  {{\n    name: "{tensor.name}"\n    data_type: TYPE_{dtype}\n'
        f"    dims: [ {dims} ]{more}\n  }}\n]"
    )


def _batching(serving: ServingOptions) -> str:
    if not serving.dynamic_batching:
        return ""
    delay = serving.max_queue_delay_us
    inner = f" max_queue_delay_microseconds: {delay} " if delay else " "
    return f"dynamic_batching {{{inner}}}\n"


def pins(repo: Path, model: str) -> tuple[int, ...]:
    """Versions that `config.pbtxt` pins, ascending; none where there is no such file.

    Raises:
        ContractError: the file pins no versions: something else wrote it.
    """
    path = config_path(repo, model)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ()
    match = _PINS.search(text)
    if match is None:
        raise ContractError(f"{path} pins no versions (version_policy specific); write it anew")
    return tuple(sorted(int(n) for n in match[1].replace(",", " ").split()))


def version_signature(repo: Path, model: str, version: int) -> ModelSignature:
    """The signature of one version.

    Raises:
        ContractError: the version is not there or its signature is damaged.
    """
    folder = version_folder(repo, model, version)
    if not folder.is_dir():
        raise ContractError(
            f"version {version} of {model} is not in {folder.parent}; publish it first"
        )
    return ModelSignature.load(folder)


def pinned_config(
    repo: Path,
    model: str,
    versions: Iterable[int],
    *,
    device: str = "cpu",
    serving: ServingOptions = ServingOptions(),
) -> str:
    """The text of a `config.pbtxt` that pins exactly `versions`.

    While versions of different signatures serve side by side (a night whose specification gained
    a feature), a dimension in which they differ is left open and an input that one of them lacks
    is optional; each version checks its own.

    Args:
        repo: Triton's model repository.
        model: name of the model.
        versions: versions to serve, at least one; each must lie in the repository.
        device: `cpu` or `cuda`.
        serving: batching and instances.

    Raises:
        ContractError: a version is not there or broken, or the versions cannot be served as one
            model.
        ConfigurationError: there are no versions.
    """
    pinned = sorted(set(versions))
    if not pinned:
        raise ConfigurationError(f"{CONFIG} of {model}: no version to serve")
    signatures = [version_signature(repo, model, version) for version in pinned]
    merged, optional = merge(signatures, model)
    return render_config(
        model,
        signature=merged,
        versions=pinned,
        device=device,
        serving=serving,
        optional=optional,
    )


def merge(
    signatures: Sequence[ModelSignature], model: str
) -> tuple[ModelSignature, frozenset[str]]:
    """One signature that every version fits, and the inputs that not all of them have.

    Raises:
        ContractError: a tensor has two element types or ranks, or only some versions are batched.
    """
    if len({s.batched for s in signatures}) > 1:
        raise ContractError(
            f"versions of {model} with and without a batch dimension cannot be served side by "
            "side; give the pipeline another `model` in pipeline.yaml"
        )
    inputs = _merged([s.inputs for s in signatures], model)
    outputs = _merged([s.outputs for s in signatures], model)
    shared = frozenset.intersection(*(frozenset(t.name for t in s.inputs) for s in signatures))
    merged = ModelSignature(
        signatures[-1].family, inputs, outputs, max(s.max_batch_size for s in signatures)
    )
    return merged, frozenset(t.name for t in inputs) - shared


def _merged(sides: Sequence[Sequence[Tensor]], model: str) -> tuple[Tensor, ...]:
    found: dict[str, Tensor] = {}
    for tensor in (t for side in sides for t in side):
        known = found.setdefault(tensor.name, tensor)
        if (known.dtype, len(known.dims)) != (tensor.dtype, len(tensor.dims)):
            raise ContractError(
                f"versions of {model} differ in the type or rank of {tensor.name} and cannot be "
                "served side by side; give the tensor another name"
            )
        dims = tuple(a if a == b else ANY for a, b in zip(known.dims, tensor.dims, strict=True))
        found[tensor.name] = replace(known, dims=dims)
    return tuple(found.values())


def write_pins(
    repo: Path,
    model: str,
    versions: Iterable[int],
    *,
    device: str = "cpu",
    serving: ServingOptions = ServingOptions(),
) -> Path:
    """Replace `config.pbtxt` by `pinned_config`; Triton follows at its next load or restart.

    Call it with the repository's lock held. `nightshift.triton.pin` does this and the load.

    Raises:
        ContractError: a version is not there or broken.
        ConfigurationError: there are no versions.
    """
    path = config_path(repo, model)
    files.write_text(path, pinned_config(repo, model, versions, device=device, serving=serving))
    return path
