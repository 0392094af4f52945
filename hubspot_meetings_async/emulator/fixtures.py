"""Made-up accounts: a team with scheduling pages, companies with contacts and deals, and years of meetings with them.

Knows what a believable account looks like. Must not know HTTP. The same seed makes the same account to the last
character on every machine and on every day: all times lie around one moment, which is fixed unless told otherwise.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from .availability import DAY_MS, MINUTE_MS, zone
from .crm import Tie
from .fixture_words import (
    ADDRESSES,
    AGENDA,
    BRANCHES,
    CITIES,
    FIRST_NAMES,
    JOBS,
    KINDS,
    LAST_NAMES,
    NOTES,
    STAGES,
    TEAM,
    TRADES,
    Kind,
)
from .portal import Portal
from .scheduler_links import User
from .times import iso

__all__ = ["AROUND_MS", "populate"]

AROUND_MS = 1_795_249_800_000
"""21 November 2026, 08:30 UTC: the moment that made-up meetings lie around. A `ManualClock` starts there too."""
_DAYS_BEFORE, _DAYS_AFTER = 540, 180
_OPENS, _CLOSES = 9 * 60, 17 * 60
_HOUR_MS = 60 * MINUTE_MS
_ENDED = ("COMPLETED", "NO_SHOW", "CANCELED", "RESCHEDULED")
_PER_HUNDRED = (82, 7, 8, 3)


class _Company(NamedTuple):
    name: str
    city: str
    id: int
    contacts: list[tuple[int, str, str]]
    """Id, name and email of each."""
    deals: list[int]


class _Meeting(NamedTuple):
    created_ms: int
    start_ms: int
    end_ms: int
    owner: User
    properties: dict[str, str]
    company: _Company | None
    contacts: list[int]


def populate(
    portal: Portal, *, seed: int = 0, meetings: int, contacts: int | None = None, around_ms: int = AROUND_MS
) -> None:
    """Fill an account: owners, companies, contacts, deals, meetings with their ties, and scheduling pages.

    Meetings that ended before `around_ms` are completed, missed, canceled or moved; later ones are scheduled, and taken
    in their owner's calendar. Series keep their local time of day when the clocks change. Search sees all of it.

    Args:
        meetings: how many.
        contacts: how many; by default one for eight meetings, five at least.
        around_ms: Unix milliseconds. The default makes the same account on every day; give the present for an account
            that goes on right now, which is another one next week.

    Raises: ValueError (less than no meetings; not a single contact; an account that has records already).
    """
    contacts = max(5, meetings // 8) if contacts is None else contacts
    if meetings < 0 or contacts < 1:
        raise ValueError(f"an account has 0 or more meetings and at least 1 contact, not {meetings} and {contacts}")
    if any(len(crm.store) for crm in portal.crms):
        raise ValueError("the account has records already; reset it first, or add objects of your own afterwards")
    counts = [(crm.store, crm.store.created, crm.store.updated) for crm in portal.crms]
    made = _Account(portal, random.Random(f"made-up account {seed}"), around_ms)
    made.hire()
    made.find_customers(contacts)
    made.meet(meetings)
    for store, created, updated in counts:  # none of it was the work of a request
        store.created, store.updated = created, updated
    portal.settle_search()


class _Account:
    """An account in the making."""

    def __init__(self, portal: Portal, rng: random.Random, around_ms: int) -> None:
        self._portal = portal
        self._rng = rng
        self._around_ms = around_ms
        self._today = datetime.fromtimestamp(around_ms / 1000, tz=zone("UTC")).date()
        self._team: list[User] = []
        self._companies: list[_Company] = []
        self._taken: set[tuple[str, int]] = set()

    def hire(self) -> None:
        """Users with their scheduling pages; those that the account has already stay who they are."""
        scheduler = self._portal.scheduler
        for first, last, timezone in TEAM:
            name = f"{_slug(first)}.{_slug(last)}"
            user = scheduler.user(f"{name}@example.com")
            if user is None:
                user = scheduler.add_user(
                    f"{name}@example.com", first_name=first, last_name=last, timezone=_zone_or_utc(timezone)
                )
            self._team.append(user)
            if scheduler.link(f"{name}/intro") is None:
                intro = scheduler.add_link(
                    f"{name}/intro",
                    organizer=user.user_id,
                    name=f"Meet {first} {last}",
                    hours={"MON_THU": ["09:00-12:00", "13:00-17:00"], "FRI": "09:00-13:00"},
                    durations=(15, 30, 60),
                )
                intro.created_ms = intro.updated_ms = self._past_ms()
        if scheduler.link("team/review") is None:
            members = [user.user_id for user in self._team[:3]]
            review = scheduler.add_link(
                "team/review",
                organizer=members[0],
                members=members[1:],
                name="Quarterly review",
                type="GROUP_CALENDAR",
                durations=(60,),
                buffer=15,
                increment=30,
            )
            review.created_ms = review.updated_ms = self._past_ms()

    def find_customers(self, contacts: int) -> None:
        """Companies, about five contacts each, and a deal with two of three."""
        rng, number = self._rng, 0
        while number < contacts:
            place = len(self._companies)
            trade, branch = TRADES[place % len(TRADES)], BRANCHES[place // len(TRADES) % len(BRANCHES)]
            round_ = place // (len(TRADES) * len(BRANCHES))
            name = f"{trade} {branch}" + (f" {round_ + 1}" if round_ else "")
            company = self._company(name)
            for _ in range(min(rng.randint(2, 8), contacts - number)):
                number += 1
                self._contact(company, number)
            for _ in range(rng.choice((0, 1, 1))):
                self._deal(company)
            self._companies.append(company)

    def meet(self, number: int) -> None:
        """Series and single meetings until there are enough, stored in the order they were arranged."""
        planned: list[_Meeting] = []
        weights = [kind.weight for kind in KINDS]
        while len(planned) < number:
            planned += self._series(self._rng.choices(KINDS, weights)[0])
        del planned[number:]
        planned.sort(key=lambda meeting: meeting.created_ms)
        for meeting in planned:
            self._store(meeting)

    # customers

    def _company(self, name: str) -> _Company:
        rng = self._rng
        city = rng.choice(CITIES)
        domain = f"{_slug(name)}.example"
        values = {"name": name, "domain": domain, "website": f"https://{domain}", "city": city, "phone": self._phone()}
        return _Company(name, city, self._add("companies", values, self._past_ms()), [], [])

    def _contact(self, company: _Company, number: int) -> None:
        rng = self._rng
        first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
        email = f"{_slug(first)}.{_slug(last)}.{number}@{_slug(company.name)}.example"
        values = {
            "email": email,
            "firstname": first,
            "lastname": last,
            "company": company.name,
            "jobtitle": rng.choice(JOBS),
            "phone": self._phone(),
            "lifecyclestage": rng.choice(("lead", "opportunity", "customer", "customer")),
            "hubspot_owner_id": rng.choice(self._team).owner_id,
        }
        company.contacts.append((self._add("contacts", values, self._past_ms()), f"{first} {last}", email))

    def _deal(self, company: _Company) -> None:
        rng = self._rng
        values = {
            "dealname": f"{company.name} {rng.choice(('renewal', 'expansion', 'first order', 'pilot'))}",
            "amount": str(rng.randrange(2, 240) * 500),
            "pipeline": "default",
            "dealstage": rng.choice(STAGES),
            "closedate": iso(self._around_ms + rng.randint(-300, 120) * DAY_MS),
            "hubspot_owner_id": rng.choice(self._team).owner_id,
        }
        company.deals.append(self._add("deals", values, self._past_ms()))

    def _phone(self) -> str:
        return f"+1 555 01{self._rng.randrange(100):02} {self._rng.randrange(10_000):04}"

    def _past_ms(self) -> int:
        return self._around_ms - self._rng.randrange(_DAYS_BEFORE * DAY_MS)

    def _add(self, plural: str, values: dict[str, str], now_ms: int) -> int:
        crm = self._portal.crm(plural)
        return crm.store.add(crm.screen_new(values, now_ms), now_ms=now_ms, request=0).id

    # meetings

    def _series(self, kind: Kind) -> list[_Meeting]:
        """All meetings of a series, or a single one."""
        rng = self._rng
        owner = rng.choice(self._team)
        colleague = rng.choice([user for user in self._team if user is not owner])
        company = None if kind.internal else rng.choice(self._companies)
        guests = [] if company is None else rng.sample(company.contacts, min(len(company.contacts), rng.randint(1, 3)))
        length_ms = rng.choice(kind.minutes) * MINUTE_MS
        place = self._place(company)
        day = self._working_day(-_DAYS_BEFORE, 60 if kind.weeks else 45)
        minute = rng.randrange(_OPENS, _CLOSES - 60, 30)
        arranged_ms: int | None = None
        found: list[_Meeting] = []
        for turn in range(rng.randint(*kind.times)):
            if (day - self._today).days > _DAYS_AFTER:
                break
            start_ms = self._free_ms(owner, day, minute)
            if arranged_ms is None:
                arranged_ms = min(start_ms, self._around_ms) - rng.randrange(_HOUR_MS, 14 * DAY_MS)
            names = {
                "owner": owner.first_name,
                "colleague": colleague.first_name,
                "company": company.name if company else "",
                "contact": guests[0][1] if guests else "",
                "number": turn + 1,
                "week": day.isocalendar().week,
                "quarter": f"Q{(day.month + 2) // 3} {day.year}",
            }
            properties = {
                "hs_meeting_title": kind.title.format(**names),
                "hs_meeting_body": self._body(kind),
                "hs_meeting_start_time": iso(start_ms),
                "hs_meeting_end_time": iso(start_ms + length_ms),
                "hs_meeting_outcome": "SCHEDULED",
                "hs_activity_type": kind.activity,
                **place,
                "hubspot_owner_id": owner.owner_id,
            }
            if kind.internal:
                properties["hs_attendee_owner_ids"] = f"{owner.owner_id};{colleague.owner_id}"
            else:
                properties["hs_guest_emails"] = ";".join(email for _, _, email in guests)
            contacts = [id_ for id_, _, _ in guests]
            found.append(_Meeting(arranged_ms, start_ms, start_ms + length_ms, owner, properties, company, contacts))
            day += timedelta(weeks=kind.weeks)
        return found

    def _working_day(self, first: int, last: int) -> date:
        day = self._today + timedelta(days=self._rng.randint(first, last))
        return day if day.weekday() < 5 else day + timedelta(days=2)

    def _free_ms(self, owner: User, day: date, minute: int) -> int:
        """This time of day where the owner works, or half hours later if it is taken."""
        opens_ms = round(datetime.combine(day, time(_OPENS // 60), tzinfo=zone(owner.timezone)).timestamp() * 1000)
        offered = [opens_ms + (later - _OPENS) * MINUTE_MS for later in range(minute, _CLOSES, 30)]
        free = (at for at in offered if (owner.user_id, at) not in self._taken)
        start_ms = next(free, offered[-1])
        self._taken.add((owner.user_id, start_ms))
        return start_ms

    def _place(self, company: _Company | None) -> dict[str, str]:
        """Where to meet, the same for a whole series."""
        rng = self._rng
        way = rng.choices(("VCE", "PHONE", "ADDRESS", "CUSTOM"), (60, 15, 15, 10))[0]
        if way == "VCE":
            url = f"https://meet.example/{rng.randrange(10**9):09}"
            return {
                "hs_meeting_location": rng.choice(("Zoom", "Google Meet", "Microsoft Teams")),
                "hs_meeting_location_type": way,
                "hs_meeting_external_url": url,
            }
        where = "Meeting room 2"
        if way == "PHONE":
            where = self._phone()
        elif way == "ADDRESS" and company is not None:
            where = rng.choice(ADDRESSES).format(company=company.name, city=company.city)
        return {"hs_meeting_location": where, "hs_meeting_location_type": way}

    def _body(self, kind: Kind) -> str:
        points = "".join(f"<li>{point}</li>" for point in self._rng.sample(AGENDA, 3))
        return f"<p>{kind.activity}. Agenda:</p><ul>{points}</ul>"

    def _store(self, meeting: _Meeting) -> None:
        """As HubSpot would have it: arranged one day, its outcome noted another."""
        crm, rng = self._portal.meetings, self._rng
        values = crm.screen_new(meeting.properties, meeting.created_ms)
        ties = [*self._ties("contacts", meeting.contacts)]
        if meeting.company is not None:
            ties += self._ties("companies", [meeting.company.id])
            if meeting.properties["hs_activity_type"] != "Check-in":
                ties += self._ties("deals", meeting.company.deals)
        record = crm.add(values, ties, now_ms=meeting.created_ms, request=0)
        if meeting.end_ms > self._around_ms:
            meeting.owner.busy.add(meeting.start_ms, meeting.end_ms)
            return
        outcome = rng.choices(_ENDED, _PER_HUNDRED)[0]
        changes = {"hs_meeting_outcome": outcome}
        if outcome in ("COMPLETED", "NO_SHOW"):
            noted_ms = min(meeting.end_ms + rng.randrange(2 * _HOUR_MS), self._around_ms)
        else:
            noted_ms = max(meeting.start_ms - rng.randrange(2 * DAY_MS), meeting.created_ms)
        if outcome == "COMPLETED" and meeting.company is not None and rng.random() < 0.4:
            changes["hs_internal_meeting_notes"] = rng.choice(NOTES)
        crm.change(record, changes, now_ms=noted_ms, request=0)

    def _ties(self, plural: str, ids: Sequence[int]) -> list[Tie]:
        kind = self._portal.associations.default("meetings", plural)
        return [] if kind is None else [(kind, id_) for id_ in ids]


def _slug(text: str) -> str:
    """Plain letters of a name, for addresses."""
    plain = unicodedata.normalize("NFKD", text.replace("ø", "o").replace("Ł", "L").replace("ł", "l"))
    return re.sub(r"[^a-z0-9]+", "", plain.encode("ascii", "ignore").decode().lower())


def _zone_or_utc(timezone: str) -> str:
    """The zone, or UTC on machines without time zone data."""
    try:
        zone(timezone)
    except ValueError:
        return "UTC"
    return timezone
