"""How far a sync got: small, in JSON, and good to go on from after any item.

This module knows what has to be remembered and how it is written down. It must not know requests or clocks.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Self

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError

__all__ = ["BinMark", "ExportMark", "LiveMark", "Stretch", "SyncCursor", "packed", "unpacked"]


class LiveMark(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was told of live meetings: all that changed before `ms` (Unix ms), of those at `ms` ids up to `id`, and the
    versions in `told`, which lie beyond."""

    ms: int = 0
    id: int = 0
    told: str = ""


class BinMark(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was told of the recycling bin: all that was archived before `since_ms`, and those in `told`.

    While it is being listed, `began_ms` is when that began, `after` the cursor of the page under way, and `page` what
    was told of that page.
    """

    since_ms: int = 0
    told: str = ""
    began_ms: int | None = None
    after: str | None = None
    page: tuple[int, ...] = ()


class Stretch(Struct, frozen=True, array_like=True):
    """Ids from `start` on and below `end` (None: without an end) that are still to be exported."""

    start: int
    end: int | None = None


class ExportMark(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an export has still to give: `left`, or all from the cursor `after` on but what of that `page` was told.

    `began_ms` is the moment that `changes()` goes on from.
    """

    began_ms: int
    left: tuple[Stretch, ...] = ()
    after: str | None = None
    page: tuple[int, ...] = ()


class SyncCursor(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="form", tag=1):
    """How far a sync of changes, or an export, got. Keep `to_json()`; the members are the library's own.

    changes = hubspot.sync.changes(SyncCursor.from_json(text))
    """

    account: str | None = None
    live: LiveMark = LiveMark()
    bin: BinMark = BinMark()
    export: ExportMark | None = None

    @property
    def exporting(self) -> bool:
        """True while it belongs to an export that has not ended: then it goes into `export(after=…)`, else into
        `changes(…)`."""
        return self.export is not None

    def to_json(self) -> str:
        """One line of JSON: some hundred characters, and some eight for each change within the last `overlap_s`."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The cursor that `to_json` wrote. Raises: ConfigurationError for anything else."""
        try:
            msgspec.json.decode(text, type=_Form)
            cursor = msgspec.json.decode(text, type=cls)
            unpacked(cursor.live.told)
            unpacked(cursor.bin.told)
        except (msgspec.DecodeError, ValueError) as error:
            raise ConfigurationError(
                f"this is no cursor of a sync, or one of another release ({error}); begin again without a cursor"
            ) from None
        return cursor


class _Form(Struct):
    form: int


# ---- ids with their versions, in few characters --------------------------------------------------------------------


def packed(told: Mapping[int, int]) -> str:
    """Ids and moments in Unix ms, as base64: mostly small differences, in as many bytes as each needs."""
    if not told:
        return ""
    least = min(told.values())
    body = bytearray(_bytes_of(least))
    before = 0
    for id_ in sorted(told):
        body += _bytes_of(id_ - before)
        body += _bytes_of(told[id_] - least)
        before = id_
    return b64encode(body).decode()


def unpacked(text: str) -> dict[int, int]:
    """What `packed` wrote. Raises: ValueError for anything else."""
    least, *numbers = _numbers_in(b64decode(text, validate=True)) if text else (0,)
    told: dict[int, int] = {}
    id_ = 0
    for step, version in zip(numbers[::2], numbers[1::2], strict=True):
        id_ += step
        told[id_] = least + version
    return told


def _bytes_of(number: int) -> bytes:
    body = bytearray()
    while number > 0x7F:
        body.append(number & 0x7F | 0x80)
        number >>= 7
    body.append(number)
    return bytes(body)


def _numbers_in(body: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("a number is cut off")
