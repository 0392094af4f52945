"""A copy in a plain file: filled in its working file, written out whole, and put in place in one step.

This module knows the order of things. It must not know how lines become a file of some kind.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from anyio import CancelScope, to_thread

from ..errors import StoreError
from ..models import PlainProperties
from ..sync import Change
from .columns import Kept
from .files import OURS_ALONE, place_of
from .store import Written
from .working import Working

__all__ = ["PlainFile", "Sheet"]


class Sheet(Protocol):
    """A file of some kind while it is written. Its methods block."""

    def add(self, lines: Sequence[bytes]) -> None:
        """Write meetings: each a line of JSON as `Line` is."""
        ...

    def end(self) -> Counter[str]:
        """Write what comes last. Values that did not fit their columns, by property."""
        ...


class PlainFile:
    """A copy in a plain file; beside it is its working file, `FILE.copy`, which belongs to it.

    The plain file is written anew by `publish`, when something changed, and is whole at any moment. That takes as long
    as the copy is large: where a million meetings are watched, a database is the better place.

    Raises: as `Store` does.
    """

    def __init__(self, path: str | os.PathLike[str], sheet: Callable[[BinaryIO, Kept], Sheet]) -> None:
        self._path = path
        self._sheet = sheet
        self._place = Path()
        self._working: Working | None = None

    def __str__(self) -> str:
        return os.fspath(self._path)

    @property
    def kept(self) -> Kept | None:
        """What the copy is of; None for one that has yet to be begun."""
        return self._open.file.kept

    @property
    def cursor(self) -> str | None:
        """Where the sync that fills it got to."""
        return self._open.file.cursor

    async def __aenter__(self) -> Self:
        self._place = await to_thread.run_sync(place_of, self._path)
        self._working = await to_thread.run_sync(Working, self._place)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        working, self._working = self._working, None
        if working is not None:
            with CancelScope(shield=True):
                await to_thread.run_sync(working.file.close)

    async def keep(self, kept: Kept, *, cursor: str | None) -> None:
        """Begin the copy, or take note of what it is of now."""
        await to_thread.run_sync(self._open.keep, kept, cursor)

    async def write(self, changes: Sequence[Change[PlainProperties]], cursor: str) -> Written:
        """Write changes and the cursor behind them into the working file, in one transaction."""
        return await to_thread.run_sync(self._open.write, changes, cursor)

    async def publish(self) -> Counter[str]:
        """Write the plain file, if there is something new, and give it its place."""
        working = self._open
        if not await to_thread.run_sync(lambda: working.owed):
            return Counter()
        with contextlib.closing(self._steps(working)) as steps:
            # Step by step: whoever ends a pull need not wait for the end of a large file.
            while True:
                step = await to_thread.run_sync(next, steps)
                if not isinstance(step, int):
                    return step

    @property
    def _open(self) -> Working:
        if self._working is None:
            raise StoreError(f"{self} is not open: use it within `async with`")
        return self._working

    def _steps(self, working: Working) -> Generator[int | Counter[str]]:
        """Write some of it, and tell how many lines; at the end, what did not fit."""
        kept = working.file.kept or Kept()
        new = self._place.with_name(f".{self._place.name}.new")
        try:
            with _written_anew(new, like=self._place) as file:
                sheet = self._sheet(file, kept)
                try:
                    for lines in working.lines():
                        sheet.add(lines)
                        yield len(lines)
                finally:
                    unfit = sheet.end()
                file.flush()
                os.fsync(file.fileno())
            working.show(new)
            yield unfit
        except OSError as error:
            raise StoreError(f"{self} can not be written ({error.strerror}); make room and pull again") from error
        finally:
            new.unlink(missing_ok=True)


def _written_anew(path: Path, *, like: Path) -> BinaryIO:
    """An empty file to write to, readable for whom the one it replaces was."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OURS_ALONE)
    with contextlib.suppress(OSError):
        path.chmod(like.stat().st_mode & 0o777)
    return os.fdopen(descriptor, "wb")
