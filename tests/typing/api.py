"""Typed use of the whole surface: read by mypy and pyright in strict mode, never run."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import assert_type

import msgspec

from hubspot_meetings_async import (
    Ambiguous,
    AmbiguousWriteError,
    Archived,
    Attempt,
    BatchResponse,
    BatchSettled,
    Conflict,
    Created,
    Forbidden,
    HubSpotError,
    Meeting,
    MeetingProperties,
    MeetingsClient,
    NoLimit,
    NotSent,
    RateLimited,
    Read,
    Record,
    Rejected,
    Report,
    RequestRejected,
    RetryPolicy,
    RunEnded,
    RunEvent,
    RunPaused,
    RunResumed,
    RunStarted,
    Secret,
    Timeouts,
    TransportFailed,
    Updated,
    UpsertedMeeting,
    to_contact,
    where,
)
from hubspot_meetings_async.calendars import Attendees, read_ics


class OurMeeting(MeetingProperties, kw_only=True, omit_defaults=True):
    """The account's own property beside HubSpot's."""

    booking_ref: str | msgspec.UnsetType | None = msgspec.UNSET


START = datetime(2026, 11, 23, 9, tzinfo=UTC)


def settings() -> MeetingsClient:
    """Every way to make a client."""
    MeetingsClient("token")
    MeetingsClient(Secret("token"), api_version="2026-09", limiter=NoLimit())
    MeetingsClient.from_env(base_url="http://127.0.0.1:8080")
    return MeetingsClient("token", retry=RetryPolicy(attempts=2), timeout=Timeouts(call_s=None))


def telemetry() -> MeetingsClient:
    """Hooks: one for each kind of news, or one for both."""

    def hears_runs(event: RunEvent) -> None:
        match event:
            case RunEnded(report=report, error=error):
                assert_type(report, Report)
                assert_type(error, BaseException | None)
            case BatchSettled(records=counts):
                assert_type(counts, Mapping[str, int])
            case RunPaused(wait_s=wait_s):
                assert_type(wait_s, float)
            case RunStarted() | RunResumed():
                assert_type(event.run_id, str)

    def hears_all(told: Attempt | RunEvent) -> None:
        assert_type(told.run_id, str | None)

    MeetingsClient("token", on_attempt=hears_all, on_run_event=hears_all)
    return MeetingsClient("token", on_run_event=hears_runs)


async def single(hubspot: MeetingsClient) -> None:
    """Single calls."""
    meeting = await hubspot.meetings.create(
        OurMeeting(hs_meeting_title="Kick-off", hs_timestamp=START, booking_ref="b-1"), associations=[to_contact(101)]
    )
    assert_type(meeting.id, str)
    assert_type(meeting.created_at, datetime | None)
    await hubspot.meetings.create({"hs_meeting_title": "x", "seats": 3, "vip": True, "cleared": None})
    read = await hubspot.meetings.get(501, properties=["hs_meeting_title"])
    assert_type(read.properties, dict[str, str | None])
    assert_type(read.properties["hs_meeting_title"], str | None)
    await hubspot.meetings.get("b-1", id_property="booking_ref")
    await hubspot.meetings.update(meeting.id, {"hs_meeting_title": ""})
    assert_type(await hubspot.meetings.archive(meeting.id), None)


async def together(hubspot: MeetingsClient) -> None:
    """Calls of a block, and of many tasks."""
    with hubspot.deadline(2.0):
        assert_type(await hubspot.meetings.get(501), Meeting)
    async with hubspot.micro_batch(key_property="booking_ref") as batch:
        first, second = await asyncio.gather(
            batch.create({"booking_ref": "b-1"}), batch.read(501), return_exceptions=True
        )
        assert_type(first, Meeting | BaseException)
        assert_type(second, Meeting | BaseException)


async def typed(hubspot: MeetingsClient) -> None:
    """Meetings in the user's own Struct."""
    meeting = await hubspot.meetings.get(501, into=OurMeeting)
    assert_type(meeting.properties, OurMeeting)
    assert_type(meeting.properties.booking_ref, str | msgspec.UnsetType | None)
    async for listed in hubspot.meetings.list(into=OurMeeting):
        assert_type(listed.properties, OurMeeting)
    async for found in hubspot.meetings.search(where("hs_meeting_title").exists(), into=OurMeeting):
        assert_type(found.properties, OurMeeting)
    async with hubspot.bulk.read([501, 502], into=OurMeeting) as run:
        async for outcome in run:
            if isinstance(outcome, Read):
                assert_type(outcome.record, int)
                assert_type(outcome.meeting, Meeting[OurMeeting])


async def lists(hubspot: MeetingsClient) -> None:
    """Lists, by meeting and by page."""
    async for meeting in hubspot.meetings.list(properties=["hs_meeting_title"], associations=["contacts"]):
        assert_type(meeting.archived, bool)
    async for page in hubspot.meetings.list(archived=True, limit=50).pages():
        assert_type(page.after, str | None)


async def batches(hubspot: MeetingsClient) -> None:
    """Batch calls."""
    created = await hubspot.meetings.batch_create([{"hs_meeting_title": "x"}, OurMeeting(), Record(ref=7)])
    assert_type(created, BatchResponse[Meeting])
    upserted = await hubspot.meetings.batch_upsert([{"booking_ref": "b"}], id_property="booking_ref")
    assert_type(upserted, BatchResponse[UpsertedMeeting])
    for one in upserted.results:
        assert_type(one.new, bool | None)
    await hubspot.meetings.batch_archive([1, "2"])


def records() -> Iterator[dict[str, str]]:
    """Any iterable will do."""
    yield {"booking_ref": "b-1"}


async def stream() -> AsyncIterator[Record]:
    """And any async one."""
    yield Record(id=1, properties={"hs_meeting_title": "x"}, ref=("file", 7))


async def bulk(hubspot: MeetingsClient) -> None:
    """Bulk runs, awaited and watched."""
    report = await hubspot.bulk.upsert(records(), id_property="booking_ref")
    assert_type(report, Report)
    assert_type(report.done, int)
    async with hubspot.bulk.create(stream(), workers=4) as run:
        async for outcome in run:
            match outcome:
                case Created(meeting=meeting, record=record):
                    assert_type(meeting.id, str)
                    assert_type(record, Record)
                case Rejected(error=error) if isinstance(error, RequestRejected):
                    assert_type(error.property_names, tuple[str, ...])
                case Ambiguous(why=why, ids=ids):
                    assert_type(why, str)
                    assert_type(ids, tuple[str, ...])
                case Rejected(error=error):
                    assert_type(error, HubSpotError)
                case NotSent(why=why):
                    assert_type(why, str)
                case Updated() | Archived() | Read():
                    pass
    assert_type(run.report, Report)
    await hubspot.bulk.read([1, 2, 3], properties=["hs_meeting_title"])
    await hubspot.bulk.archive(["1"])


async def calendar(hubspot: MeetingsClient) -> None:
    """A calendar's events are records, and its people contacts."""
    attendees = Attendees(hubspot)
    events = read_ics("team.ics", owners={"ada@example.com": "77"})
    assert_type(events, Iterator[Record])
    async with hubspot.bulk.upsert(map(attendees.expect, events), id_property="ical_uid") as run:
        async for outcome in run:
            await attendees.note(outcome)
    assert_type((await attendees.link()).without_contact, tuple[str, ...])
    assert_type(await hubspot.contacts.by_email(["ada@example.com"]), dict[str, str])


async def errors(hubspot: MeetingsClient) -> str | float | bool | tuple[str, ...] | None:
    """Errors and what each carries."""
    try:
        await hubspot.meetings.create({})
    except AmbiguousWriteError as error:
        return assert_type(error.why, str)
    except Conflict as error:
        return assert_type(error.correlation_id, str | None)
    except Forbidden as error:
        return assert_type(error.scopes, tuple[str, ...])
    except RateLimited as error:
        return assert_type(error.retry_after_s, float | None)
    except RequestRejected as error:
        return assert_type(error.category, str | None)
    except TransportFailed as error:
        return assert_type(error.sent, bool)
    except HubSpotError as error:
        return assert_type(error.path, str | None)
    return None
