"""The tables of a copy in a database: their names, their columns, and the statements that write them.

This module knows SQL that SQLite and PostgreSQL share, and quotes every name that comes from elsewhere. It must not
know connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ..models import Meeting
from .columns import RECORD, Column, Kept, Kind
from .store import number_of

__all__ = [
    "ASSOCIATIONS",
    "COPY",
    "MEETINGS",
    "TABLES",
    "added",
    "create_meetings",
    "links",
    "quoted",
    "upsert",
]

MEETINGS: Final = "meetings"
ASSOCIATIONS: Final = "meeting_associations"
COPY: Final = "meeting_copy"
TABLES: Final = (MEETINGS, ASSOCIATIONS, COPY)


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def create_meetings(record: Sequence[str], kept: Kept, types: Mapping[Kind, str]) -> str:
    """The statement that makes the table of meetings. `record` are the types of its own columns, `types` of others."""
    own = [f"{quoted(name)} {type_}" for name, type_ in zip(RECORD, record, strict=True)]
    properties = [f"{quoted(column.name)} {types[column.kind]}" for column in kept.columns]
    return f"CREATE TABLE {MEETINGS} ({', '.join(own + properties)})"


def added(kept: Kept, before: Kept, types: Mapping[Kind, str]) -> list[str]:
    """The statements that give the table of meetings the columns that `kept` has more than `before`."""
    return [
        f"ALTER TABLE {MEETINGS} ADD COLUMN {quoted(column.name)} {types[column.kind]}"
        for column in kept.columns
        if column not in before.columns
    ]


def upsert(columns: Sequence[Column], places: Sequence[str]) -> str:
    """The statement that writes a row of meetings, new or known. `places` stand for the values (`?`, `$1`)."""
    names = [quoted(name) for name in (*RECORD, *(column.name for column in columns))]
    news = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return (
        f"INSERT INTO {MEETINGS} ({', '.join(names)}) VALUES ({', '.join(places)}) "  # noqa: S608 - names are quoted
        f"ON CONFLICT (id) DO UPDATE SET {news}"
    )


def links(number: int, meeting: Meeting) -> Iterator[tuple[int, str, int, str]]:
    """The rows of a meeting's links: its number, the other object type, the other record, and the link's type."""
    for object_type, found in (meeting.associations or {}).items():
        for record in found.results:
            yield number, object_type, number_of(record.id), record.type
