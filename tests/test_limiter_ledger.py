"""The slot ledger and the waiting line: bookkeeping, no event loop."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_meetings_async.limiter import Lane
from hubspot_meetings_async.limiter.lanes import Turn, WaitingLine
from hubspot_meetings_async.limiter.ledger import SlotLedger

WINDOW_S = 10.0

delays = st.floats(0, 30, allow_nan=False) | st.just(0.0)
calls = st.tuples(delays, delays, delays, st.booleans())


def stamps_of(limit: int, schedule: list[tuple[float, float, float, bool]], start: float) -> list[float]:
    """Play calls (gap before it wants to go, delay to the stamp, delay to the answer, answered at all) one by one."""
    ledger, stamps, now = SlotLedger(WINDOW_S), [], start
    under_way: list[tuple[float, float]] = []  # settled at, stamped by
    for gap_s, forward_s, backward_s, is_answered in schedule:
        now += gap_s
        for settled_at, stamped_by in sorted(call for call in under_way if call[0] <= now):
            ledger.settle(Lane.BULK, stamped_by)
            under_way.remove((settled_at, stamped_by))
        ledger.expire(now)
        if ledger.in_use >= limit:
            continue
        ledger.take(Lane.BULK)
        stamped_at, answered_at = now + forward_s, now + forward_s + backward_s
        stamps.append(stamped_at)
        gave_up_at = max(now, stamped_at - 1.0)
        under_way.append((answered_at, answered_at) if is_answered else (gave_up_at, gave_up_at + 1.0))
    return sorted(stamps)


class TestRollingWindow:
    @settings(max_examples=400, deadline=None)
    @given(
        limit=st.integers(1, 6), schedule=st.lists(calls, max_size=80), start=st.sampled_from([0.0, 0.1, 98765.4321])
    )
    def test_any_schedule(self, limit: int, schedule: list[tuple[float, float, float, bool]], start: float) -> None:
        """Whatever the delays, no rolling window holds more stamps than there are slots."""
        stamps = stamps_of(limit, schedule, start)
        assert all(later - earlier >= WINDOW_S for earlier, later in zip(stamps, stamps[limit:], strict=False))

    @given(moment=st.floats(0, 1e7, allow_nan=False))
    def test_float_ties(self, moment: float) -> None:
        """A slot never comes free a rounding error before the window has passed."""
        ledger = SlotLedger(WINDOW_S)
        ledger.charge(Lane.BULK, moment)
        assert ledger.next_free_at is not None
        assert ledger.next_free_at - moment >= WINDOW_S

    def test_given_back(self) -> None:
        """A slot that was never used is free at once."""
        ledger = SlotLedger(WINDOW_S)
        ledger.take(Lane.INTERACTIVE)
        assert (ledger.in_use, ledger.in_use_interactive, ledger.in_use_bulk) == (1, 1, 0)
        ledger.give_back(Lane.INTERACTIVE)
        assert (ledger.in_use, ledger.in_use_interactive, ledger.in_flight) == (0, 0, 0)
        assert ledger.next_free_at is None

    def test_lanes_are_counted_until_the_slot_is_free(self) -> None:
        """A resting slot still counts for the lane that used it."""
        ledger = SlotLedger(WINDOW_S)
        for lane in (Lane.INTERACTIVE, Lane.BULK, Lane.BULK):
            ledger.take(lane)
        ledger.settle(Lane.INTERACTIVE, 1.0)
        ledger.settle(Lane.BULK, 2.0)
        assert (ledger.in_use, ledger.in_use_interactive, ledger.in_flight) == (3, 1, 1)
        ledger.expire(11.5)
        assert (ledger.in_use, ledger.in_use_interactive, ledger.in_use_bulk) == (2, 0, 2)
        assert "in_use=2" in repr(ledger)

    def test_settled_out_of_order(self) -> None:
        """A slot that was stamped before others comes free before them, though it was settled later."""
        ledger = SlotLedger(WINDOW_S)
        for lane, stamped_by in ((Lane.BULK, 3.0), (Lane.INTERACTIVE, 5.0), (Lane.BULK, 1.0), (Lane.BULK, 4.0)):
            ledger.charge(lane, stamped_by)
        left: list[tuple[int, int]] = []
        for now in (11.5, 13.5, 14.5, 15.5):
            ledger.expire(now)
            left.append((ledger.in_use, ledger.in_use_interactive))
        assert left == [(3, 1), (2, 1), (1, 1), (0, 0)]

    def test_resized(self) -> None:
        """A window of another length is that of the slots settled from then on."""
        ledger = SlotLedger(WINDOW_S)
        ledger.charge(Lane.BULK, 0.0)
        ledger.resize(2.0)
        ledger.charge(Lane.BULK, 1.0)
        ledger.expire(3.5)
        assert ledger.in_use == 1
        ledger.expire(10.5)
        assert ledger.in_use == 0


class TestFreeIn:
    def test_each_place(self) -> None:
        """The n-th slot to come free: those that rest first, those in flight a window later, then all once more."""
        ledger = SlotLedger(WINDOW_S)
        for stamped_by in (0.0, 1.0):
            ledger.charge(Lane.BULK, stamped_by)
        ledger.take(Lane.BULK)
        waits_s = [round(ledger.free_in_s(place, 3, now=2.0), 1) for place in range(6)]
        assert waits_s == [0.0, 8.0, 9.0, 10.0, 18.0, 19.0]

    def test_slots_not_taken(self) -> None:
        """Slots nobody has taken yet take part in the second round."""
        assert round(SlotLedger(WINDOW_S).free_in_s(25, 10, now=0.0), 1) == 30.0


class TestWaitingLine:
    def test_order(self) -> None:
        """Refused calls go first, in their own order; one whose slot was taken back goes before them."""
        line = WaitingLine()
        turns = {name: Turn(Lane.BULK, at_head=name in "cd") for name in "abcde"}
        for name in "abcd":
            line.join(turns[name])
        line.rejoin(turns["e"])
        line.leave(turns["a"])
        line.leave(turns["a"])
        assert line.waiting == 4
        assert [line.pop() for _ in range(4)] == [turns[name] for name in "ecdb"]
        assert not line.waiting
