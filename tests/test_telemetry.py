"""What the client tells of each attempt: enough to see what goes on, and nothing that is secret."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from hubspot_meetings_async import (
    AmbiguousWriteError,
    Attempt,
    HubSpotError,
    MeetingsClient,
    NoLimit,
    NotFound,
    RetryPolicy,
    Timeouts,
)
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.errors import DeadlineExceeded
from hubspot_meetings_async.telemetry import route_of

SWIFT = RetryPolicy(base_s=0.001, cap_s=0.002)
TOKEN = "pat-na1-canary-7f3a"


class Heard(list[Attempt]):
    """A hook that keeps what it hears."""

    def client(self, emulator: Emulator, **options: object) -> MeetingsClient:
        return MeetingsClient(
            TOKEN,
            base_url=emulator.url,
            limiter=NoLimit(),
            retry=SWIFT,
            on_attempt=self.append,
            **options,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/crm/v3/objects/meetings", "/crm/v3/objects/meetings"),
        ("/crm/v3/objects/meetings/501", "/crm/v3/objects/meetings/{id}"),
        ("/crm/v3/objects/meetings/some%20value", "/crm/v3/objects/meetings/{id}"),
        ("/crm/objects/2026-09/meetings/batch/create", "/crm/objects/2026-09/meetings/batch/create"),
        ("/crm/v4/objects/meetings/1/associations/0-1/2", "/crm/v4/objects/meetings/{id}/associations/{id}/{id}"),
        ("/scheduler/v3/meetings/meeting-links/book/jane-doe", "/scheduler/v3/meetings/meeting-links/book/{id}"),
        ("/crm/v3/properties/meetings/booking_ref", "/crm/v3/properties/meetings/{id}"),
    ],
)
def test_routes_are_few(path: str, route: str) -> None:
    """Whatever varies is one word: a metric has a series for each route."""
    assert route_of(path) == route


async def test_each_try_is_told() -> None:
    """A failure, how long until the next try, the success; each with what HubSpot said."""
    heard = Heard()
    async with Emulator(limit=None) as emulator, heard.client(emulator) as hubspot:
        emulator.faults.fail_next(503)
        made = emulator.portal.add_object("meetings")
        await hubspot.meetings.get(made)
    first, second = heard
    assert (first.method, first.route, first.path) == (
        "GET",
        "/crm/v3/objects/meetings/{id}",
        f"/crm/v3/objects/meetings/{made}",
    )
    assert (first.number, first.status, second.number, second.status) == (1, 503, 2, 200)
    assert first.error is not None
    assert first.retry_in_s is not None
    assert (second.error, second.retry_in_s) == (None, None)
    assert first.correlation_id != second.correlation_id
    assert second.bytes_received > 0
    assert second.lane == "interactive"
    assert second.took_s > 0
    assert second.began_at_ns >= first.began_at_ns


async def test_what_ends_a_call_is_told_too() -> None:
    """Refusals, lost answers, calls that nobody waits for any more."""
    heard = Heard()
    async with Emulator(limit=None) as emulator:
        async with heard.client(emulator) as hubspot:
            with pytest.raises(NotFound):
                await hubspot.meetings.get(1)
            emulator.faults.reset_next()
            with pytest.raises(AmbiguousWriteError):
                await hubspot.meetings.create({"hs_meeting_title": "x"})
        emulator.faults.hang_next()
        async with heard.client(emulator, timeout=Timeouts(call_s=0.05)) as hubspot:
            with pytest.raises(DeadlineExceeded):
                await hubspot.meetings.get(1)
    refused, lost, late = heard
    assert (refused.status, refused.retry_in_s, type(refused.error)) == (404, None, NotFound)
    assert (lost.status, lost.retry_in_s) == (None, None)
    assert lost.error is not None
    assert (late.cancelled, late.error, late.status) == (True, None, None)


async def test_bulk_is_told_apart() -> None:
    """By its lane; the sizes are those of the bodies."""
    heard = Heard()
    async with Emulator(limit=None) as emulator, heard.client(emulator) as hubspot:
        report = await hubspot.bulk.create([{"hs_meeting_title": "x"}] * 250)
    assert {attempt.lane for attempt in heard} == {"bulk"}
    assert sum(attempt.bytes_sent for attempt in heard) == report.bytes_sent
    assert sum(attempt.bytes_received for attempt in heard) == report.bytes_received


async def test_a_hook_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""

    def broken(attempt: Attempt) -> None:
        raise LookupError("the dashboard is gone")

    async with Emulator(limit=None) as emulator:
        made = emulator.portal.add_object("meetings")
        async with MeetingsClient(TOKEN, base_url=emulator.url, on_attempt=broken) as hubspot:
            assert (await hubspot.meetings.get(made)).id == made
    assert "the dashboard is gone" in caplog.text


async def test_nothing_secret_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """No token and no value of a property, in any field, whatever happens."""
    caplog.set_level(logging.DEBUG)
    heard = Heard()
    async with Emulator(limit=None) as emulator, heard.client(emulator) as hubspot:
        for status in (401, 404, 429, 500):
            emulator.faults.fail_next(status)
            with suppress(HubSpotError):
                await hubspot.meetings.create({"hs_meeting_title": "a private matter"})
    assert len(heard) >= 4
    assert TOKEN not in repr(list(heard)) + caplog.text
    assert "private" not in repr(list(heard)) + caplog.text
