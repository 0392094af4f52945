"""What a journal's rows tell the next run of a job."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from hubspot_meetings_async.bulk.journal.rows import ACK, INTENT, SESSION, UNDONE, Ack, Intent, Past, Session, pack

Row = tuple[int, bytes]


def session(number: int) -> Row:
    return SESSION, msgspec.msgpack.encode(Session(number, 0, 0.0))


def intent(ordinals: Sequence[int], *, alone: bool = False) -> Row:
    return INTENT, msgspec.msgpack.encode(Intent(pack(ordinals), None, bytes(4 * len(ordinals)), alone))


def ack(ordinals: Sequence[int], code: str, detail: str | None = None) -> Row:
    return ACK, msgspec.msgpack.encode(Ack(pack(ordinals), code * len(ordinals), [detail] * len(ordinals)))


@pytest.mark.parametrize("ordinals", [range(3), [0, 2]], ids=["range", "list"])
class TestCrashes:
    def test_the_death_of_the_last_run_counts(self, ordinals: Sequence[int]) -> None:
        """Each run that sent a record and died counts, the one that no other followed yet as well."""
        past = Past.read([session(1), intent(ordinals), session(2), intent(ordinals), session(3), intent(ordinals)])
        assert past.crashes == dict.fromkeys(ordinals, 3)

    def test_the_death_of_a_run_that_did_not_send_it_does_not(self, ordinals: Sequence[int]) -> None:
        """It was in doubt then, and harmed nobody."""
        past = Past.read([session(1), intent(ordinals), session(2), session(3)])
        assert past.crashes == dict.fromkeys(ordinals, 1)

    @pytest.mark.parametrize(("code", "detail"), [("?", "5xx"), (UNDONE, None), ("c", "7")])
    def test_a_run_that_lived_to_see_what_became_of_it_clears_it(
        self, ordinals: Sequence[int], code: str, detail: str | None
    ) -> None:
        """It is no suspect any more."""
        past = Past.read([session(1), intent(ordinals, alone=True), ack(ordinals, code, detail), session(2)])
        assert (past.crashes, past.alone) == ({}, set())

    def test_one_that_was_given_up_for_its_crashes_stays_given_up(self, ordinals: Sequence[int]) -> None:
        """However often the job is gone on with."""
        past = Past.read([session(1), intent(ordinals, alone=True), session(2), ack(ordinals, "?", "crash")])
        assert past.alone == set(ordinals)
