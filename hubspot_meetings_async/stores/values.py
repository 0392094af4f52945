"""HubSpot's texts as what a column holds, and what does not fit.

This module knows how HubSpot writes times, numbers and switches. It must not know databases, files or meetings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from ..models import PlainProperties
from ..models.tolerant import moment
from .columns import Column, Kind

__all__ = [
    "Reader",
    "Shape",
    "boolean",
    "day",
    "exact_float",
    "integer_or_float",
    "iso",
    "iso_day",
    "iso_moment",
    "milliseconds",
    "milliseconds_of",
    "moment",
    "number",
]

Reader = Callable[[str], object]
"""Makes a value of HubSpot's text, which is not empty; raises ValueError or ArithmeticError for one that is none."""

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SAFE_DIGITS: Final = 15
"""A decimal of so many digits survives being a double."""

_MOST_DIGITS: Final = 1000
"""Numbers beyond are left as text: no table takes them all."""

_LEAST, _MOST = -(2**63), 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class Shape:
    """Makes rows of properties: a value for each column, in their order.

    `readers` say how each kind of column is read; one without a reader takes the text as it is.
    """

    def __init__(self, columns: Sequence[Column], readers: Mapping[Kind, Reader]) -> None:
        self._fields = [
            (column.of, readers.get(column.kind), "" if column.kind == "text" else None) for column in columns
        ]

    def row(self, properties: PlainProperties) -> tuple[list[object], dict[str, str]]:
        """The values, None for what has none, and the texts that do not fit their columns, by property."""
        values: list[object] = []
        unfit: dict[str, str] = {}
        for name, reader, empty in self._fields:
            text = properties.get(name)
            if not text:
                values.append(empty if text == "" else None)
            elif reader is None:
                values.append(text)
            else:
                try:
                    values.append(reader(text))
                except (ValueError, ArithmeticError):
                    values.append(None)
                    unfit[name] = text
        return values, unfit


def iso(at: datetime) -> str:
    """A moment as `2026-05-14T12:30:00.000Z`: texts of this form sort as the moments do."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_moment(text: str) -> str:
    """The text of a moment, in the form of `iso`."""
    if len(text) == 24 and text[10] == "T" and text[19] == "." and text[23] == "Z" and text[4] == text[7] == "-":
        datetime.fromisoformat(text)  # HubSpot's usual form: nothing to change if it is a moment at all
        return text
    return iso(moment(text))


def day(text: str) -> date:
    """The date that `2026-05-14`, or the moment of its midnight in UTC, stands for."""
    return date.fromisoformat(text) if len(text) == 10 and text[4] == "-" else moment(text).date()


def iso_day(text: str) -> str:
    """The text of a date, as `2026-05-14`."""
    return day(text).isoformat()


def milliseconds(text: str) -> int:
    """The text of a moment, as milliseconds since 1970."""
    return milliseconds_of(moment(text))


def milliseconds_of(at: datetime) -> int:
    """A moment as milliseconds since 1970."""
    return (at - _EPOCH) // _MS


def boolean(text: str) -> bool:
    """True or False."""
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ValueError(text)
    return lowered == "true"


def number(text: str) -> Decimal:
    """A number with all its digits."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    read = Decimal(text)
    if len(text) > _MOST_DIGITS or abs(read.adjusted()) > _MOST_DIGITS:
        raise ValueError(text)
    return read


def exact_float(text: str) -> float:
    """A number as a double, if that keeps every digit."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    read = float(text)
    if (len(text) > _SAFE_DIGITS or "e" in text or "E" in text) and (
        not math.isfinite(read) or Decimal(repr(read)) != Decimal(text)
    ):
        raise ValueError(text)
    return read


def integer_or_float(text: str) -> int | float:
    """A number as SQLite has them: an integer of 64 bits, or a double, if that keeps every digit."""
    if text.isascii() and text.isdigit() and len(text) <= _SAFE_DIGITS:
        return int(text)
    read = number(text)
    if read == read.to_integral_value() and _LEAST <= read <= _MOST and "." not in text:
        return int(read)
    return exact_float(text)
