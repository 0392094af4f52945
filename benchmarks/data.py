"""The records all contestants send: a hundred, over and over, so that the neutral server's answer fits each batch."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["RECORDS", "records"]

RECORDS: list[dict[str, str]] = [
    {
        "booking_ref": f"B-{number:06}",
        "hs_timestamp": "2026-11-23T09:00:00.000Z",
        "hs_meeting_title": f"Quarterly review no. {number}",
        "hs_meeting_body": "<p>Agenda: numbers, plans, questions.</p>" * 4,
        "hs_meeting_start_time": "2026-11-23T09:00:00.000Z",
        "hs_meeting_end_time": "2026-11-23T10:00:00.000Z",
        "hs_meeting_outcome": "SCHEDULED",
        "hubspot_owner_id": "41629779",
    }
    for number in range(100)
]


def records(count: int) -> Iterator[dict[str, str]]:
    """`count` records, each a dict of its own."""
    for number in range(count):
        yield dict(RECORDS[number % 100])
