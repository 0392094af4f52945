"""This library, in its two forms: the report at the end, and every record's outcome."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from itertools import islice
from types import TracebackType
from typing import Any, Self

import msgspec

from hubspot_meetings_async import Archived, Created, Limits, MeetingsClient, Read, Updated
from hubspot_meetings_async.bulk.engine import Run
from hubspot_meetings_async.models import BatchResponse, Meeting, PlainProperties

from ..data import KEY, NAMES, changes, ids, records
from ..neutral_server import LISTED, batch_answer

DONE = (Created, Updated, Read, Archived)
TASKS = 2_000
# The limiter works, and is never what one waits for.
BOUNDLESS = Limits(per_ten_seconds=100_000_000, search_per_second=1_000_000)


class _Ours(ABC):
    def __init__(self, base_url: str) -> None:
        self._client = MeetingsClient("token", base_url=base_url, limits=BOUNDLESS)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    @abstractmethod
    async def _settled(self, run: Run[Any, Any]) -> int:
        """Run to the end; returns how many records were done."""

    async def create(self, count: int, in_flight: int) -> int:
        return await self._settled(self._client.bulk.create(records(count), workers=in_flight, read_in_thread=False))

    async def upsert(self, count: int, in_flight: int) -> int:
        bulk = self._client.bulk
        return await self._settled(
            bulk.upsert(records(count), id_property=KEY, workers=in_flight, read_in_thread=False)
        )

    async def read(self, count: int, in_flight: int) -> int:
        bulk = self._client.bulk
        return await self._settled(bulk.read(ids(count), properties=NAMES, workers=in_flight, read_in_thread=False))

    async def update(self, count: int, in_flight: int) -> int:
        bulk = self._client.bulk
        return await self._settled(bulk.update(changes(count), workers=in_flight, read_in_thread=False))

    async def archive(self, count: int, in_flight: int) -> int:
        bulk = self._client.bulk
        return await self._settled(bulk.archive(ids(count), workers=in_flight, read_in_thread=False))

    async def export(self, count: int) -> int:
        done = 0
        async for meeting in self._client.meetings.list(properties=NAMES, after=str(LISTED - count)):
            done += bool(meeting.id)
        return done

    async def search(self, count: int) -> int:
        done = 0
        while done < count:
            async for meeting in self._client.meetings.search(properties=NAMES):
                done += bool(meeting.id)
                if done == count:
                    break
        return done

    async def single(self, count: int) -> int:
        for record in records(count):
            assert (await self._client.meetings.create(record)).id
        return count

    async def decode(self, count: int) -> int:
        decoder = msgspec.json.Decoder(BatchResponse[Meeting[PlainProperties]])
        body, done = batch_answer(0), 0
        while done < count:
            done += len(decoder.decode(body).results)
        return done


class Reports(_Ours):
    """`report = await hubspot.bulk.…`."""

    async def _settled(self, run: Run[Any, Any]) -> int:
        report = await run
        return report.done

    async def micro(self, count: int) -> int:
        return await self.create(count, 8)


class Outcomes(_Ours):
    """`async for outcome in run`, each with its meeting's id."""

    async def _settled(self, run: Run[Any, Any]) -> int:
        done = 0
        async with run:
            async for outcome in run:
                done += isinstance(outcome, DONE) and bool(outcome.id)
        return done

    async def micro(self, count: int) -> int:
        source, done = records(count), 0
        async with self._client.micro_batch() as batch:
            while wave := [batch.create(record) for record in islice(source, TASKS)]:
                done += len(await asyncio.gather(*wave))
        return done
