"""Meeting links, the users who can be met through them, and what was booked: the state of HubSpot's scheduler.

Pure and synchronous. Must not know requests or answers; the endpoints (`scheduler`, `calendar_events`) read and show.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from .availability import DAY_MS, MINUTE_MS, BusyTimes, WorkingHours, slots, zone
from .clock import Clock

__all__ = ["Booking", "Consent", "FormField", "FormOption", "LinkType", "MeetingLink", "Scheduler", "User"]

LinkType = Literal["PERSONAL_LINK", "GROUP_CALENDAR", "ROUND_ROBIN_CALENDAR"]
CalendarProvider = Literal["GOOGLE", "OFFICE365", "EXCHANGE"]

INCREMENTS = {
    5: "FIVE",
    10: "TEN",
    15: "FIFTEEN",
    20: "TWENTY",
    30: "THIRTY",
    45: "FORTY_FIVE",
    60: "SIXTY",
    90: "NINETY",
    120: "ONE_HUNDRED_TWENTY",
}
"""HubSpot's words for the minutes between two starts."""
_SLUG = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")
_EVENT_LETTERS = "abcdefghijklmnopqrstuv0123456789"
_USER_IDS = 51_204_417
_OWNER_IDS = 83_500_211
_MEETINGS_USER_IDS = 1_406_902
_LINK_IDS = 4_210_077


class User(msgspec.Struct, kw_only=True):
    """Somebody who can be met.

    HubSpot gives one person three numbers: `user_id`; `owner_id`, which records carry; and `id`, which only the
    scheduler uses. `calendar` None is somebody who connected none: bookings then answer `isOffline`, without an event.
    """

    id: str
    user_id: str
    owner_id: str
    email: str
    first_name: str
    last_name: str
    timezone: str
    calendar: CalendarProvider | None
    busy: BusyTimes
    bookings: int = 0

    @property
    def full_name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


class FormOption(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """One choice of a form field."""

    value: str
    label: str = ""
    description: str = ""
    display_order: int = 0
    double_data: float = 0.0
    hidden: bool = False
    read_only: bool = False


class FormField(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """A question asked when booking, beyond name and email; `is_custom` ones are no properties of the contact."""

    name: str
    label: str = ""
    type: str = "string"
    field_type: str = "text"
    is_required: bool = False
    is_custom: bool = False
    options: tuple[FormOption, ...] = ()


class Consent(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """A consent asked for when booking."""

    communication_type_id: str
    label: str = ""
    required: bool = False


class MeetingLink(msgspec.Struct, kw_only=True):
    """A scheduling page."""

    id: str
    slug: str
    name: str
    type: LinkType
    organizer: User
    members: tuple[User, ...]
    default: bool
    timezone: str
    hours: WorkingHours
    durations_ms: tuple[int, ...]
    buffer_ms: int
    increment_ms: int | None
    weeks: int
    form_fields: tuple[FormField, ...]
    consents: tuple[Consent, ...]
    max_guests: int
    location: str
    owner_prioritized: bool
    created_ms: int
    updated_ms: int
    payment_link_id: str | None = None

    @property
    def offline(self) -> bool:
        """Whether no member has connected a calendar."""
        return all(member.calendar is None for member in self.members)

    def free(self, start_ms: int, end_ms: int) -> list[User]:
        """The members who can take this time; of a group all of them, or none."""
        start_ms, end_ms = start_ms - self.buffer_ms, end_ms + self.buffer_ms
        found = [user for user in self.members if user.calendar is not None and user.busy.free(start_ms, end_ms)]
        return [] if self.type == "GROUP_CALENDAR" and len(found) < len(self.members) else found

    def ends_ms(self, now_ms: int) -> int:
        """How far ahead the page offers anything."""
        return now_ms + self.weeks * 7 * DAY_MS

    def step_ms(self, duration_ms: int) -> int:
        """The time between two starts."""
        return self.increment_ms or duration_ms

    def starts(self, duration_ms: int, now_ms: int, start_ms: int, end_ms: int) -> Iterator[int]:
        """The starts of all free slots in `[start_ms, end_ms)`, never in the past nor beyond the page's weeks."""
        start_ms, end_ms = max(start_ms, now_ms), min(end_ms, self.ends_ms(now_ms))
        if start_ms >= end_ms or self.offline:
            return
        spans = self.hours.spans(zone(self.timezone), start_ms - DAY_MS, end_ms)
        step_ms = self.step_ms(duration_ms)
        for at in slots(
            spans, duration_ms=duration_ms, step_ms=step_ms, free=lambda start, end: bool(self.free(start, end))
        ):
            if start_ms <= at < end_ms:
                yield at


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted booking, for whoever checks a client."""

    event_id: str
    slug: str
    user_id: str
    start_ms: int
    end_ms: int
    email: str
    contact_id: str
    meeting_id: str
    request: int


class Scheduler:
    """The scheduling pages of one account.

    Args:
        defaults: begin with two pages, as an account with a few users has them: `maya.lindqvist/intro`, and the round
            robin `sales/demo`.
    """

    def __init__(self, clock: Clock, *, seed: int = 0, defaults: bool = True) -> None:
        self._clock = clock
        self._seed = seed
        self._defaults = defaults
        self.reset()

    def reset(self) -> None:
        """Forget users, pages and bookings; the default pages come back."""
        self._rng = random.Random(self._seed)
        self._users: dict[str, User] = {}
        self._links: dict[str, MeetingLink] = {}
        self.links_made = 0
        """How many links there ever were."""
        self.bookings: list[Booking] = []
        if self._defaults:
            self._add_defaults()

    def put_back(
        self,
        users: Iterable[User],
        links: Iterable[MeetingLink],
        bookings: Iterable[Booking],
        *,
        links_made: int,
        rng: random.Random,
    ) -> None:
        """Furnish the room with what it had before; `rng` makes the event ids to come."""
        self._users = {user.user_id: user for user in users}
        self._links = {link.slug.lower(): link for link in links}
        self.bookings = list(bookings)
        self.links_made = links_made
        self._rng = rng

    @property
    def links(self) -> list[MeetingLink]:
        """All pages, in the order they were made."""
        return list(self._links.values())

    @property
    def users(self) -> list[User]:
        """All users, in the order they were added."""
        return list(self._users.values())

    def link(self, slug: str) -> MeetingLink | None:
        """The page of this slug; case does not matter."""
        return self._links.get(slug.lower())

    def user(self, name: str) -> User | None:
        """The user of this user id or email."""
        return self._users.get(name) or next((user for user in self._users.values() if user.email == name), None)

    def owner(self, owner_id: str) -> User | None:
        """The user of this owner id."""
        return next((user for user in self._users.values() if user.owner_id == owner_id), None)

    def add_user(
        self,
        email: str,
        *,
        first_name: str = "",
        last_name: str = "",
        timezone: str = "UTC",
        calendar: CalendarProvider | None = "GOOGLE",
        user_id: str | None = None,
        owner_id: str | None = None,
    ) -> User:
        """Give the account a user. Raises: ValueError (id or email taken, unknown time zone)."""
        zone(timezone)
        number = len(self._users)
        user_id = user_id or str(_USER_IDS + 113 * number)
        if self.user(user_id) or self.user(email):
            raise ValueError(f"there is a user {user_id} or {email} already")
        user = self._users[user_id] = User(
            id=str(_MEETINGS_USER_IDS + number),
            user_id=user_id,
            owner_id=owner_id or str(_OWNER_IDS + 257 * number),
            email=email,
            first_name=first_name,
            last_name=last_name,
            timezone=timezone,
            calendar=calendar,
            busy=BusyTimes(),
        )
        return user

    def add_link(
        self,
        slug: str,
        *,
        organizer: str | None = None,
        members: Iterable[str] = (),
        name: str | None = None,
        type: LinkType = "PERSONAL_LINK",
        hours: Mapping[str, str | Sequence[str]] | None = None,
        durations: Sequence[int] = (30,),
        timezone: str | None = None,
        buffer: int = 0,
        increment: int | None = 15,
        weeks: int = 8,
        form_fields: Iterable[FormField] = (),
        consents: Iterable[Consent] = (),
        max_guests: int = 10,
        location: str = "",
        owner_prioritized: bool = False,
        default: bool = False,
    ) -> MeetingLink:
        """Give the account a meeting link. Lengths of time are minutes.

        Args:
            organizer: user id or email of a user; None makes a user for it.
            members: user ids or emails of further users, for groups and round robins.
            hours: working hours, see `WorkingHours`; by default `{"MON_FRI": "09:00-17:00"}`.
            durations: the lengths offered.
            timezone: the zone of the working hours; by default the organizer's.
            buffer: free time to keep before and after other meetings.
            increment: between two starts: 5, 10, 15, 20, 30, 45, 60, 90 or 120; None is the meeting's own length.
            weeks: how far ahead it can be booked.

        Raises: ValueError.
        """
        if not _SLUG.fullmatch(slug):
            raise ValueError(f"a slug is made of letters, digits, and - . _ ~ between slashes, not {slug!r}")
        if slug.lower() in self._links:
            raise ValueError(f"there is a meeting link {slug!r} already")
        if increment is not None and increment not in INCREMENTS:
            raise ValueError(f"increment must be one of {', '.join(map(str, INCREMENTS))}, or None, not {increment!r}")
        if not durations or min(durations) < 1:
            raise ValueError(f"durations are minutes, at least one of them, not {durations!r}")
        if buffer < 0 or not 1 <= weeks <= 520 or max_guests < 0:
            raise ValueError("buffer and max_guests must not be negative, and weeks lies between 1 and 520")
        if timezone is not None:
            zone(timezone)
        worked = WorkingHours({"MON_FRI": "09:00-17:00"} if hours is None else hours)
        owner = self._known(organizer) if organizer is not None else self._made_for(slug, timezone or "UTC")
        everyone = dict.fromkeys([owner.user_id, *(self._known(member).user_id for member in members)])
        now_ms = self._clock.wall_ms()
        link = self._links[slug.lower()] = MeetingLink(
            id=str(_LINK_IDS + self._count()),
            slug=slug,
            name=name or slug.rpartition("/")[2].replace("-", " ").capitalize(),
            type=type,
            organizer=owner,
            members=tuple(self._users[user_id] for user_id in everyone),
            default=default,
            timezone=timezone or owner.timezone,
            hours=worked,
            durations_ms=tuple(dict.fromkeys(length * MINUTE_MS for length in durations)),
            buffer_ms=buffer * MINUTE_MS,
            increment_ms=None if increment is None else increment * MINUTE_MS,
            weeks=weeks,
            form_fields=tuple(form_fields),
            consents=tuple(consents),
            max_guests=max_guests,
            location=location,
            owner_prioritized=owner_prioritized,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        return link

    def remove_link(self, slug: str) -> None:
        """Take a meeting link away. Raises: ValueError when there is none."""
        if self._links.pop(slug.lower(), None) is None:
            raise ValueError(f"there is no meeting link {slug!r}")

    def add_busy(self, user: str, start_ms: int, end_ms: int) -> None:
        """Put something else into a user's calendar (user id or email). Raises: ValueError."""
        self._known(user).busy.add(start_ms, end_ms)

    def event_id(self) -> str:
        """An id for a new event in somebody's calendar."""
        return "".join(self._rng.choices(_EVENT_LETTERS, k=26))

    def take(self, link: MeetingLink, user: User, booking: Booking) -> None:
        """Enter a booking into the calendar of the user, or of everyone in a group."""
        for member in link.members if link.type == "GROUP_CALENDAR" else (user,):
            member.busy.add(booking.start_ms, booking.end_ms)
            member.bookings += 1
        self.bookings.append(booking)

    def _known(self, name: str) -> User:
        user = self.user(name)
        if user is None:
            raise ValueError(f"there is no user {name!r}; add one with add_user()")
        return user

    def _made_for(self, slug: str, timezone: str) -> User:
        name = slug.partition("/")[0]
        email = f"{name.lower()}@example.com"
        return self.user(email) or self.add_user(email, first_name=name.capitalize(), timezone=timezone)

    def _count(self) -> int:
        self.links_made += 1
        return 31 * self.links_made

    def _add_defaults(self) -> None:
        stockholm, chicago = (_if_known(name) for name in ("Europe/Stockholm", "America/Chicago"))
        maya = self.add_user("maya.lindqvist@example.com", first_name="Maya", last_name="Lindqvist", timezone=stockholm)
        tomas = self.add_user(
            "tomas.reyes@example.com", first_name="Tomas", last_name="Reyes", timezone=chicago, calendar="OFFICE365"
        )
        self.add_link(
            "maya.lindqvist/intro",
            organizer=maya.user_id,
            name="Meet Maya Lindqvist",
            hours={"MON_FRI": ["09:00-12:00", "13:00-17:00"]},
            durations=(15, 30, 60),
            default=True,
        )
        self.add_link(
            "sales/demo",
            organizer=tomas.user_id,
            members=[maya.user_id],
            name="Product demo",
            type="ROUND_ROBIN_CALENDAR",
            durations=(45,),
            buffer=15,
            increment=30,
            form_fields=[FormField(name="company", label="Company name", is_required=True)],
        )


def _if_known(timezone: str) -> str:
    """The zone, or UTC on machines without time zone data."""
    try:
        zone(timezone)
    except ValueError:
        return "UTC"
    return timezone
