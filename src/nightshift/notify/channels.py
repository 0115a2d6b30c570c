"""Where messages go: a file of Apprise URLs, one a line.

The file is read as Apprise's own text configuration: `URL`, or `TAG,TAG=URL`. A line without tags
is told everything; one with tags only what bears one of them (a pipeline's name, a kind of
incident, or `failure` and `warning`). E-mail, webhooks (`json://`), Slack (`slack://`), Mattermost
(`mmost://`, Slack's payload) and a hundred more: https://github.com/caronc/apprise/wiki.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.settings import Settings

VARIABLE = "NIGHTSHIFT_NOTIFY_FILE"

_ONE_AT_A_TIME = threading.Lock()
"""Apprise logs by one logger; what a target says of a failure is read from there."""


@dataclass(frozen=True)
class Channel:
    """One target.

    Attributes:
        id: the same for the same target, whatever its password.
        shown: its URL without secrets.
        tags: what it wants to hear of; empty for everything.
        service: Apprise's object.
    """

    id: str
    shown: str
    tags: frozenset[str]
    service: Any

    def wants(self, tags: Collection[str]) -> bool:
        """Whether a message with these tags is for it."""
        return not self.tags or not self.tags.isdisjoint(tags)

    def send(self, *, title: str, text: str, severity: str) -> str | None:
        """Send one message; returns why it failed, None where the target took it."""
        import apprise

        one = apprise.Apprise(asset=_asset())
        one.add(self.service)
        with (
            _ONE_AT_A_TIME,
            apprise.LogCapture(  # type: ignore[no-untyped-call]
                level=logging.WARNING, fmt="%(message)s"
            ) as captured,
        ):
            try:
                sent = one.notify(
                    body=text,
                    title=title,
                    notify_type=severity,
                    body_format=apprise.NotifyFormat.TEXT,
                )
            except Exception as error:  # a hundred services, each with its own errors
                return f"{type(error).__name__}: {error}"[:500]
            said = " ".join(captured.getvalue().split())
        return None if sent else (said[:500] or "the target refused the message and gave no reason")


def channels(settings: Settings) -> list[Channel]:
    """The targets of `NIGHTSHIFT_NOTIFY_FILE`; none where it is not set.

    Raises:
        ConfigurationError: the file cannot be read, or a line of it is not a target.
    """
    if not settings.notify_file:
        return []
    path = Path(settings.notify_file)
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{VARIABLE}: {path} cannot be read: {error}") from error
    return parse(content, source=str(path))


def parse(content: str, *, source: str) -> list[Channel]:
    """The targets of a configuration; `source` is named in messages, the lines' content never is.

    Raises:
        ConfigurationError: a line is not a target.
    """
    from apprise.config.base import ConfigBase

    found: list[Channel] = []
    for number, raw in enumerate(content.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        with _ONE_AT_A_TIME:
            logger = logging.getLogger("apprise")
            was, logger.disabled = logger.disabled, True
            try:
                services, includes = ConfigBase.config_parse_text(line, asset=_asset())
            finally:
                logger.disabled = was
        if includes or len(services) != 1:
            raise ConfigurationError(
                f"{VARIABLE}: line {number} of {source} is not a target; write one Apprise URL a "
                "line, such as json://host/path or mailto://user:password@host?to=a@b.c, with "
                "TAG= before it for a target that should get some messages only"
            )
        service: Any = services[0]
        shown = service.url(privacy=True).partition("?")[0]
        key = hashlib.sha256(service.url(privacy=True).encode()).hexdigest()[:12]
        tags = frozenset(str(tag) for tag in service.tags)
        found.append(Channel(key, shown, tags, service))
    return found


def _asset() -> Any:
    import apprise

    # Nothing of Apprise's own is kept on disk, and no plugin is read from a user's folder.
    return apprise.AppriseAsset(
        app_id="Nightshift",
        app_desc="Nightshift",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        plugin_paths=[],
        secure_logging=True,
        async_mode=False,
    )
