"""Triton over gRPC: load, look, infer; and publish a version only when it answers as trained.

Loads go over gRPC because over HTTP they stall inference for seconds. Model control is code
execution: Triton listens on the loopback or behind `--grpc-restricted-protocol`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import files, model_repository
from nightshift.errors import ContractError, NightshiftError, ServiceUnavailable
from nightshift.model_repository import MAX_BATCH_SIZE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from tritonclient.utils import InferenceServerException
    from typing_extensions import Self

INPUT = "INPUT_0"
OUTPUT = "OUTPUT_0"
DEFAULT_TOLERANCE = 1e-5
"""Largest difference between a golden score and Triton's, where golden.json names none."""

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one gRPC message; 10,000 rows of 500 fields are 40 MB."""

CHANNEL = (
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # gRPC's own pause before it tries a server again grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # In spite of its name also the limit of one attempt to connect, which a busy machine needs.
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""Options of every gRPC channel to Triton."""

_UNAVAILABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


@dataclass(frozen=True)
class ModelState:
    """One line of Triton's repository index."""

    model: str
    version: int | None
    state: str
    reason: str

    @property
    def ready(self) -> bool:
        """Whether Triton says that it serves this version (a dead process still says so)."""
        return self.state == "READY"


@dataclass(frozen=True)
class Golden:
    """Rows of ids and the scores that training gave them: `golden.json`."""

    ids: list[list[int]]
    scores: list[float]
    tolerance: float

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read and check `golden.json`.

        Raises:
            ContractError: the file is absent or its parts do not fit.
        """
        return cls.parse(files.read_json(path), str(path))

    @classmethod
    def parse(cls, value: Mapping[str, Any], where: str = "golden rows") -> Golden:
        """Check what `golden.json` holds: `ids`, `scores` and perhaps `tolerance`.

        Raises:
            ContractError: a part is missing, of another length, or of a wrong type.
        """
        try:
            ids = [[int(i) for i in row] for row in value["ids"]]
            scores = [float(score) for score in value["scores"]]
            tolerance = float(value.get("tolerance", DEFAULT_TOLERANCE))
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"{where}: ids and scores are needed ({error!r})") from None
        widths = {len(row) for row in ids}
        if not ids or len(ids) != len(scores) or len(widths) != 1 or 0 in widths:
            raise ContractError(
                f"{where}: {len(ids)} rows of ids (widths {sorted(widths)}) and "
                f"{len(scores)} scores do not fit"
            )
        return cls(ids, scores, tolerance)

    @property
    def n_fields(self) -> int:
        """Ids of one row."""
        return len(self.ids[0])


@dataclass(frozen=True)
class Published:
    """What `publish` did."""

    model: str
    version: int
    pinned: tuple[int, ...]
    golden_rows: int
    largest_difference: float
    load_s: float


def triton_error(error: InferenceServerException, about: str) -> NightshiftError:
    """What a failure of tritonclient means: try again, or not.

    Args:
        error: what tritonclient raised.
        about: the beginning of the message: which server, which call.

    Returns:
        ServiceUnavailable where the server did not answer, else ContractError with its words.
    """
    message = f"{about}: {error.message()}"
    down = any(word in str(error.status()) for word in _UNAVAILABLE)
    # A version that is not served has the status of a server that is down.
    if down and "unknown model" not in message:
        return ServiceUnavailable(
            f"{message}; is it up? (`./nightshift status`, NIGHTSHIFT_TRITON_GRPC_PORT)"
        )
    return ContractError(message)


class TritonControl:
    """Control and inference of one Triton server, synchronous.

    Args:
        grpc_url: `host:port` of Triton's gRPC service.
        timeout_s: limit of one question or inference; loads have their own.
    """

    def __init__(self, grpc_url: str, *, timeout_s: float = 10.0) -> None:
        import tritonclient.grpc as grpcclient

        self._grpc = grpcclient
        self._url = grpc_url
        self._timeout_s = timeout_s
        self._client = grpcclient.InferenceServerClient(grpc_url, channel_args=list(CHANNEL))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _call(self, what: str, call: Callable[[], Any]) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return call()
        except InferenceServerException as error:
            raise triton_error(error, f"Triton at {self._url}: {what}") from error

    def live(self) -> bool:
        """Whether the server answers at all."""
        try:
            answer = self._call(
                "live", lambda: self._client.is_server_live(client_timeout=self._timeout_s)
            )
        except NightshiftError:
            return False
        return bool(answer)

    def ready(self, model: str, version: int) -> bool:
        """Whether Triton says that it serves the version.

        Raises:
            ServiceUnavailable: the server does not answer.
        """
        return bool(
            self._call(
                f"ready {model}/{version}",
                lambda: self._client.is_model_ready(
                    model, str(version), client_timeout=self._timeout_s
                ),
            )
        )

    def index(self) -> list[ModelState]:
        """The repository index: each model and version that Triton knows, and its state.

        Raises:
            ServiceUnavailable: the server does not answer.
        """
        answer = self._call(
            "repository index",
            lambda: self._client.get_model_repository_index(client_timeout=self._timeout_s),
        )
        return [
            ModelState(m.name, int(m.version) if m.version else None, m.state, m.reason)
            for m in answer.models
        ]

    def load(self, model: str, *, config: str | None = None, timeout_s: float = 120.0) -> None:
        """Load or reload a model; what served keeps serving if it fails.

        Args:
            model: name of the model.
            config: text of a whole `config.pbtxt` to use instead of the file, until the next
                load or restart.
            timeout_s: limit of the load.

        Raises:
            ContractError: Triton refused: the message is Triton's own.
            ServiceUnavailable: the server does not answer in time.
        """
        override = None if config is None else _config_json(config)
        self._call(
            f"load {model}",
            lambda: self._client.load_model(model, config=override, client_timeout=timeout_s),
        )

    def unload(self, model: str, *, timeout_s: float = 60.0) -> None:
        """Unload all of a model's versions.

        Raises:
            ContractError: Triton refused.
            ServiceUnavailable: the server does not answer in time.
        """
        self._call(
            f"unload {model}", lambda: self._client.unload_model(model, client_timeout=timeout_s)
        )

    def infer(
        self, model: str, version: int, ids: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Score rows.

        Args:
            model: name of the model.
            version: its version.
            ids: int64 [n, fields], hashes as `nightshift.encoding` makes them; any n.

        Returns:
            float32 [n], probabilities.

        Raises:
            ContractError: Triton refused the rows or does not serve the version.
            ServiceUnavailable: the server does not answer in time.
        """
        import numpy as np

        parts = [
            self._infer_batch(model, version, ids[start : start + MAX_BATCH_SIZE])
            for start in range(0, len(ids), MAX_BATCH_SIZE)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def _infer_batch(
        self, model: str, version: int, ids: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        import numpy as np

        tensor = self._grpc.InferInput(INPUT, list(ids.shape), "INT64")
        tensor.set_data_from_numpy(np.ascontiguousarray(ids, dtype=np.int64))
        answer = self._call(
            f"infer {model}/{version}",
            lambda: self._client.infer(
                model,
                [tensor],
                model_version=str(version),
                outputs=[self._grpc.InferRequestedOutput(OUTPUT)],
                client_timeout=self._timeout_s,
            ),
        )
        return check_scores(answer.as_numpy(OUTPUT), len(ids), f"{model}/{version}")

    def check_golden(self, model: str, version: int, golden: Golden | Mapping[str, Any]) -> float:
        """Compare Triton's scores of the golden rows with training's.

        Args:
            model: name of the model.
            version: its version.
            golden: what `golden.json` holds.

        Returns:
            The largest difference, at most the tolerance.

        Raises:
            ContractError: a score differs by more; the message names the row.
            ServiceUnavailable: the server does not answer in time.
        """
        import numpy as np

        rows = golden if isinstance(golden, Golden) else Golden.parse(golden)
        scores = self.infer(model, version, np.array(rows.ids, dtype=np.int64))
        differences = np.abs(scores.astype(np.float64) - np.array(rows.scores))
        worst = int(differences.argmax())
        if not differences[worst] <= rows.tolerance:
            raise ContractError(
                f"{model}/{version}: golden row {worst} scores {scores[worst]:.9g} in Triton and "
                f"{rows.scores[worst]:.9g} in training, further apart than {rows.tolerance:g}; "
                "the serving code or its environment is not the one that trained"
            )
        return float(differences[worst])


def check_scores(
    scores: npt.NDArray[np.float32] | None, n_rows: int, where: str
) -> npt.NDArray[np.float32]:
    """OUTPUT_0 as float32 [n_rows].

    Raises:
        ContractError: it is absent, of another length, or a score is not a probability.
    """
    import numpy as np

    if scores is None or scores.size != n_rows:
        got = "none" if scores is None else str(list(scores.shape))
        raise ContractError(f"Triton, {where}: {n_rows} rows asked, scores of shape {got} answered")
    flat = scores.reshape(-1).astype(np.float32, copy=False)
    if not ((flat >= 0) & (flat <= 1)).all():
        raise ContractError(f"Triton, {where}: a score is no probability between 0 and 1")
    return flat


def publish(
    control: TritonControl,
    repo: Path,
    model: str,
    version: int,
    model_dir: Path,
    *,
    n_fields: int | None = None,
    device: str = "cpu",
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
        model_dir: what training wrote: `model/`, `model_card.json`, `golden.json`.
        n_fields: ids of a row by the specification; checked against the golden rows.
        device: `cpu` or `cuda`.
        timeout_s: limit of one load.

    Raises:
        ContractError: the model does not load, or does not answer as trained.
        ServiceUnavailable: Triton does not answer; nothing is published.
        LockHeld: another publication is under way.
    """
    golden = Golden.load(model_dir / "golden.json")
    if n_fields is not None and n_fields != golden.n_fields:
        raise ContractError(
            f"{model_dir / 'golden.json'} has {golden.n_fields} ids a row and the specification "
            f"{n_fields}; train with the specification of this run"
        )
    with model_repository.repository_lock(repo, model):
        folder = model_repository.version_folder(repo, model, version)
        new = not folder.exists()
        model_repository.publish_version(repo, model, version, model_dir)
        before = model_repository.pins(repo, model)
        try:
            _rehearse(control, repo, model, version, golden, device, timeout_s)
            pinned = {v for v in before if model_repository.version_folder(repo, model, v).is_dir()}
            pinned.add(version)
            started = time.monotonic()
            config = model_repository.pinned_config(repo, model, pinned, device=device)
            with _back_to_file(control, repo, model, timeout_s):
                _load_and_look(control, repo, model, config, pinned, timeout_s)
                load_s = time.monotonic() - started
                difference = control.check_golden(model, version, golden)
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
    return Published(model, version, tuple(sorted(pinned)), len(golden.ids), difference, load_s)


def pin(
    control: TritonControl,
    repo: Path,
    model: str,
    versions: Iterable[int],
    *,
    device: str = "cpu",
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
        config = model_repository.pinned_config(repo, model, wanted, device=device)
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
                folder = model_repository.version_folder(repo, model, version)
                golden = Golden.load(folder / "golden.json")
                _rehearse(control, repo, model, version, golden, device, timeout_s)
                whole.append(version)
        if whole:
            # Triton loads anew what looks changed.
            os.utime(model_repository.config_path(repo, model))
            config = model_repository.pinned_config(repo, model, whole, device=device)
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
        control.check_golden(model, version, Golden.load(folder / "golden.json"))
    except ContractError as error:
        return str(error)
    return ""


def _rehearse(
    control: TritonControl,
    repo: Path,
    model: str,
    version: int,
    golden: Golden,
    device: str,
    timeout_s: float,
) -> None:
    """Load a version alone, as a model of its own, and check its golden rows there.

    In a load of several versions, one that fails can crash the server (2.51: a race between
    the failure and the others' success), so a version joins the others only when it has loaded.
    """
    candidate = f"{model}-candidate"
    folder = repo / candidate
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / str(version)).symlink_to(Path("..") / model / str(version))
    config = model_repository.render_config(
        candidate, n_fields=golden.n_fields, versions=[version], device=device
    )
    try:
        control.load(candidate, config=config, timeout_s=timeout_s)
        control.check_golden(candidate, version, golden)
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


def _config_json(text: str) -> str:
    """`config.pbtxt` as the JSON that a load takes."""
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2

    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return str(json_format.MessageToJson(config, preserving_proto_field_name=True))
