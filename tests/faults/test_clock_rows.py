"""The clock rows of the fault matrix: the wall clock may be anything, and waits do not notice."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from hubspot_meetings_async import (
    AmbiguousWriteError,
    CalendarEventProperties,
    ConfigurationError,
    HubSpotError,
    InvalidRecord,
    MeetingsClient,
    OAuth,
    QuotaGate,
    Timeouts,
    where,
)
from hubspot_meetings_async.emulator import Emulator, Fault

from .conftest import MakeClient

BODY = {"hs_meeting_title": "new"}
TEN_DAYS_S = 10 * 86_400.0


@pytest.mark.row("C1")
@pytest.mark.parametrize("jump_s", [TEN_DAYS_S, -TEN_DAYS_S])
async def test_the_wall_clock_jumps(
    emulator: Emulator, connect: MakeClient, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """Ten days forward or back in mid-run: no call fails, no token is renewed, no quota is lost or won."""
    emulator.portal.add_app("app-1", "s3cret")
    refresh = emulator.portal.issue_tokens("app-1").refresh
    assert refresh is not None
    gate = QuotaGate(limit=1_000)
    hubspot = connect(emulator.url, auth=OAuth("app-1", "s3cret", refresh.value), limiter=gate)
    made = await hubspot.meetings.create(BODY)
    used = gate.stats().in_use
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    emulator.faults.fail_next(503, times=2)
    assert (await hubspot.meetings.get(made.id)).id == made.id
    report = await hubspot.bulk.upsert([{"booking_ref": str(n)} for n in range(150)], id_property="booking_ref")
    assert report.created == 150
    assert emulator.portal.keyring.grants["refresh_token"] == 1
    assert gate.stats().in_use == used + 5


@pytest.mark.row("C2")
async def test_a_jump_during_a_wait(
    emulator: Emulator, hubspot: MeetingsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `Retry-After` of seconds is as long as it is, and one with a date is not believed, whatever the clock says."""
    real = time.time
    emulator.faults.fail_next(429, retry_after="0.3")
    call = asyncio.ensure_future(hubspot.meetings.create(BODY))
    await emulator.until_requests(1)
    monkeypatch.setattr(time, "time", lambda: real() + TEN_DAYS_S)
    await call
    first, second = (entry.at_s for entry in emulator.recent_requests)
    assert 0.29 <= second - first < 10
    emulator.faults.fail_next(503, retry_after="Wed, 21 Oct 2099 07:28:00 GMT")
    made = await call
    assert (await hubspot.meetings.get(made.id)).id == made.id


@pytest.mark.row("C3")
async def test_the_machine_was_asleep(emulator: Emulator, connect: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's clock is an hour on at once: what was in flight times out, in doubt; the rest goes on."""
    hubspot = connect(emulator.url, timeout=Timeouts(attempt_s=50.0, read_s=50.0))
    loop = asyncio.get_running_loop()
    real, asleep_s = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + asleep_s)
    emulator.faults.strike_next(Fault(kind="hang", applied=True))
    call = asyncio.ensure_future(hubspot.meetings.create(BODY))
    await emulator.until_requests(1)
    asleep_s = 3_600.0
    with pytest.raises(AmbiguousWriteError) as caught:
        await call
    assert caught.value.why == "timeout"
    assert emulator.stats().records.stored == 1
    assert (await hubspot.meetings.create(BODY)).id


NAIVE = datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001 - that is the point


@pytest.mark.row("C5")
async def test_naive_moments(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """A moment without a zone is refused wherever one is taken, before anything is sent."""
    calls: dict[str, Any] = {
        "create": lambda: hubspot.meetings.create({"hs_timestamp": NAIVE}),
        "update": lambda: hubspot.meetings.update(1, {"hs_timestamp": NAIVE}),
        "batch": lambda: hubspot.meetings.batch_create([{"hs_timestamp": NAIVE}]),
        "book": lambda: hubspot.scheduler.book(
            "a/b", first_name="G", last_name="H", email="g@example.com", start=NAIVE, duration=1800
        ),
        "event": lambda: hubspot.calendar.create(
            organizer_user_id=1,
            timezone="UTC",
            properties=CalendarEventProperties(
                hs_meeting_title="t", hs_meeting_start_time=NAIVE, hs_meeting_end_time=NAIVE, hubspot_owner_id=1
            ),
        ),
    }
    for name, call in calls.items():
        with pytest.raises((ConfigurationError, InvalidRecord)) as caught:
            await call()
        assert any(word in str(caught.value) for word in ("zone", "naive", "UTC")), name
    with pytest.raises(HubSpotError):
        where("hs_timestamp").ge(NAIVE)
    assert emulator.stats().requests == 0


@pytest.mark.row("C5")
@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Pacific/Chatham", "Europe/Berlin"])
async def test_the_machines_zone(
    emulator: Emulator, hubspot: MeetingsClient, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """An odd `TZ` and a change to summer time change no moment: to the millisecond what was meant."""
    if not hasattr(time, "tzset"):
        pytest.skip("no tzset")
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for moment in (
            datetime(2026, 3, 29, 0, 59, 59, 999_000, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
            datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=1), "CET")),
        ):
            made = await hubspot.meetings.create({"hs_timestamp": moment})
            got = await hubspot.meetings.get(made.id, properties=["hs_timestamp"])
            value = got.properties["hs_timestamp"]
            assert value is not None
            assert datetime.fromisoformat(value.replace("Z", "+00:00")) == moment
    finally:
        monkeypatch.undo()
        time.tzset()
