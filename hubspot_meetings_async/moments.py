"""Time zones, moments and lengths of time as callers give them, checked before anything is sent.

This module knows Python's times and Unix milliseconds. It must not know endpoints, clocks, or how anything travels.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, NamedTuple

from .errors import ConfigurationError, printable

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["Zone", "duration_ms", "named_zone", "unix_ms", "utc", "zone"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LONGEST = timedelta(days=1)


class Zone(NamedTuple):
    """A time zone: its IANA name, as HubSpot takes it, and what Python converts with."""

    name: str
    tz: tzinfo


def zone(timezone: str | ZoneInfo) -> Zone:
    """The zone of an IANA name, or of a `ZoneInfo`. Raises: ConfigurationError for names this machine does not know."""
    from zoneinfo import ZoneInfo  # two milliseconds, for who has to do with zones

    if isinstance(timezone, ZoneInfo):
        if not timezone.key:
            raise ConfigurationError("this ZoneInfo has no key; HubSpot needs a name, as in ZoneInfo('Europe/Berlin')")
        return Zone(timezone.key, timezone)
    if timezone == "UTC":  # known without any time zone data
        return Zone(timezone, UTC)
    try:
        return Zone(timezone, ZoneInfo(timezone))
    # ZoneInfo looks the name up as a file: wrong names end as several kinds of error.
    except (KeyError, ValueError, TypeError, AttributeError, OSError):
        raise ConfigurationError(
            "timezone must be an IANA name such as 'Europe/Berlin', or a ZoneInfo, not "
            f"{printable(repr(timezone))[:60]} (on machines without time zone data: pip install tzdata)"
        ) from None


def named_zone(moment: datetime) -> ZoneInfo | None:
    """The IANA zone a moment is given in, if it is."""
    from zoneinfo import ZoneInfo

    return moment.tzinfo if isinstance(moment.tzinfo, ZoneInfo) and moment.tzinfo.key else None


def utc(what: str, moment: object) -> datetime:
    """An aware datetime, in UTC. Raises: ConfigurationError for naive ones and other things."""
    if not isinstance(moment, datetime):
        raise ConfigurationError(f"{what} must be a datetime with a time zone, not a {type(moment).__name__}")
    if moment.utcoffset() is None:
        raise ConfigurationError(
            f"{what} {moment.isoformat()} has no time zone; give it one, as in tzinfo=ZoneInfo('Europe/Berlin')"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError(f"{what} {moment.isoformat()} has no form in UTC") from None


def unix_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime."""
    return (moment - _EPOCH) // _MILLISECOND


def duration_ms(duration: object) -> int:
    """A meeting's length, given as a timedelta or in seconds, in milliseconds.

    Raises: ConfigurationError, also above 24 hours: most likely those are milliseconds given as seconds.
    """
    if isinstance(duration, timedelta):
        length = duration
    elif isinstance(duration, bool) or not isinstance(duration, (int, float)) or duration != duration:
        raise ConfigurationError(f"duration must be a timedelta or a number of seconds, not {duration!r}")
    else:
        # Bounded before it is a timedelta, which ends at a thousand million days.
        length = timedelta(seconds=max(-1, min(duration, 2 * 86_400)))
    if length <= timedelta(0):
        raise ConfigurationError("duration must be above 0")
    if length > _LONGEST:
        raise ConfigurationError(
            "duration is more than 24 hours; a number means seconds, for milliseconds write timedelta(milliseconds=…)"
        )
    return round(length / _MILLISECOND)
