"""Write an experiment's configuration into the pipeline's files, comments and all else kept."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nightshift import files
from nightshift.errors import ConfigurationError
from nightshift.experiment.design import assigned
from nightshift.experiment.trainings import reduced_spec
from nightshift.features.specification import FeatureSpec
from nightshift.modules import of_tasks
from nightshift.pipeline import Pipeline


def apply(
    pipeline: Pipeline,
    values: Mapping[str, Any],
    left_out: Sequence[str],
    *,
    errors: Callable[[], Sequence[str]] = tuple,
) -> str:
    """Change `hyperparameters.yaml`, and `feature_spec.yaml` where features are left out.

    Both new texts are checked to mean exactly what the experiment trained before either is written.

    Args:
        pipeline: whose files they are.
        values: hyper-parameters.
        left_out: features to move under `ignored`.
        errors: what is wrong with the pipeline's files at the moment of the call. Where the change
            brings a new error, such as a gate that names a feature which is left out, the files are
            put back.

    Returns:
        The change as a unified diff; empty where the files say so already.

    Raises:
        ConfigurationError: a file cannot be changed by lines, or not here, or the files would not
            fit each other any more; the files are as they were.
    """
    known = set(errors())
    changes: list[tuple[Path, str, str]] = []
    path = pipeline.hyperparameters
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if values:
        changes.append((path, old, with_values(old, values, str(path))))
    spec = pipeline.features.spec_file
    if left_out:
        text = spec.read_text(encoding="utf-8")
        changes.append((spec, text, without_features(text, spec, left_out)))
    change = "".join(
        line
        for file, before, after in changes
        for line in difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), str(file), str(file)
        )
    )
    done: list[tuple[Path, str]] = []
    try:
        for file, before, new in changes:
            files.write_text(file, new)
            done.append((file, before))
    except OSError as error:
        for file, before in done:
            files.write_text(file, before)
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        raise ConfigurationError(
            f"{changes[len(done)][0]} cannot be changed here ({error.strerror}), as in production's "
            f"containers, and nothing was; change it in the checkout that it comes from:\n{change}"
        ) from error
    broken = [error for error in errors() if error not in known]
    if broken:
        for file, before in done:
            files.write_text(file, before)
        raise ConfigurationError(
            "nothing was changed, since the files would not fit each other; change these first:\n"
            + "\n".join(broken)
        )
    if values:
        of_tasks(pipeline.settings.project, "tasks.ctr.train.hyperparameters").load(path)
    return change


def with_values(text: str, values: Mapping[str, Any], source: str) -> str:
    """The text of a flat YAML file with some values changed or added.

    Raises:
        ConfigurationError: the result would not say so.
    """
    lines = text.splitlines()
    if [line for line in lines if line.strip() and not line.lstrip().startswith("#")] == ["{}"]:
        lines = [line for line in lines if line.strip() != "{}"]
    written = {item.partition("=")[0]: item.partition("=")[2] for item in assigned(values)}
    for key, value in written.items():
        at = [n for n, line in enumerate(lines) if re.match(rf"{re.escape(key)}\s*:", line)]
        if not at:
            lines.append(f"{key}: {value}")
            continue
        comment = re.search(r"\s+#.*$", lines[at[-1]])
        changed = f"{key}: {value}"
        if comment is not None:
            changed = changed.ljust(comment.start() + len(comment[0]) - len(comment[0].lstrip()))
            changed += comment[0].lstrip() if changed.endswith(" ") else "  " + comment[0].lstrip()
        lines[at[-1]] = changed
    made = "\n".join(lines) + "\n"
    expected = {**(yaml.safe_load(text) or {}), **{k: _plain(v) for k, v in values.items()}}
    if _parsed(made) != expected:
        raise ConfigurationError(
            f"{source} has values over several lines, and cannot be changed by lines; set by hand: "
            + "; ".join(f"{key}: {value}" for key, value in written.items())
        )
    return made


def without_features(text: str, source: Path, left_out: Sequence[str]) -> str:
    """The text of a feature specification with some features under `ignored`.

    Raises:
        ConfigurationError: the result would not be the specification that was trained.
    """
    lines = text.splitlines()
    kept: list[str] = []
    section, dropping = "", False
    for line in lines:
        if re.match(r"\S", line) and not line.startswith("#"):
            section, dropping = line.partition(":")[0], False
        elif dropping and re.match(r"\s{3,}\S", line):
            continue
        elif match := re.match(r"  (\S[^:]*?)\s*:", line):
            name = match[1].strip("\"'")
            dropping = section in ("categorical", "numeric") and name in left_out
            if dropping:
                continue
        else:
            dropping = False
        kept.append(line)
    added = [f"  {name}: left out by an experiment" for name in left_out]
    at = [n for n, line in enumerate(kept) if re.match(r"ignored\s*:", line)]
    if at and not kept[at[0]].partition(":")[2].partition("#")[0].strip():
        kept[at[0] + 1 : at[0] + 1] = added
    elif not at:
        kept += ["", "# Columns that the model does not see, and why.", "ignored:", *added]
    made = "\n".join(_without_empty_sections(kept)) + "\n"
    expected = reduced_spec(source, left_out)
    parsed = _parsed(made)
    names = ", ".join(left_out)
    if parsed is None or not _same(parsed, expected):
        raise ConfigurationError(
            f"{source} cannot be changed by lines; move {names} under ignored by hand"
        )
    FeatureSpec.parse(parsed, source=str(source))
    return made


def _without_empty_sections(lines: list[str]) -> list[str]:
    """Leave out `categorical:` or `numeric:` where nothing is under it any more."""
    kept = []
    for number, line in enumerate(lines):
        if re.match(r"(categorical|numeric)\s*:\s*(#.*)?$", line):
            below = (x for x in lines[number + 1 :] if x.strip() and not x.lstrip().startswith("#"))
            if not next(below, "x").startswith(" "):
                continue
        kept.append(line)
    return kept


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Equal, the order of features included."""

    def plain(content: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(content)
        for kind in ("categorical", "numeric"):
            found[kind] = list((content.get(kind) or {}).items())
        return found

    return plain(one) == plain(other)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return found if isinstance(found, dict) else None


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
