"""hubspot-api-client, HubSpot's client on urllib3: one call after the other, or from sixteen threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import hubspot
from hubspot.crm.objects import meetings as api

from ..data import ALL, DISTINCT, KEY, NAMES, batches, changes, ids
from ..neutral_server import LISTED, batch_answer

THREADS = 16


class Serial:
    """Its calls block: they run in the event loop's thread, which has nothing else to do."""

    def __init__(self, base_url: str) -> None:
        crm = hubspot.Client.create(access_token="token", host=base_url, connection_pool_maxsize=THREADS).crm
        self._basic = crm.objects.meetings.basic_api
        self._batch = crm.objects.meetings.batch_api
        self._search = crm.objects.meetings.search_api

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in (self._basic, self._batch, self._search):
            part.api_client.rest_client.pool_manager.clear()

    def _each(self, call: Callable[[Any], int], items: Iterable[Any]) -> int:
        return sum(call(item) for item in items)

    async def create(self, count: int, in_flight: int) -> int:
        del in_flight

        def call(batch: list[dict[str, str]]) -> int:
            inputs = [api.SimplePublicObjectBatchInputForCreate(associations=[], properties=r) for r in batch]
            return len(self._batch.create(api.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs)).results)

        return self._each(call, batches(count))

    async def upsert(self, count: int, in_flight: int) -> int:
        del in_flight

        def call(batch: list[dict[str, str]]) -> int:
            inputs = [
                api.SimplePublicObjectBatchInputUpsert(id=record[KEY], id_property=KEY, properties=record)
                for record in batch
            ]
            return len(self._batch.upsert(api.BatchInputSimplePublicObjectBatchInputUpsert(inputs=inputs)).results)

        return self._each(call, batches(count))

    async def read(self, count: int, in_flight: int) -> int:
        del in_flight

        def call(batch: list[str]) -> int:
            inputs = [api.SimplePublicObjectId(id=name) for name in batch]
            body = api.BatchReadInputSimplePublicObjectId(inputs=inputs, properties=NAMES, properties_with_history=[])
            return len(self._batch.read(body).results)

        names = list(ids(count))
        return self._each(call, (names[first : first + 100] for first in range(0, count, 100)))

    async def update(self, count: int, in_flight: int) -> int:
        del in_flight

        def call(lot: list[dict[str, Any]]) -> int:
            inputs = [api.SimplePublicObjectBatchInput(id=one["id"], properties=one["properties"]) for one in lot]
            return len(self._batch.update(api.BatchInputSimplePublicObjectBatchInput(inputs=inputs)).results)

        source = changes(count)
        return self._each(call, iter(lambda: list(islice(source, 100)), []))

    async def archive(self, count: int, in_flight: int) -> int:
        del in_flight

        def call(lot: list[str]) -> int:
            inputs = [api.SimplePublicObjectId(id=name) for name in lot]
            self._batch.archive(api.BatchInputSimplePublicObjectId(inputs=inputs))
            return len(lot)

        source = ids(count)
        return self._each(call, iter(lambda: list(islice(source, 100)), []))

    async def single(self, count: int) -> int:
        def call(record: dict[str, str]) -> int:
            body = api.SimplePublicObjectInputForCreate(associations=[], properties=record)
            return bool(self._basic.create(body).id)

        return self._each(call, islice(cycle(ALL), count))

    async def export(self, count: int) -> int:
        done, after = 0, str(LISTED - count)
        while True:
            page = self._basic.get_page(limit=100, after=after, properties=NAMES)
            done += len(page.results)
            if page.paging is None:
                return done
            after = page.paging.next.after

    async def search(self, count: int) -> int:
        done, after = 0, str(DISTINCT - min(count, DISTINCT))
        while done < count:
            body = api.PublicObjectSearchRequest(
                limit=200, after=after, sorts=["hs_object_id"], properties=NAMES, filter_groups=[]
            )
            page = self._search.do_search(body)
            done += len(page.results)
            after = "0" if page.paging is None else page.paging.next.after
        return done

    async def decode(self, count: int) -> int:
        answer, done = SimpleNamespace(data=batch_answer(0)), 0
        while done < count:
            batch = self._batch.api_client.deserialize(answer, "BatchResponseSimplePublicObject")
            done += len(batch.results)
        return done


class Threads(Serial):
    """The same calls from a pool of threads."""

    export = search = decode = None  # type: ignore[assignment]  # a page names the next one: threads change nothing

    def _each(self, call: Callable[[Any], int], items: Iterable[Any]) -> int:
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(call, items))
