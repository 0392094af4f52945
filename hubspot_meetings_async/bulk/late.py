"""Meetings of an answer that are decoded when somebody looks at them.

This module knows how an outcome holds a meeting that was not decoded yet. It must not know JSON, or what is in an
answer. Decoding all of a batch's answer is half of what a bulk write costs, and most runs look at ids only.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Protocol

from msgspec import Struct

__all__ = ["Answer", "Unread", "WithMeeting", "decoded_late"]


class Answer(Protocol):
    """An answer whose meetings can be had later."""

    def meeting(self, meeting_id: str) -> Any:
        """One of its meetings. Raises: UnexpectedResponse."""
        ...


class Unread(Struct, gc=False):
    """Stands in an outcome for a meeting that nobody has looked at."""

    id: str
    answer: Answer


class WithMeeting:
    """What outcomes with a `meeting` have in common: to compare or show one is to look at its meeting."""

    __slots__ = ()
    meeting: Any

    @property
    def id(self) -> str:
        """The meeting's id; it is known without decoding the meeting."""
        raise NotImplementedError  # `decoded_late` puts the real one there

    def __repr__(self) -> str:
        _ = self.meeting
        return super().__repr__()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, WithMeeting):
            _ = self.meeting, other.meeting
        return super().__eq__(other)

    def __hash__(self) -> int:
        _ = self.meeting
        return super().__hash__()

    def __reduce__(self) -> Any:
        _ = self.meeting
        return super().__reduce__()


def decoded_late(kind: type[Any]) -> None:
    """Let the `meeting` of this Struct be an `Unread` inside, and the meeting itself for whoever looks."""
    slot = kind.__dict__["meeting"]

    def meeting(self: Any) -> Any:
        held = slot.__get__(self)
        if type(held) is Unread:
            held = held.answer.meeting(held.id)
            slot.__set__(self, held)
        return held

    kind.meeting = property(meeting, doc="The meeting; decoded when it is first looked at. Raises: UnexpectedResponse.")
    # Read in C: most runs look at nothing else.
    setattr(kind, "_held", slot)  # noqa: B010 - a name of its own, which no type has
    kind.id = property(attrgetter("_held.id"), doc=WithMeeting.id.__doc__)
