"""Copies in plain files: lines of JSON, and tables of text.

This module knows what such files look like. It must not know how a copy is filled, or columns of types.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from .columns import RECORD, Kept
from .lines import Line, read_line
from .plain import PlainFile
from .values import iso

__all__ = ["CSVStore", "JSONLStore", "linked_ids"]


class JSONLStore(PlainFile):
    """A copy in a file of lines, each a meeting in HubSpot's shape, ordered by id; nothing is lost in it.

        async with JSONLStore("meetings.jsonl") as store:
            await pull(hubspot, store)

    `{"id": …, "properties": {…}, "createdAt": …, "updatedAt": …, "archived": …, "archivedAt": …, "associations": …}`;
    values are HubSpot's texts.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, _Lines)


class CSVStore(PlainFile):
    """A copy in a CSV file (UTF-8, a header, a row for each meeting, ordered by id). Values are HubSpot's texts.

    The ids of associated records are in one column for each object type, separated by `;`, without their kinds.

    Values are not changed: a spreadsheet runs those that begin with `=`, `+`, `-` or `@` as formulas, and meetings hold
    what strangers wrote. Have it import all columns as text.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, _Table)


class _Lines:
    def __init__(self, file: BinaryIO, kept: Kept) -> None:
        self._file = file

    def add(self, lines: Sequence[bytes]) -> None:
        self._file.write(b"\n".join(lines) + b"\n")

    def end(self) -> Counter[str]:
        return Counter()


class _Table:
    def __init__(self, file: BinaryIO, kept: Kept) -> None:
        self._file = file
        self._properties = [column.of for column in kept.columns]
        self._associations = [column.of for column in kept.associations]
        columns = (*kept.columns, *kept.associations)
        self._write([[*_OWN, *(column.name for column in columns)]])

    def add(self, lines: Sequence[bytes]) -> None:
        self._write(map(self._row, map(read_line, lines)))

    def _write(self, rows: Iterable[Sequence[str | None]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())

    def _row(self, line: Line) -> list[str | None]:
        created, updated, archived = line.created_at, line.updated_at, line.archived_at
        return [
            line.id,
            iso(created) if created is not None else None,
            iso(updated) if updated is not None else None,
            "true" if line.archived else "false",
            iso(archived) if archived is not None else None,
            *map(line.properties.get, self._properties),
            *(";".join(linked_ids(line, name)) for name in self._associations),
        ]

    def end(self) -> Counter[str]:
        return Counter()


_OWN = RECORD[:5]


def linked_ids(line: Line, name: str) -> list[str]:
    """The records of one object type that a meeting is linked to, each once."""
    linked = (line.associations or {}).get(name)
    return list(dict.fromkeys(record.id for record in linked.results)) if linked is not None else []
