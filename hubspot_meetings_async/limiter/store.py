"""What processes that share one quota say to the place where its slots are kept, and what they hear.

This module knows the words. It must not know Redis, asyncio, or how a process queues its calls.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["Ended", "Granted", "Kept", "Message", "SlotStore", "StoreAway", "Wanted"]


class StoreAway(Exception):
    """The store does not answer now; its text says why. Nothing is known of what it did with the message."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A slot, please.

    Attributes:
        id: A name for the slot that no other ever had.
        lane: The lane's number.
        more: Others wait behind this one in the same process and lane.
        bulk_slots: Slots that bulk keeps under a flood of interactive calls.
        reserve: Slots that bulk leaves free beyond its own.
        pace_us: Time between two bulk calls, all processes together, as this one reckons.
        burst: Bulk calls that may go at once after a rest.
        most_owed: Interactive calls that bulk makes up for at most.
    """

    id: str
    lane: int
    more: bool
    bulk_slots: int
    reserve: int
    pace_us: int
    burst: int
    most_owed: int


class Ended(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a slot.

    Attributes:
        id: The slot's.
        lane: The lane's number.
        how: `"passed"`, `"refused"` (429), `"lost"` (it left, and no answer came) or `"unused"` (it never left).
        age_us: Since the latest moment it can have been stamped; below 0 where that is still to come.
        granted_at: From when on the store granted it, by the store's clock; None where it did not.
        count: HubSpot's own count of calls in the window of this one; None where it did not tell.
        retry_after_us: What a refusal asked for; 0 for nothing.
    """

    id: str
    lane: int
    how: str
    age_us: int = 0
    granted_at: int | None = None
    count: int | None = None
    retry_after_us: int = 0


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A slot that a store without memory is told of: its name, its lane, and when it can be used again."""

    id: str
    lane: int
    left_us: int


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a process has to say at once.

    Attributes:
        process: The process's name.
        epoch: The store's memory that this process knows; empty for none. A store that lost its memory has another.
        window_us: Length of the window.
        rest_us: How long a slot rests from the moment of its stamp.
        lease_us: After that time a slot of which nothing is heard counts as stamped.
        limit: Calls per window.
        limit_known: HubSpot told the limit; the store passes it on to those it did not tell.
        kept: All slots of this process that are not free yet, for a store that may not know them; None otherwise.
        ended: What became of slots since the last message.
        wanted: The slot that this process would like to have.
    """

    process: str
    epoch: str
    window_us: int
    rest_us: int
    lease_us: int
    limit: int
    limit_known: bool
    kept: list[Kept] | None = None
    ended: list[Ended] = []
    wanted: Wanted | None = None


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The store's answer.

    Attributes:
        granted: The slot is yours, after `wait_us`.
        unknown: The store has another memory than the message took for granted, and did nothing else: say what you
            keep, and name its epoch.
        epoch: The store's memory.
        at: The store's clock in microseconds.
        wait_us: When it is not, ask again after this time.
        in_use: Slots in use, all processes together.
        processes: Processes heard of lately.
        waiting: Those of them that wait in the lane of the slot that was wanted.
        limit: The limit, when one of the processes knows it from HubSpot; None otherwise.
        hold: Calls of the window that others than these processes use up.
        paused_us: How long the quota stays shut for all after a 429.
        young_us: How long the store may still lack slots that processes did not tell it of yet.
    """

    granted: bool
    epoch: str
    unknown: bool = False
    at: int = 0
    wait_us: int = 0
    in_use: int = 0
    processes: int = 1
    waiting: int = 0
    limit: int | None = None
    hold: int = 0
    paused_us: int = 0
    young_us: int = 0


class SlotStore(Protocol):
    """Where the slots of a quota are kept that several processes share."""

    async def exchange(self, message: Message) -> Granted:
        """Say everything, hear everything; within a fraction of a second.

        Raises: StoreAway when it does not answer; ConfigurationError when it never will.
        """
        ...
