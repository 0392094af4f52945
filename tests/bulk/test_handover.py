"""Handing over: nothing is stored, nothing is lost, whoever is cancelled."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hubspot_meetings_async.bulk.handover import Handover


async def turns(count: int = 5) -> None:
    """Let all tasks go as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_gives_waits_until_somebody_takes() -> None:
    """So that no more is read than is taken."""
    desk: Handover[int] = Handover()
    desk.join()
    giving = asyncio.ensure_future(desk.give(1))
    await turns()
    assert not giving.done()
    assert await desk.take() == 1
    await giving


async def test_who_gives_to_a_waiting_taker_goes_on_and_the_next_one_waits() -> None:
    """One taker takes one item."""
    desk: Handover[int] = Handover()
    desk.join()
    taking = asyncio.ensure_future(desk.take())
    await turns()
    await desk.give(1)
    giving = asyncio.ensure_future(desk.give(2))
    assert await taking == 1
    await turns()
    assert not giving.done()
    assert await desk.take() == 2
    await giving


async def test_the_giver_goes_on_at_once_where_a_taker_waits() -> None:
    """Its next request leaves first; what was given is taken in the next turn."""
    desk: Handover[int] = Handover()
    desk.join()
    order: list[str] = []

    async def take() -> None:
        await desk.take()
        order.append("taken")

    taking = asyncio.ensure_future(take())
    await turns()
    await desk.give(1)
    order.append("given")
    await taking
    assert order == ["given", "taken"]


async def test_takers_are_told_the_end_when_the_last_giver_has_left_and_nothing_is_left() -> None:
    """What was given before is taken first."""
    desk: Handover[int] = Handover()
    desk.join()
    desk.join()
    giving = asyncio.ensure_future(desk.give(1))
    await turns()
    desk.leave()
    desk.leave()
    assert await desk.take() == 1
    await giving
    assert await desk.take() is None
    desk.join()
    taking = [asyncio.ensure_future(desk.take()) for _ in range(2)]
    await turns()
    desk.leave()
    assert await asyncio.gather(*taking) == [None, None]


async def test_a_taker_that_is_cancelled_once_it_was_woken_leaves_the_item_to_the_next() -> None:
    """Between the giver's word and the taker's turn anything may happen."""
    desk: Handover[int] = Handover()
    desk.join()
    first, second = (asyncio.ensure_future(desk.take()) for _ in range(2))
    await turns()
    giving = asyncio.ensure_future(desk.give(1))
    await turns(1)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    assert await asyncio.wait_for(second, 5) == 1
    await giving


async def test_what_a_cancelled_giver_gave_is_there_still() -> None:
    """A run that is left early finds it among what nobody iterated over."""
    desk: Handover[int] = Handover()
    desk.join()
    giving = asyncio.ensure_future(desk.give(1))
    await turns()
    giving.cancel()
    with suppress(asyncio.CancelledError):
        await giving
    assert desk.left() == [1]
    assert desk.left() == []
