"""A version is published only when it answers as trained; pins are changed as a whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nightshift import files
from nightshift.contract.golden import Golden
from nightshift.contract.signature import ModelSignature
from nightshift.errors import ContractError, NightshiftError
from nightshift.triton import repository as model_repository
from nightshift.triton.control import TritonControl
from nightshift.triton.repository import ServingOptions


@dataclass(frozen=True)
class Published:
    """What `publish` did."""

    model: str
    version: int
    pinned: tuple[int, ...]
    golden_rows: int
    largest_difference: float
    load_s: float


def publish(
    control: TritonControl,
    repo: Path,
    model: str,
    version: int,
    model_dir: Path,
    *,
    device: str = "cpu",
    serving: ServingOptions = ServingOptions(),  # noqa: B008 (frozen)
    timeout_s: float = 120.0,
) -> Published:
    """Make a trained model a version that Triton serves beside the versions it serves already.

    The version counts as published when its golden rows answer, through Triton, what training
    wrote. Otherwise the old configuration is put back, the version is taken away, and what
    served keeps serving. Doing it again for a published version checks it and changes nothing.

    Args:
        control: the server.
        repo: its model repository, as this process sees it.
        model: name of the model.
        version: a number from `model_repository.allocate_version`.
        model_dir: what training wrote: `model/`, `signature.json`, `golden.npz`, `model_card.json`.
        device: `cpu` or `cuda`.
        serving: batching and instances.
        timeout_s: limit of one load.

    Raises:
        ContractError: the model does not load, or does not answer as trained.
        ServiceUnavailable: Triton does not answer; nothing is published.
        LockHeld: another publication is under way.
    """
    signature = ModelSignature.load(model_dir)
    golden = Golden.load(model_dir, signature)
    with model_repository.repository_lock(repo, model):
        folder = model_repository.version_folder(repo, model, version)
        new = not folder.exists()
        model_repository.publish_version(repo, model, version, model_dir)
        before = model_repository.pins(repo, model)
        try:
            _rehearse(control, repo, model, version, device, serving, timeout_s)
            pinned = {v for v in before if model_repository.version_folder(repo, model, v).is_dir()}
            pinned.add(version)
            started = time.monotonic()
            config = model_repository.pinned_config(
                repo, model, pinned, device=device, serving=serving
            )
            with _back_to_file(control, repo, model, timeout_s):
                _load_and_look(control, repo, model, config, pinned, timeout_s)
                load_s = time.monotonic() - started
                difference = control.check_golden(model, version, golden, signature)
        except BaseException as error:
            if new and version not in before:
                model_repository.put_away(folder)
            if isinstance(error, ContractError):
                raise ContractError(
                    f"{model} version {version} is not published: {error}"
                ) from error
            raise
        # Only now: one pinned version that does not load keeps a restarted server from
        # loading any.
        files.write_text(model_repository.config_path(repo, model), config)
    return Published(model, version, tuple(sorted(pinned)), golden.rows, difference, load_s)


def pin(
    control: TritonControl,
    repo: Path,
    model: str,
    versions: Iterable[int],
    *,
    device: str = "cpu",
    serving: ServingOptions = ServingOptions(),  # noqa: B008 (frozen)
    timeout_s: float = 120.0,
) -> tuple[int, ...]:
    """Serve exactly these versions, all in the repository; on failure serve what served.

    Raises:
        ContractError: a version is not there or does not load.
        ServiceUnavailable: Triton does not answer; the old pins stand.
        LockHeld: a publication is under way.
    """
    wanted = set(versions)
    with model_repository.repository_lock(repo, model):
        config = model_repository.pinned_config(repo, model, wanted, device=device, serving=serving)
        with _back_to_file(control, repo, model, timeout_s):
            _load_and_look(control, repo, model, config, wanted, timeout_s)
        files.write_text(model_repository.config_path(repo, model), config)
    return tuple(sorted(wanted))


def revive(
    control: TritonControl,
    repo: Path,
    model: str,
    versions: Sequence[int] | None = None,
    *,
    device: str = "cpu",
    serving: ServingOptions = ServingOptions(),  # noqa: B008 (frozen)
    timeout_s: float = 120.0,
) -> list[int]:
    """Make pinned versions answer again, if they do not.

    A version whose process died is READY to Triton, and every row fails; and one damaged
    version keeps a restarted server from loading any. Each version is tried by itself, and
    those that are whole are loaded anew.

    Args:
        control: the server.
        repo: its model repository.
        model: name of the model.
        versions: versions to look after, the most important first; default: all pinned ones,
            the newest first.
        device: `cpu` or `cuda`.
        serving: batching and instances.
        timeout_s: limit of one load.

    Returns:
        The versions that did not answer before and do now.

    Raises:
        ContractError: a version does not answer its golden rows; the others serve.
        ServiceUnavailable: Triton does not answer.
        LockHeld: a publication is under way.
    """
    with model_repository.repository_lock(repo, model):
        pinned = model_repository.pins(repo, model)
        wanted = sorted(pinned, reverse=True) if versions is None else list(versions)
        wanted += [v for v in pinned if v not in wanted]
        dead = [v for v in wanted if _problem(control, repo, model, v)]
        if not dead:
            return []
        whole = []
        for version in wanted:
            with contextlib.suppress(ContractError):
                _rehearse(control, repo, model, version, device, serving, timeout_s)
                whole.append(version)
        if whole:
            # Triton loads anew what looks changed.
            os.utime(model_repository.config_path(repo, model))
            config = model_repository.pinned_config(
                repo, model, whole, device=device, serving=serving
            )
            control.load(model, config=config, timeout_s=timeout_s)
        problems = {v: _problem(control, repo, model, v) for v in dead}
    lost = {v: problem for v, problem in problems.items() if problem}
    if lost:
        raise ContractError(
            f"{model}: these versions do not answer and must be published anew or unpinned: "
            + "; ".join(f"{v}: {problem}" for v, problem in lost.items())
        )
    return dead


def _problem(control: TritonControl, repo: Path, model: str, version: int) -> str:
    """Why a version does not answer its golden rows; empty if it does."""
    try:
        folder = model_repository.version_folder(repo, model, version)
        signature = ModelSignature.load(folder)
        control.check_golden(model, version, Golden.load(folder, signature), signature)
    except ContractError as error:
        return str(error)
    return ""


def _rehearse(
    control: TritonControl,
    repo: Path,
    model: str,
    version: int,
    device: str,
    serving: ServingOptions,
    timeout_s: float,
) -> None:
    """Load a version alone, as a model of its own, and check its golden rows there.

    In a load of several versions, one that fails can crash the server (2.51: a race between
    the failure and the others' success), so a version joins the others only when it has loaded.
    """
    source = model_repository.version_folder(repo, model, version)
    signature = ModelSignature.load(source)
    golden = Golden.load(source, signature)
    candidate = model + model_repository.CANDIDATE
    folder = repo / candidate
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / str(version)).symlink_to(Path("..") / model / str(version))
    config = model_repository.render_config(
        candidate, signature=signature, versions=[version], device=device, serving=serving
    )
    try:
        control.load(candidate, config=config, timeout_s=timeout_s)
        control.check_golden(candidate, version, golden, signature)
    finally:
        with contextlib.suppress(NightshiftError):
            control.unload(candidate, timeout_s=timeout_s)
        shutil.rmtree(folder, ignore_errors=True)


def _load_and_look(
    control: TritonControl,
    repo: Path,
    model: str,
    config: str,
    versions: set[int],
    timeout_s: float,
) -> None:
    """Load by a configuration, and see in the index that its versions serve.

    Triton answers a load with success when some of the pinned versions are absent.
    """
    wrong = model_repository.damaged(repo, model, versions)
    if wrong:
        raise ContractError(
            f"{model}: {'; '.join(wrong.values())}; nothing was loaded; unpin or publish anew"
        )
    control.load(model, config=config, timeout_s=timeout_s)
    states = {s.version: s for s in control.index() if s.model == model}
    for version in sorted(versions):
        state = states.get(version)
        if state is None or not state.ready:
            why = "it is not in the index" if state is None else f"{state.state} {state.reason}"
            raise ContractError(f"Triton does not serve {model}/{version} after the load: {why}")


@contextlib.contextmanager
def _back_to_file(
    control: TritonControl, repo: Path, model: str, timeout_s: float
) -> Iterator[None]:
    """If the block fails, let Triton serve what `config.pbtxt` says."""
    try:
        yield
    except BaseException:
        _load_from_file(control, repo, model, timeout_s)
        raise


def _load_from_file(control: TritonControl, repo: Path, model: str, timeout_s: float) -> None:
    """Let Triton follow `config.pbtxt` again, as far as it answers; a restart reads it too.

    The text is sent along: Triton takes a load for done if the file is as old as it knows it,
    even where the last load carried another configuration.
    """
    with contextlib.suppress(NightshiftError):
        pins = model_repository.pins(repo, model)
        if pins and not model_repository.damaged(repo, model, pins):
            config = model_repository.config_path(repo, model).read_text()
            control.load(model, config=config, timeout_s=timeout_s)
        elif not pins:
            control.unload(model, timeout_s=timeout_s)
