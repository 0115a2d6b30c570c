"""A path without blanks for a program that cannot take them.

Triton's python backend starts its models through `bash -c` with unquoted paths: below a folder
with a blank in its name, loading a model hangs for ever.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from nightshift.errors import ConfigurationError

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def plain_path(path: Path, base: Path | None = None) -> Path:
    """`path` itself if a shell takes it as one word, else a link to it that is such a word.

    Args:
        path: an existing folder.
        base: where the folder of links is made; the system's temporary folder where None.

    Raises:
        ConfigurationError: the folder of links belongs to someone else, or no plain place is
            there to put it.
    """
    if _PLAIN.fullmatch(str(path)):
        return path
    links = (base or Path(tempfile.gettempdir())) / f"nightshift-{os.getuid()}"
    if not _PLAIN.fullmatch(str(links)):
        raise ConfigurationError(
            f"neither {path} nor {links} is free of blanks, which Triton's python backend needs; "
            "set NIGHTSHIFT_HOME or TMPDIR to a folder without"
        )
    links.mkdir(mode=0o700, exist_ok=True)
    owner = links.lstat()
    if links.is_symlink() or owner.st_uid != os.getuid() or owner.st_mode & 0o022:
        raise ConfigurationError(
            f"{links} is not a private folder of this user, so no link in it can be trusted; "
            "remove it, or set NIGHTSHIFT_HOME to a folder without blanks in its path"
        )
    link = links / hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    if not link.is_symlink() or link.readlink() != path:
        staged = links / f".{link.name}-{os.getpid()}"
        staged.unlink(missing_ok=True)
        staged.symlink_to(path)
        staged.replace(link)
    return link
