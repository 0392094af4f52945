"""From an account into a copy: everything the first time, what changed from then on.

This module knows the order of things. It must not know any one store, or how changes are found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from ..client import MeetingsClient
from ..errors import ConfigurationError, HubSpotError, HubSpotUnavailable, RateLimited, TransportFailed
from ..models import PlainProperties
from ..sync import Changes, SyncCursor
from .columns import Kept
from .planning import Wanted, planned
from .store import Store

__all__ = ["LEAST_EVERY_S", "Pulled", "pull", "watch"]

LEAST_EVERY_S: Final = 10.0
"""HubSpot's search shows a change after some seconds: to ask more often costs quota and shows nothing sooner."""

_MOST_INTERVALS: Final = 8
"""After failures, the pause grows up to so many intervals."""


class Pulled(Struct, kw_only=True):
    """The account of a pull, so far or as it ended.

    `seen` changes came. Of them `meetings` were written as rows, `archived` of these are in the bin, and `older` were
    passed over, since the copy has a later version; `dropped` rows went, merged into others. `unfit` counts values, by
    property, that are not what their property's type says: they are kept as text. `whole`: it read everything, not
    only what changed. `total` is about how many changes there are in all, None while nobody knows. `seconds` it took.
    `failure` broke it off (only `watch` tells it here; what was written stays, and the next one goes on there).
    """

    seen: int = 0
    meetings: int = 0
    archived: int = 0
    older: int = 0
    dropped: int = 0
    unfit: Counter[str] = msgspec.field(default_factory=Counter[str])
    whole: bool = False
    total: int | None = None
    seconds: float = 0.0
    failure: HubSpotError | None = None


OnLot = Callable[[Pulled], None]


async def pull(
    hubspot: MeetingsClient,
    store: Store,
    *,
    properties: Wanted | None = None,
    associations: Iterable[str] = (),
    on_lot: OnLot | None = None,
) -> Pulled:
    """Bring a copy in step with the account: fill it the first time, write what changed from then on.

        async with SQLiteStore("meetings.db") as store:
            report = await pull(hubspot, store, associations=["contacts"])

    The copy keeps a row for each meeting, its latest version, archived ones marked as such. It may be broken off at any
    point: the next pull goes on after the last lot that was written. What the copy is of can grow and never shrinks:
    when properties or associations come to it, asked for here or new in the account, everything is read once more.

    Args:
        store: opened, by `async with`.
        properties: `"usual"` (the documented ones and the account's own), `"all"`, or names. None: as the copy was
            begun, and the usual ones for a new one.
        associations: object types, such as `contacts`, whose links with meetings are copied too.
        on_lot: called after each lot with the account so far, which is the one that is returned in the end.

    HubSpot tells nothing of a meeting whose associations alone changed, or that was deleted for good (GDPR): a copy
    begun anew has both right.

    Raises: ConfigurationError (another account's copy, no such property), StoreError, and what requests raise.
    """
    pulled = Pulled()
    await _pull(hubspot, store, pulled, properties, associations, on_lot)
    return pulled


async def watch(
    hubspot: MeetingsClient,
    store: Store,
    *,
    every_s: float = 60.0,
    properties: Wanted | None = None,
    associations: Iterable[str] = (),
    on_lot: OnLot | None = None,
) -> AsyncGenerator[Pulled]:
    """Pull, and pull again `every_s` seconds (at least 10) after each end, for ever; the account of each.

    Failures that pass (no network, HubSpot down, quota spent) are told in `failure`, and the next pull comes after a
    longer pause. Those of the first pull, and all others, are raised, as `pull` does.
    """
    if not every_s >= LEAST_EVERY_S:
        raise ConfigurationError(f"every_s is at least {LEAST_EVERY_S:g}: HubSpot shows nothing sooner")
    associations = tuple(associations)
    first, failures = True, 0
    while True:
        pulled = Pulled()
        try:
            await _pull(hubspot, store, pulled, properties, associations, on_lot)
            failures = 0
        except (TransportFailed, HubSpotUnavailable, RateLimited) as error:
            if first or (isinstance(error, TransportFailed) and error.fatal):
                raise
            pulled.failure = error
            failures += 1
        yield pulled
        first = False
        await anyio.sleep(every_s * min(2**failures, _MOST_INTERVALS))


async def _pull(
    hubspot: MeetingsClient,
    store: Store,
    pulled: Pulled,
    properties: Wanted | None,
    associations: Iterable[str],
    on_lot: OnLot | None,
) -> None:
    began_at = anyio.current_time()
    definitions = await hubspot.properties.refresh()
    kept = planned(
        store.kept,
        portal=await hubspot.account.portal(),
        properties=properties,
        associations=associations,
        definitions=definitions,
    )
    names = tuple(column.of for column in kept.columns if column.of in definitions)
    types = tuple(column.of for column in kept.associations)
    filling = _Filling(store, kept, pulled, began_at, on_lot)
    cursor = filling.cursor
    if cursor is None or cursor.exporting:
        pulled.whole = True
        cursor = await filling.drain(hubspot.sync.export(cursor, properties=names, associations=types))
    await filling.drain(hubspot.sync.changes(cursor, properties=names, associations=types))
    pulled.unfit.update(await store.publish())
    pulled.seconds = anyio.current_time() - began_at


class _Filling:
    """Writes what comes into the store. What the copy is of is written down with the first meetings, and not before:
    what HubSpot refuses to tell must not become a part of the copy."""

    def __init__(self, store: Store, kept: Kept, pulled: Pulled, began_at: float, on_lot: OnLot | None) -> None:
        self._store = store
        self._kept = kept
        self._pulled = pulled
        self._began_at = began_at
        self._on_lot = on_lot
        before = store.kept
        grown = before is None or (before.columns, before.associations) != (kept.columns, kept.associations)
        text = None if grown else store.cursor
        self.cursor = SyncCursor.from_json(text) if text is not None else None

    async def drain(self, changes: Changes[PlainProperties]) -> SyncCursor:
        """Write all of it, and the cursor behind the end."""
        pulled, store = self._pulled, self._store
        seen_before = pulled.seen
        async with changes:
            async for lot in changes.lots():
                if not lot.changes and not self._kept_already:
                    continue
                await self._keep()
                written = await store.write(lot.changes, lot.cursor.to_json())
                pulled.seen += len(lot.changes)
                pulled.meetings += written.meetings
                pulled.archived += written.archived
                pulled.older += written.older
                pulled.dropped += written.dropped
                pulled.unfit.update(written.unfit)
                pulled.total = seen_before + changes.total if changes.total is not None else None
                pulled.seconds = anyio.current_time() - self._began_at
                if self._on_lot is not None:
                    self._on_lot(pulled)
            cursor = changes.cursor
        await self._keep()
        if store.cursor != cursor.to_json():
            await store.write((), cursor.to_json())
        return cursor

    @property
    def _kept_already(self) -> bool:
        return self._store.kept == self._kept

    async def _keep(self) -> None:
        if not self._kept_already:
            await self._store.keep(self._kept, cursor=self.cursor.to_json() if self.cursor is not None else None)
