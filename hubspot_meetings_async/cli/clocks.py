"""Times as people type and read them: in their own zone, to the minute.

This module knows zones, days and lengths of time in words. It must not know HubSpot, options of single commands, or
output.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from ..errors import ConfigurationError, printable
from ..moments import Zone, zone
from .terminal import warn

__all__ = ["day_of", "length", "minutes", "moment", "on_clock", "person_zone"]

_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}
_LENGTH = re.compile(r"(?:(?P<hours>\d{1,2}) ?h(?:ours?)?)? ?(?:(?P<minutes>\d{1,4}) ?(?:m|min|minutes?)?)?")


def person_zone(name: str | None) -> Zone:
    """The zone of `--timezone`, else this machine's. Raises: ConfigurationError for a name that is none."""
    if name is not None:
        try:
            return zone(name)
        except ConfigurationError:
            raise ConfigurationError(
                f"--timezone takes a name such as Europe/Berlin, not {printable(repr(name))[:60]}"
            ) from None
    for found in _machine_zones():
        try:
            return Zone(found, ZoneInfo(found))
        except (KeyError, ValueError, OSError):  # a rule such as CET-1CEST, or a file of another kind
            continue
    warn("this machine does not name its time zone, so times are in UTC; --timezone names another")
    return Zone("UTC", UTC)


def _machine_zones() -> Iterator[str]:
    """Names this machine may have for its zone."""
    places = [os.environ.get("TZ", "").removeprefix(":"), os.path.realpath("/etc/localtime")]
    for place in places:
        name = place.rpartition("zoneinfo/")[2]
        if name and not name.startswith("/"):
            yield name.removeprefix("posix/").removeprefix("right/")
        if place == places[0] and place:
            return  # who sets TZ means it: the machine's own zone would be a surprise
    try:
        with open("/etc/timezone", encoding="ascii") as file:
            yield file.read().strip()
    except (OSError, ValueError):
        return


def moment(option: str, text: str, person: Zone) -> datetime:
    """What a person typed, as an aware datetime: a day is its first moment, a time without offset is in their zone.

    Raises: ConfigurationError for what is no time, and for one that the clocks skip or show twice.
    """
    words = text.strip().lower()
    if words == "now":
        return datetime.now(person.tz)
    if words in _DAYS:
        day = datetime.now(person.tz).date() + timedelta(days=_DAYS[words])
        return _first_of(day, person)
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", words):
            return _first_of(date.fromisoformat(words), person)
        found = datetime.fromisoformat(words.upper())
        return _shown_once(option, found, person) if found.utcoffset() is None else found.astimezone(person.tz)
    except (ValueError, OverflowError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"{option} takes a day (2026-11-24), a day and time (2026-11-24 16:00, with +01:00 where need be), "
            f"today or tomorrow, not {printable(repr(text))[:60]}"
        ) from None


def _first_of(day: date, person: Zone) -> datetime:
    # Midnight may be skipped by the clocks; through UTC it becomes the moment that there is.
    return datetime.combine(day, time(), person.tz).astimezone(UTC).astimezone(person.tz)


def _shown_once(option: str, local: datetime, person: Zone) -> datetime:
    first = local.replace(tzinfo=person.tz, fold=0)
    second = first.replace(fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    there = first.astimezone(UTC).astimezone(person.tz)
    if there.replace(tzinfo=None) != local:
        raise ConfigurationError(f"{option}: the clocks in {person.name} skip {local:%Y-%m-%d %H:%M}; choose another")
    raise ConfigurationError(
        f"{option}: the clocks in {person.name} show {local:%Y-%m-%d %H:%M} twice; write {first.isoformat(' ')} or "
        f"{second.isoformat(' ')}"
    )


def length(option: str, text: str) -> timedelta:
    """How long, as people write it: 30 (minutes), 45m, 1h, 1h30m. Raises: ConfigurationError."""
    found = _LENGTH.fullmatch(text.strip().lower())
    if found is None or not (found["hours"] or found["minutes"]):
        raise ConfigurationError(
            f"{option} takes minutes (30) or a length such as 1h30m, not {printable(repr(text))[:60]}"
        )
    return timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))


def minutes(seconds: float) -> str:
    """A meeting's length in words."""
    return f"{seconds / 60:g} min"


def day_of(at: datetime) -> str:
    """A day, with the day of the week."""
    return f"{at:%a %Y-%m-%d}"


def on_clock(text: str, person: Zone) -> str:
    """HubSpot's time (`2026-11-24T15:00:00Z`) as the person's clock shows it; any other text as it is."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z", text):
        return text
    try:
        return f"{datetime.fromisoformat(text).astimezone(person.tz):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return text
