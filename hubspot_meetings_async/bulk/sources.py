"""JSONL, CSV and calendar files as streams of records, lazily; what can not be read becomes a `Broken`.

This module knows file formats, calendar exports and local times. It must not know HubSpot's calls, tasks, or what
becomes of a record. Nothing is dropped in silence: each row of a file is a `Record` (its `ref` is the number of the
line where it starts; of a calendar's events a `Happening`), a `Broken`, or counted as blank.
"""

from __future__ import annotations

import logging
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import msgspec

from ..errors import ConfigurationError
from ..inputs import Record
from ..models import Association, AssociationType, ObjectId
from .columns import Columns, Plan
from .csv_rows import Rows
from .ical import EventSettings, Happening, Reader
from .lines import Broken, Line, Lines, Unreadable, opened

__all__ = [
    "Broken",
    "Columns",
    "EventSettings",
    "Format",
    "Happening",
    "Source",
    "format_by_name",
    "line_of",
    "records",
]

Format = Literal["jsonl", "csv", "ics"]

_log = logging.getLogger("hubspot_meetings_async")


class Source:
    """The records of a file, for one pass: `for item in source` gives `Record`s and `Broken`s, lazily.

    `path` is a file's name (`.gz` is unpacked), `-` for standard input, or an open binary stream. The format follows
    from the name, else from the first character. JSONL takes one object a line: properties (`{"hs_meeting_title": …}`,
    with `id` where the call needs one), HubSpot's input (`{"id": …, "properties": {…}, "associations": […]}`), or a
    line of a rejects file, of which the `record` is taken; those with an ambiguous outcome only with `ambiguous_too`,
    since sending a create again could make it twice. CSV takes a header and rows; see `Columns`. A calendar's events
    (`ics`) become the records of an upsert by their UID; see `EventSettings`.

    `line` (lines read so far), `blank` (rows without content) and `rows` (records and broken ones) can be read while
    it runs. `on_warning` hears of things that are odd but not wrong; by default they are logged.

    Raises: ConfigurationError for a header or setting that makes no sense, at once; OSError when the file can not be
    read, at once or while it is read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: Format | None = None,
        columns: Columns | None = None,
        events: EventSettings | None = None,
        encoding: str = "utf-8",
        ambiguous_too: bool = True,
        on_warning: Callable[[str], None] = _log.warning,
    ) -> None:
        self._stream, self.name = opened(path)
        self._ambiguous_too = ambiguous_too
        self._table: Rows | None = None
        self.rows = 0
        self.blank = 0
        try:
            self.format: Format = format or format_by_name(self.name) or _by_content(self._stream)
            if self.format != "csv" and columns not in (None, Columns()):
                raise ConfigurationError(
                    "columns, their time zone and date formats are for CSV; JSONL is sent as it is, and calendars have "
                    "settings of their own"
                )
            self._lines = Lines(self._stream, self.name, encoding)
            items: Iterator[Record | Broken | None]
            match self.format:
                case "jsonl":
                    items = self._jsonl()
                case "csv":
                    items = self._csv(columns or Columns(), on_warning)
                case "ics":
                    items = iter(Reader(self._lines, self.name, events or EventSettings(), on_warning))
        except BaseException:
            self._stream.close()
            raise
        self._items = self._counted(items)

    @property
    def line(self) -> int:
        """How many lines have been read; the rows on them have all been given."""
        return self._lines.number - (self._table.waiting if self._table is not None else 0)

    def __iter__(self) -> Iterator[Record | Broken]:
        return self._items

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counted(self, items: Iterator[Record | Broken | None]) -> Iterator[Record | Broken]:
        for item in items:
            if item is None:
                self.blank += 1
            else:
                self.rows += 1
                yield item

    def _jsonl(self) -> Iterator[Record | Broken | None]:
        for line in self._lines:
            if not line.text.strip():
                yield None
                continue
            try:
                yield _json_record(line, ambiguous_too=self._ambiguous_too)
            except Unreadable as error:
                yield Broken(line.number, line.text.rstrip("\r\n"), str(error))

    def _csv(self, columns: Columns, warn: Callable[[str], None]) -> Iterator[Record | Broken | None]:
        # Not a generator itself: a header that makes no sense is an error of the call, before anything is sent.
        rows = self._table = Rows(self._lines)
        header = rows.header()
        if header is None:
            return iter(())
        self.blank += rows.start - 1
        return _table(rows, Plan(header, columns, warn))


def _table(rows: Rows, plan: Plan) -> Iterator[Record | Broken | None]:
    for row in rows:
        if isinstance(row, Broken):
            yield row
        elif not any(map(str.strip, row)):
            yield None
        else:
            try:
                yield plan.record(row, rows.start)
            except Unreadable as error:
                yield Broken(rows.start, rows.text, str(error))


def records(source: Iterable[Record | Broken], on_broken: Callable[[Broken], None]) -> Iterator[Record]:
    """The records of `source`, for `hubspot.bulk`; each broken row goes to `on_broken` when its turn comes."""
    for item in source:
        if isinstance(item, Broken):
            on_broken(item)
        else:
            yield item


def line_of(item: Record | Broken) -> int:
    """The number of the line where it starts."""
    if isinstance(item, Broken):
        return item.line
    number: int = item.ref.line if isinstance(item.ref, Happening) else item.ref
    return number


_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".ics": "ics",
    ".ical": "ics",
}


def format_by_name(name: str) -> Format | None:
    """The format that a file's name tells."""
    return _FORMATS.get(Path(name.removesuffix(".gz")).suffix.lower())


def _by_content(stream: BinaryIO) -> Format:
    peek = getattr(stream, "peek", None)
    if peek is None:
        raise ConfigurationError(f"this stream does not tell its format; say which: {', '.join(get_args(Format))}")
    start: bytes = peek(64)
    start = start.removeprefix(BOM_UTF8).lstrip()
    if start[:15].upper() == b"BEGIN:VCALENDAR":
        return "ics"
    return "jsonl" if start[:1] in (b"{", b"[") else "csv"


# ---- JSONL -------------------------------------------------------------------------------------------------------


class _LinkedId(msgspec.Struct):
    id: str | int


class _Link(msgspec.Struct):
    """An association as it may stand in a file: HubSpot takes ids that are numbers too."""

    to: _LinkedId
    types: tuple[AssociationType, ...]


_JSON = msgspec.json.Decoder(dict[str, Any])
_MEMBERS = {"id", "properties", "associations", "objectWriteTraceId"}
_REJECT_MEMBERS = {"line", "outcome", "reason", "record"}


def _json_record(line: Line, *, ambiguous_too: bool) -> Record:
    if line.trouble is not None:
        raise Unreadable(line.trouble)
    try:
        members = _JSON.decode(line.text)
        if members.keys() >= _REJECT_MEMBERS:
            if members["record"] is None:
                raise Unreadable("this row was broken in its source: mend it there, or write the record into 'record'")
            if members["outcome"] == "ambiguous" and not ambiguous_too:
                raise Unreadable(
                    "HubSpot may have done this already (its outcome was ambiguous): look it up there, and remove the"
                    ' line or make its outcome "not_sent"'
                )
            members = msgspec.convert(members["record"], dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unreadable(f"not one JSON object: {error}") from error
    if isinstance(members.get("properties"), dict):
        return _input(members, line.number)
    given_id = members.pop("id", None)
    for name, member in members.items():
        if isinstance(member, dict):
            raise Unreadable(f"the property {name!r} is an object; properties are text, numbers, true, false or null")
    return Record(properties=members, id=_json_id(given_id), ref=line.number)


def _input(members: dict[str, Any], number: int) -> Record:
    unknown = members.keys() - _MEMBERS
    if unknown:
        raise Unreadable(f"beside 'properties' there is {', '.join(sorted(unknown))}, which no input has")
    try:
        links = msgspec.convert(members.get("associations") or (), tuple[_Link, ...])
        trace_id = msgspec.convert(members.get("objectWriteTraceId"), str | None)
    except msgspec.ValidationError as error:
        raise Unreadable(f"associations are not as HubSpot takes them: {error}") from error
    return Record(
        properties=members["properties"],
        id=_json_id(members.get("id")),
        associations=tuple(Association(ObjectId(str(link.to.id)), link.types) for link in links),
        object_write_trace_id=trace_id,
        ref=number,
    )


def _json_id(id: object) -> str | int | None:
    if isinstance(id, bool) or not isinstance(id, (str, int, type(None))):
        raise Unreadable("an id is a number or text")
    return id
