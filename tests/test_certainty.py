"""Single creates whose answer is lost: looked for by key, held, probed or sent again, as told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubspot_meetings_async import (
    AmbiguousWriteError,
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    HubSpotError,
    InvalidRecord,
    Meeting,
    MeetingsClient,
    NoLimit,
    Timeouts,
)
from hubspot_meetings_async.calling.deadlines import Deadline
from hubspot_meetings_async.emulator import Emulator, Fault
from hubspot_meetings_async.meetings.certainty import create_once
from hubspot_meetings_async.meetings.lookup import Found

KEY = "booking_ref"
CREATE = "meetings.create"
RECORD = {KEY: "B-1", "hs_meeting_title": "Kick-off"}

LOST = [
    pytest.param(Fault(status=502), 0, id="502-before"),
    pytest.param(Fault(status=502, applied=True), 1, id="502-after"),
    pytest.param(Fault(kind="reset"), 0, id="reset-before"),
    pytest.param(Fault(kind="reset", applied=True), 1, id="reset-after"),
    pytest.param(Fault(kind="cut"), 1, id="cut"),
    pytest.param(Fault(kind="html", applied=True), 1, id="html"),
    pytest.param(Fault(status=423), 0, id="423"),
]


def creates(emulator: Emulator) -> int:
    return emulator.stats().by_operation.get(CREATE, 0)


def count(emulator: Emulator) -> int:
    return sum(1 for _ in emulator.portal.objects(archived="both"))


@pytest.mark.parametrize(("fault", "landed"), LOST)
class TestLost:
    async def test_by_key(self, emulator: Emulator, client: MeetingsClient, fault: Fault, landed: int) -> None:
        """The meeting comes back as if nothing had happened, with all that was sent; it exists once."""
        emulator.faults.strike_next(fault, operation=CREATE)
        meeting = await client.meetings.create(RECORD, key_property=KEY)
        assert {name: meeting.properties[name] for name in RECORD} == RECORD
        assert count(emulator) == 1
        assert creates(emulator) == (1 if landed else 2)

    async def test_held(self, emulator: Emulator, client: MeetingsClient, fault: Fault, landed: int) -> None:
        """Without a key it is not sent again."""
        emulator.faults.strike_next(fault, operation=CREATE)
        with pytest.raises(AmbiguousWriteError):
            await client.meetings.create(RECORD)
        assert (creates(emulator), count(emulator)) == (1, landed)

    async def test_resent(self, emulator: Emulator, client: MeetingsClient, fault: Fault, landed: int) -> None:
        """Whoever prefers a copy to a gap gets the copy."""
        emulator.faults.strike_next(fault, operation=CREATE)
        await client.meetings.create({"hs_meeting_title": "Kick-off"}, on_ambiguous="resend")
        assert (creates(emulator), count(emulator)) == (2, landed + 1)

    async def test_probed(self, emulator: Emulator, client: MeetingsClient, fault: Fault, landed: int) -> None:
        """A search by a plain property tells, once the index shows the meeting."""
        emulator.portal.behaviour = emulator.portal.behaviour.__class__(search_delay_s=0.0)
        emulator.faults.strike_next(fault, operation=CREATE)
        record = {"hs_meeting_title": "Import 17"}
        meeting = await client.meetings.create(
            record, key_property="hs_meeting_title", on_ambiguous="probe", settle_s=0.0
        )
        assert meeting.properties["hs_meeting_title"] == "Import 17"
        assert creates(emulator) >= 1


class TestOneBudget:
    """All requests of a create by key have the time of one call."""

    async def test_of_the_client(self, emulator: Emulator) -> None:
        """The create that is lost late leaves no time to look for it; it stays in doubt, and is not called undone."""
        emulator.faults.strike_next(Fault(kind="hang", applied=True), operation=CREATE)
        timeout = Timeouts(call_s=0.8, attempt_s=0.7, read_s=0.7)
        async with MeetingsClient("token", base_url=emulator.url, limiter=NoLimit(), timeout=timeout) as hubspot:
            await hubspot.properties.all()
            emulator.faults.hang_next(times=None, operation="meetings.batch_read")
            began_at = asyncio.get_running_loop().time()
            with pytest.raises(AmbiguousWriteError) as caught:
                await hubspot.meetings.create(RECORD, key_property=KEY)
            assert asyncio.get_running_loop().time() - began_at < 1.2  # each its own: 1.5
        assert any("looking for it" in note for note in caught.value.__notes__)
        assert (creates(emulator), count(emulator)) == (1, 1)

    async def test_of_a_block(self) -> None:
        """A probe that would begin after the end of the block is not waited for."""
        lost = AmbiguousWriteError("lost", why="timeout")

        async def create() -> Meeting:
            raise lost

        async def find() -> Found:
            raise AssertionError("nothing is looked for")

        with Deadline(5.0), pytest.raises(AmbiguousWriteError) as caught:
            await create_once(create, find, "B-1", settle_s=60.0)
        assert caught.value.__notes__ == ["no time was left to look for it by 'B-1'"]

    async def test_no_time_to_create_it_again(self) -> None:
        """It is not found, and the second create gets no turn: the first one may land yet."""
        errors: list[HubSpotError] = [
            DeadlineExceeded("no room", sent=False, timeout=True),
            AmbiguousWriteError("lost", why="timeout"),
        ]

        async def create() -> Meeting:
            raise errors.pop()

        async def find() -> Found:
            return Found({}, frozenset({"B-1"}))

        with pytest.raises(AmbiguousWriteError, match="lost") as caught:
            await create_once(create, find, "B-1", settle_s=0.0)
        assert caught.value.__notes__ == ["it was not found; no time was left to create it again"]


async def test_a_key_that_was_taken_before_is_a_conflict(emulator: Emulator, client: MeetingsClient) -> None:
    """Only a create that lost an answer may find itself; anybody else's meeting is not ours."""
    await client.meetings.create(RECORD, key_property=KEY)
    with pytest.raises(Conflict):
        await client.meetings.create({**RECORD, "hs_meeting_title": "Another"}, key_property=KEY)
    assert count(emulator) == 1


async def test_a_write_that_lands_late_is_found_by_the_next_look(emulator: Emulator, client: MeetingsClient) -> None:
    """504; missing; created again, refused since the first has landed meanwhile; found."""
    emulator.faults.strike_next(Fault(status=504, applied_after_s=0.02), operation=CREATE)
    emulator.faults.strike_next(Fault(kind="latency", latency_s=0.1), operation="meetings.batch_read", skip=1)
    meeting = await client.meetings.create(RECORD, key_property=KEY)
    assert meeting.properties[KEY] == "B-1"
    assert count(emulator) == 1


async def test_when_looking_fails_too_it_stays_ambiguous(emulator: Emulator, client: MeetingsClient) -> None:
    """The error is that of the lost write, and says what else went wrong."""
    emulator.faults.fail_next(502, operation=CREATE, applied=True)
    emulator.faults.fail_next(503, operation="meetings.batch_read", times=None)
    with pytest.raises(AmbiguousWriteError) as caught:
        await client.meetings.create(RECORD, key_property=KEY)
    assert any("B-1" in note for note in caught.value.__notes__)
    assert creates(emulator) == 1


async def test_what_stays_lost_three_times_is_ambiguous(emulator: Emulator, client: MeetingsClient) -> None:
    """It does not go on for ever."""
    emulator.faults.fail_next(502, operation=CREATE, times=None)
    with pytest.raises(AmbiguousWriteError):
        await client.meetings.create(RECORD, key_property=KEY)
    assert creates(emulator) == 4


async def test_an_archived_one_is_found(emulator: Emulator, client: MeetingsClient) -> None:
    """Somebody archives it before it is looked for: no second one is made."""
    made = emulator.portal.add_object("meetings", properties=RECORD)
    await client.meetings.archive(made)
    found = await client.meetings.lookup.by_unique(KEY, ["B-1", "B-2"])
    assert [meeting.id for meeting in found.meetings["B-1"]] == [made]
    assert found.missing == {"B-2"}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"key_property": "hs_meeting_title"}, ConfigurationError, "not unique"),
        ({"key_property": "nope"}, ConfigurationError, "ensure_key_property"),
        ({"on_ambiguous": "reconcile"}, ConfigurationError, "key_property"),
        ({"on_ambiguous": "probe"}, ConfigurationError, "key_property"),
        ({"on_ambiguous": "pray"}, ConfigurationError, "reconcile, hold, probe, resend"),
    ],
)
async def test_modes_that_do_not_go_together(
    emulator: Emulator, client: MeetingsClient, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    """Said before anything is sent, for single creates and for bulk runs alike."""
    with pytest.raises(error, match=words):
        await client.meetings.create({"hs_meeting_title": "x", "nope": "y"}, **arguments)
    with pytest.raises(error, match=words):
        await client.bulk.create([{"hs_meeting_title": "x"}], **arguments)
    assert creates(emulator) == 0


@pytest.mark.parametrize("value", [None, "", " padded", "x" * 256])
async def test_a_record_needs_a_key_that_can_be_looked_for(
    emulator: Emulator, client: MeetingsClient, value: Any
) -> None:
    """Missing, empty, or what HubSpot would store as something else."""
    with pytest.raises(InvalidRecord):
        await client.meetings.create({KEY: value}, key_property=KEY)
    report = await client.bulk.create([{KEY: value}, {KEY: "fine"}], key_property=KEY)
    assert (report.created, report.rejected) == (1, 1)
