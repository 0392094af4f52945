"""Merging meetings and deleting them for good: on the version that has it, and in words on those that have not."""

from typing import Any

import pytest

from hubspot_meetings_async import AmbiguousWriteError, ConfigurationError, InvalidRecord, MeetingsClient, NotFound
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.meetings.resource import API_VERSIONS, MERGE_VERSIONS

HAS_IT = pytest.mark.parametrize("api_version", MERGE_VERSIONS)
HAS_NOT = pytest.mark.parametrize("api_version", [known for known in API_VERSIONS if known not in MERGE_VERSIONS])


async def two(client: MeetingsClient) -> tuple[str, str]:
    """Ids of two new meetings."""
    first = await client.meetings.create({"hs_meeting_title": "first"})
    second = await client.meetings.create({"hs_meeting_title": "second", "booking_ref": "b-2"})
    return first.id, second.id


@HAS_IT
class TestMerge:
    async def test_one_is_left(self, client: MeetingsClient) -> None:
        """The first keeps its values and takes what it lacks; the second is the first from now on."""
        first, second = await two(client)
        merged = await client.meetings.merge(int(first), second)
        left = await client.meetings.get(merged.id, properties=["hs_meeting_title", "booking_ref"])
        assert left.properties["hs_meeting_title"] == "first"
        assert left.properties["booking_ref"] == "b-2"
        assert [meeting.id async for meeting in client.meetings.list()] == [merged.id]

    async def test_not_repeated(self, client: MeetingsClient, emulator: Emulator) -> None:
        """A merge can not be undone: when its answer is lost it is not sent again."""
        first, second = await two(client)
        emulator.faults.reset_next(operation="meetings.merge", applied=True)
        before = emulator.stats().requests
        with pytest.raises(AmbiguousWriteError):
            await client.meetings.merge(first, second)
        assert emulator.stats().requests == before + 1

    async def test_unknown(self, client: MeetingsClient) -> None:
        first, _ = await two(client)
        with pytest.raises(NotFound):
            await client.meetings.merge(first, 999)

    async def test_itself(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Nothing is sent for what can not be."""
        with pytest.raises(ConfigurationError, match="into itself"):
            await client.meetings.merge(501, "501")
        for wrong in ("x", None, "1/2"):
            with pytest.raises(InvalidRecord):
                await client.meetings.merge(501, wrong)  # type: ignore[arg-type]
        assert emulator.stats().requests == 0


@HAS_IT
class TestGdprDelete:
    async def test_gone_for_good(self, client: MeetingsClient) -> None:
        """Neither among the meetings nor in the recycling bin; the others are left alone."""
        first, second = await two(client)
        await client.meetings.gdpr_delete(first)
        for archived in (False, True):
            with pytest.raises(NotFound):
                await client.meetings.get(first, archived=archived)
        assert [meeting.id async for meeting in client.meetings.list()] == [second]

    async def test_by_unique_property(self, client: MeetingsClient) -> None:
        first, _ = await two(client)
        await client.meetings.gdpr_delete("b-2", id_property="booking_ref")
        assert [meeting.id async for meeting in client.meetings.list()] == [first]

    async def test_sent_again(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Twice has the effect of once."""
        first, second = await two(client)
        emulator.faults.reset_next(operation="meetings.gdpr_delete", applied=True)
        before = emulator.stats().requests
        await client.meetings.gdpr_delete(first)
        assert emulator.stats().requests == before + 2
        assert [meeting.id async for meeting in client.meetings.list()] == [second]

    @pytest.mark.parametrize("wrong", ["", "abc", None, True, "1/2"])
    async def test_what_is_no_id(self, client: MeetingsClient, emulator: Emulator, wrong: Any) -> None:
        with pytest.raises(InvalidRecord):
            await client.meetings.gdpr_delete(wrong)
        assert emulator.stats().requests == 0


@HAS_NOT
async def test_where_there_is_none(client: MeetingsClient, emulator: Emulator) -> None:
    """The error names the method, the version at hand and the one that has it; nothing is sent."""
    with pytest.raises(ConfigurationError, match=r"merge .* 2026-09 only") as merging:
        await client.meetings.merge(1, 2)
    assert "api_version='2026-09'" in str(merging.value)
    with pytest.raises(ConfigurationError, match=r"gdpr-delete .* 2026-09 only"):
        await client.meetings.gdpr_delete(1)
    assert emulator.stats().requests == 0
