"""What to do about a create whose answer was lost, and the create that finds itself again.

This module knows the four ways on, and their order of steps for one record. It must not know HTTP, paths, or bulk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, get_args

import anyio

from ..calling.deadlines import deadline_at
from ..errors import AmbiguousWriteError, ConfigurationError, Conflict, DeadlineExceeded, HubSpotError, shown
from ..models import Meeting
from .lookup import Found

__all__ = ["SETTLE_S", "OnAmbiguous", "create_once", "mode_of"]

OnAmbiguous = Literal["reconcile", "hold", "probe", "resend"]
"""What happens to a create whose answer was lost (a reset, a timeout, a 5xx after it had left).

`"reconcile"`: it is read by its key, and only what HubSpot says is missing is created again. `"hold"`: never sent
again, named as ambiguous. `"probe"`: searched for by a property that need not be unique, some time later, and created
again when the search does not show it; best effort. `"resend"`: created again; it may then exist twice.
"""

SETTLE_S: Final = 60.0
"""Seconds that a probe leaves to HubSpot's search index, and to a write that is still on its way. In a model with
writes up to 40 s late, 8 s made one copy in fifty records and 60 s none; nobody publishes HubSpot's bound."""

_MOST_ROUNDS: Final = 3


def mode_of(key_property: object, on_ambiguous: OnAmbiguous | None) -> OnAmbiguous:
    """The mode that two options ask for. Raises: ConfigurationError when they do not go together."""
    if key_property is not None and not isinstance(key_property, str):
        raise ConfigurationError(f"key_property must be a property name, not {shown(key_property)}")
    if on_ambiguous is None:
        return "hold" if key_property is None else "reconcile"
    if on_ambiguous not in get_args(OnAmbiguous):
        raise ConfigurationError(f"on_ambiguous is one of {', '.join(get_args(OnAmbiguous))}, not {on_ambiguous!r}")
    if on_ambiguous in ("reconcile", "probe") and key_property is None:
        raise ConfigurationError(
            f"on_ambiguous={on_ambiguous!r} looks for records by a property of theirs: give its name as key_property="
        )
    return on_ambiguous


async def create_once(
    create: Callable[[], Awaitable[Meeting]], find: Callable[[], Awaitable[Found]], key: str, *, settle_s: float
) -> Meeting:
    """Create one meeting; when the answer is lost, look for it, and create it again only if it is missing.

    Raises: AmbiguousWriteError when that leaves it open; Conflict when the key was taken before.
    """
    try:
        return await create()
    except AmbiguousWriteError as error:
        lost = error
    for _ in range(_MOST_ROUNDS):
        if anyio.current_time() + settle_s >= deadline_at():
            lost.add_note(f"no time was left to look for it by {key!r}")
            raise lost from lost.__cause__
        await anyio.sleep(settle_s)
        try:
            found = await find()
        except HubSpotError as error:
            lost.add_note(f"looking for it by {key!r} failed too: {error}")
            raise lost from lost.__cause__
        meetings = found.meetings.get(key, ())
        if len(meetings) == 1:
            return meetings[0]
        if meetings:
            lost.add_note(f"there are {len(meetings)} with {key!r}: {', '.join(meeting.id for meeting in meetings)}")
            raise lost from lost.__cause__
        try:
            return await create()
        except AmbiguousWriteError as error:
            lost = error
        except DeadlineExceeded:
            lost.add_note("it was not found; no time was left to create it again")
            raise lost from lost.__cause__
        except Conflict as taken:
            # The lost one has landed since it was looked for; the next look shows it.
            lost.add_note(f"created again, and refused: {taken}")
    raise lost from lost.__cause__
