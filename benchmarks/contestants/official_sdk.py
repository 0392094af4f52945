"""hubspot-sdk, HubSpot's generated SDK (a pre-release): its asyncio client on httpx, and with its aiohttp option."""

from __future__ import annotations

import json
from itertools import islice
from types import TracebackType
from typing import Any, Self

import httpx
from hubspot_sdk import AsyncHubSpot, DefaultAioHttpClient, DefaultAsyncHttpxClient
from hubspot_sdk._models import construct_type
from hubspot_sdk.types.crm import BatchResponseSimplePublicObject

from ..data import DISTINCT, KEY, NAMES, batches, changes, ids, records
from ..neutral_server import LISTED, batch_answer
from .loops import in_parallel


class Httpx:
    """Many calls at once in one event loop."""

    def __init__(self, base_url: str) -> None:
        self._client = AsyncHubSpot(access_token="token", base_url=base_url, http_client=self._http())
        self._meetings = self._client.crm.objects.meetings

    def _http(self) -> httpx.AsyncClient:
        return DefaultAsyncHttpxClient()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def create(self, count: int, in_flight: int) -> int:
        source, done = batches(count), 0

        async def work() -> None:
            nonlocal done
            for batch in source:
                answer = await self._meetings.batch.create(
                    inputs=[{"associations": [], "properties": record} for record in batch]
                )
                done += len(answer.results)

        await in_parallel(in_flight, work)
        return done

    async def upsert(self, count: int, in_flight: int) -> int:
        source, done = batches(count), 0

        async def work() -> None:
            nonlocal done
            for batch in source:
                answer = await self._meetings.batch.upsert(
                    inputs=[{"id": record[KEY], "id_property": KEY, "properties": record} for record in batch]
                )
                done += len(answer.results)

        await in_parallel(in_flight, work)
        return done

    async def read(self, count: int, in_flight: int) -> int:
        names, done = list(ids(count)), 0
        source = (names[first : first + 100] for first in range(0, count, 100))

        async def work() -> None:
            nonlocal done
            for batch in source:
                answer = await self._meetings.batch.get(
                    inputs=[{"id": name} for name in batch], properties=NAMES, properties_with_history=[]
                )
                done += len(answer.results)

        await in_parallel(in_flight, work)
        return done

    async def update(self, count: int, in_flight: int) -> int:
        source, done = changes(count), 0

        async def work() -> None:
            nonlocal done
            while lot := list(islice(source, 100)):
                answer = await self._meetings.batch.update(
                    inputs=[{"id": change["id"], "properties": change["properties"]} for change in lot]
                )
                done += len(answer.results)

        await in_parallel(in_flight, work)
        return done

    async def archive(self, count: int, in_flight: int) -> int:
        source, done = ids(count), 0

        async def work() -> None:
            nonlocal done
            while lot := list(islice(source, 100)):
                await self._meetings.batch.delete(inputs=[{"id": name} for name in lot])
                done += len(lot)

        await in_parallel(in_flight, work)
        return done

    async def export(self, count: int) -> int:
        done = 0
        async for meeting in self._meetings.list(limit=100, after=str(LISTED - count), properties=NAMES):
            done += bool(meeting.id)
        return done

    async def search(self, count: int) -> int:
        done, after = 0, str(DISTINCT - min(count, DISTINCT))
        while done < count:
            page = await self._meetings.search(
                after=after, filter_groups=[], limit=200, properties=NAMES, sorts=["hs_object_id"]
            )
            done += len(page.results)
            after = "0" if page.paging is None or page.paging.next is None else page.paging.next.after
        return done

    async def single(self, count: int) -> int:
        for record in records(count):
            assert (await self._meetings.create(associations=[], properties=record)).id
        return count

    async def decode(self, count: int) -> int:
        body, done = batch_answer(0), 0
        while done < count:
            batch: Any = construct_type(value=json.loads(body), type_=BatchResponseSimplePublicObject)
            done += len(batch.results)
        return done


class Aiohttp(Httpx):
    """The same through aiohttp."""

    decode = None  # type: ignore[assignment]  # the same code decodes

    def _http(self) -> httpx.AsyncClient:
        return DefaultAioHttpClient()
