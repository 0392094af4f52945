"""The records all contestants send and get back: ten thousand, over and over, so that the server's answers fit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

__all__ = [
    "ALL",
    "CHANGES",
    "DISTINCT",
    "FIRST_ID",
    "KEY",
    "NAMES",
    "RECORDS",
    "batches",
    "changes",
    "id_of",
    "ids",
    "records",
]

KEY = "booking_ref"
DISTINCT = 10_000
"""Enough that no two batches in flight name the same record."""
FIRST_ID = 9_000_000

ALL: list[dict[str, str]] = [
    {
        KEY: f"B-{number:06}",
        "hs_timestamp": "2026-11-23T09:00:00.000Z",
        "hs_meeting_title": f"Quarterly review no. {number}",
        "hs_meeting_body": "<p>Agenda: numbers, plans, questions.</p>" * 4,
        "hs_meeting_start_time": "2026-11-23T09:00:00.000Z",
        "hs_meeting_end_time": "2026-11-23T10:00:00.000Z",
        "hs_meeting_outcome": "SCHEDULED",
        "hubspot_owner_id": "41629779",
    }
    for number in range(DISTINCT)
]
CHANGES: list[dict[str, Any]] = [
    {"id": str(FIRST_ID + number), "properties": record} for number, record in enumerate(ALL)
]
"""The same as inputs of an update."""
RECORDS = ALL[:100]
"""One batch."""
NAMES = [*ALL[0], "hs_object_id", "hs_createdate", "hs_lastmodifieddate"]


def id_of(number: int) -> str:
    """HubSpot's id of a record."""
    return str(FIRST_ID + number % DISTINCT)


def records(count: int) -> Iterator[dict[str, str]]:
    """`count` records; a source that costs next to nothing."""
    for number in range(count):
        yield ALL[number % DISTINCT]


def changes(count: int) -> Iterator[dict[str, Any]]:
    """`count` inputs of an update."""
    for number in range(count):
        yield CHANGES[number % DISTINCT]


def ids(count: int) -> Iterator[str]:
    """The ids of `count` records."""
    for number in range(count):
        yield id_of(number)


def batches(count: int) -> Iterator[list[dict[str, str]]]:
    """`count` records in lists of a hundred."""
    source = records(count)
    while batch := list(islice(source, 100)):
        yield batch
