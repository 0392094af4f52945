"""One HubSpot account: its objects by type, their properties and ties, and the truth about what was done to them.

Pure and synchronous: time comes from a `Clock`, chance from a seed. Must not know HTTP, quotas or faults; the endpoints
(`objects`, `batches`, `properties`) read requests and call this.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from .associations import OBJECT_TYPES, AssociationBook, Kinds, object_type
from .behaviour import Behaviour
from .clock import Clock, SystemClock
from .crm import Crm
from .definitions import (
    Definition,
    Option,
    PropertyType,
    meeting_definitions,
)
from .neighbours import definitions_of
from .oauth import Keyring
from .quota import DailyUse
from .refusals import Refusal, validation
from .scheduler_links import Scheduler
from .search_plan import Finder
from .values import Raw

__all__ = ["LedgerEntry", "Portal"]

FIRST_ID = 65_059_680_001
"""Where ids of meetings start: HubSpot's have eleven digits, which no 32-bit integer holds."""
MAX_UNIQUE_PROPERTIES = 10
"""Custom unique properties per object type (HubSpot's properties guide)."""


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What really became of one object, and which requests did it (numbers as in the request log)."""

    id: str
    value: str | None
    created_by: int
    updated_by: int
    writes: int
    archived: bool


class Portal:
    """A HubSpot account in memory.

    Args:
        behaviour: readings of the open questions.
        clock: where the time comes from.
        seed: of the shuffled orders.
        portal_id: the account's number, as it stands in error texts.
    """

    def __init__(
        self,
        *,
        behaviour: Behaviour | None = None,
        clock: Clock | None = None,
        seed: int = 0,
        portal_id: int = 1_234_567,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.clock: Clock = clock or SystemClock()
        self.portal_id = portal_id
        self.associations = AssociationBook()
        self.rng = random.Random(seed)
        self._seed = seed
        self._crms: dict[str, Crm] = {}
        self._finders: dict[str, Finder] = {}
        self.scheduler = Scheduler(self.clock, seed=seed, defaults=self.behaviour.default_meeting_links)
        self.add_user = self.scheduler.add_user
        self.add_meeting_link = self.scheduler.add_link
        self.remove_meeting_link = self.scheduler.remove_link
        self.add_busy = self.scheduler.add_busy
        self.keyring = Keyring(self.clock, self.behaviour, seed=seed)
        self.add_app = self.keyring.add_app
        self.add_token = self.keyring.add_token
        self.authorize = self.keyring.authorize
        self.issue_tokens = self.keyring.issue
        self.expire_tokens = self.keyring.expire_tokens
        self.daily_use: Callable[[], DailyUse] = _unlimited
        self.reset()

    def reset(self, *, properties: bool = True) -> None:
        """Empty the account; without `properties` the custom properties stay. Apps and tokens always do."""
        kept = {name: list(crm.book) for name, crm in self._crms.items()} if not properties else {}
        self.associations.clear(labels=properties)
        self.scheduler.reset()
        self.rng = random.Random(self._seed)
        for type_ in OBJECT_TYPES:
            meetings = type_.plural == "meetings"
            fresh = meeting_definitions() if meetings else definitions_of(type_.plural)
            first = FIRST_ID if meetings else 1
            crm = self._crms[type_.plural] = Crm(self, type_, kept.get(type_.plural, fresh), first)
            self._finders[type_.plural] = Finder(crm, self.behaviour, seed=self._seed)

    def crm(self, name: str) -> Crm:
        """The records of an object type, by any of its names. Raises: ValueError."""
        type_ = object_type(name)
        if type_ is None:
            raise ValueError(f"unknown object type {name!r}; known: {', '.join(t.plural for t in OBJECT_TYPES)}")
        return self._crms[type_.plural]

    @property
    def crms(self) -> list[Crm]:
        """The records of every object type."""
        return list(self._crms.values())

    @property
    def meetings(self) -> Crm:
        """The meetings."""
        return self._crms["meetings"]

    def finder(self, crm: Crm) -> Finder:
        """Who searches these records."""
        return self._finders[crm.type.plural]

    def settle_search(self) -> None:
        """Let search see everything written so far, whatever `search_delay_s` says."""
        for finder in self._finders.values():
            finder.index.settle()

    def exists(self, object_type: str, id_: str) -> bool:
        """Whether a live record of this type has this id."""
        return self.crm(object_type).find(id_) is not None

    def tied(
        self, from_type: str, from_id: int, to_type: str, *, start: int = 0, limit: int
    ) -> tuple[list[tuple[int, Kinds]], int | None]:
        """A page of the records tied to one, from id `start` on, and the id that opens the next.

        Archived records are left out; records that the account never had are not, see `check_association_targets`.
        """
        crm = self._crms[to_type]
        return self.associations.page(
            from_type, from_id, to_type, start=start, limit=limit, shown=lambda id_: not crm.store.is_archived(id_)
        )

    def add_label(
        self, from_type: str, to_type: str, label: str, *, name: str | None = None, inverse_label: str | None = None
    ) -> tuple[int, int]:
        """Give the account an association label; returns its type ids, there and back (category `USER_DEFINED`)."""
        there, home = self.associations.add_label(
            self.crm(from_type).type.plural,
            self.crm(to_type).type.plural,
            name or label.lower().replace(" ", "_"),
            label,
            inverse_label,
        )
        return there.type_id, home.type_id

    def add_object(
        self, object_type: str, *, id: str | int | None = None, properties: Mapping[str, Raw] | None = None
    ) -> str:
        """Put a record into the account without a request (a contact to tie meetings to); returns its id.

        Properties other than meetings' are taken as they come: the emulator has no definitions for them.
        Raises: ValueError for an unknown type, an id that is no number or is taken.
        """
        crm = self.crm(object_type)
        number = None if id is None else _as_id(id)
        if number is not None and (crm.store.get(number) or crm.store.get(number, archived=True)):
            raise ValueError(f"{crm.type.singular} {number} exists already")
        now_ms = self.clock.wall_ms()
        for name in properties or ():
            if name not in crm.book and crm is not self.meetings:
                self.add_property(name, object_type=object_type)
        try:
            values = crm.screen_new(properties or {}, now_ms)
            crm.need_free(values)
        except Refusal as refusal:
            raise ValueError(refusal.message) from None
        record = crm.store.add(values, now_ms=now_ms, request=0, id_=number)
        crm.store.created -= 1  # not the work of a request
        return str(record.id)

    def restore(self, id: str | int, *, object_type: str = "meetings") -> None:
        """Take a record out of the recycling bin, as people do in HubSpot's app (there is no endpoint for it).

        Raises: ValueError for one that is not archived, and where one of its unique values was taken meanwhile.
        """
        crm = self.crm(object_type)
        record = crm.store.get(_as_id(id), archived=True)
        if record is None:
            raise ValueError(f"{crm.type.singular} {id} is not archived")
        try:
            crm.need_free(record.properties())
        except Refusal as refusal:
            raise ValueError(refusal.message) from None
        crm.store.restore(record, now_ms=self.clock.wall_ms(), modify=self.behaviour.restore_modifies)

    def add_property(
        self,
        name: str,
        *,
        type: PropertyType = "string",
        unique: bool = False,
        options: Sequence[str] = (),
        label: str | None = None,
        object_type: str = "meetings",
    ) -> Definition:
        """Give the account a custom property. Raises: ValueError (name taken, too many unique ones)."""
        definition = Definition(
            name=name,
            label=label or name,
            type=type,
            field_type={"bool": "booleancheckbox", "enumeration": "select", "datetime": "date"}.get(type, "text"),
            has_unique_value=unique,
            options=tuple(Option(label=value, value=value, display_order=n) for n, value in enumerate(options)),
        )
        try:
            return self.define(self.crm(object_type), definition)
        except Refusal as refusal:
            raise ValueError(refusal.message) from None

    def add_option(self, property: str, value: str, *, object_type: str = "meetings") -> None:
        """Allow one more value of an enumeration (accounts define their own outcomes and meeting types)."""
        self.crm(object_type).book.add_option(property, value)

    def define(self, crm: Crm, definition: Definition) -> Definition:
        """Add a custom property as the properties API does. Raises: Refusal."""
        if definition.name in crm.book:
            text = f"A property named '{definition.name}' already exists."
            raise Refusal(409, text, category="OBJECT_ALREADY_EXISTS")
        if definition.has_unique_value:
            custom = sum(known.has_unique_value and not known.hubspot_defined for known in crm.book)
            if custom >= MAX_UNIQUE_PROPERTIES:
                raise validation(
                    f"At most {MAX_UNIQUE_PROPERTIES} properties with unique values are allowed per object"
                )
            crm.store.make_unique(definition.name)
        crm.book.put(definition)
        return definition

    # the truth, for whoever checks a client

    def duplicates_by(
        self, property: str, *, object_type: str = "meetings", archived: bool = False
    ) -> dict[str, list[str]]:
        """Values that more than one object has, with the objects' ids; `archived` counts archived objects too."""
        seen: defaultdict[str, list[str]] = defaultdict(list)
        for record in self.crm(object_type).store:
            value = record.value(property)
            if value and (archived or record.archived_ms is None):
                seen[value].append(str(record.id))
        return {value: ids for value, ids in seen.items() if len(ids) > 1}

    def ledger(
        self, property: str | None = None, *, object_type: str = "meetings", after: int = 0
    ) -> Iterator[LedgerEntry]:
        """Every object above an id, archived ones too, with a property's value and the requests that wrote it."""
        for record in self.crm(object_type).store.above(after):
            yield LedgerEntry(
                id=str(record.id),
                value=None if property is None else record.value(property),
                created_by=record.created_by,
                updated_by=record.updated_by,
                writes=record.writes,
                archived=record.archived_ms is not None,
            )

    def objects(
        self, object_type: str = "meetings", *, archived: bool | Literal["both"] = False
    ) -> Iterator[dict[str, str]]:
        """The stored properties of every object, with `hs_object_id`."""
        for record in self.crm(object_type).store:
            if archived == "both" or (record.archived_ms is not None) is archived:
                yield {"hs_object_id": str(record.id), **record.properties()}


def _as_id(id_: str | int) -> int:
    text = str(id_)
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError(f"a record id is a number of at most 18 digits, not {text!r}")
    return int(text)


def _unlimited() -> DailyUse:
    """The day of an account that nobody counts for."""
    return DailyUse(None, 0, 0)
