"""Which record is tied to which, by type id, and the types HubSpot defines.

Knows pairs of (object type, id) and association types. Must not know records, properties or requests. A tie exists in
both directions at once, each under its own type id, as in HubSpot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["OBJECT_TYPES", "AssociationBook", "AssociationType", "ObjectType", "named", "object_type"]


class ObjectType(NamedTuple):
    """The names HubSpot has for one kind of record."""

    plural: str
    singular: str
    type_id: str
    internal: str
    """As it stands in error texts and association names."""


OBJECT_TYPES: tuple[ObjectType, ...] = (
    ObjectType("meetings", "meeting", "0-47", "MEETING_EVENT"),
    ObjectType("contacts", "contact", "0-1", "CONTACT"),
    ObjectType("companies", "company", "0-2", "COMPANY"),
    ObjectType("deals", "deal", "0-3", "DEAL"),
    ObjectType("tickets", "ticket", "0-5", "TICKET"),
    ObjectType("leads", "lead", "0-136", "LEAD"),
    ObjectType("orders", "order", "0-123", "ORDER"),
    ObjectType("appointments", "appointment", "0-421", "APPOINTMENT"),
    ObjectType("courses", "course", "0-410", "COURSE"),
    ObjectType("listings", "listing", "0-420", "LISTING"),
    ObjectType("services", "service", "0-162", "SERVICE"),
)
_BY_ANY_NAME = {
    name: type_
    for type_ in OBJECT_TYPES
    for name in (type_.plural, type_.singular, type_.type_id, type_.internal, type_.internal.lower())
}


def object_type(name: str) -> ObjectType | None:
    """Look a type up by plural, singular, internal name or type id."""
    return _BY_ANY_NAME.get(name) or _BY_ANY_NAME.get(name.lower())


def named(plural: str) -> ObjectType:
    """The type of this plural name, which is known to exist."""
    return _BY_ANY_NAME[plural]


class AssociationType(NamedTuple):
    """One direction of a kind of tie."""

    category: str
    type_id: int
    from_type: str
    to_type: str
    name: str
    label: str | None = None


# (other type, meeting -> other, other -> meeting)
_DEFINED = (
    ("contacts", 200, 199),
    ("companies", 188, 187),
    ("deals", 212, 211),
    ("tickets", 226, 225),
    ("leads", 601, 600),
    ("orders", 769, 768),
    ("appointments", 919, 918),
    ("courses", 873, 872),
    ("listings", 897, 896),
    ("services", 839, 838),
)


class AssociationBook:
    """All ties of an account."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, int], AssociationType] = {}
        self._inverse: dict[tuple[str, int], AssociationType] = {}
        # A dict as an ordered set: one contact may be tied to a million meetings.
        self._ties: dict[tuple[str, int], dict[tuple[int, AssociationType], None]] = {}
        for other, out, back in _DEFINED:
            other_name = _BY_ANY_NAME[other].internal.lower()
            there = AssociationType("HUBSPOT_DEFINED", out, "meetings", other, f"meeting_event_to_{other_name}")
            home = AssociationType("HUBSPOT_DEFINED", back, other, "meetings", f"{other_name}_to_meeting_event")
            self.define(there, home)

    def define(self, there: AssociationType, home: AssociationType) -> None:
        """Make a kind of tie known, with its opposite direction."""
        for one, other in ((there, home), (home, there)):
            self._types[one.category, one.type_id] = one
            self._inverse[one.category, one.type_id] = other

    def type(self, category: str, type_id: int) -> AssociationType | None:
        """A known kind of tie."""
        return self._types.get((category, type_id))

    def tie(self, from_id: int, type_: AssociationType, to_id: int) -> None:
        """Tie two records, in both directions; a tie that exists stays as it is."""
        for start, kind, end in (
            (from_id, type_, to_id),
            (to_id, self._inverse[type_.category, type_.type_id], from_id),
        ):
            self._ties.setdefault((kind.from_type, start), {})[end, kind] = None

    def of(self, from_type: str, from_id: int, to_type: str) -> Iterator[tuple[int, AssociationType]]:
        """The ties of one record to records of one type, in the order they were made."""
        for end, kind in self._ties.get((from_type, from_id), ()):
            if kind.to_type == to_type:
                yield end, kind

    def clear(self) -> None:
        """Forget every tie; the kinds stay."""
        self._ties.clear()
