"""`/scheduler/…/meetings/meeting-links`: links, free slots and bookings, one method an endpoint.

This module knows paths and parameters of meeting links. It must not know the transport, the limiter, or how to sleep;
it is given a `Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/scheduler-meetings-v3/guide
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import (
    AmbiguousWriteError,
    ConfigurationError,
    HubSpotError,
    NotFound,
    RequestRejected,
    UnexpectedResponse,
)
from ..models.scheduler import (
    AvailabilityPage,
    BookedMeeting,
    BookingInformation,
    LinkPage,
    LinkUpdate,
    MeetingLink,
)
from ..models.tolerant import tolerant_decoder
from ..moments import duration_ms, utc, zone
from ..versions import known_version
from ..wire import Call, Replay, Request, encode, query_string, segment
from .booking import booking_request, checked_slug, in_doubt, made, refusal, unknown_slug
from .slots import MOST_MONTHS, SlotQuery, Slots

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["LinkListing", "Scheduler"]

T = TypeVar("T")

_UPDATE_VERSIONS: Final = {"v3": "v3", "2026-09": "2026-09-beta"}
"""Where HubSpot publishes the update of a link: not in 2026-03, and in 2026-09 as a beta only."""

_links = tolerant_decoder(LinkPage)
_link = tolerant_decoder(MeetingLink)
_information = tolerant_decoder(BookingInformation)
_availability = tolerant_decoder(AvailabilityPage)
_booked = tolerant_decoder(BookedMeeting)


class LinkListing:
    """All meeting links of a list request: `async for` over it gives links, over `pages()` whole pages.

    Each iteration begins anew at the first page (or at `after`).
    """

    def __init__(self, call: Call, path: str, parameters: Mapping[str, object]) -> None:
        self._call = call
        self._path = path
        self._parameters = parameters

    async def __aiter__(self) -> AsyncIterator[MeetingLink]:
        async for page in self.pages():
            for link in page.results:
                yield link

    async def pages(self) -> AsyncIterator[LinkPage]:
        """Page after page; `page.total` counts all links, `page.after` is the cursor to go on from later."""
        after = self._parameters.get("after")
        while True:
            page = await self._page({"after": after})
            yield page
            if page.after is None:
                return
            if page.after == after:
                raise UnexpectedResponse(f"the list does not go on: the page after {after!r} names itself as the next")
            after = page.after

    async def total(self) -> int:
        """How many links there are, for one call with one link in its answer."""
        return (await self._page({"limit": 1, "after": None})).total

    async def _page(self, changed: Mapping[str, object]) -> LinkPage:
        query = query_string({**self._parameters, **changed})
        return await self._call(Request(method="GET", path=self._path, query=query, decoder=_links))


class Scheduler:
    """Meeting links: who can be met when, and booking.

    Reads are tried again on their own. All methods raise `NotFound` for an unknown slug, `RequestRejected` or one of
    its kinds when HubSpot refuses, `HubSpotUnavailable` or `TransportFailed` when it can not be had after the retries,
    and `ConfigurationError` at once for wrong arguments. A slug is what stands behind the host in a meeting link
    (`ada/intro`); time zones are IANA names or `ZoneInfo`s. Needs the scope `scheduler.meetings.meeting-link.read`.

    `now` is the local clock. It only tells whether a month may have ended in the middle of a walk through months.
    """

    def __init__(
        self, call: Call, *, api_version: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._call = call
        self._now = now
        self._api_version = api_version
        self._path = f"/scheduler/{known_version(api_version)}/meetings/meeting-links"

    def links(
        self,
        *,
        name: str | None = None,
        organizer_user_id: str | int | None = None,
        type: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> LinkListing:
        """Meeting links (`GET …/meeting-links`), page after page.

            async for link in hubspot.scheduler.links(type="ROUND_ROBIN_CALENDAR"): ...

        `organizer_user_id` is a user's id (not an owner's). `type` is `PERSONAL_LINK`, `GROUP_CALENDAR` or
        `ROUND_ROBIN_CALENDAR`. `limit` is the size of a page; HubSpot does not say how large it may be.
        """
        if limit is not None and not _whole(limit, 1):
            raise ConfigurationError(f"limit is the size of a page, a whole number from 1 on, not {limit!r}")
        if organizer_user_id is not None:
            segment(organizer_user_id, what="organizer_user_id")
        parameters: dict[str, object] = {
            "name": name,
            "organizerUserId": organizer_user_id,
            "type": type,
            "limit": limit,
            "after": after,
        }
        return LinkListing(self._call, self._path, parameters)

    async def booking_information(self, slug: str, *, timezone: str | ZoneInfo) -> BookingInformation:
        """All that a booking page shows (`GET …/book/{slug}`): lengths, form, consents, hours, members, free times."""
        query = query_string({"timezone": zone(timezone).name})
        return await self._read(slug, Request(method="GET", path=self._of(slug), query=query, decoder=_information))

    async def availability_page(
        self, slug: str, *, timezone: str | ZoneInfo, month_offset: int = 0
    ) -> AvailabilityPage:
        """The free times of one month (`GET …/book/availability-page/{slug}`), as HubSpot sends them.

        `month_offset` counts months from the current one. `availability()` goes through months by itself.
        """
        if not _whole(month_offset, 0):
            raise ConfigurationError(
                f"month_offset counts months from the current one, from 0 on, not {month_offset!r}"
            )
        query = query_string({"timezone": zone(timezone).name, "monthOffset": month_offset})
        path = self._of(slug, "availability-page/")
        return await self._read(slug, Request(method="GET", path=path, query=query, decoder=_availability))

    def availability(
        self,
        slug: str,
        *,
        timezone: str | ZoneInfo,
        duration: timedelta | float | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        months: int | None = None,
    ) -> Slots:
        """The free slots of a link, one flat stream over as many months as it offers, each once and in order.

            async for slot in hubspot.scheduler.availability("ada/intro", timezone="Europe/Berlin", duration=1800):
                ...

        A month is asked for only when the slots before it were taken. Without `duration` (a timedelta, or seconds)
        there are slots of every length, at each start the shortest first. `start` and `end` are aware datetimes: only
        slots that begin at or after the one and before the other. `months` ends it after so many calendar months, the
        current one included; without it the stream goes on as far as the link offers anything. Whoever books may come
        too late all the same: see `SlotTaken`.

        Raises while iterating: NotFound for an unknown slug; DurationNotOffered when the link has no meetings of
        this length; UnexpectedResponse when HubSpot promises more even after ten years.
        """
        if months is not None and not (_whole(months, 1) and months <= MOST_MONTHS):
            raise ConfigurationError(f"months must be a whole number from 1 to {MOST_MONTHS}, not {months!r}")
        asked = SlotQuery(
            slug=checked_slug(slug),
            zone=zone(timezone),
            duration_ms=None if duration is None else duration_ms(duration),
            start=None if start is None else utc("start", start),
            end=None if end is None else utc("end", end),
            months=months,
        )

        async def page(month_offset: int) -> AvailabilityPage:
            return await self.availability_page(slug, timezone=timezone, month_offset=month_offset)

        async def durations_s() -> tuple[float, ...]:
            return (await self.booking_information(slug, timezone=timezone)).custom_params.durations_s

        return Slots(asked, page=page, durations_s=durations_s, now=self._now)

    async def book(
        self,
        slug: str,
        *,
        first_name: str,
        last_name: str,
        email: str,
        start: datetime,
        duration: timedelta | float,
        form_fields: Mapping[str, Any] | None = None,
        legal_consents: Mapping[str | int, bool] | None = None,
        guest_emails: Sequence[str] = (),
        likely_available_user_ids: Sequence[str | int] = (),
        timezone: str | ZoneInfo | None = None,
        locale: str | None = None,
    ) -> BookedMeeting:
        """Book a meeting (`POST …/meeting-links/book`): an event, e-mails to all, a contact and a meeting record.

        `start` is an aware datetime, `duration` a timedelta or seconds; both as `availability()` gives them.
        `form_fields` answers the form by field names, `legal_consents` by communication type ids.
        `likely_available_user_ids` says who of a round robin is preferred. `timezone` is the visitor's, by default that
        of `start` where it has an IANA one; `locale` is for example `"en-us"`.

        Never sent twice unless no byte left, not even after a 429: HubSpot has no idempotency key, and a second booking
        writes to people. Needs a write scope such as `crm.objects.contacts.write`.

        Raises: SlotTaken, DurationNotOffered, FormFieldMissing, NotFound (the slug) when it was refused;
        CalendarNotConnected when HubSpot answered 200 and made no event; AmbiguousWriteError when the answer was lost:
        its `asked` is the booking, its message says where to look.
        """
        asked = booking_request(
            slug,
            first_name=first_name,
            last_name=last_name,
            email=email,
            start=start,
            duration=duration,
            form_fields=form_fields or {},
            legal_consents=legal_consents or {},
            guest_emails=guest_emails,
            likely_available_user_ids=likely_available_user_ids,
            timezone=timezone,
            locale=locale,
        )
        request = Request(
            method="POST",
            path=f"{self._path}/book",
            # HubSpot's guide has the zone here, its schema in the body.
            query=query_string({"timezone": asked.timezone}),
            body=encode(asked),
            decoder=_booked,
            replay=Replay.IF_NOT_SENT,
        )
        try:
            booked = await self._call(request)
        except AmbiguousWriteError as error:
            raise in_doubt(error, asked) from error.__cause__
        except RequestRejected as error:
            told = refusal(error, asked)
            if told is error:
                raise
            raise told from error
        try:
            return made(booked, asked)
        except HubSpotError as error:
            error.at(method=request.method, path=request.path, attempt=1)
            raise

    async def update_link(self, slug: str, *, payment_link_id: str | int) -> MeetingLink:
        """Give a meeting link another payment link (`PATCH …/meeting-links/{slug}`); nothing else can be changed.

        HubSpot publishes this call for v3 and, as a beta, for 2026-09; with 2026-03 there is none. Tried again after
        lost answers: the same value once more does no harm.

        Raises: ConfigurationError where the API version does not have it.
        """
        version = _UPDATE_VERSIONS.get(self._api_version)
        if version is None:
            raise ConfigurationError(
                f"HubSpot's API {self._api_version} can not update meeting links; use api_version='v3' for this call"
            )
        body = encode(LinkUpdate(payment_link_id=segment(payment_link_id, what="payment_link_id", digits=False)))
        path = f"/scheduler/{version}/meetings/meeting-links/{segment(checked_slug(slug), what='slug', digits=False)}"
        return await self._read(slug, Request(method="PATCH", path=path, body=body, decoder=_link))

    def _of(self, slug: str, under: str = "") -> str:
        return f"{self._path}/book/{under}{segment(checked_slug(slug), what='slug', digits=False)}"

    async def _read(self, slug: str, request: Request[T]) -> T:
        try:
            return await self._call(request)
        except NotFound as error:
            raise unknown_slug(error, slug) from error


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
