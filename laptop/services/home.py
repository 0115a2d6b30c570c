"""The home folder of the laptop profile: closed to others, with its secrets, on the loopback."""

from __future__ import annotations

import ipaddress
import stat

from nightshift import credentials
from nightshift.errors import ConfigurationError
from nightshift.settings import Settings

SECRETS = (credentials.OPENMLDB_TOKEN, credentials.TRITON_KEY)
"""What the services of this profile demand of each other."""


def secure(settings: Settings) -> None:
    """Make the home, close it to other users, and make its secrets.

    Raises:
        ConfigurationError: it cannot be made or closed, a secret is unsound, or the services
            would listen on an address that others reach.
    """
    check_bind(settings)
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if stat.S_IMODE(home.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            home.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"the home {home} cannot be made or closed to others: {error.strerror}; set "
            "NIGHTSHIFT_HOME to a folder of your own"
        ) from error
    for name in SECRETS:
        credentials.ensure(settings, name)


def check_bind(settings: Settings) -> None:
    """Return if the services listen on the loopback.

    Raises:
        ConfigurationError: they would not.
    """
    if not is_loopback(settings.bind):
        raise ConfigurationError(
            f"NIGHTSHIFT_BIND is {settings.bind}: in this profile the predict server and Triton's "
            "inference ask for no login, and nothing is encrypted, so they listen on the loopback "
            "only. From another machine use `ssh -L`, or a reverse proxy with TLS and a login; "
            "docs/production.md has a profile for servers"
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    if address.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
