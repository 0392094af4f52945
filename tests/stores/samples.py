"""Changes to write into copies, and copies read back by other programs than ours."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hubspot_meetings_async import AssociatedId, AssociatedIds, Meeting, PropertyDefinition
from hubspot_meetings_async.stores import (
    CSVStore,
    JSONLStore,
    Kept,
    ParquetStore,
    PostgresStore,
    SQLiteStore,
    Store,
)
from hubspot_meetings_async.stores.columns import columns_of
from hubspot_meetings_async.sync import Change

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
PORTAL = "1234567"
TYPES = {
    "hs_meeting_title": "string",
    "hs_timestamp": "datetime",
    "seats": "number",
    "paid": "bool",
    "due": "date",
    "stage": "enumeration",
}
VALUES = {
    "hs_meeting_title": "Kick-off “Ümläut”, \n=1+1",
    "hs_timestamp": "2026-05-14T12:30:00Z",
    "seats": "12.5",
    "paid": "true",
    "due": "2026-05-14",
    "stage": "OPEN",
}


def definitions(types: Mapping[str, str] = TYPES) -> dict[str, PropertyDefinition]:
    return {name: PropertyDefinition(name=name, type=type_) for name, type_ in types.items()}


def kept_for(types: Mapping[str, str] = TYPES, *, before: Kept | None = None, links: Sequence[str] = ()) -> Kept:
    """What a copy of these properties is of."""
    known = before or Kept(portal=PORTAL)
    columns = known.columns + columns_of(types, definitions(types), known.columns)
    associations = known.associations + columns_of(links, {}, (*columns, *known.associations), ids=True)
    return Kept(portal=PORTAL, columns=columns, associations=associations)


def version(
    number: int,
    minute: int = 0,
    *,
    archived: bool = False,
    links: Mapping[str, Sequence[int]] | None = None,
    merged: Sequence[int] = (),
    title: str | None = None,
    values: Mapping[str, str | None] | None = None,
) -> Change[dict[str, str | None]]:
    """A version of a meeting, of a minute past noon. `links` by object type."""
    at = NOON + timedelta(minutes=minute)
    found = {
        kind: AssociatedIds(results=tuple(AssociatedId(id=str(other), type=f"meeting_to_{kind}") for other in others))
        for kind, others in (links or {}).items()
    }
    meeting = Meeting(
        id=str(number),
        properties={"hs_meeting_title": title, **(values or {})},
        created_at=NOON,
        updated_at=at,
        archived=archived,
        archived_at=at if archived else None,
        associations=found if links is not None else None,
    )
    return Change("archived" if archived else "changed", meeting, tuple(map(str, merged)))


async def rows_of(store: Store) -> dict[int, dict[str, Any]]:
    """The rows of a copy by id, as its reader finds them; values as the kind of store has them."""
    rows = await _rows(store)
    return {int(row["id"]): row for row in rows}


async def _rows(store: Store) -> list[dict[str, Any]]:
    if isinstance(store, PostgresStore):
        return await query(store, "SELECT * FROM meetings ORDER BY id")
    return _file_rows(store, Path(str(store)))


def _file_rows(store: Store, path: Path) -> list[dict[str, Any]]:
    if isinstance(store, SQLiteStore):
        return sql(path, "SELECT * FROM meetings ORDER BY id")
    if isinstance(store, ParquetStore):
        from pyarrow import parquet

        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    if isinstance(store, CSVStore):
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    assert isinstance(store, JSONLStore)
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def links_of(store: Store, number: int, kind: str = "contacts") -> list[int]:
    """The records of a kind that a meeting is linked to, as the copy tells."""
    wanted = f"SELECT object_id FROM meeting_associations WHERE meeting_id = {number} AND object_type = '{kind}'"  # noqa: S608
    if isinstance(store, PostgresStore):
        return sorted(row["object_id"] for row in await query(store, wanted))
    if isinstance(store, SQLiteStore):
        return sorted(row["object_id"] for row in sql(Path(str(store)), wanted))
    row = (await rows_of(store))[number]
    if isinstance(store, JSONLStore):
        linked = row.get("associations", {}).get(kind, {"results": []})
        return sorted(int(other["id"]) for other in linked["results"])
    found = row[kind]
    return sorted(int(other) for other in (found.split(";") if isinstance(found, str) else found) if other != "")


def text_of(store: Store, row: Mapping[str, Any], name: str) -> str | None:
    """A property of a row in HubSpot's words, whatever the store makes of them."""
    value = row["properties"].get(name) if isinstance(store, JSONLStore) else row[name]
    match value:
        case bool() if TYPES.get(name) == "bool":
            return str(value).lower()
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return value.isoformat()
        case Decimal() | float():
            return f"{value}"
        case 0 | 1 if TYPES.get(name) == "bool":
            return "true" if value else "false"
        case "":
            return None
        case None:
            return None
        case _:
            return str(value).replace(".000Z", "Z") if TYPES.get(name) == "datetime" else str(value)


def sql(path: Path, statement: str) -> list[dict[str, Any]]:
    """What another program reads from a SQLite file."""
    connection = sqlite3.connect(path)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]
    finally:
        connection.close()


async def query(store: PostgresStore, statement: str) -> list[dict[str, Any]]:
    """What another program reads from the database."""
    rows: list[dict[str, Any]] = await store._server.surely(lambda connection, again: _fetched(connection, statement))
    return rows


async def _fetched(connection: Any, statement: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch(statement)]
