"""Calendar files (RFC 5545) as streams of records: one for each event, one for each occurrence of a repeating one.

This module knows which events are read together, and what becomes of those that make no sense. It must not know
HubSpot's calls, or what becomes of a record.

Events that take place once are given as they are read, in memory for one. Those that repeat, and those in time zones
that the file has not defined yet, are kept until its end, up to 64 MiB of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ..errors import ConfigurationError
from ..inputs import Record
from .ical_events import Event, EventSettings, Happening, event_of, instant, record_of
from .ical_lines import Part, Parts
from .ical_series import occurrences, searches
from .ical_zones import UnknownZone, Zones
from .lines import Broken, Lines, Unreadable

__all__ = ["EventSettings", "Happening", "Reader", "need_icalendar"]

_MOST_KEPT: Final = 64 * 1024 * 1024
_MOST_BARREN: Final = 10


def need_icalendar() -> None:
    """Raises: ConfigurationError when the packages that read calendars are not installed."""
    try:
        import icalendar
        import recurring_ical_events  # pyright: ignore[reportMissingTypeStubs]  (it has none)

        del icalendar, recurring_ical_events
    except ImportError as error:
        raise ConfigurationError(
            f"calendar files need the extra icalendar ({error.name} is missing): "
            "pip install 'hubspot-meetings-async[icalendar]'"
        ) from error


class Reader:
    """The events of one file: `for item in Reader(…)` gives a `Record` or a `Broken` for each, in one pass.

    `kept` are the lines of events that were read and come at the end of the file. `warn` hears, at the end, how many
    events lie outside of the window. Raises: ConfigurationError when the file is no calendar.
    """

    def __init__(self, lines: Lines, name: str, settings: EventSettings, warn: Callable[[str], None]) -> None:
        need_icalendar()
        self._parts = Parts(lines, name)
        self._file = name
        self._settings = settings
        self._warn = warn
        self._since, self._until = settings.window()
        self._zones = Zones(settings.zone())
        self._later: list[Part] = []
        self._series: dict[str, list[tuple[Event, Part]]] = {}
        self._kept_characters = 0
        self._outside = 0
        self._barren = 0

    def __iter__(self) -> Iterator[Record | Broken]:
        for part in self._parts:
            self._learn_zone()
            if part.kind == "VTIMEZONE":
                self._zones.define(part)
                continue
            try:
                yield from self._single(part)
            except UnknownZone:
                self._keep(part)
                self._later.append(part)
            except Unreadable as error:
                yield _broken(part, error)
        for part in self._later:
            try:
                yield from self._single(part)
            except Unreadable as error:
                yield _broken(part, error)
        for uid in list(self._series):
            yield from self._repeating(self._series.pop(uid))
        if self._outside:
            self._warn(
                f"left out: {self._outside:,} event(s) outside of {self._since:%Y-%m-%d} to {self._until:%Y-%m-%d}; "
                "--from and --until (since= and until= in a program) set the window"
            )

    def _learn_zone(self) -> None:
        """Take the calendar's own zone for times that name none, where the caller has not said one."""
        if self._settings.timezone is None:
            try:
                self._zones.default = self._zones.named(self._parts.timezone) if self._parts.timezone else None
            except Unreadable:
                self._zones.default = None

    def _single(self, part: Part) -> Iterator[Record]:
        event = event_of(part, self._zones, cancelled=self._parts.method == "CANCEL")
        if event.repeats or event.recurrence_id is not None or event.uid in self._series:
            self._keep(part)
            self._series.setdefault(event.uid, []).append((event, part))
        elif self._since <= instant(event.start, self._zones) < self._until:
            yield record_of(event, event.start, event.start + event.length, None, self._zones, self._settings)
        else:
            self._outside += 1

    def _keep(self, part: Part) -> None:
        self._kept_characters += sum(len(text) for _, text in part.lines)
        if self._kept_characters > _MOST_KEPT:
            raise ConfigurationError(
                f"{self._file}, line {part.start}: its repeating events take more than {_MOST_KEPT // 2**20} MiB, and "
                "have to be read together; split the file by calendar"
            )

    def _repeating(self, series: list[tuple[Event, Part]]) -> Iterator[Record | Broken]:
        events = [event for event, _ in series]
        try:
            costly = any(map(searches, events))
            if costly and self._barren >= _MOST_BARREN:
                raise Unreadable(f"{_MOST_BARREN} events before it never take place, and looking for more takes long")
            found = occurrences(events, self._since, self._until, self._zones)
            records = [
                record_of(one.event, one.start, one.end, one.instance, self._zones, self._settings) for one in found
            ]
        except Unreadable as error:
            yield _broken(series[0][1], error)
            return
        if not records:
            self._outside += 1
            self._barren += costly
        yield from records


def _broken(part: Part, error: Unreadable) -> Broken:
    text = "\n".join((f"BEGIN:{part.kind}", *(text for _, text in part.lines), f"END:{part.kind}"))
    return Broken(part.start, text, str(error))
