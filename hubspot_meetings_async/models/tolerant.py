"""Fields that HubSpot writes in more than one way, read into one form.

This module knows the spellings seen in HubSpot's answers. It must not know which endpoints send them. A name defined
here stands for a plain Python type in annotations; a decoder made by `tolerant_decoder` does the reading.
"""

from __future__ import annotations

from abc import ABCMeta
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import msgspec

__all__ = ["Moment", "Several", "Text", "moment", "tolerant_convert", "tolerant_decoder"]

T = TypeVar("T")

if TYPE_CHECKING:
    Moment: TypeAlias = datetime
    """An aware datetime in UTC; Unix milliseconds (as number or string) or ISO 8601 on the wire."""
    Text: TypeAlias = str
    """A string; ids come as numbers at times."""
    Several: TypeAlias = tuple[str, ...]
    """Strings; a list on the wire, or one string joined by `;` as in the records of the CRM."""
else:
    # msgspec reads a type that it does not know through `_read`, and takes what is an instance of it.
    Moment = ABCMeta("Moment", (), {})
    Text = ABCMeta("Text", (), {})
    Several = ABCMeta("Several", (), {})
    Moment.register(datetime)
    Text.register(str)
    Several.register(tuple)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def tolerant_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder for `kind` that takes HubSpot's several spellings, and numbers written as strings."""
    return cast("msgspec.json.Decoder[T]", _Tolerant(kind))


class _Tolerant:
    """Made when it is first used: five of them are a thirtieth of what the import of this library costs."""

    __slots__ = ("_decoder", "type")

    def __init__(self, kind: type[Any]) -> None:
        self.type = kind
        self._decoder: msgspec.json.Decoder[Any] | None = None

    def decode(self, body: bytes) -> object:
        """The value that `body` holds. Raises: as msgspec's own."""
        if self._decoder is None:
            self._decoder = msgspec.json.Decoder(self.type, dec_hook=_read, strict=False)
        return self._decoder.decode(body)


def tolerant_convert(value: object, kind: type[T]) -> T:
    """`value`, JSON that was decoded before, as a `kind`, with the tolerance of `tolerant_decoder`.

    Raises: msgspec.ValidationError.
    """
    return msgspec.convert(value, kind, dec_hook=_read, strict=False)


def moment(value: object) -> datetime:
    """The aware datetime that Unix milliseconds or an ISO time stand for; without an offset it is UTC.

    Raises: ValueError.
    """
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            read = datetime.fromisoformat(value)
            try:
                return read.replace(tzinfo=UTC) if read.utcoffset() is None else read.astimezone(UTC)
            except OverflowError:
                raise ValueError(f"{value!r} has no form in UTC") from None
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"a time is Unix milliseconds or ISO 8601, not a {type(value).__name__}")
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise ValueError(f"{value} ms lie outside the years 1 to 9999") from None


def _read(kind: type, value: Any) -> object:
    if kind is Moment:
        return moment(value)
    if kind is Text:
        return _text(value)
    if kind is Several:
        return _several(value)
    raise TypeError(f"no way to read a {kind.__name__}: a Struct has a field of a kind that this module does not know")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(f"expected a string, not a {type(value).__name__}")


def _several(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(_text(item) for item in cast("list[object]", value))
    return tuple(part for part in _text(value).split(";") if part)
