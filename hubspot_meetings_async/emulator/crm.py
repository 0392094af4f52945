"""The records of one object type: the rules every write keeps, and the way records are shown.

Pure and synchronous. Must not know HTTP, batches, quotas or faults; it sees its account as an `Account`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from .associations import AssociationBook, AssociationType, Kinds, ObjectType, named, object_type
from .behaviour import Behaviour
from .bodies import Association
from .definitions import Definition
from .records import ObjectStore, Record
from .refusals import Problem, Refusal, bad_values, validation
from .times import iso
from .values import PropertyBook, Raw

__all__ = ["Crm", "Tie", "invalid_targets", "wrong_kind"]

BASE_PROPERTIES = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
"""Returned by every read, asked for or not."""
SOURCE = "INTEGRATION"
INLINE_ASSOCIATIONS = 100
"""Associated records of one type that a read of records lists before it pages."""

Json = dict[str, Any]
Tie = tuple[AssociationType, int]
"""A kind of tie and the id at its other end."""


class Account(Protocol):
    """What one object type has to know of its account."""

    behaviour: Behaviour
    portal_id: int
    associations: AssociationBook

    def exists(self, object_type: str, id_: str) -> bool:
        """Whether a live record of this type has this id."""
        ...

    def tied(
        self, from_type: str, from_id: int, to_type: str, *, start: int = 0, limit: int
    ) -> tuple[list[tuple[int, Kinds]], int | None]:
        """A page of the records tied to one, and the id that opens the next."""
        ...


class Crm:
    """All records of one object type, with the rules for writing and the way they are shown."""

    def __init__(self, account: Account, type_: ObjectType, definitions: list[Definition], first_id: int) -> None:
        self.type = type_
        self.account = account
        self.book = PropertyBook(definitions, behaviour=account.behaviour, portal_id=account.portal_id)
        self.store = ObjectStore(first_id=first_id)
        for definition in definitions:
            if definition.has_unique_value:
                self.store.make_unique(definition.name)
        self.merged: dict[int, int] = {}
        """Ids that were merged away -> the record they became part of."""
        self._behaviour = account.behaviour
        self._keep_empty = account.behaviour.cleared_properties == "empty"
        self._three_digits = account.behaviour.always_milliseconds
        self._timestamped = type_.plural == "meetings"

    # finding

    def find(self, id_: str, id_property: str | None = None, *, archived: bool = False) -> Record | None:
        """The record with this id, or with this value of a unique property."""
        if id_property is None or id_property == "hs_object_id":
            if not (id_.isascii() and id_.isdigit()) or len(id_) > 18 or (id_[0] == "0" and id_ != "0"):
                return None
            return self.store.get(int(id_), archived=archived)
        holder = self.store.holder(id_property, id_, archived=archived)
        return None if holder is None else self.store.get(holder, archived=archived)

    def heir(self, id_: str) -> Record | None:
        """The live record that a merged-away id became part of."""
        if not (id_.isascii() and id_.isdigit()) or len(id_) > 18:
            return None
        heir = self.merged.get(int(id_))
        return None if heir is None else self.store.get(heir)

    def take_over(self, id_: int, heir: int) -> None:
        """Note that a record, with all that was merged into it, became part of another."""
        for merged, before in self.merged.items():
            if before == id_:
                self.merged[merged] = heir
        self.merged[id_] = heir

    def need_unique(self, id_property: str | None, *, reading: bool) -> None:
        """Raises: Refusal when the property can not name a record; record ids can, but only in reads."""
        if id_property is None and reading:
            return
        name = id_property or "hs_object_id"
        if (name == "hs_object_id" and reading) or self.book.is_unique(name):
            return
        action = "read" if reading else "update/upsert"
        raise validation(
            f"Unable to perform {action} by non-unique {self.type.type_id} property {name}"
            f" in portal ID {self.account.portal_id}"
        )

    # writing

    def screen_new(self, properties: Mapping[str, Raw], now_ms: int) -> dict[str, str]:
        """The values a new record will have. Raises: Refusal."""
        values = self.book.screen(properties)
        if "" in values.values():
            values = {name: value for name, value in values.items() if value}
        if self._timestamped and "hs_timestamp" not in values:
            if self._behaviour.timestamp_required:
                text = 'Property "hs_timestamp" is required'
                raise bad_values([Problem("hs_timestamp", "MISSING_REQUIRED_PROPERTY", text)], self.account.portal_id)
            values["hs_timestamp"] = values.get("hs_meeting_start_time") or iso(now_ms, self._three_digits)
        return values

    def screen_changes(self, record: Record, properties: Mapping[str, Raw]) -> dict[str, str]:
        """The changes as they will be stored; a checkbox value with a leading `;` is added to. Raises: Refusal."""
        changes = self.book.screen(properties)
        for name, value in changes.items():
            if value.startswith(";") and self.book.appends(name):
                parts = [*(record.value(name) or "").split(";"), *value.split(";")]
                changes[name] = ";".join(dict.fromkeys(part for part in parts if part))
        return changes

    def need_free(
        self, values: Mapping[str, str], *, own_id: int | None = None, claimed: set[tuple[str, str]] | None = None
    ) -> None:
        """Raises: Refusal (409) when a unique value is taken; `claimed` are those of the batch so far."""
        for name in self.store.unique_names():
            value = values.get(name)
            if not value:
                continue
            holder = self.store.holder(name, value)
            if holder is not None and holder != own_id:
                raise self._conflict(f" Existing ID: {holder}")
            if claimed is not None:
                if (name, value) in claimed:
                    raise self._conflict("")
                claimed.add((name, value))

    def _conflict(self, rest: str) -> Refusal:
        return Refusal(409, f"{self.type.singular.capitalize()} already exists.{rest}", category="CONFLICT")

    def ties(self, associations: Sequence[Association] | None) -> list[Tie]:
        """Read the ties asked for at creation. Raises: Refusal (unknown kinds; targets when checked)."""
        found: list[Tie] = []
        missing: list[tuple[ObjectType, str]] = []
        for association in associations or ():
            for asked in association.types:
                kind = self.account.associations.type(asked.association_category, asked.association_type_id)
                target = str(association.to.id)
                if kind is None or kind.from_type != self.type.plural:
                    raise wrong_kind(self.type, kind, asked.association_type_id)
                if not (target.isascii() and target.isdigit()) or (
                    self._behaviour.check_association_targets and not self.account.exists(kind.to_type, target)
                ):
                    missing.append((named(kind.to_type), target))
                else:
                    found.append((kind, int(target)))
        if missing:
            raise invalid_targets(missing)
        return found

    def add(self, values: dict[str, str], ties: Iterable[Tie], *, now_ms: int, request: int) -> Record:
        """Store a screened record with its ties."""
        record = self.store.add(values, now_ms=now_ms, request=request)
        for kind, target in ties:
            self.account.associations.tie(record.id, kind, target)
        return record

    def change(self, record: Record, changes: dict[str, str], *, now_ms: int, request: int) -> None:
        """Overlay screened changes."""
        self.store.change(record, changes, keep_empty=self._keep_empty, now_ms=now_ms, request=request)

    # showing

    def show_written(self, record: Record, values: Mapping[str, str], *, new: bool) -> Json:
        """A record as a write answers it: what was written and what HubSpot always returns."""
        shown: dict[str, str | None] = {**values}
        if not new:
            for name, value in values.items():
                if not value and not self._keep_empty:
                    shown[name] = None
        else:
            shown["hs_object_source"] = SOURCE
        return self._frame(record, shown)

    def show(self, record: Record, asked: Iterable[str] = ()) -> Json:
        """A record as a read answers it: HubSpot's three own properties and those asked for."""
        values: dict[str, str] | None = None
        shown: dict[str, str | None] = {}
        omit = self._behaviour.unset_properties == "omit"
        for name in asked:
            if name not in self.book or name in BASE_PROPERTIES:
                continue
            if values is None:
                values = record.properties()
            value = SOURCE if name == "hs_object_source" else values.get(name)
            if value is not None or not omit:
                shown[name] = value
        return self._frame(record, shown)

    def _frame(self, record: Record, properties: dict[str, str | None]) -> Json:
        id_ = str(record.id)
        created = iso(record.created_ms, self._three_digits)
        updated = iso(record.updated_ms, self._three_digits)
        properties["hs_createdate"] = created
        properties["hs_lastmodifieddate"] = updated
        properties["hs_object_id"] = id_
        shown: Json = {"id": id_, "properties": properties, "createdAt": created, "updatedAt": updated}
        shown["archived"] = record.archived_ms is not None
        if record.archived_ms is not None:
            shown["archivedAt"] = iso(record.archived_ms, self._three_digits)
        return shown

    def show_history(self, record: Record, asked: Iterable[str]) -> Json:
        """Every version of the properties asked for, newest first."""
        values = record.properties()
        history = record.history or {}
        shown: Json = {}
        for name in asked:
            if name not in self.book:
                continue
            versions = history.get(name)
            if versions is None:
                versions = [(values[name], record.created_ms)] if name in values else []
            shown[name] = [
                {"value": value, "timestamp": iso(since, self._three_digits), "sourceType": SOURCE}
                for value, since in reversed(versions)
            ]
        return shown

    def show_associations(self, record: Record, asked: Iterable[str], url: str) -> Json:
        """The ties to the object types asked for, by plural name; types without a tie are left out.

        `url` is the record's own; its associations are listed below it, and longer lists page there.
        """
        shown: Json = {}
        for name in asked:
            other = object_type(name)
            if other is None:
                continue
            ends, following = self.account.tied(self.type.plural, record.id, other.plural, limit=INLINE_ASSOCIATIONS)
            if not ends:
                continue
            listed = [{"id": str(end), "type": kind.name} for end, kinds in ends for kind in kinds]
            shown[other.plural] = {"results": listed}
            if following is not None:
                link = f"{url}/associations/{other.plural}?after={following}"
                shown[other.plural]["paging"] = {"next": {"after": str(following), "link": link}}
        return shown


def wrong_kind(type_: ObjectType, kind: AssociationType | None, type_id: int) -> Refusal:
    """The 400 for an association type that does not exist, or does not start at this object type."""
    if kind is None:
        return validation(f"No association type {type_id} is defined for object type {type_.type_id}")
    expected = named(kind.from_type).type_id
    return validation(
        f"invalid from object type {type_.type_id} for associations to be created."
        f" expected: {expected}. For definition 0-{type_id}"
    )


def invalid_targets(missing: Sequence[tuple[ObjectType, str]]) -> Refusal:
    """The 400 for records at the other end that the account does not have."""
    return validation(
        "One or more associations are invalid",
        context={
            "INVALID_OBJECT_IDS": [f"{type_.internal}={id_} is not valid" for type_, id_ in missing],
            "objectId": [id_ for _, id_ in missing],
            "objectType": [type_.internal for type_, _ in missing],
        },
    )
