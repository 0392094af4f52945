"""Admin calls for what surrounds the records: users, meeting links, bookings, apps and tokens, late writes, the clock,
made-up accounts.

Knows the JSON of these calls and the `House`. Must not know sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from .fixtures import AROUND_MS, populate
from .house import House
from .scheduler_links import CalendarProvider, Consent, FormField, LinkType, MeetingLink, User
from .times import iso, parse_ms

__all__ = ["account_actions"]

Action = Callable[[web.Request, bytes], Any]


class UserBody(msgspec.Struct, forbid_unknown_fields=True):
    """A user; the words are those of `portal.add_user()`."""

    email: str
    first_name: str = ""
    last_name: str = ""
    timezone: str = "UTC"
    calendar: CalendarProvider | None = "GOOGLE"
    user_id: str | None = None
    owner_id: str | None = None


class LinkBody(msgspec.Struct, forbid_unknown_fields=True):
    """A meeting link; the words are those of `portal.add_meeting_link()`."""

    slug: str
    organizer: str | None = None
    members: list[str] = []
    name: str | None = None
    type: LinkType = "PERSONAL_LINK"
    hours: dict[str, str | list[str]] | None = None
    durations: tuple[int, ...] = (30,)
    timezone: str | None = None
    buffer: int = 0
    increment: int | None = 15
    weeks: int = 8
    form_fields: list[FormField] = []
    consents: list[Consent] = []
    max_guests: int = 10
    location: str = ""
    owner_prioritized: bool = False
    default: bool = False


class BusyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A time somebody is taken, in Unix milliseconds."""

    user: str
    start_ms: int
    end_ms: int


class AppBody(msgspec.Struct, forbid_unknown_fields=True):
    """An OAuth app; the words are those of `portal.add_app()`."""

    client_id: str
    client_secret: str
    scopes: list[str] | None = None
    redirect_uris: list[str] = []
    private: bool = False
    token_lifetime_s: int | None = None
    rotates: bool | None = None


class TokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """A token of a private app."""

    token: str
    scopes: list[str] | None = None
    app: str | None = None


class PopulateBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to make up; the words are those of `populate()`."""

    meetings: int
    contacts: int | None = None
    seed: int = 0
    around_ms: int = AROUND_MS


class ClockBody(msgspec.Struct, forbid_unknown_fields=True):
    """How far to move the clock: by seconds, or to a later moment (Unix milliseconds, or ISO with its offset)."""

    advance_s: float | None = None
    to: str | int | None = None


class IssueBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whose tokens to issue."""

    client_id: str
    scopes: list[str] | None = None


def account_actions(house: House) -> dict[tuple[str, str], Action]:
    """The calls by method and name."""
    portal = house.portal

    def add_user(request: web.Request, body: bytes) -> Any:
        return _user(portal.add_user(**_words(body, UserBody)))

    def add_link(request: web.Request, body: bytes) -> Any:
        return _link(portal.add_meeting_link(**_words(body, LinkBody)))

    def add_busy(request: web.Request, body: bytes) -> Any:
        portal.add_busy(**_words(body, BusyBody))
        return {}

    def add_app(request: web.Request, body: bytes) -> Any:
        return {"client_id": portal.add_app(**_words(body, AppBody)).client_id}

    def add_token(request: web.Request, body: bytes) -> Any:
        given = msgspec.json.decode(body, type=TokenBody)
        portal.add_token(given.token, scopes=given.scopes, app=given.app)
        return {}

    def issue(request: web.Request, body: bytes) -> Any:
        issued = portal.issue_tokens(**_words(body, IssueBody))
        refresh = None if issued.refresh is None else issued.refresh.value
        return {"access_token": issued.access.value, "refresh_token": refresh}

    def clock() -> Any:
        now_ms = house.clock.wall_ms()
        return {"now": iso(now_ms, always_milliseconds=True), "now_ms": now_ms}

    def move_clock(request: web.Request, body: bytes) -> Any:
        given = msgspec.json.decode(body, type=ClockBody)
        if (given.advance_s is None) == (given.to is None):
            raise ValueError('say how far: {"advance_s": 60}, or {"to": "2027-01-04T09:00:00Z"}')
        if given.advance_s is not None:
            house.advance(given.advance_s)
        else:
            house.advance((parse_ms(str(given.to)) - house.clock.wall_ms()) / 1000)
        return clock()

    def make_up(request: web.Request, body: bytes) -> Any:
        populate(portal, **_words(body, PopulateBody))
        return {crm.type.plural: len(crm.store) for crm in portal.crms if len(crm.store)}

    return {
        ("POST", "populate"): make_up,
        ("GET", "clock"): lambda request, body: clock(),
        ("POST", "clock"): move_clock,
        ("GET", "users"): lambda request, body: {"users": [_user(user) for user in portal.scheduler.users]},
        ("POST", "users"): add_user,
        ("GET", "meeting-links"): lambda request, body: {"links": [_link(link) for link in portal.scheduler.links]},
        ("POST", "meeting-links"): add_link,
        ("POST", "busy"): add_busy,
        ("GET", "bookings"): lambda request, body: {"bookings": portal.scheduler.bookings},
        ("GET", "oauth"): lambda request, body: {
            "apps": [app.client_id for app in portal.keyring.apps],
            "grants": portal.keyring.grants,
        },
        ("POST", "oauth/apps"): add_app,
        ("POST", "oauth/issue"): issue,
        ("POST", "oauth/expire"): lambda request, body: {"expired": portal.expire_tokens()},
        ("POST", "tokens"): add_token,
        ("POST", "late-writes"): lambda request, body: {"applied": house.late.catch_up(float("inf"))},
    }


def _words(body: bytes, type_: type[msgspec.Struct]) -> dict[str, Any]:
    given = msgspec.json.decode(body, type=type_)
    return {name: getattr(given, name) for name in type_.__struct_fields__}


def _user(user: User) -> dict[str, Any]:
    shown = ("user_id", "id", "owner_id", "email", "first_name", "last_name", "timezone", "calendar", "bookings")
    return {name: getattr(user, name) for name in shown}


def _link(link: MeetingLink) -> dict[str, Any]:
    return {
        "id": link.id,
        "slug": link.slug,
        "name": link.name,
        "type": link.type,
        "organizer": link.organizer.user_id,
        "members": [user.user_id for user in link.members],
        "timezone": link.timezone,
        "durations_ms": link.durations_ms,
    }
