"""Pulls that are killed in mid-run, while people work in the account: the copy becomes the account."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async import Limits, MeetingsClient
from hubspot_meetings_async.emulator import Emulator, ManualClock
from hubspot_meetings_async.stores import Store, pull, store_at

from .samples import links_of, rows_of, text_of

CHILD = """
import asyncio, signal, sys
from hubspot_meetings_async import Limits, MeetingsClient
from hubspot_meetings_async.stores import pull, store_at

def told(pulled):
    print(pulled.seen, flush=True)
    if pulled.seen >= int(sys.argv[3]):
        signal.pause()

async def main(url, to, stop_at):
    limits = Limits(per_ten_seconds=100_000, search_per_second=10_000)
    async with MeetingsClient("token", base_url=url, limits=limits) as hubspot, store_at(to) as store:
        await pull(hubspot, store, associations=["contacts"], on_lot=told)

asyncio.run(main(*sys.argv[1:]))
"""


SWIFT = Limits(per_ten_seconds=100_000, search_per_second=10_000)


class People:
    """They change an account, a few hundredths of it at a time."""

    def __init__(self, account: Emulator, hubspot: MeetingsClient, clock: ManualClock, rng: random.Random) -> None:
        self._account = account
        self._hubspot = hubspot
        self._clock = clock
        self._rng = rng
        self._contact = account.portal.add_object("contacts", properties={"email": "ada@example.com"})
        self._made = 0
        self.linked: set[int] = set()

    def hold(self, meetings: int) -> None:
        for _ in range(meetings):
            self._made += 1
            properties = {"booking_ref": f"b-{self._made}", "hs_timestamp": "2026-05-14T12:30:00Z"}
            self._account.portal.add_object("meetings", properties=properties)
        self._clock.advance(3600)

    async def work(self, meetings: int) -> None:
        live = [one["hs_object_id"] for one in self._account.portal.objects()]
        changed = self._rng.sample(live, meetings)
        for start in range(0, meetings, 100):
            some = changed[start : start + 100]
            title = f"{self._rng.random():.6f}"
            await self._hubspot.meetings.batch_update(
                [{"id": one, "properties": {"hs_meeting_title": title}} for one in some]
            )
            await self._hubspot.meetings.batch_archive(some[:10])
            for one in some[20:22]:
                await self._hubspot.associations.set_default("meetings", one, "contacts", self._contact)
                await self._hubspot.meetings.update(one, {"hs_meeting_title": "linked"})
                self.linked.add(int(one))
        self.hold(meetings // 10)


async def broken_off(process: Process, after: int) -> bool:
    """Kill it once it has written so many meetings; whether it was still at work then."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.strip().isdigit() and int(line) >= after:
            process.kill()
            break
    await process.communicate()
    return process.returncode != 0


async def started(*words: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, *words, stdin=DEVNULL, stdout=PIPE)


async def copied_through_kills(place: str, *, meetings: int, kills: int, seed: int) -> None:
    clock, rng = ManualClock(), random.Random(seed)
    async with (
        Emulator(limit=None, search_limit=None, clock=clock) as account,
        MeetingsClient("token", base_url=account.url, limits=SWIFT) as hubspot,
    ):
        account.portal.add_property("booking_ref", unique=True)
        people = People(account, hubspot, clock, rng)
        people.hold(meetings)
        for _ in range(kills):
            # A small one would be over before it is killed: it waits for that.
            stop_at = meetings // (kills + 2)
            process = await started(account.url, place, f"{stop_at if meetings < 10_000 else meetings}")
            assert await broken_off(process, stop_at)
            await people.work(meetings // 20)
        for _ in range(2):
            async with store_at(place) as store:
                await pull(hubspot, store)
            await people.work(meetings // 20)
        async with store_at(place) as store:
            await pull(hubspot, store)
        truth = {int(one["hs_object_id"]): one for one in account.portal.objects(archived="both")}
        archived = {int(one["hs_object_id"]) for one in account.portal.objects(archived=True)}
    async with store_at(place) as store:
        await the_same(store, truth, archived, people.linked)


async def the_same(store: Store, truth: dict[int, dict[str, str]], archived: set[int], linked: set[int]) -> None:
    rows = await rows_of(store)
    names = ("booking_ref", "hs_meeting_title", "hs_timestamp")
    assert {number: {name: text_of(store, row, name) for name in names} for number, row in rows.items()} == {
        number: {name: one.get(name) for name in names} for number, one in truth.items()
    }
    assert {number for number, row in rows.items() if row["archived"] in (True, "true")} == archived
    for number in sorted(linked - archived)[:3]:
        assert len(await links_of(store, number)) == 1


async def test_into_a_file(tmp_path: Path) -> None:
    await copied_through_kills(f"{tmp_path}/m.jsonl", meetings=1_200, kills=1, seed=1)


async def test_into_postgresql(schema: str) -> None:
    await copied_through_kills(schema, meetings=1_200, kills=1, seed=2)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("ending", ["db", "jsonl", "csv", "parquet", "postgresql"])
async def test_a_hundred_thousand_meetings(ending: str, tmp_path: Path, request: Any) -> None:
    place = request.getfixturevalue("schema") if ending == "postgresql" else f"{tmp_path}/m.{ending}"
    await copied_through_kills(place, meetings=100_000, kills=4, seed=int(os.environ.get("SOAK_SEED", "1")))
