"""The endpoints of meeting links: `/scheduler/v3/meetings/meeting-links` and its dated twins. Booking is next door.

Knows how links, hours and slots are shown. Must not know HTTP beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from typing import Any, get_args
from urllib.parse import urlencode

import msgspec

from .availability import month_span, zone
from .bodies import decoder, parse
from .calls import Answer, Call
from .portal import Portal
from .refusals import Refusal, validation
from .scheduler_links import INCREMENTS, LinkType, MeetingLink, User
from .times import iso

__all__ = ["availability_page", "booking_info", "link_named", "list_links", "update_link", "zone_asked"]

DEFAULT_PAGE = 10
MAX_PAGE = 100
"""HubSpot states neither; these are those of the object endpoints."""
FURTHEST_MONTH = 120

Json = dict[str, Any]


class LinkUpdate(msgspec.Struct, rename="camel"):
    """The body of an update."""

    payment_link_id: str | None = None


_update = decoder(LinkUpdate)


def list_links(portal: Portal, call: Call) -> Answer:
    """`GET /meeting-links`: filtered by name (any part of it), organizer and type, a page at a time."""
    kind, name, organizer = call.one("type"), call.one("name"), call.one("organizerUserId")
    if kind is not None and kind not in get_args(LinkType):
        raise validation(f"type must be one of {', '.join(get_args(LinkType))}, not {kind}")
    found = [
        link
        for link in portal.scheduler.links
        if (kind is None or link.type == kind)
        and (name is None or name.lower() in link.name.lower())
        and (organizer is None or link.organizer.user_id == organizer)
    ]
    limit = _number(call.one("limit"), "limit", DEFAULT_PAGE, 1, MAX_PAGE)
    start = _number(call.one("after") or None, "after", 0, 0, 2**31)
    payload: Json = {
        "total": len(found),
        "results": [_metadata(portal, link) for link in found[start : start + limit]],
    }
    if start + limit < len(found):
        after = str(start + limit)
        query = [(key, value) for key, values in call.query.items() for value in values if key != "after"]
        payload["paging"] = {"next": {"after": after, "link": f"{call.url}?{urlencode([*query, ('after', after)])}"}}
    return Answer(200, payload)


def booking_info(portal: Portal, call: Call) -> Answer:
    """`GET /meeting-links/book/{slug}`: all that a booking page shows, with the slots of this month."""
    link = link_named(portal, call.captures["slug"])
    asked = zone_asked(call.one("timezone"))
    payload: Json = {
        "linkId": link.id,
        "linkType": link.type,
        "isOffline": link.offline,
        "customParams": _settings(portal, link),
        "allUsersBusyTimes": [_busy(link, user, call.now_ms, lean=False) for user in link.members],
        "brandingMetadata": _BRANDING,
        "linkAvailability": _availability(link, asked, 0, call.now_ms),
    }
    return Answer(200, payload)


def availability_page(portal: Portal, call: Call) -> Answer:
    """`GET /meeting-links/book/availability-page/{slug}`: the free slots of one month of the visitor's zone."""
    link = link_named(portal, call.captures["slug"])
    asked = zone_asked(call.one("timezone"))
    offset = _number(call.one("monthOffset"), "monthOffset", 0, 0, FURTHEST_MONTH)
    lean = portal.behaviour.availability_users == "lean"
    payload: Json = {
        "linkAvailability": _availability(link, asked, offset, call.now_ms),
        "allUsersBusyTimes": [_busy(link, user, call.now_ms, lean=lean) for user in link.members],
    }
    return Answer(200, payload)


def update_link(portal: Portal, call: Call) -> Answer:
    """`PATCH /meeting-links/{slug}`: only the payment link can be changed."""
    link = link_named(portal, call.captures["slug"])
    link.payment_link_id = parse(_update, call.body).payment_link_id
    link.updated_ms = call.now_ms
    return Answer(200, _metadata(portal, link))


def link_named(portal: Portal, slug: str) -> MeetingLink:
    """The link of a slug. Raises: Refusal (404)."""
    link = portal.scheduler.link(slug)
    if link is None:
        raise Refusal(404, f"No meeting link with the slug {slug} exists", category="OBJECT_NOT_FOUND")
    return link


def zone_asked(name: str | None) -> tzinfo:
    """The zone a request names. Raises: Refusal (400), also without one."""
    if not name:
        raise validation("The query parameter timezone is required", context={"missing": ["timezone"]})
    try:
        return zone(name)
    except ValueError:
        raise validation(f"{name} is not a known time zone", context={"timezone": [name]}) from None


def _number(text: str | None, name: str, default: int, low: int, high: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or not low <= int(text) <= high:
        raise validation(f"{name} must be a number from {low} to {high}, not {text}")
    return int(text)


def _metadata(portal: Portal, link: MeetingLink) -> Json:
    three_digits = portal.behaviour.always_milliseconds
    shown: Json = {
        "id": link.id,
        "slug": link.slug,
        "link": f"https://meetings.hubspot.com/{link.slug}",
        "name": link.name,
        "type": link.type,
        "organizerUserId": link.organizer.user_id,
        "userIdsOfLinkMembers": [user.user_id for user in link.members],
        "defaultLink": link.default,
        "createdAt": iso(link.created_ms, three_digits),
        "updatedAt": iso(link.updated_ms, three_digits),
    }
    if link.payment_link_id is not None:
        shown["paymentLinkId"] = link.payment_link_id
    return shown


def _settings(portal: Portal, link: MeetingLink) -> Json:
    hours = {
        group: [{"start": start, "end": end} for start, end in ranges] for group, ranges in link.hours.groups.items()
    }
    as_object = portal.behaviour.availability_hours == "object"
    shown: Json = {
        "availability": {group: ranges[0] for group, ranges in hours.items() if ranges} if as_object else hours,
        "durations": link.durations_ms,
        "formFields": link.form_fields,
        "legalConsentEnabled": bool(link.consents),
        "meetingBufferTime": link.buffer_ms,
        "ownerPrioritized": link.owner_prioritized,
        "startTimeIncrementMinutes": INCREMENTS[link.increment_ms // 60_000]
        if link.increment_ms
        else "MEETING_DURATION",
        "weeksToAdvertise": link.weeks,
        "displayInfo": {"publicDisplayAvatarOption": "PROFILE_IMAGE"},
        "guestSettings": {"canAddGuests": link.max_guests > 0, "maxGuestCount": link.max_guests},
        "language": "en",
        "locale": "en-us",
        "location": link.location,
        "welcomeScreenInfo": {"title": link.name, "showWelcomeScreen": False, "useCompanyLogo": False},
    }
    if link.consents:
        shown["legalConsentOptions"] = {
            "communicationConsentCheckboxes": link.consents,
            "communicationConsentText": "You can unsubscribe from these communications at any time.",
            "isLegitimateInterest": False,
            "legitimateInterestSubscriptionTypes": [],
            "privacyPolicyText": "",
            "processingConsentCheckboxLabel": "",
            "processingConsentFooterText": "",
            "processingConsentText": "By booking you agree to the processing of your data.",
            "processingConsentType": "IMPLICIT",
        }
    return shown


_BRANDING: Json = {
    "logoUrl": None,
    "logoAltText": "",
    "primaryColor": None,
    "secondaryColor": None,
    "accentColor": None,
    "accent2Color": None,
    "companyName": None,
    "companyDomain": None,
    "companyAddressLine1": None,
    "companyAddressLine2": None,
    "companyCity": None,
    "companyState": None,
    "companyZip": None,
    "companyCountry": None,
    "companyAvatar": None,
    "showMarketingAd": False,
    "showSalesAd": False,
}


def _busy(link: MeetingLink, user: User, now_ms: int, *, lean: bool) -> Json:
    """One member; `lean` as HubSpot's sample of the availability page has it: no profile, no busy times."""
    person: Json = {"id": user.id, "userId": user.user_id, "isSalesStarter": False}
    shown: Json = {"isOffline": user.calendar is None, "meetingsUser": person}
    if not lean:
        person["calendarProvider"] = user.calendar or "UNKNOWN"
        person["userProfile"] = {
            "email": user.email,
            "firstName": user.first_name,
            "lastName": user.last_name,
            "fullName": user.full_name,
        }
        taken = user.busy.between(now_ms, link.ends_ms(now_ms))
        shown["busyTimes"] = [{"start": start, "end": end} for start, end in taken]
    return shown


def _availability(link: MeetingLink, asked: tzinfo, offset: int, now_ms: int) -> Json:
    start_ms, end_ms = month_span(now_ms, offset, asked)
    after_ms = link.ends_ms(now_ms)
    shortest = min(link.durations_ms)
    return {
        "linkAvailabilityByDuration": {
            str(duration): {
                "meetingDurationMillis": duration,
                "availabilities": _slots(link.starts(duration, now_ms, start_ms, end_ms), duration),
            }
            for duration in link.durations_ms
        },
        "hasMore": any(True for _ in link.starts(shortest, now_ms, end_ms, after_ms)),
    }


def _slots(starts: Iterable[int], duration_ms: int) -> list[Json]:
    return [{"startMillisUtc": start, "endMillisUtc": start + duration_ms} for start in starts]
