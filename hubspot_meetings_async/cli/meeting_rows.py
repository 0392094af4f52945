"""Meetings in rows: which properties, in which order, and how a value reads.

This module knows names of properties. It must not know where meetings come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..errors import ConfigurationError
from ..models import Meeting
from ..moments import Zone
from .clocks import on_clock
from .showing import Column, given

__all__ = ["USUAL", "as_json", "columns", "names", "row"]

USUAL: Final = (
    "hs_timestamp",
    "hs_meeting_start_time",
    "hs_meeting_end_time",
    "hs_meeting_outcome",
    "hs_meeting_title",
)
_SHORT: Final = {"hs_meeting_start_time": "start", "hs_meeting_outcome": "outcome", "hs_meeting_title": "title"}


def names(text: str | None) -> tuple[str, ...]:
    """What `--properties` names; nothing when it was not given. Raises: ConfigurationError."""
    if text is None:
        return ()
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise ConfigurationError("--properties takes names with commas between them: hs_meeting_title,hs_timestamp")
    return found


def columns(asked: tuple[str, ...]) -> list[Column]:
    """The columns of a table: what was asked for, or the usual ones."""
    shown = asked or tuple(_SHORT)
    return [Column("id", whole=True), *(Column(_SHORT.get(name, name), whole=name in _WHOLE) for name in shown)]


_WHOLE: Final = ("hs_meeting_start_time", "hs_meeting_end_time", "hs_timestamp", "hs_meeting_outcome")
"""Their values are one short word."""


def row(meeting: Meeting, asked: tuple[str, ...], person: Zone) -> list[str]:
    """A meeting as a row under `columns`."""
    values = meeting.properties
    if asked:
        return [meeting.id, *(on_clock(values.get(name) or "", person) for name in asked)]
    start = values.get("hs_meeting_start_time") or values.get("hs_timestamp") or ""
    return [
        meeting.id,
        on_clock(start, person),
        values.get("hs_meeting_outcome") or "",
        values.get("hs_meeting_title") or "",
    ]


def as_json(meeting: Meeting, linked: Mapping[str, Sequence[str]] | None = None) -> dict[str, object]:
    """A meeting for programs: HubSpot's members, and the ids of what it is linked to where that was asked for."""
    members = given(meeting)
    return members if linked is None else {**members, "associations": linked}
