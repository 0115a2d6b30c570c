"""Triton's model repository: versions that appear whole, and the file that pins them.

Layout and rules: `include/model_repo/README.md`. Nothing here talks to Triton; see
`nightshift.triton` for loading what lies here.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template

from nightshift import files
from nightshift.errors import ConfigurationError, ContractError
from nightshift.settings import PROJECT

CONFIG = "config.pbtxt"
TEMPLATE = PROJECT / "include" / "model_repo" / "config.pbtxt.in"
ANY_WIDTH = -1
"""Width of INPUT_0 where the pinned versions differ in it; Triton's own sign for "any"."""

MAX_BATCH_SIZE = 10_000
"""Rows of one Triton request, as in the JD tutorial's configuration."""

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


def version_date(version: int) -> dt.date:
    """The data date of a version number `YYYYMMDDnnn`.

    Raises:
        ContractError: the number is no such version.
    """
    try:
        return dt.datetime.strptime(str(version // 1000), "%Y%m%d").date()
    except ValueError:
        raise ContractError(f"model version {version} is not of the form YYYYMMDDnnn") from None


def allocate_version(repo: Path, model: str, ds: str | dt.date, *, owner: str = "") -> int:
    """Give out a version number `YYYYMMDDnnn` that no other run has or ever had.

    Args:
        repo: Triton's model repository.
        model: name of the model.
        ds: date of the data, `YYYY-MM-DD`.
        owner: what the number stands for, for example a run id and the digest of its model.
            The same owner and date get the same number again, so a retry takes no second one.

    Raises:
        ConfigurationError: all 999 numbers of the date are given out.
    """
    day = dt.date.fromisoformat(ds) if isinstance(ds, str) else ds
    first = int(day.strftime("%Y%m%d")) * 1000 + 1
    folder = model_folder(repo, model)
    with repository_lock(repo, model):
        record = folder / _ALLOCATED
        given: dict[str, str] = files.read_json(record) if record.exists() else {}
        taken = {int(number): who for number, who in given.items()}
        taken |= {number: "" for number in versions(repo, model) if number not in taken}
        of_day = {n: who for n, who in taken.items() if first <= n < first + _PER_DAY}
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

    A version is written once: the same content again is no error and changes nothing.

    Args:
        repo: Triton's model repository.
        model: name of the model.
        version: a number from `allocate_version`.
        model_dir: what training wrote: `model/`, `model_card.json`, `golden.json`.

    Returns:
        The version's folder. Triton serves it only once it is pinned and loaded.

    Raises:
        ContractError: `model_dir` lacks a part, or the version exists with other content.
    """
    for part in ("model", "golden.json"):
        if not (model_dir / part).exists():
            raise ContractError(f"{model_dir} holds no {part}; train the model again")
    target = version_folder(repo, model, version)
    if target.exists():
        if files.sha256_tree(target) == files.sha256_tree(model_dir):
            return target
        raise ContractError(
            f"{target} exists with other content; a version is written once, "
            "so allocate a new number"
        )
    with files.staged_dir(target) as staged:
        shutil.copytree(model_dir, staged, dirs_exist_ok=True)
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


def render_config(
    model: str,
    *,
    n_fields: int,
    versions: Iterable[int],
    device: str = "cpu",
    max_batch_size: int = MAX_BATCH_SIZE,
    template: Path = TEMPLATE,
) -> str:
    """The text of `config.pbtxt`.

    Args:
        model: name of the model and of its folder.
        n_fields: ids of a row: the width of INPUT_0; `ANY_WIDTH` leaves it open.
        versions: versions to serve, at least one.
        device: `cpu`, or `cuda` for the first GPU.
        max_batch_size: rows of one request at most.
        template: the documented template.

    Raises:
        ConfigurationError: a value is out of its range, or the template names an unknown one.
    """
    pinned = sorted(set(versions))
    if not pinned or (n_fields < 1 and n_fields != ANY_WIDTH) or max_batch_size < 1:
        raise ConfigurationError(
            f"{CONFIG} of {model}: n_fields ({n_fields}), max_batch_size ({max_batch_size}) and "
            f"the number of versions ({len(pinned)}) must be at least 1"
        )
    kinds = {"cpu": "kind: KIND_CPU", "cuda": "kind: KIND_GPU\n    gpus: [ 0 ]"}
    if device not in kinds:
        raise ConfigurationError(f"device {device!r} of {CONFIG}: use {' or '.join(kinds)}")
    text = "".join(
        line for line in template.read_text().splitlines(keepends=True) if not line.startswith("#")
    )
    try:
        return Template(text).substitute(
            model=model,
            n_fields=n_fields,
            versions=", ".join(map(str, pinned)),
            kind=kinds[device],
            max_batch_size=max_batch_size,
        )
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"{template} holds an unknown placeholder: {error}") from None


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


def version_width(repo: Path, model: str, version: int) -> int:
    """Ids of a row of one version, by its golden rows.

    Raises:
        ContractError: the version is not there or its `golden.json` holds no rows.
    """
    folder = version_folder(repo, model, version)
    if not folder.is_dir():
        raise ContractError(
            f"version {version} of {model} is not in {folder.parent}; publish it first"
        )
    golden = files.read_json(folder / "golden.json")
    try:
        return len(golden["ids"][0])
    except (KeyError, IndexError, TypeError):
        raise ContractError(f"{folder / 'golden.json'} holds no rows of ids") from None


def pinned_config(repo: Path, model: str, versions: Iterable[int], *, device: str = "cpu") -> str:
    """The text of a `config.pbtxt` that pins exactly `versions`.

    While versions of different widths serve side by side (a night whose specification gained a
    feature), the width is left open there, and each version checks its own.

    Args:
        repo: Triton's model repository.
        model: name of the model.
        versions: versions to serve, at least one; each must lie in the repository.
        device: `cpu` or `cuda`.

    Raises:
        ContractError: a version is not there or broken.
        ConfigurationError: there are no versions.
    """
    pinned = sorted(set(versions))
    widths = {version_width(repo, model, version) for version in pinned}
    n_fields = widths.pop() if len(widths) == 1 else ANY_WIDTH
    return render_config(model, n_fields=n_fields, versions=pinned, device=device)


def write_pins(repo: Path, model: str, versions: Iterable[int], *, device: str = "cpu") -> Path:
    """Replace `config.pbtxt` by `pinned_config`; Triton follows at its next load or restart.

    Call it with the repository's lock held. `nightshift.triton.pin` does this and the load.

    Raises:
        ContractError: a version is not there or broken.
        ConfigurationError: there are no versions.
    """
    path = config_path(repo, model)
    files.write_text(path, pinned_config(repo, model, versions, device=device))
    return path
