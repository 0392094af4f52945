"""How the smaller rooms of an account read as documents, and how they are furnished again from documents.

Knows definitions, labels, merged ids, the scheduler and the keyring. Must not know the file, nor what was written
before (`keeper`). Records and ties are not among them: they are many.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from .associations import AssociationType
from .availability import BusyTimes, WorkingHours
from .definitions import Definition
from .oauth import App, Code, Token
from .portal import Portal
from .scheduler_links import Booking, MeetingLink, User

__all__ = ["DEFINITIONS", "documents", "encoded", "restore"]

DEFINITIONS = "definitions/"
MERGED = "merged/"

T = TypeVar("T")
_Bodies = Mapping[tuple[str, str], str]


def documents(portal: Portal) -> Iterator[tuple[str, str, object]]:
    """Room, key and content of everything there is, in an order that can be read back."""
    for crm in portal.crms:
        for definition in crm.book:
            yield DEFINITIONS + crm.type.plural, definition.name, definition
        for id_, heir in crm.merged.items():
            yield MERGED + crm.type.plural, str(id_), heir
    for there, home in portal.associations.labels:
        yield "labels", str(there.type_id), (there, home)
    scheduler, keyring = portal.scheduler, portal.keyring
    for user in scheduler.users:
        yield "users", user.user_id, user
    for link in scheduler.links:
        shown = msgspec.structs.asdict(link)
        shown |= {"organizer": link.organizer.user_id, "members": [member.user_id for member in link.members]}
        yield "links", link.slug.lower(), shown
    yield "scheduler", "links_made", scheduler.links_made
    for booking in scheduler.bookings:
        yield "bookings", booking.event_id, booking
    for app in keyring.apps:
        yield "apps", app.client_id, app
    for token in keyring.tokens:
        yield "tokens", token.value, msgspec.structs.asdict(token) | {"app": token.app and token.app.client_id}
    for value, code in keyring.codes.items():
        yield "codes", value, msgspec.structs.asdict(code) | {"app": code.app.client_id}


def encoded(value: object) -> str:
    """Content as JSON text."""
    return msgspec.json.encode(value, enc_hook=_shown).decode()


def restore(found: _Bodies, portal: Portal, *, seed: str) -> None:
    """Furnish the rooms of a fresh account from documents.

    Args:
        seed: of the ids and tokens still to come; another one at every start, or they would come twice.
    """
    for crm in portal.crms:
        for _, body in _of(found, DEFINITIONS + crm.type.plural):
            definition = _read(body, Definition)
            crm.book.put(definition)
            if definition.has_unique_value:
                crm.store.make_unique(definition.name)
        crm.merged.update({int(id_): int(heir) for id_, heir in _of(found, MERGED + crm.type.plural)})
    for _, body in _of(found, "labels"):
        portal.associations.put_back_label(*_read(body, tuple[AssociationType, AssociationType]))
    users = {user_id: _read(body, User) for user_id, body in _of(found, "users")}
    portal.scheduler.put_back(
        users.values(),
        [_link(msgspec.json.decode(body), users) for _, body in _of(found, "links")],
        [_read(body, Booking) for _, body in _of(found, "bookings")],
        links_made=int(found["scheduler", "links_made"]),
        rng=random.Random(f"scheduler {seed}"),
    )
    apps = {client_id: _read(body, App) for client_id, body in _of(found, "apps")}
    portal.keyring.put_back(
        apps.values(),
        [_owned(msgspec.json.decode(body), apps, Token) for _, body in _of(found, "tokens")],
        {value: _owned(msgspec.json.decode(body), apps, Code) for value, body in _of(found, "codes")},
        rng=random.Random(f"keyring {seed}"),
    )


def _of(found: _Bodies, room: str) -> list[tuple[str, str]]:
    return [(key, body) for (name, key), body in found.items() if name == room]


def _read(body: str, type_: type[T]) -> T:
    return msgspec.json.decode(body, type=type_, dec_hook=_revived)


def _link(shown: dict[str, Any], users: Mapping[str, User]) -> MeetingLink:
    shown["organizer"] = users[shown["organizer"]]
    shown["members"] = tuple(users[user_id] for user_id in shown["members"])
    return msgspec.convert(shown, MeetingLink, dec_hook=_revived)


def _owned(shown: dict[str, Any], apps: Mapping[str, App], type_: type[T]) -> T:
    shown["app"] = None if shown["app"] is None else apps[shown["app"]]
    return msgspec.convert(shown, type_)


def _shown(value: object) -> object:
    if isinstance(value, BusyTimes):
        return value.spans
    if isinstance(value, WorkingHours):
        return value.texts
    raise NotImplementedError(f"no document can hold a {type(value).__name__}")


def _revived(type_: type, shown: Any) -> object:
    if type_ is WorkingHours:
        return WorkingHours(shown)
    if type_ is BusyTimes:
        busy = BusyTimes()
        for start_ms, end_ms in shown:
            busy.add(start_ms, end_ms)
        return busy
    raise NotImplementedError(f"no document holds a {type_.__name__}")
