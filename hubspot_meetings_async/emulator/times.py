"""Timestamps as HubSpot reads and writes them: ISO 8601 in UTC with milliseconds, or Unix milliseconds.

Knows text and numbers only. Both directions are cached: a batch shares its timestamps, calendars repeat theirs.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache

__all__ = ["canonical_date", "canonical_datetime", "http_date", "iso", "parse_ms"]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # naive on purpose: its isoformat() has no offset to cut off
_MILLISECOND = timedelta(milliseconds=1)
_AWARE_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=8192)
def iso(ms: int, always_milliseconds: bool = False) -> str:
    """Write Unix milliseconds as HubSpot does; the fraction is dropped when it is zero unless told otherwise.

    Raises: OverflowError beyond the years 1 to 9999.
    """
    seconds, milli = divmod(ms, 1000)
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    if milli or always_milliseconds:
        return f"{text}.{milli:03d}Z"
    return text + "Z"


@lru_cache(maxsize=8)
def http_date(seconds: int) -> str:
    """Unix seconds as a `Date` header has them."""
    return formatdate(seconds, usegmt=True)


def parse_ms(text: str) -> int:
    """Read Unix milliseconds or a full ISO time with its offset.

    Raises: ValueError for anything else, also for times without an offset, which could mean any moment.
    """
    digits = text[1:] if text[:1] == "-" else text
    if digits.isascii() and digits.isdigit():
        return int(text)
    # fromisoformat() reads more spellings than ISO's plain one: week dates, no dashes, a blank for the T.
    if text[4:5] != "-" or text[7:8] != "-" or text[10:11] != "T":
        raise ValueError("not a date with a time of day")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return (moment - _AWARE_EPOCH) // _MILLISECOND


@lru_cache(maxsize=8192)
def canonical_datetime(text: str, always_milliseconds: bool = False) -> str:
    """A datetime value as it will be read back. Raises: ValueError."""
    try:
        return iso(parse_ms(text), always_milliseconds)
    except OverflowError as error:
        raise ValueError("out of range") from error


def canonical_date(text: str) -> str:
    """A date value as it will be read back: `YYYY-MM-DD`; Unix ms must be midnight UTC. Raises: ValueError."""
    digits = text[1:] if text[:1] == "-" else text
    if digits.isascii() and digits.isdigit():
        days, rest = divmod(int(text), 86_400_000)
        if rest:
            raise ValueError("not midnight UTC")
        try:
            return (_EPOCH + timedelta(days=days)).date().isoformat()
        except OverflowError as error:
            raise ValueError("out of range") from error
    if len(text) != 10 or text[4] != "-" or text[7] != "-":
        raise ValueError("not a date")
    return date.fromisoformat(text).isoformat()
