"""A seeded data set: meetings as a sales team would have them, one JSON object a line.

This module knows what meetings look like. The same seed gives the same file, byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import BinaryIO, Final
from zoneinfo import ZoneInfo

import msgspec

__all__ = ["KEY", "RESCHEDULED_SHARE", "meetings", "write"]

KEY: Final = "booking_ref"
"""The property that tells the meetings apart."""

RESCHEDULED_SHARE: Final = 0.02
"""The share of meetings that come a second time in the file, moved to another day."""

_TODAY = date(2026, 6, 1)  # fixed: the data must not change from day to day
_DAYS_AROUND = 180

_OWNERS = [str(41_629_700 + 13 * n) for n in range(12)]
_PLACES = (
    ("Europe/Berlin", "Besprechungsraum Süd, Kaiserstraße 7, Frankfurt"),
    ("Europe/London", "The Old Warehouse, 12 Shad Thames, London"),
    ("America/New_York", "41st floor, 350 Fifth Avenue, New York"),
    ("America/Sao_Paulo", "Sala 3, Avenida Paulista 1000, São Paulo"),
    ("Asia/Tokyo", "丸の内1-9-1 会議室B, 東京"),
    ("Asia/Kolkata", "Sona Towers, Millers Road, Bengaluru"),
    ("Australia/Sydney", "Level 8, 1 Bligh Street, Sydney"),
)
_FIRST = ("Ana", "Björn", "Chloé", "Dmitri", "Emeka", "Fatima", "Grace", "Hana", "Ioana", "Jürgen", "Keiko", "Łukasz")
_LAST = (
    "Almeida",
    "Brandt",
    "Cole",
    "Dubois",
    "Eze",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ito",
    "Jensen",
    "Kowalski",
    "Lee",
)
_FIRMS = ("Nordwind Logistik", "Acme & Sons", "Café Moreau", "Blue Heron", "Tanaka Works", "Vela Solar", "O'Neill Labs")
_TOPICS = ("Kick-off", "Demo", "Quarterly review", "Onboarding", "Contract talk", "Technical deep dive", "Renewal")
_POINTS = (
    "where we stand since the last call",
    "open questions on the offer",
    "who decides, and by when",
    "migration of the existing data",
    "security review: sign-on, audit log, retention",
    "next steps & responsibilities",
    "a walk through the new release",
    'what "done" means for the pilot',
)
_LASTING_MINUTES = (15, 30, 30, 30, 45, 60, 60, 90)


def meetings(number: int, seed: int) -> Iterator[dict[str, str]]:
    """`number` meetings, and behind them some of them once more, on another day: the later line is what counts."""
    rng = random.Random(seed)
    moved: list[dict[str, str]] = []
    for n in range(number):
        meeting = _meeting(n, seed, rng)
        if rng.random() < RESCHEDULED_SHARE:
            moved.append(meeting)
        yield meeting
    for meeting in moved:
        zone, _ = _PLACES[0]
        yield meeting | _hours(zone, rng) | {"hs_meeting_outcome": "RESCHEDULED"}


def write(file: BinaryIO, number: int, seed: int) -> int:
    """Write the data set as JSONL; returns how many lines it has."""
    encode = msgspec.json.Encoder().encode
    lines = 0
    for meeting in meetings(number, seed):
        file.write(encode(meeting) + b"\n")
        lines += 1
    return lines


def _meeting(n: int, seed: int, rng: random.Random) -> dict[str, str]:
    zone, address = rng.choice(_PLACES)
    firm = rng.choice(_FIRMS)
    guests = [f"{rng.choice(_FIRST)} {rng.choice(_LAST)}" for _ in range(rng.choice((1, 1, 2, 3)))]
    hours = _hours(zone, rng)
    past = hours["hs_timestamp"] < _TODAY.isoformat()
    kind, place = rng.choice(
        (
            ("ADDRESS", address),
            ("CUSTOM", f"https://meet.example.com/{rng.getrandbits(40):010x}"),
            ("PHONE", f"+49 69 5550{rng.randrange(1000):03}"),
        )
    )
    return {
        KEY: f"BK{seed:02d}-{n:07d}",
        "hs_meeting_title": f"{rng.choice(_TOPICS)}: {firm} × {guests[0]}",
        "hs_meeting_body": _body(firm, guests, rng),
        "hubspot_owner_id": rng.choice(_OWNERS),
        **hours,
        "hs_meeting_location": place,
        "hs_meeting_location_type": kind,
        "hs_meeting_outcome": rng.choice(("COMPLETED", "COMPLETED", "NO_SHOW", "CANCELED")) if past else "SCHEDULED",
        "hs_guest_emails": ";".join(f"guest{rng.randrange(10_000)}@example.com" for _ in guests),
    }


def _hours(zone: str, rng: random.Random) -> dict[str, str]:
    """A start on a working day between 8:00 and 17:45 local time, and an end."""
    day = _TODAY + timedelta(days=rng.randint(-_DAYS_AROUND, _DAYS_AROUND))
    day -= timedelta(days=max(0, day.weekday() - 4))
    start = datetime.combine(day, time(rng.randint(8, 17), rng.choice((0, 15, 30, 45))), ZoneInfo(zone))
    end = start + timedelta(minutes=rng.choice(_LASTING_MINUTES))
    return {
        "hs_timestamp": _utc(start),
        "hs_meeting_start_time": _utc(start),
        "hs_meeting_end_time": _utc(end),
    }


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _body(firm: str, guests: list[str], rng: random.Random) -> str:
    points = "".join(f"<li>{point}</li>" for point in rng.sample(_POINTS, rng.randint(2, 5)))
    return f"<p>With {', '.join(guests)} ({firm}). Agenda:</p><ul>{points}</ul>"
