"""Files that copies live in: where one may be, and that nobody else can read a new one.

This module knows the file system. It must not know what is in a file.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["OURS_ALONE", "place_of", "sync_folder"]

OURS_ALONE = 0o600
"""Meetings hold names, addresses and notes of people: a new copy is its owner's to read."""


def place_of(path: str | os.PathLike[str]) -> Path:
    """Where a copy at `path` really is, links followed, so that a rename does not replace a link by a file.

    Raises: ConfigurationError when no file can be there, in words.
    """
    place = Path(os.path.realpath(path))
    try:
        status = os.stat(place) if place.exists() else None
        folder = os.stat(place.parent) if status is None else None
    except FileNotFoundError:
        raise ConfigurationError(f"there is no directory {place.parent}; make it first") from None
    except OSError as error:
        raise ConfigurationError(f"{place} can not be a copy: {error.strerror}") from None
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{place} is a directory; name a file in it")
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{place} is no plain file; a copy is read again at the next pull, and needs one")
    if folder is not None and not stat.S_ISDIR(folder.st_mode):
        raise ConfigurationError(f"{place.parent} is no directory")
    if not os.access(place if status is not None else place.parent, os.R_OK | os.W_OK):
        raise ConfigurationError(f"{place} may not be written by this user")
    return place


def sync_folder(path: Path) -> None:
    """Bring the name that a file was given to the disk, where the system has a way to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
