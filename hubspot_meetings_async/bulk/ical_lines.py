"""A calendar file (RFC 5545) as its parts: one event or time zone at a time, with the lines it stands on.

This module knows how calendar files are written: folded lines, `BEGIN` and `END`, names, parameters, values. It must
not know what an event means, or time zones. Only what events are read for is kept of each, so that a file may be as
large as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ..errors import ConfigurationError
from .lines import Lines, Unreadable

__all__ = ["EVENT_NAMES", "Part", "Parts", "Property", "property_of", "text_of"]

EVENT_NAMES: Final = frozenset(
    (
        "ATTENDEE",
        "CONFERENCE",
        "DESCRIPTION",
        "DTEND",
        "DTSTART",
        "DURATION",
        "EXDATE",
        "LOCATION",
        "ORGANIZER",
        "RDATE",
        "RECURRENCE-ID",
        "RRULE",
        "SEQUENCE",
        "STATUS",
        "SUMMARY",
        "UID",
        "URL",
        "X-GOOGLE-CONFERENCE",
        "X-MICROSOFT-SKYPETEAMSMEETINGURL",
    )
)
"""Properties of an event that are read; others, attachments above all, are passed over."""

_MOST_CHARACTERS: Final = 1024 * 1024
_DEEPEST: Final = 16
_NAME = re.compile(r"[A-Za-z0-9-]+")
_PROPERTY = re.compile(r'([A-Za-z0-9-]+)((?:;[A-Za-z0-9-]+=(?:"[^"]*"|[^";:])*)*):(.*)', re.DOTALL)
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=((?:"[^"]*"|[^";:])*)')
_ESCAPED = re.compile(r"\\([\\;,Nn])")


class Property(NamedTuple):
    """One property: on which line it begins, its name in capitals, parameters (names in capitals) and raw value."""

    line: int
    name: str
    parameters: Mapping[str, str]
    value: str


class Part(NamedTuple):
    """An event (`VEVENT`) or time zone (`VTIMEZONE`): unfolded lines with their numbers, `BEGIN` and `END` left out.

    `trouble` says why it can not be used. A time zone keeps all of its lines, those of what stands in it too.
    """

    kind: str
    start: int
    lines: tuple[tuple[int, str], ...]
    trouble: str | None = None


class Parts:
    """The events and time zones of a file, in its order: `for part in Parts(lines)`.

    `method` and `timezone` are what the calendar says of itself by then (`METHOD`, `X-WR-TIMEZONE`). What is no
    calendar is told at once. Raises: ConfigurationError; OSError when the file can not be read.
    """

    def __init__(self, lines: Lines, name: str) -> None:
        self._unfolded = _Unfolded(lines)
        self._file = name
        self.method: str | None = None
        self.timezone: str | None = None

    def __iter__(self) -> Iterator[Part]:
        inside: list[str] = []  # the names of the open BEGINs
        for number, text, trouble in self._unfolded:
            verb, _, what = text.partition(":")
            verb, what = verb.strip().upper(), what.strip().upper()
            if not inside and (verb, what) != ("BEGIN", "VCALENDAR"):
                if text.strip():
                    raise ConfigurationError(
                        f"{self._file}, line {number}: BEGIN:VCALENDAR is expected here, and there is "
                        f"{text.strip()[:40]!r}; is this an iCalendar file?"
                    )
                continue
            if verb == "BEGIN" and what in ("VEVENT", "VTIMEZONE") and inside == ["VCALENDAR"]:
                yield self._part(what, number)
            elif verb == "BEGIN":
                if not inside:
                    self.method = self.timezone = None
                inside.append(what)
                if len(inside) > _DEEPEST:
                    raise ConfigurationError(f"{self._file}, line {number}: more than {_DEEPEST} BEGINs in each other")
            elif verb == "END":
                if what != inside[-1]:
                    raise ConfigurationError(
                        f"{self._file}, line {number}: END:{what[:40]} follows BEGIN:{inside[-1][:40]}"
                    )
                inside.pop()
            elif inside == ["VCALENDAR"] and trouble is None:
                self._note(number, text)
        if inside:
            raise ConfigurationError(
                f"{self._file} ends after line {self._unfolded.number} inside {inside[-1][:40]}: its end is missing"
            )

    def _note(self, number: int, text: str) -> None:
        if text[:6].upper() in ("METHOD", "X-WR-T"):
            given = property_of(number, text)
            if given.name == "METHOD":
                self.method = given.value.strip().upper()
            elif given.name == "X-WR-TIMEZONE":
                self.timezone = text_of(given.value).strip()

    def _part(self, kind: str, start: int) -> Part:
        """Read up to the END of what begins at `start`; whatever is wrong in it is its own trouble."""
        lines: list[tuple[int, str]] = []
        inside = [kind]
        characters = 0
        wrong: str | None = None
        for number, text, trouble in self._unfolded:
            name = _NAME.match(text)
            verb = name[0].upper() if name is not None else ""
            what = text.partition(":")[2].strip().upper()
            if (verb, what) in (("BEGIN", kind), ("END", "VCALENDAR")):
                # Its own END is missing; what follows is somebody else's.
                self._unfolded.back(number, text, trouble)
                return Part(kind, start, tuple(lines), f"END:{kind} is missing before line {number}")
            if verb == "BEGIN":
                inside.append(what)
            elif verb == "END":
                if not what or what != inside.pop():
                    wrong = wrong or f"line {number}: END:{what[:40]} where something else is open"
                if not inside or what == kind:
                    return Part(kind, start, tuple(lines), wrong)
            kept = kind == "VTIMEZONE" or (len(inside) == 1 and (not verb or verb in EVENT_NAMES))
            if kept and wrong is None:
                characters += len(text)
                lines.append((number, text))
                if trouble is not None:
                    wrong = f"line {number}: {trouble}"
                elif characters > _MOST_CHARACTERS:
                    wrong = f"it has more than {_MOST_CHARACTERS // 2**20} MiB of text"
                if wrong is not None:
                    lines.clear()
        return Part(kind, start, tuple(lines), "the file ends within it")


class _Unfolded:
    """Lines with those that continue them: what begins with a space or tab belongs to the line before."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._next: tuple[int, str, str | None] | None = None
        self._again: tuple[int, str, str | None] | None = None

    @property
    def number(self) -> int:
        return self._lines.number

    def back(self, number: int, text: str, trouble: str | None) -> None:
        """Give a line back, to be given again."""
        self._again = (number, text, trouble)

    def __iter__(self) -> Iterator[tuple[int, str, str | None]]:
        while True:
            if self._again is not None:
                given, self._again = self._again, None
            else:
                begun = self._next or self._read()
                if begun is None:
                    return
                given = self._joined(*begun)
            yield given

    def _joined(self, number: int, text: str, trouble: str | None) -> tuple[int, str, str | None]:
        pieces = [text]
        characters = len(text)
        while True:
            self._next = self._read()
            if self._next is None or self._next[1][:1] not in (" ", "\t"):
                return number, "".join(pieces), trouble
            _, more, also = self._next
            trouble = trouble or also
            characters += len(more)
            # The rest of a line without end is read, and not kept.
            if characters > _MOST_CHARACTERS:
                trouble = trouble or f"it is longer than {_MOST_CHARACTERS // 2**20} MiB"
            else:
                pieces.append(more[1:])

    def _read(self) -> tuple[int, str, str | None] | None:
        for line in self._lines:
            text = line.text.rstrip("\r\n")
            if text or line.trouble:
                return line.number, text, line.trouble
        return None


def property_of(number: int, text: str) -> Property:
    """Take a line apart. Raises: Unreadable."""
    found = _PROPERTY.fullmatch(text)
    if found is None:
        raise Unreadable(f"line {number} is not written as NAME:VALUE: {text[:60]!r}")
    parameters = {name.upper(): value.replace('"', "") for name, value in _PARAMETER.findall(found[2])}
    return Property(number, found[1].upper(), parameters, found[3])


def text_of(value: str) -> str:
    """A value of text without its escapes."""
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "Nn" else found[1], value)
