"""Which record is tied to which, by type id, and the types HubSpot defines.

Knows pairs of (object type, id) and association types. Must not know records, properties or requests. A tie exists in
both directions at once, each under its own type id, as in HubSpot; a label always comes with the unlabeled type of its
pair, and goes with it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

__all__ = ["OBJECT_TYPES", "AssociationBook", "AssociationType", "Kinds", "ObjectType", "named", "object_type"]


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


Kinds = tuple[AssociationType, ...]
"""All the types two records are tied by, in one direction."""

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
_KEEP_ORDER_ABOVE = 200
_KEEP_ORDERS = 64

TieKey = tuple[str, int, str, int]
"""From which record to which: type and id, twice."""
_Table = dict[int, dict[int, Kinds]]
"""Id -> the ids it is tied to -> by what; for one pair of object types in one direction."""


class AssociationBook:
    """All ties of an account."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with every change."""
        self._types: dict[tuple[str, int], AssociationType] = {}
        self._inverse: dict[tuple[str, int], AssociationType] = {}
        self._defaults: dict[tuple[str, str], AssociationType] = {}
        self._tables: dict[tuple[str, str], _Table] = {}
        self._orders: dict[tuple[str, str, int], list[int]] = {}
        # Most ties are of the same few kinds: they share their tuples.
        self._shared: dict[Kinds, Kinds] = {}
        self._next_label_id = 1
        self._ends = 0
        self.changed: dict[TieKey, None] | None = None
        """Ties that came, changed or went, for whoever wants to know and empties it; None if nobody does."""
        self._define_hubspots_own()

    @property
    def pairs(self) -> int:
        """Pairs of records that are tied, by whatever kinds."""
        return self._ends // 2

    # kinds of ties

    def define(self, there: AssociationType, home: AssociationType) -> None:
        """Make a kind of tie known, with its opposite direction."""
        for one, other in ((there, home), (home, there)):
            self._types[one.category, one.type_id] = one
            self._inverse[one.category, one.type_id] = other
            if one.label is None:
                self._defaults.setdefault((one.from_type, one.to_type), one)

    def add_label(
        self, from_type: str, to_type: str, name: str, label: str, inverse_label: str | None = None
    ) -> list[AssociationType]:
        """Define a label of the account's own, one type id per direction; the plural names are known to exist."""
        number, self._next_label_id = self._next_label_id, self._next_label_id + 2
        there = AssociationType("USER_DEFINED", number, from_type, to_type, name, label)
        home = AssociationType("USER_DEFINED", number + 1, to_type, from_type, name, inverse_label or label)
        self.define(there, home)
        return [there, home]

    @property
    def labels(self) -> list[tuple[AssociationType, AssociationType]]:
        """The account's own kinds of ties, there and back."""
        own = [kind for kind in self._types.values() if kind.category == "USER_DEFINED"]
        pairs = ((kind, self._inverse[kind.category, kind.type_id]) for kind in own)
        return [(there, home) for there, home in pairs if there.type_id < home.type_id]

    def put_back_label(self, there: AssociationType, home: AssociationType) -> None:
        """Take in a label as it was before the emulator stopped."""
        self.define(there, home)
        self._next_label_id = max(self._next_label_id, home.type_id + 1)

    def put_back(self, from_type: str, from_id: int, to_type: str, to_id: int, kinds: Kinds) -> None:
        """Take in one direction of a tie as it was before the emulator stopped."""
        ends = self._tables.setdefault((from_type, to_type), {}).setdefault(from_id, {})
        ends[to_id] = self._shared.setdefault(kinds, kinds)
        self._ends += 1

    def type(self, category: str, type_id: int) -> AssociationType | None:
        """A known kind of tie."""
        return self._types.get((category, type_id))

    def types_between(self, from_type: str, to_type: str) -> list[AssociationType]:
        """Every kind from one object type to another, the unlabeled one first."""
        return [kind for kind in self._types.values() if (kind.from_type, kind.to_type) == (from_type, to_type)]

    def default(self, from_type: str, to_type: str) -> AssociationType | None:
        """The unlabeled kind between two object types."""
        return self._defaults.get((from_type, to_type))

    # ties

    def tie(self, from_id: int, type_: AssociationType, to_id: int) -> None:
        """Tie two records, in both directions; a tie that exists stays as it is."""
        inverse = self._inverse[type_.category, type_.type_id]
        self._put(from_id, to_id, type_)
        self._put(to_id, from_id, inverse)
        self.version += 1

    def replace(self, from_id: int, to_id: int, kinds: Sequence[AssociationType]) -> None:
        """Tie two records by these kinds (one at least, all of one direction) and no others."""
        self.untie(kinds[0].from_type, from_id, kinds[0].to_type, to_id)
        for kind in kinds:
            self.tie(from_id, kind, to_id)

    def untie(self, from_type: str, from_id: int, to_type: str, to_id: int) -> None:
        """Remove everything between two records."""
        self._drop(from_type, from_id, to_type, to_id)
        self._drop(to_type, to_id, from_type, from_id)
        self.version += 1

    def remove(self, from_id: int, to_id: int, kinds: Iterable[AssociationType]) -> None:
        """Remove some kinds (of one direction); without the unlabeled one no label can stay."""
        for kind in kinds:
            left = [
                known
                for known in self.between(kind.from_type, from_id, kind.to_type, to_id)
                if known != kind and kind.label is not None
            ]
            if left:
                self.replace(from_id, to_id, left)
            else:
                self.untie(kind.from_type, from_id, kind.to_type, to_id)

    def between(self, from_type: str, from_id: int, to_type: str, to_id: int) -> Kinds:
        """The kinds two records are tied by; none when they are not."""
        return self.ends(from_type, from_id, to_type).get(to_id, ())

    def ends(self, from_type: str, from_id: int, to_type: str) -> dict[int, Kinds]:
        """All records of a type tied to one record, in the order they were tied. Not to be changed."""
        return self._tables.get((from_type, to_type), {}).get(from_id, {})

    def page(
        self,
        from_type: str,
        from_id: int,
        to_type: str,
        *,
        start: int = 0,
        limit: int,
        shown: Callable[[int], bool] | None = None,
    ) -> tuple[list[tuple[int, Kinds]], int | None]:
        """Up to `limit` records from id `start` on, in order of ids, and the id that opens the next page."""
        ends = self.ends(from_type, from_id, to_type)
        order = self._order(from_type, from_id, to_type, ends)
        found: list[tuple[int, Kinds]] = []
        for place in range(bisect_left(order, start), len(order)):
            end = order[place]
            if shown is not None and not shown(end):
                continue
            if len(found) == limit:
                return found, end
            found.append((end, ends[end]))
        return found, None

    def forget(self, plural: str, id_: int) -> None:
        """Remove every tie of a record."""
        for (from_type, to_type), table in list(self._tables.items()):
            if from_type == plural:
                for end in list(table.get(id_, ())):
                    self.untie(from_type, id_, to_type, end)

    def move(self, plural: str, id_: int, heir: int) -> None:
        """Give a record's ties to another one of its type."""
        for (from_type, _), table in list(self._tables.items()):
            if from_type == plural:
                for end, kinds in list(table.get(id_, {}).items()):
                    for kind in kinds:
                        self.tie(heir, kind, end)
        self.forget(plural, id_)

    def clear(self, *, labels: bool = False) -> None:
        """Forget every tie; the kinds stay, with `labels` only HubSpot's own."""
        if self.changed is not None:
            for (from_type, to_type), table in self._tables.items():
                for from_id, ends in table.items():
                    self.changed.update(((from_type, from_id, to_type, end), None) for end in ends)
        self._tables.clear()
        self._orders.clear()
        self._ends = 0
        self.version += 1
        if labels:
            self._types.clear()
            self._inverse.clear()
            self._defaults.clear()
            self._next_label_id = 1
            self._define_hubspots_own()

    def _define_hubspots_own(self) -> None:
        for other, out, back in _DEFINED:
            other_name = _BY_ANY_NAME[other].internal.lower()
            there = AssociationType("HUBSPOT_DEFINED", out, "meetings", other, f"meeting_event_to_{other_name}")
            home = AssociationType("HUBSPOT_DEFINED", back, other, "meetings", f"{other_name}_to_meeting_event")
            self.define(there, home)

    def _put(self, from_id: int, to_id: int, kind: AssociationType) -> None:
        pair = (kind.from_type, kind.to_type)
        ends = self._tables.setdefault(pair, {}).setdefault(from_id, {})
        before = ends.get(to_id, ())
        if kind in before:
            return
        self._ends += not before
        default = self._defaults.get(pair)
        kinds = (*before, kind) if before or default is None or default == kind else (default, kind)
        ends[to_id] = self._shared.setdefault(kinds, kinds)
        self._orders.pop((*pair, from_id), None)
        if self.changed is not None:
            self.changed[kind.from_type, from_id, kind.to_type, to_id] = None

    def _drop(self, from_type: str, from_id: int, to_type: str, to_id: int) -> None:
        table = self._tables.get((from_type, to_type), {})
        ends = table.get(from_id)
        if ends is not None and ends.pop(to_id, None) is not None:
            self._orders.pop((from_type, to_type, from_id), None)
            self._ends -= 1
            if self.changed is not None:
                self.changed[from_type, from_id, to_type, to_id] = None
            if not ends:
                del table[from_id]

    def _order(self, from_type: str, from_id: int, to_type: str, ends: dict[int, Kinds]) -> list[int]:
        """The ends in order; kept while they stay as they are, since a contact may have a million meetings."""
        key = (from_type, to_type, from_id)
        order = self._orders.get(key)
        if order is None:
            order = sorted(ends)
            if len(order) > _KEEP_ORDER_ABOVE:
                if len(self._orders) >= _KEEP_ORDERS:
                    self._orders.clear()
                self._orders[key] = order
        return order
