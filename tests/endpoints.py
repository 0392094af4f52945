"""Every endpoint of HubSpot's Meetings APIs that the client has a method for: the list behind the README's table.

Paths are written as HubSpot's reference has them, `{…}` for what varies. `dated` stands for 2026-03 and 2026-09, with
`{version}` in the path; None where only v3 has the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hubspot_meetings_async import AssociationTypeId, CalendarEventProperties, MeetingsClient, where

TO_CONTACT = AssociationTypeId.MEETING_TO_CONTACT
START = datetime(2026, 11, 24, 15, tzinfo=UTC)

CRM = "/crm/v3/objects/meetings"
DATED = "/crm/objects/{version}/meetings"
LINKS = "/crm/v4/associations/{from}/{to}"
DATED_LINKS = "/crm/associations/{version}/{from}/{to}"
BOTH = ("2026-03", "2026-09")


class Endpoint(NamedTuple):
    """One operation: its HTTP method, path in v3 (None: dated versions only), path in the dated versions, the client's
    method, a call of it, and the dated versions that have it."""

    method: str
    v3: str | None
    dated: str | None
    name: str
    call: Callable[[MeetingsClient], Any]
    versions: tuple[str, ...] = BOTH

    @property
    def known_in(self) -> tuple[str, ...]:
        """The API versions that have it."""
        return (("v3",) if self.v3 else ()) + (self.versions if self.dated else ())

    def path(self, version: str) -> str:
        """The path in one of them."""
        path = self.v3 if version == "v3" else self.dated
        assert path is not None
        return path.replace("{version}", version)

    def row(self) -> str:
        """Its line in the README."""
        path = self.v3 or (self.dated or "").replace("{version}", self.versions[0])
        return f"| `{self.method}` | `{path}` | `hubspot.{self.name}` | {', '.join(self.known_in)} |"


async def first(stream: Any) -> None:
    """Ask a stream for its first item."""
    async for _ in stream:
        return


def _book(hubspot: MeetingsClient) -> Awaitable[Any]:
    return hubspot.scheduler.book(
        "ada/intro", first_name="G", last_name="H", email="g@example.com", start=START, duration=timedelta(minutes=30)
    )


def _event(hubspot: MeetingsClient) -> Awaitable[Any]:
    return hubspot.calendar.create(
        organizer_user_id=7,
        timezone="Europe/Berlin",
        properties=CalendarEventProperties(
            hs_meeting_title="Review",
            hs_meeting_start_time=START,
            hs_meeting_end_time=START + timedelta(hours=1),
            hubspot_owner_id=9,
        ),
    )


ENDPOINTS = [
    Endpoint("GET", CRM, DATED, "meetings.list", lambda h: first(h.meetings.list())),
    Endpoint("POST", CRM, DATED, "meetings.create", lambda h: h.meetings.create({})),
    Endpoint("GET", CRM + "/{id}", DATED + "/{id}", "meetings.get", lambda h: h.meetings.get(501)),
    Endpoint("PATCH", CRM + "/{id}", DATED + "/{id}", "meetings.update", lambda h: h.meetings.update(501, {})),
    Endpoint("DELETE", CRM + "/{id}", DATED + "/{id}", "meetings.archive", lambda h: h.meetings.archive(501)),
    Endpoint(
        "POST",
        CRM + "/search",
        DATED + "/search",
        "meetings.search",
        lambda h: h.meetings.search(where("a").eq("b")).total(),
    ),
    *(
        Endpoint("POST", f"{CRM}/batch/{name}", f"{DATED}/batch/{name}", f"meetings.batch_{name}", call)
        for name, call in {
            "create": lambda h: h.meetings.batch_create([{}]),
            "read": lambda h: h.meetings.batch_read([501]),
            "update": lambda h: h.meetings.batch_update([{"id": 501}]),
            "upsert": lambda h: h.meetings.batch_upsert([{"ref": "x"}], id_property="ref"),
            "archive": lambda h: h.meetings.batch_archive([501]),
        }.items()
    ),
    Endpoint("POST", None, DATED + "/merge", "meetings.merge", lambda h: h.meetings.merge(501, 502), ("2026-09",)),
    Endpoint(
        "POST",
        None,
        DATED + "/gdpr-delete",
        "meetings.gdpr_delete",
        lambda h: h.meetings.gdpr_delete(501),
        ("2026-09",),
    ),
    Endpoint(
        "PUT",
        "/crm/v4/objects/{from}/{id}/associations/default/{to}/{id}",
        "/crm/objects/{version}/{from}/{id}/associations/default/{to}/{id}",
        "associations.set_default",
        lambda h: h.associations.set_default("meetings", 501, "contacts", 101),
    ),
    Endpoint(
        "GET",
        "/crm/v4/objects/{from}/{id}/associations/{to}",
        "/crm/objects/{version}/{from}/{id}/associations/{to}",
        "associations.list",
        lambda h: first(h.associations.list("meetings", 501, "contacts")),
    ),
    Endpoint(
        "PUT",
        "/crm/v4/objects/{from}/{id}/associations/{to}/{id}",
        "/crm/objects/{version}/{from}/{id}/associations/{to}/{id}",
        "associations.set",
        lambda h: h.associations.set("meetings", 501, "contacts", 101, TO_CONTACT),
    ),
    Endpoint(
        "DELETE",
        "/crm/v4/objects/{from}/{id}/associations/{to}/{id}",
        "/crm/objects/{version}/{from}/{id}/associations/{to}/{id}",
        "associations.remove",
        lambda h: h.associations.remove("meetings", 501, "contacts", 101),
    ),
    *(
        Endpoint("POST", f"{LINKS}/{path}", f"{DATED_LINKS}/{path}", f"associations.{name}", call)
        for path, name, call in (
            (
                "batch/create",
                "batch_create",
                lambda h: h.associations.batch_create("meetings", "contacts", [(501, 101, TO_CONTACT)]),
            ),
            (
                "batch/associate/default",
                "batch_associate_default",
                lambda h: h.associations.batch_associate_default("meetings", "contacts", [(501, 101)]),
            ),
            ("batch/read", "batch_read", lambda h: h.associations.batch_read("meetings", "contacts", [501])),
            (
                "batch/archive",
                "batch_archive",
                lambda h: h.associations.batch_archive("meetings", "contacts", [(501, 101)]),
            ),
            (
                "batch/labels/archive",
                "batch_archive_labels",
                lambda h: h.associations.batch_archive_labels("meetings", "contacts", [(501, 101, TO_CONTACT)]),
            ),
        )
    ),
    Endpoint(
        "GET",
        LINKS + "/labels",
        DATED_LINKS + "/labels",
        "associations.labels",
        lambda h: h.associations.labels("meetings", "contacts"),
    ),
    Endpoint(
        "POST",
        "/crm/v4/associations/usage/high-usage-report/{id}",
        "/crm/associations/{version}/usage/high-usage-report/{id}",
        "associations.high_usage_report",
        lambda h: h.associations.high_usage_report(7),
    ),
    Endpoint(
        "GET",
        CRM + "/{id}/associations/{to}",
        None,
        "associations.v3.list",
        lambda h: first(h.associations.v3.list("meetings", 501, "contacts")),
    ),
    Endpoint(
        "PUT",
        CRM + "/{id}/associations/{to}/{id}/{type}",
        DATED + "/{id}/associations/{to}/{id}/{type}",
        "associations.v3.create",
        lambda h: h.associations.v3.create("meetings", 501, "contacts", 101, 200),
    ),
    Endpoint(
        "DELETE",
        CRM + "/{id}/associations/{to}/{id}/{type}",
        DATED + "/{id}/associations/{to}/{id}/{type}",
        "associations.v3.delete",
        lambda h: h.associations.v3.delete("meetings", 501, "contacts", 101, 200),
    ),
    *(
        Endpoint(
            "POST", f"/crm/v3/associations/{{from}}/{{to}}/batch/{name}", None, f"associations.v3.batch_{name}", call
        )
        for name, call in {
            "create": lambda h: h.associations.v3.batch_create("meetings", "contacts", [(501, 101, "a_to_b")]),
            "read": lambda h: h.associations.v3.batch_read("meetings", "contacts", [501]),
            "archive": lambda h: h.associations.v3.batch_archive("meetings", "contacts", [(501, 101, "a_to_b")]),
        }.items()
    ),
    Endpoint(
        "GET",
        "/crm/v3/properties/meetings",
        "/crm/properties/{version}/0-47",
        "properties.all",
        lambda h: h.properties.all(),
    ),
    Endpoint(
        "POST",
        "/crm/v3/properties/meetings",
        "/crm/properties/{version}/0-47",
        "properties.create",
        lambda h: h.properties.create("ref", label="Ref", group_name="engagement"),
    ),
    *(
        Endpoint(method, f"/scheduler/v3/meetings/{path}", f"/scheduler/{{version}}/meetings/{path}", name, call)
        for method, path, name, call in (
            ("GET", "meeting-links", "scheduler.links", lambda h: first(h.scheduler.links())),
            (
                "GET",
                "meeting-links/book/{slug}",
                "scheduler.booking_information",
                lambda h: h.scheduler.booking_information("ada/intro", timezone="UTC"),
            ),
            (
                "GET",
                "meeting-links/book/availability-page/{slug}",
                "scheduler.availability_page",
                lambda h: h.scheduler.availability_page("ada/intro", timezone="UTC"),
            ),
            ("POST", "meeting-links/book", "scheduler.book", _book),
            ("POST", "calendar", "calendar.create", _event),
        )
    ),
    Endpoint(
        "PATCH",
        "/scheduler/v3/meetings/meeting-links/{slug}",
        "/scheduler/{version}-beta/meetings/meeting-links/{slug}",
        "scheduler.update_link",
        lambda h: h.scheduler.update_link("ada/intro", payment_link_id=7),
        ("2026-09",),
    ),
    Endpoint(
        "POST",
        "/oauth/v2/private-apps/get/access-token-info",
        "/oauth/v2/private-apps/get/access-token-info",
        "private_app_token_info",
        lambda h: h.private_app_token_info("token"),
    ),
]


if __name__ == "__main__":
    for endpoint in ENDPOINTS:
        print(endpoint.row())  # noqa: T201 - made for the README
