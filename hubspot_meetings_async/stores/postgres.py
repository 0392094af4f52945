"""A copy in a PostgreSQL database: a table of meetings with typed columns, and one of their associations.

This module knows PostgreSQL's types, the tables, and asyncpg, which the extra `postgres` brings. It must not know
requests or other stores. No message of it holds a password.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from ..errors import ConfigurationError, StoreError
from ..models import Meeting, PlainProperties
from ..sync import Change
from .columns import Kept, Kind, kept_of
from .connection import Connection
from .store import Newest, Written, is_later, linked
from .tables import ASSOCIATIONS, COPY, MEETINGS, TABLES, added, create_meetings, links, upsert
from .values import Reader, Shape, boolean, day, moment, number

__all__ = ["PostgresStore"]

_RECORD: Final = ("bigint PRIMARY KEY", "timestamptz", "timestamptz", "boolean NOT NULL", "timestamptz", "json")

_TYPES: Final[Mapping[Kind, str]] = {
    "text": "text",
    "datetime": "timestamptz",
    "date": "date",
    "number": "numeric",
    "bool": "boolean",
}


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueError("PostgreSQL keeps no NUL in a text")
    return text


_READERS: Final[Mapping[Kind, Reader]] = {
    "text": _text,
    "datetime": moment,
    "date": day,
    "number": number,
    "bool": boolean,
}


class PostgresStore:
    """A copy in a PostgreSQL database; its tables are made if they are not there.

        async with PostgresStore("postgresql://sync@db.example.com/crm?schema=hubspot") as store:
            await pull(hubspot, store)

    Tables: `meetings` (a row for each, `id` the key), `meeting_associations` (`meeting_id`, `object_type`, `object_id`,
    `type`) and `meeting_copy` (what the copy is of, and its cursor), in the schema that `?schema=` names (made if it is
    not there), else in the user's own. Changes and cursor are written in one transaction. The password is better in
    `PGPASSWORD` or `~/.pgpass` than in the address. A connection that is lost is made again for up to `patience_s`. It
    needs a session of its own: not through a pooler that hands connections on after each transaction.

    Raises: as `Store` does; ConfigurationError without the extra `postgres`, or for an address that is none.
    """

    def __init__(self, url: str, *, patience_s: float = 60.0) -> None:
        self._server = Connection(url, patience_s=patience_s)
        self._kept: Kept | None = None
        self._cursor: str | None = None
        self._revision = 0
        self._shape = Shape((), _READERS)
        self._upsert = ""

    def __str__(self) -> str:
        return str(self._server)

    @property
    def kept(self) -> Kept | None:
        """What the copy is of; None for one that has yet to be begun."""
        return self._kept

    @property
    def cursor(self) -> str | None:
        """Where the sync that fills it got to."""
        return self._cursor

    async def __aenter__(self) -> Self:
        await self._server.open()
        try:
            tables = await self._server.surely(self._tables)
            if COPY in tables:
                kept, cursor, revision = await self._server.surely(_state)
                self._note(kept_of(kept, str(self)), cursor, revision)
            elif tables:
                raise ConfigurationError(
                    f"{self} has a table {sorted(tables)[0]!r} that no pull made; name another schema: ?schema=hubspot"
                )
        except BaseException:
            await self._server.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.close()

    async def keep(self, kept: Kept, *, cursor: str | None) -> None:
        """Begin the copy, or add the columns that `kept` has more than before."""
        text, revision = kept.to_json(), self._revision + 1

        async def work(connection: Any, again: bool) -> None:
            if again and COPY in await self._tables(connection, again):
                found = await _state(connection, again)
                if (found[0], found[2]) == (text, revision):
                    return
            async with connection.transaction():
                if self._kept is None:
                    await self._create(connection, kept)
                else:
                    await self._need_own_revision(connection)
                    for statement in added(kept, self._kept, _TYPES):
                        await connection.execute(statement)
                await _keep(connection, text, cursor, revision)

        await self._server.surely(work)
        self._note(kept, cursor, revision)

    async def write(self, changes: Sequence[Change[PlainProperties]], cursor: str) -> Written:
        """Write changes and the cursor behind them in one transaction."""
        kept, revision = self._kept, self._revision + 1
        if kept is None:
            raise StoreError(f"{self} has not been begun: `keep` comes before `write`")

        async def work(connection: Any, again: bool) -> Written:
            newest, unfit = Newest(changes), Counter[str]()
            async with connection.transaction():
                if again and (await _state(connection, again))[1:] == (cursor, revision):
                    # The connection was lost after the end of the transaction, and only its answer with it.
                    return newest.written(unfit, 0)
                await self._need_own_revision(connection)
                found = await connection.fetch(
                    f"SELECT id, updated_at FROM {MEETINGS} WHERE id = ANY($1::bigint[])",  # noqa: S608
                    newest.numbers,
                )
                for number_, version in found:
                    if is_later(version, newest.meetings[number_].updated_at):
                        newest.pass_over(number_)
                rows = [self._row(number_, newest.meetings[number_], unfit) for number_ in newest.numbers]
                await connection.executemany(self._upsert, rows)
                if kept.associations:
                    await self._link(connection, newest)
                dropped = await self._drop(connection, newest) if newest.merged else 0
                await connection.execute(
                    f"UPDATE {COPY} SET cursor = $1, revision = $2, written_at = $3 WHERE one = 1",  # noqa: S608
                    cursor,
                    revision,
                    datetime.now(UTC),
                )
            return newest.written(unfit, dropped)

        written = await self._server.surely(work)
        self._note(kept, cursor, revision)
        return written

    async def publish(self) -> Counter[str]:
        """Nothing to do: what is written is there."""
        return Counter()

    def _note(self, kept: Kept, cursor: str | None, revision: int) -> None:
        if kept != self._kept:
            self._shape = Shape(kept.columns, _READERS)
            places = [f"${place}" for place in range(1, len(_RECORD) + len(kept.columns) + 1)]
            self._upsert = upsert(kept.columns, places)
        self._kept, self._cursor, self._revision = kept, cursor, revision

    async def _tables(self, connection: Any, again: bool) -> set[str]:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE nspname = current_schema() AND relname = ANY($1)",
            TABLES,
        )
        return {name for (name,) in rows}

    async def _create(self, connection: Any, kept: Kept) -> None:
        await connection.execute(
            f"CREATE TABLE {COPY} (one integer PRIMARY KEY CHECK (one = 1), kept text NOT NULL, cursor text, "
            "revision bigint NOT NULL, written_at timestamptz NOT NULL)"
        )
        await connection.execute(create_meetings(_RECORD, kept, _TYPES))
        await connection.execute(
            f"CREATE TABLE {ASSOCIATIONS} (meeting_id bigint NOT NULL, object_type text NOT NULL, "
            "object_id bigint NOT NULL, type text NOT NULL, PRIMARY KEY (meeting_id, object_type, object_id, type))"
        )
        await connection.execute(
            f"CREATE INDEX {ASSOCIATIONS}_by_object ON {ASSOCIATIONS} (object_type, object_id, meeting_id)"
        )

    async def _need_own_revision(self, connection: Any) -> None:
        # Locks the row: of two pulls the second one waits here, and then sees that it came second.
        found = await connection.fetchval(f"SELECT revision FROM {COPY} WHERE one = 1 FOR UPDATE")  # noqa: S608
        if found != self._revision:
            raise StoreError(f"another pull writes to {self}; let only one of them run")

    async def _link(self, connection: Any, newest: Newest) -> None:
        told = [number_ for number_ in newest.numbers if linked(newest.meetings[number_])]
        await connection.execute(f"DELETE FROM {ASSOCIATIONS} WHERE meeting_id = ANY($1::bigint[])", told)  # noqa: S608
        rows = [link for number_ in told for link in links(number_, newest.meetings[number_])]
        if rows:
            await connection.execute(
                f"INSERT INTO {ASSOCIATIONS} SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) "  # noqa: S608
                "ON CONFLICT DO NOTHING",
                *zip(*rows, strict=True),
            )

    async def _drop(self, connection: Any, newest: Newest) -> int:
        gone = sorted(newest.merged)
        await connection.execute(f"DELETE FROM {ASSOCIATIONS} WHERE meeting_id = ANY($1::bigint[])", gone)  # noqa: S608
        rows = await connection.fetch(
            f"DELETE FROM {MEETINGS} WHERE id = ANY($1::bigint[]) RETURNING id",  # noqa: S608
            gone,
        )
        return len(rows)

    def _row(self, number_: int, meeting: Meeting, unfit: Counter[str]) -> list[object]:
        values, odd = self._shape.row(meeting.properties)
        unfit.update(odd.keys())
        return [
            number_,
            meeting.created_at,
            meeting.updated_at,
            meeting.archived,
            meeting.archived_at,
            msgspec.json.encode(odd).decode() if odd else None,
            *values,
        ]


async def _state(connection: Any, again: bool) -> tuple[str, str | None, int]:
    row = await connection.fetchrow(f"SELECT kept, cursor, revision FROM {COPY}")  # noqa: S608
    return tuple(row)


async def _keep(connection: Any, kept: str, cursor: str | None, revision: int) -> None:
    await connection.execute(
        f"INSERT INTO {COPY} VALUES (1, $1, $2, $3, $4) ON CONFLICT (one) DO UPDATE "  # noqa: S608
        "SET kept = excluded.kept, cursor = excluded.cursor, revision = excluded.revision, "
        "written_at = excluded.written_at",
        kept,
        cursor,
        revision,
        datetime.now(UTC),
    )
