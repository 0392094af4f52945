"""What a copy is of: its columns, what they are called, and what they hold.

This module knows property definitions and which names a table can have. It must not know databases, files or requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec
from msgspec import Struct

from ..errors import StoreError, printable
from ..models import PropertyDefinition

__all__ = ["ARCHIVED", "FORMAT", "RECORD", "Column", "Kept", "Kind", "Selection", "columns_of", "kept_of"]

FORMAT: Final = 1

Kind = Literal["text", "datetime", "date", "number", "bool", "ids"]
"""What a column holds. `ids` are the associated records of one object type, in files that have no second table."""

ARCHIVED: Final = "archived"
UNFIT: Final = "unfit"

RECORD: Final = ("id", "created_at", "updated_at", ARCHIVED, "archived_at", UNFIT)
"""Columns of every copy, whatever the properties. `unfit` is a JSON object: values, by property, that are no such thing
as the property's type says; their own columns are empty."""

_TAKEN: Final = frozenset((*RECORD, "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid", "rowid", "_rowid_"))
"""Names that are taken before any property comes: PostgreSQL and SQLite have columns of their own."""

_LONGEST_BYTES: Final = 63
"""PostgreSQL cuts longer names off, silently."""

_KINDS: Final[Mapping[str | None, Kind]] = {
    "datetime": "datetime",
    "date": "date",
    "number": "number",
    "bool": "bool",
}


class Column(Struct, frozen=True):
    """One column: the property (or object type, for `ids`) that it is of, its own name, and what it holds."""

    of: str
    name: str
    kind: Kind = "text"


class Selection(Struct, frozen=True):
    """Which properties a copy is of: the usual ones, all, or those named."""

    mode: Literal["usual", "all", "named"] = "usual"
    names: tuple[str, ...] = ()


class Kept(Struct, frozen=True, kw_only=True):
    """What a copy tells of itself. `portal`: the account's number, None where HubSpot did not tell it.

    `associations` are columns of kind `ids`. Columns are never taken away, and keep their names and kinds.
    """

    form: int = FORMAT
    portal: str | None = None
    selection: Selection = Selection()
    columns: tuple[Column, ...] = ()
    associations: tuple[Column, ...] = ()

    def to_json(self) -> str:
        """As a copy keeps it."""
        return msgspec.json.encode(self).decode()


def kept_of(text: str, where: str) -> Kept:
    """What `to_json` wrote. Raises: StoreError when another release wrote what this one can not read."""
    try:
        kept = msgspec.json.decode(text, type=Kept)
    except msgspec.MsgspecError as error:
        raise StoreError(f"{where} can not be read as a copy of this release ({error}); pull into a new one") from None
    if kept.form > FORMAT:
        raise StoreError(f"{where} was made by a newer release of this library; use that one, or pull into a new copy")
    return kept


def columns_of(
    names: Iterable[str], definitions: Mapping[str, PropertyDefinition], known: Iterable[Column], *, ids: bool = False
) -> tuple[Column, ...]:
    """The columns that these properties (`ids`: object types) need beside the `known` ones, in order."""
    known = tuple(known)
    taken = {*_TAKEN, *(column.name.lower() for column in known)}
    there = {column.of for column in known if (column.kind == "ids") is ids}
    made: list[Column] = []
    for name in dict.fromkeys(names):
        if name in there:
            continue
        definition = definitions.get(name)
        kind: Kind = "ids" if ids else _KINDS.get(definition.type if definition is not None else None, "text")
        made.append(Column(name, _free(name, taken), kind))
        taken.add(made[-1].name.lower())
    return tuple(made)


def _free(name: str, taken: set[str]) -> str:
    """A name that a table can have and no other column has: case and signs aside, the property's own."""
    plain = printable(name) or "property"
    if len(plain.encode()) > _LONGEST_BYTES or plain != name:
        short = plain.encode()[: _LONGEST_BYTES - 9].decode(errors="ignore")
        plain = f"{short}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    found, number = plain, 1
    while found.lower() in taken:
        number += 1
        end = "_property" if number == 2 else f"_property_{number - 1}"
        found = plain.encode()[: _LONGEST_BYTES - len(end)].decode(errors="ignore") + end
    return found
