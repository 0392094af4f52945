"""A small service: offers free slots, books them, logs meetings, and reacts to what happens to them in HubSpot.

    uvicorn examples.fastapi_app.main:app

The environment says where and as whom: HUBSPOT_ACCESS_TOKEN; HUBSPOT_BASE_URL for the emulator; HUBSPOT_CLIENT_SECRET
to take webhooks (there is no such route without it), and PUBLIC_URL where HubSpot reaches the service by another URL.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import BackgroundTasks, Depends, FastAPI, Query, Request
from msgspec import UNSET, UnsetType
from pydantic import AwareDatetime, BaseModel, Field

from hubspot_meetings_async import (
    HubSpotError,
    Meeting,
    MeetingProperties,
    MeetingsClient,
    MicroBatch,
    Timeouts,
    to_contact,
)
from hubspot_meetings_async.integrations.fastapi import Hubspot, install, webhook_events
from hubspot_meetings_async.integrations.webhooks import Event, PropertyChange

KEY = "booking_ref"
UTC = ZoneInfo("UTC")
logger = logging.getLogger("uvicorn.error")
# Libraries set no logging up. This shows what the client refuses and what keeps failing.
logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")


class Logged(MeetingProperties, kw_only=True):
    """HubSpot's own properties of a meeting, and this account's."""

    booking_ref: str | UnsetType | None = UNSET


# ---- what visitors send and get -----------------------------------------------------------------------------------


class Slot(BaseModel):
    """A time that can be booked."""

    start: datetime
    minutes: float


class NewBooking(BaseModel):
    """Who wants to meet, and when."""

    first_name: str
    last_name: str
    email: str
    start: AwareDatetime
    minutes: Annotated[int, Field(gt=0, le=480)] = 30


class Booking(BaseModel):
    """What was booked."""

    start: datetime
    subject: str | None
    contact_id: str | None


class NewMeeting(BaseModel):
    """A meeting that took or takes place; `reference` is yours, and no two meetings have the same."""

    reference: Annotated[str, Field(min_length=1, max_length=100)]
    title: str
    start: AwareDatetime
    minutes: Annotated[int, Field(gt=0, le=1440)] = 60
    contact_id: Annotated[str, Field(pattern="^[0-9]+$")]


class LoggedMeeting(BaseModel):
    """A meeting as HubSpot has it."""

    id: str
    reference: str | None
    title: str | None
    outcome: str | None
    start: datetime | None


def shown(meeting: Meeting[Logged]) -> LoggedMeeting:
    """What visitors see of a meeting."""
    has = meeting.properties
    return LoggedMeeting(
        id=meeting.id,
        reference=has.booking_ref or None,
        title=has.hs_meeting_title or None,
        outcome=has.hs_meeting_outcome or None,
        start=has.hs_meeting_start_time or None,
    )


# ---- the app ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Runs within the client's life: `install` sees to that."""
    hubspot: MeetingsClient = app.state.hubspot
    await hubspot.properties.ensure_key_property(KEY)
    # Handlers that write at the same time share requests: a hundred of them cost one.
    async with hubspot.micro_batch(key_property=KEY) as app.state.batch:
        yield


async def shared_batch(request: Request) -> MicroBatch:
    """The app's micro-batch."""
    batch: MicroBatch = request.app.state.batch
    return batch


Batch = Annotated[MicroBatch, Depends(shared_batch)]

app = FastAPI(title="Meetings", lifespan=lifespan)
# One client for all requests; its errors become 404, 409, 422, 503, … on their own.
install(app, lambda: MeetingsClient.from_env(timeout=Timeouts(call_s=20)))


@app.get("/slots/{slug:path}")
async def slots(
    slug: str,
    hubspot: Hubspot,
    timezone: ZoneInfo = UTC,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> list[Slot]:
    """The next free slots of a meeting link."""
    found: list[Slot] = []
    async for slot in hubspot.scheduler.availability(slug, timezone=timezone):
        found.append(Slot(start=slot.start_at, minutes=slot.duration_s / 60))
        if len(found) == limit:
            break
    return found


@app.post("/bookings/{slug:path}", status_code=201)
async def book(slug: str, wanted: NewBooking, hubspot: Hubspot) -> Booking:
    """Book a slot. Never sent twice: 409 when the time is taken, 502 with `ambiguous` when nobody can tell."""
    booked = await hubspot.scheduler.book(
        slug,
        first_name=wanted.first_name,
        last_name=wanted.last_name,
        email=wanted.email,
        start=wanted.start,
        duration=timedelta(minutes=wanted.minutes),
    )
    return Booking(start=wanted.start, subject=booked.subject, contact_id=booked.contact_id)


@app.post("/meetings", status_code=201)
async def log(new: NewMeeting, batch: Batch) -> dict[str, str]:
    """Log a meeting, exactly once: a lost answer is looked up by its reference. 409 when there is one already."""
    meeting = await batch.create(
        Logged(
            booking_ref=new.reference,
            hs_timestamp=new.start,
            hs_meeting_title=new.title,
            hs_meeting_start_time=new.start,
            hs_meeting_end_time=new.start + timedelta(minutes=new.minutes),
            hs_meeting_outcome="SCHEDULED",
        ),
        associations=[to_contact(new.contact_id)],
    )
    return {"id": meeting.id}


@app.get("/meetings")
async def meetings(hubspot: Hubspot, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> list[LoggedMeeting]:
    """The first meetings of the account."""
    async for page in hubspot.meetings.list(into=Logged, limit=limit).pages():
        return [shown(meeting) for meeting in page.results]
    return []


@app.get("/meetings/{meeting_id}")
async def meeting(meeting_id: str, batch: Batch) -> LoggedMeeting:
    """One meeting; those who ask at the same time share a request."""
    return shown(await batch.read(meeting_id, into=Logged))


@app.get("/quota")
async def quota(hubspot: Hubspot) -> dict[str, int | None]:
    """How much of HubSpot's quota is in use: no request."""
    stats = hubspot.quota
    return {"limit": stats.limit, "in_use": stats.in_use, "daily_remaining": stats.daily_remaining}


# ---- what happens in HubSpot --------------------------------------------------------------------------------------


async def offer_new_time(batch: MicroBatch, meeting_id: str) -> None:
    """Nobody came: leave a note for the owner. The same note twice does no harm, for events may come twice."""
    try:
        await batch.update(meeting_id, {"hs_internal_meeting_notes": "Nobody came. Offer a new time."})
    except HubSpotError as error:
        logger.warning("no note on meeting %s: %s", meeting_id, error)


async def offer_new_times(batch: MicroBatch, meeting_ids: set[str]) -> None:
    """All notes of a delivery travel in one request."""
    async with asyncio.TaskGroup() as tasks:
        for meeting_id in meeting_ids:
            tasks.create_task(offer_new_time(batch, meeting_id))


if secret := os.environ.get("HUBSPOT_CLIENT_SECRET"):
    events_of = webhook_events(secret, public_url=os.environ.get("PUBLIC_URL"))

    @app.post("/hubspot/webhooks")
    async def changed(
        events: Annotated[tuple[Event, ...], Depends(events_of)], background: BackgroundTasks, batch: Batch
    ) -> None:
        """HubSpot waits 5 s for the answer, so the work comes after it."""
        missed: set[str] = set()
        for event in events:
            match event:
                case PropertyChange(property_name="hs_meeting_outcome", property_value="NO_SHOW") if event.of_meetings:
                    missed.add(event.object_id)
                case _:
                    logger.debug("%s of %s %s", event.subscription_type, event.object_type_id, event.object_id)
        background.add_task(offer_new_times, batch, missed)
