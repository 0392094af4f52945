"""Typed use of `hubspot.sync`: read by mypy and pyright in strict mode, never run."""

from datetime import UTC, datetime
from typing import Literal, assert_type

from hubspot_meetings_async import (
    Change,
    Changes,
    Export,
    Lot,
    Meeting,
    MeetingProperties,
    MeetingsClient,
    PlainProperties,
    SyncCursor,
)


class Mine(MeetingProperties, kw_only=True):
    booking_ref: str | None = None


async def changes(hubspot: MeetingsClient, stored: str | None) -> None:
    cursor = SyncCursor.from_json(stored) if stored else None
    assert_type(hubspot.sync.changes(cursor, properties=["hs_meeting_title"]), Changes[PlainProperties])
    assert_type(hubspot.sync.changes(datetime.now(UTC), into=Mine, archived=False), Changes[Mine])
    async with hubspot.sync.changes(cursor, into=Mine, associations=("contacts",)) as walk:
        assert_type(walk.total, int | None)
        async for change in walk:
            assert_type(change, Change[Mine])
            assert_type(change.kind, Literal["changed", "archived"])
            assert_type(change.meeting, Meeting[Mine])
            assert_type(change.meeting.properties.booking_ref, str | None)
            assert_type(walk.cursor.to_json(), str)
        async for lot in walk.lots():
            assert_type(lot, Lot[Mine])
            assert_type(lot.changes, tuple[Change[Mine], ...])
            assert_type(lot.cursor, SyncCursor)


async def export(hubspot: MeetingsClient) -> None:
    assert_type(hubspot.sync.export(method="ranges"), Export[PlainProperties])
    async with hubspot.sync.export(into=Mine) as walk:
        async for lot in walk.lots():
            assert_type(lot.cursor.exporting, bool)
    hubspot.sync.changes(walk.cursor)
