"""The working file of a copy that is a plain file: every meeting as a line, by id, and how far the sync got.

This module knows SQLite and lines. It must not know how the plain file is written. Every call blocks.

A plain file can not be changed in its middle, so something else has to know every meeting: this one, in a database
whose transactions hold meetings and cursor together. The plain file is written from it, in order, from the first line
to the last, beside the old one, and then takes its name. So nobody ever sees half a file, memory does not grow with the
number of meetings, and after a crash between the two the next pull writes the file that is owed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import ConfigurationError, StoreError
from ..models import PlainProperties
from ..sync import Change
from .columns import Kept
from .copy_file import CopyFile
from .files import sync_folder
from .lines import line_of, read_line, write_line
from .store import Newest, Written, linked
from .values import iso

__all__ = ["Working"]

_APPLICATION_ID: Final = 0x486D4377
_LINES_AT_ONCE: Final = 2_000


class _Seen(NamedTuple):
    """What tells a file from another one: its size, and when it was written."""

    size_bytes: int
    written_at_ns: int


class Working:
    """The working file beside `place`, opened. Raises: ConfigurationError when `place` holds something of others."""

    def __init__(self, place: Path) -> None:
        self._place = place
        try:
            self.file = CopyFile(f"{place}.copy", application_id=_APPLICATION_ID)
        except ConfigurationError as error:
            raise ConfigurationError(f"the working file of {place}: {error}") from None
        self._content = 0
        # The plain file that is there and, after a crash at the wrong moment, the one that came too late, by content.
        self._shown: dict[_Seen, int] = {}
        try:
            if self.file.kept is not None:
                with self.file.reading() as connection:
                    (self._content,) = connection.execute("SELECT number FROM content").fetchone()
                    rows = connection.execute("SELECT size_bytes, written_at_ns, content FROM shown").fetchall()
                self._shown = {_Seen(size_bytes, at_ns): content for size_bytes, at_ns, content in rows}
            self.need_own_place()
        except BaseException:
            self.file.close()
            raise

    def need_own_place(self) -> None:
        """See to it that the plain file is ours to replace. Raises: ConfigurationError."""
        there = _seen(self._place)
        if there is None or there.size_bytes == 0 or there in self._shown:
            return
        if self.file.kept is None:
            raise ConfigurationError(
                f"{self._place} is no copy that a pull made, or its working file {self._place.name}.copy is gone; name "
                "another file, or move this one away"
            )
        raise ConfigurationError(
            f"{self._place} was changed by another program since it was written; move it away and pull again: the copy "
            "itself is unharmed, and the file is written anew"
        )

    def keep(self, kept: Kept, cursor: str | None) -> None:
        """Begin the copy, or take note of what it is of now."""
        with self.file.writing() as connection:
            if self.file.kept is None:
                self.file.begin()
                connection.execute(
                    "CREATE TABLE meetings (id INTEGER PRIMARY KEY, updated_at TEXT, line BLOB NOT NULL)"
                )
                connection.execute("CREATE TABLE content (number INTEGER NOT NULL)")
                connection.execute("INSERT INTO content VALUES (0)")
                connection.execute(
                    "CREATE TABLE shown (size_bytes INTEGER NOT NULL, written_at_ns INTEGER NOT NULL, "
                    "content INTEGER NOT NULL)"
                )
            connection.execute("UPDATE content SET number = ?", (self._content + 1,))
            self.file.note(kept, cursor)
        self._content += 1
        self.file.noted(kept, cursor)

    def write(self, changes: Sequence[Change[PlainProperties]], cursor: str) -> Written:
        """Write changes and the cursor behind them in one transaction."""
        kept = self.file.kept
        if kept is None:
            raise StoreError(f"{self._place} has not been begun: `keep` comes before `write`")
        newest = Newest(changes)
        dropped = 0
        with self.file.writing() as connection:
            find = "SELECT updated_at, line FROM meetings WHERE id = ?"
            rows: list[tuple[int, str | None, bytes]] = []
            for number in newest.numbers:
                meeting = newest.meetings[number]
                updated_at = iso(meeting.updated_at) if meeting.updated_at is not None else None
                before: tuple[str | None, bytes] | None = connection.execute(find, (number,)).fetchone()
                version = before[0] if before is not None else None
                if version is not None and (updated_at is None or version > updated_at):
                    newest.pass_over(number)
                    continue
                links = read_line(before[1]).associations if before is not None and not linked(meeting) else None
                rows.append((number, updated_at, write_line(line_of(meeting, links))))
            connection.executemany("INSERT OR REPLACE INTO meetings VALUES (?, ?, ?)", rows)
            if newest.merged:
                gone = [(number,) for number in newest.merged]
                dropped = connection.executemany("DELETE FROM meetings WHERE id = ?", gone).rowcount
            content = self._content + bool(rows or dropped)
            connection.execute("UPDATE content SET number = ?", (content,))
            self.file.note(kept, cursor)
        self._content = content
        self.file.noted(kept, cursor)
        return newest.written(Counter(), dropped)

    @property
    def owed(self) -> bool:
        """Whether the plain file is not what the meetings are now, or is not there."""
        there = _seen(self._place)
        return there is None or self._shown.get(there) != self._content

    def lines(self) -> Iterator[list[bytes]]:
        """All lines, some thousand at a time, in the order of the meetings' ids."""
        last = -1
        while True:
            with self.file.reading() as connection:
                page = connection.execute(
                    "SELECT id, line FROM meetings WHERE id > ? ORDER BY id LIMIT ?", (last, _LINES_AT_ONCE)
                ).fetchall()
            if not page:
                return
            last = page[-1][0]
            yield [line for _, line in page]

    def show(self, written: Path) -> None:
        """Give a finished file the place of the plain one. Raises: ConfigurationError, StoreError."""
        self.need_own_place()
        new = _seen(written)
        if new is None:
            raise StoreError(f"{written} was removed while it was written; pull again")
        # First, and on the disk: after a crash between the two, either file is known for ours.
        self.file.sync_writes(True)
        with self.file.writing() as connection:
            connection.execute("INSERT INTO shown VALUES (?, ?, ?)", (*new, self._content))
        self.file.sync_writes(False)
        os.replace(written, self._place)
        sync_folder(self._place)
        with self.file.writing() as connection:
            connection.execute("DELETE FROM shown WHERE size_bytes <> ? OR written_at_ns <> ?", new)
        self._shown = {new: self._content}


def _seen(place: Path) -> _Seen | None:
    try:
        status = place.stat()
    except FileNotFoundError:
        return None
    return _Seen(status.st_size, status.st_mtime_ns)
