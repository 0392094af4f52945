"""What a sync makes of single answers: how old they are, and what a meeting is ordered by."""

import time
from datetime import UTC, datetime

import anyio
import pytest

from hubspot_meetings_async import Meeting, UnexpectedResponse
from hubspot_meetings_async.sync.reading import row_of, sent_ms
from hubspot_meetings_async.wire import Trail

AT_MS = 1_795_249_800_123


class TestAge:
    async def test_an_answer_shows_what_was_there_when_it_was_asked_for(self) -> None:
        """By HubSpot's clock, which says when it answered."""
        trail = Trail(date="Sat, 21 Nov 2026 08:30:00 GMT", last_sent_at=anyio.current_time() - 3.0)
        assert 0 <= 1_795_249_797_000 - sent_ms(trail) < 1_000

    @pytest.mark.parametrize("date", [None, "yesterday", ""])
    async def test_without_its_clock_by_ours(self, date: str | None) -> None:
        trail = Trail(date=date, last_sent_at=anyio.current_time() - 3.0)
        assert 2.9 <= time.time() - sent_ms(trail) / 1000 < 60


class TestOrder:
    @pytest.mark.parametrize("text", ["2026-11-21T08:30:00.123Z", str(AT_MS)])
    def test_by_its_last_change(self, text: str) -> None:
        assert row_of(Meeting(id="501", properties={"hs_lastmodifieddate": text}))[:2] == (AT_MS, 501)

    def test_without_the_property_by_the_record(self) -> None:
        at = datetime.fromtimestamp(AT_MS / 1000, UTC)
        assert row_of(Meeting(id="501", updated_at=at))[:2] == (AT_MS, 501)

    @pytest.mark.parametrize(
        ("meeting", "words"),
        [
            (Meeting(id="501"), "no moment"),
            (Meeting(id="501", properties={"hs_lastmodifieddate": "soon"}), "'soon' as hs_lastmodifieddate"),
            (Meeting(id="x", properties={"hs_lastmodifieddate": str(AT_MS)}), "id 'x', which is no number"),
        ],
    )
    def test_what_has_none_is_refused(self, meeting: Meeting, words: str) -> None:
        with pytest.raises(UnexpectedResponse, match=words):
            row_of(meeting)
