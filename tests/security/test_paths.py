"""K4: whatever is given as an id, a name or a slug stays one segment of the path it belongs to, or is refused."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any
from urllib.parse import quote

import pytest

from hubspot_meetings_async import (
    AssociationTypeId,
    ConfigurationError,
    HubSpotError,
    InvalidRecord,
    MeetingsClient,
    NoLimit,
    OAuth,
    RetryPolicy,
    Timeouts,
)

from ..raw_server import Connection, RawServer, listening
from .hostile import BENIGN, HOSTILE

LINK = AssociationTypeId.MEETING_TO_CONTACT
START = datetime(2026, 11, 24, 15, tzinfo=UTC)
ONCE = RetryPolicy(attempts=1)

REFUSAL = b'{"status":"error","message":"resource not found","correlationId":"0-0","category":"OBJECT_NOT_FOUND"}'
NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(REFUSAL)).encode()
    + b"\r\n\r\n"
    + REFUSAL
)

Try = Callable[[MeetingsClient, OAuth, Any], Any]

PLACES: dict[tuple[str, str], Try] = {
    ("meetings.get", "meeting_id"): lambda h, o, x: h.meetings.get(x),
    ("meetings.get", "id_property"): lambda h, o, x: h.meetings.get("1", id_property=x),
    ("meetings.get", "value of id_property"): lambda h, o, x: h.meetings.get(x, id_property="ref"),
    ("meetings.update", "meeting_id"): lambda h, o, x: h.meetings.update(x, {}),
    ("meetings.update", "id_property"): lambda h, o, x: h.meetings.update("1", {}, id_property=x),
    ("meetings.update", "value of id_property"): lambda h, o, x: h.meetings.update(x, {}, id_property="ref"),
    ("meetings.archive", "meeting_id"): lambda h, o, x: h.meetings.archive(x),
    ("meetings.merge", "primary_id"): lambda h, o, x: h.meetings.merge(x, 1),
    ("meetings.merge", "id_to_merge"): lambda h, o, x: h.meetings.merge(1, x),
    ("meetings.gdpr_delete", "meeting_id"): lambda h, o, x: h.meetings.gdpr_delete(x),
    ("meetings.gdpr_delete", "id_property"): lambda h, o, x: h.meetings.gdpr_delete("1", id_property=x),
    ("meetings.gdpr_delete", "value of id_property"): lambda h, o, x: h.meetings.gdpr_delete(x, id_property="ref"),
    ("meetings.create", "key_property"): lambda h, o, x: h.meetings.create({BENIGN: "1"}, key_property=x),
    ("meetings.list", "after"): lambda h, o, x: first(h.meetings.list(after=x)),
    ("meetings.batch_archive", "inputs"): lambda h, o, x: h.meetings.batch_archive([x]),
    ("meetings.batch_create", "inputs"): lambda h, o, x: h.meetings.batch_create([{"a": x}]),
    ("meetings.batch_read", "inputs"): lambda h, o, x: h.meetings.batch_read([x]),
    ("meetings.batch_read", "id_property"): lambda h, o, x: h.meetings.batch_read(["1"], id_property=x),
    ("meetings.batch_update", "inputs"): lambda h, o, x: h.meetings.batch_update([{"id": x}]),
    ("meetings.batch_update", "id_property"): lambda h, o, x: h.meetings.batch_update([{BENIGN: "1"}], id_property=x),
    ("meetings.batch_upsert", "inputs"): lambda h, o, x: h.meetings.batch_upsert([{"ref": x}], id_property="ref"),
    ("meetings.batch_upsert", "id_property"): lambda h, o, x: h.meetings.batch_upsert([{BENIGN: "1"}], id_property=x),
    ("bulk.archive", "records"): lambda h, o, x: h.bulk.archive([x]),
    ("bulk.create", "records"): lambda h, o, x: h.bulk.create([{"a": x}]),
    ("bulk.create", "key_property"): lambda h, o, x: h.bulk.create([{BENIGN: "1"}], key_property=x),
    ("bulk.read", "records"): lambda h, o, x: h.bulk.read([x]),
    ("bulk.read", "id_property"): lambda h, o, x: h.bulk.read(["1"], id_property=x),
    ("bulk.update", "records"): lambda h, o, x: h.bulk.update([{"id": x}]),
    ("bulk.update", "id_property"): lambda h, o, x: h.bulk.update([{BENIGN: "1"}], id_property=x),
    ("bulk.upsert", "records"): lambda h, o, x: h.bulk.upsert([{"ref": x}], id_property="ref"),
    ("bulk.upsert", "id_property"): lambda h, o, x: h.bulk.upsert([{BENIGN: "1"}], id_property=x),
    **{
        (f"associations.{name}", place): call
        for name, calls in {
            "archive": lambda h, f, t, a, b: h.associations.archive(f, t, [(a, b)]),
            "archive_labels": lambda h, f, t, a, b: h.associations.archive_labels(f, t, [(a, b, LINK)]),
            "associate_default": lambda h, f, t, a, b: h.associations.associate_default(f, t, [(a, b)]),
            "batch_archive": lambda h, f, t, a, b: h.associations.batch_archive(f, t, [(a, b)]),
            "batch_archive_labels": lambda h, f, t, a, b: h.associations.batch_archive_labels(f, t, [(a, b, LINK)]),
            "batch_associate_default": lambda h, f, t, a, b: h.associations.batch_associate_default(f, t, [(a, b)]),
            "batch_create": lambda h, f, t, a, b: h.associations.batch_create(f, t, [(a, b, LINK)]),
            "create": lambda h, f, t, a, b: h.associations.create(f, t, [(a, b, LINK)]),
            "v3.batch_archive": lambda h, f, t, a, b: h.associations.v3.batch_archive(f, t, [(a, b, "x")]),
            "v3.batch_create": lambda h, f, t, a, b: h.associations.v3.batch_create(f, t, [(a, b, "x")]),
        }.items()
        for place, call in {
            "from_type": lambda h, o, x, calls=calls: calls(h, x, "contacts", 1, 2),
            "to_type": lambda h, o, x, calls=calls: calls(h, "meetings", x, 1, 2),
            "links": lambda h, o, x, calls=calls: calls(h, "meetings", "contacts", x, 2),
            "to id in links": lambda h, o, x, calls=calls: calls(h, "meetings", "contacts", 1, x),
        }.items()
    },
    **{
        (f"associations.{name}", place): call
        for name, calls in {
            "list": lambda h, f, a, t, b: first(h.associations.list(f, a, t)),
            "remove": lambda h, f, a, t, b: h.associations.remove(f, a, t, b),
            "set": lambda h, f, a, t, b: h.associations.set(f, a, t, b, LINK),
            "set_default": lambda h, f, a, t, b: h.associations.set_default(f, a, t, b),
            "v3.create": lambda h, f, a, t, b: h.associations.v3.create(f, a, t, b, 200),
            "v3.delete": lambda h, f, a, t, b: h.associations.v3.delete(f, a, t, b, 200),
            "v3.list": lambda h, f, a, t, b: first(h.associations.v3.list(f, a, t)),
        }.items()
        for place, call in {
            "from_type": lambda h, o, x, calls=calls: calls(h, x, 1, "contacts", 2),
            "from_id": lambda h, o, x, calls=calls: calls(h, "meetings", x, "contacts", 2),
            "to_type": lambda h, o, x, calls=calls: calls(h, "meetings", 1, x, 2),
            "to_id": lambda h, o, x, calls=calls: calls(h, "meetings", 1, "contacts", x),
        }.items()
        if not (place == "to_id" and name.endswith("list"))
    },
    **{
        (f"associations.{name}", place): call
        for name, calls in {
            "batch_read": lambda h, f, t, i: h.associations.batch_read(f, t, i),
            "read": lambda h, f, t, i: first(h.associations.read(f, t, i)),
            "v3.batch_read": lambda h, f, t, i: h.associations.v3.batch_read(f, t, i),
        }.items()
        for place, call in {
            "from_type": lambda h, o, x, calls=calls: calls(h, x, "contacts", [1]),
            "to_type": lambda h, o, x, calls=calls: calls(h, "meetings", x, [1]),
            "ids": lambda h, o, x, calls=calls: calls(h, "meetings", "contacts", [x]),
        }.items()
    },
    ("associations.list", "after"): lambda h, o, x: first(h.associations.list("meetings", 1, "contacts", after=x)),
    ("associations.v3.list", "after"): lambda h, o, x: first(
        h.associations.v3.list("meetings", 1, "contacts", after=x)
    ),
    ("associations.v3.create", "association_type"): lambda h, o, x: h.associations.v3.create(
        "meetings", 1, "contacts", 2, x
    ),
    ("associations.v3.delete", "association_type"): lambda h, o, x: h.associations.v3.delete(
        "meetings", 1, "contacts", 2, x
    ),
    ("associations.labels", "from_type"): lambda h, o, x: h.associations.labels(x, "contacts"),
    ("associations.labels", "to_type"): lambda h, o, x: h.associations.labels("meetings", x),
    ("associations.create_label", "from_type"): lambda h, o, x: h.associations.create_label(
        x, "contacts", label="L", name="l"
    ),
    ("associations.create_label", "to_type"): lambda h, o, x: h.associations.create_label(
        "meetings", x, label="L", name="l"
    ),
    ("associations.high_usage_report", "user_id"): lambda h, o, x: h.associations.high_usage_report(x),
    ("properties.get", "name"): lambda h, o, x: h.properties.get(x),
    ("properties.create", "name"): lambda h, o, x: h.properties.create(x, label="L", group_name="g"),
    ("properties.ensure_key_property", "name"): lambda h, o, x: h.properties.ensure_key_property(x),
    ("properties.need_key", "name"): lambda h, o, x: h.properties.need_key(x),
    ("scheduler.booking_information", "slug"): lambda h, o, x: h.scheduler.booking_information(x, timezone="UTC"),
    ("scheduler.availability_page", "slug"): lambda h, o, x: h.scheduler.availability_page(x, timezone="UTC"),
    ("scheduler.availability", "slug"): lambda h, o, x: first(h.scheduler.availability(x, timezone="UTC")),
    ("scheduler.book", "slug"): lambda h, o, x: h.scheduler.book(
        x, first_name="G", last_name="H", email="g@example.com", start=START, duration=1800
    ),
    ("scheduler.links", "organizer_user_id"): lambda h, o, x: first(h.scheduler.links(organizer_user_id=x)),
    ("scheduler.links", "name"): lambda h, o, x: first(h.scheduler.links(name=x)),
    ("scheduler.links", "after"): lambda h, o, x: first(h.scheduler.links(after=x)),
    ("scheduler.update_link", "slug"): lambda h, o, x: h.scheduler.update_link(x, payment_link_id=1),
    ("scheduler.update_link", "payment_link_id"): lambda h, o, x: h.scheduler.update_link("ada", payment_link_id=x),
    ("calendar.create", "organizer_user_id"): lambda h, o, x: h.calendar.create(
        organizer_user_id=x,
        timezone="UTC",
        properties={
            "hs_meeting_title": "t",
            "hs_meeting_outcome": "SCHEDULED",
            "hs_meeting_start_time": START,
            "hs_meeting_end_time": START + timedelta(hours=1),
            "hubspot_owner_id": 1,
        },
    ),
    ("private_app_token_info", "token"): lambda h, o, x: h.private_app_token_info(x),
    ("oauth.introspect", "token"): lambda h, o, x: o.introspect(x),
    ("oauth.revoke", "token"): lambda h, o, x: o.revoke(x),
    ("oauth.exchange_code", "code"): lambda h, o, x: o.exchange_code(x, redirect_uri="https://x.example/"),
}
"""Every place where a value of the user's could reach a path, and a call that puts one there."""

ONE_SEGMENT_OF_DIGITS = ("meeting_id", "from_id", "to_id", "user_id", "primary_id", "id_to_merge", "organizer_user_id")

NEW_NAMES = (("properties.create", "name"), ("properties.ensure_key_property", "name"))
"""Places for what begins with a letter."""
MAY_BE_NONE = ("organizer_user_id", "token", "after", "name", "id_property", "key_property")
"""Places where None is for a value that was not given."""

ELSEWHERE = {
    # properties, filters and texts: in a body, or percent-encoded in a query
    "properties", "properties_with_history", "associations", "record", "what", "query", "sorts", "types", "label",
    "inverse_label", "type", "field_type", "group_name", "description", "options", "first_name", "last_name", "email",
    "form_fields", "legal_consents", "guest_emails", "likely_available_user_ids", "timezone", "locale", "reminders",
    # of the library, never sent
    "into", "body", "trail", "replay", "on_progress", "on_ambiguous", "on_existing", "verify",
    "journal", "start", "end", "duration", "call",
    "api_version", "rejected", "decoder", "since", "until", "method",
    # e-mail addresses, in the body of a search
    "addresses",
    # of an address that is made for a browser, or checked and put into a form
    "redirect_uri", "scopes", "state", "optional_scopes", "code_verifier", "page",
}  # fmt: skip
"""Parameters that no path is made of."""
NUMBERS = {"limit", "archived", "max_batch_bytes", "workers", "split_refused", "settle_s", "months", "month_offset",
           "has_unique_value", "include_invite_description", "refresh_token", "linger_s", "max_inputs",
           "max_bytes", "seconds", "overlap_s", "concurrency"}  # fmt: skip
AS_ELSEWHERE = {
    ("associations.create_label", "name"),
    ("meetings.create", "key_property"),
    ("micro_batch", "key_property"),
    ("sync.export", "after"),
}
"""Places named like some of a path, that stand in a body, or take a cursor of the library's own."""

ROOMS = (
    "account", "meetings", "associations", "associations.v3", "properties", "scheduler", "calendar", "bulk", "contacts",
    "sync",
)  # fmt: skip


async def first(stream: Any) -> None:
    """Ask a stream for its first item."""
    async for _ in stream:
        return


def parameters() -> list[tuple[str, str]]:
    """Each public method of each room, with each of its parameters."""
    client = MeetingsClient("token")
    rooms = {"": client, "oauth": OAuth("id", "secret", "refresh"), **{r: attrgetter(r)(client) for r in ROOMS}}
    found = []
    for room, thing in rooms.items():
        for name, method in inspect.getmembers(thing, inspect.ismethod):
            if not name.startswith("_") and name != "from_env":
                found += [(f"{room}.{name}".lstrip("."), given) for given in inspect.signature(method).parameters]
    return found


def test_no_parameter_is_forgotten() -> None:
    """A parameter of a public method is tried with hostile values here, or known to reach no path."""
    known = set(PLACES) | AS_ELSEWHERE
    assert [
        place for place in parameters() if place not in known and place[1] not in ELSEWHERE and place[1] not in NUMBERS
    ] == []


def test_no_room_is_forgotten() -> None:
    """Every public attribute of a client that holds methods of the library is a room of the list."""
    client = MeetingsClient("token")

    def rooms(thing: object, path: str) -> set[str]:
        found = set()
        for name, value in vars(thing).items():
            if not name.startswith("_") and type(value).__module__.startswith("hubspot_meetings_async"):
                found |= {path + name} | rooms(value, f"{path}{name}.")
        return found

    # What looks lost creates up is for bulk runs; its values stand in bodies.
    assert rooms(client, "") - {"meetings.lookup"} == set(ROOMS)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Notes raw requests, and finds nothing."""

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(NOT_FOUND)

    async with listening(script) as running:
        yield running


async def asked(server: RawServer, version: str, place: tuple[str, str], values: tuple[object, ...]) -> list[Any]:
    """For each value the error and the raw request lines, of a client of its own."""
    told: list[Any] = []
    # An OAuth beside the client, so that no token has to be fetched for other calls.
    oauth = OAuth("id", "secret", "refresh")
    async with MeetingsClient(
        "token", base_url=server.url, api_version=version, limiter=NoLimit(), retry=ONCE, timeout=Timeouts(call_s=20.0)
    ) as client:
        oauth.attach(client._call, api_version=version)
        for value in values:
            before = len(server.requests)
            error: Exception | None = None
            try:
                await PLACES[place](client, oauth, value)
            except HubSpotError as seen:
                error = seen
            lines = [request.split(b"\r\n", 1)[0].decode("latin-1") for request in server.requests[before:]]
            told.append((error, lines))
    return told


@pytest.mark.parametrize("version", ["v3", "2026-09"])
@pytest.mark.parametrize("place", PLACES, ids=" ".join)
async def test_a_value_stays_in_its_place(server: RawServer, place: tuple[str, str], version: str) -> None:
    """Hostile values are refused before anything is sent, or are one percent-encoded piece of the usual target."""
    benign = f"p{BENIGN}" if place in NEW_NAMES else BENIGN
    ((benign_error, targets),) = await asked(server, version, place, (benign,))
    if isinstance(benign_error, ConfigurationError):
        assert targets == []
        assert version in str(benign_error)  # a call that this version does not have
        return
    assert targets
    for number, (value, (error, lines)) in enumerate(
        zip(HOSTILE, await asked(server, version, place, HOSTILE), strict=True)
    ):
        shown = f"{number}: {str(value)[:60]!r}" if isinstance(value, str) else f"{number}: {type(value).__name__}"
        usual = targets
        if value is None and place[1] in MAY_BE_NONE:
            continue
        if place[1] in ONE_SEGMENT_OF_DIGITS:
            assert (type(error), lines) == (InvalidRecord, []), shown
        elif lines:
            if type(value) not in (str, int) or value == 10**5000:
                # Lists of the query are joined with commas; the path has to be the usual one.
                lines, usual = [line.split("?")[0] for line in lines], [line.split("?")[0] for line in usual]
            piece = "" if value == 10**5000 else quote(str(value).encode(errors="replace"), safe="")
            expected = [line.replace(benign, piece) for line in usual]
            assert [line for line in lines if line not in expected] == [], shown
        else:
            assert error is None or isinstance(error, (InvalidRecord, ConfigurationError)), (shown, error)
