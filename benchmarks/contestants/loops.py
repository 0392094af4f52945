"""Loops written by hand over aiohttp: the floor, msgspec, and the json module."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from ..data import ALL, DISTINCT, KEY, NAMES, RECORDS, batches, changes, id_of, ids
from ..neutral_server import LISTED, batch_answer

MEETINGS = "/crm/v3/objects/meetings"
HEADERS = {"Authorization": "Bearer token", "Content-Type": "application/json"}
LIST = f"{MEETINGS}?limit=100&properties={','.join(NAMES)}"


async def in_parallel(in_flight: int, work: Callable[[], Awaitable[None]]) -> None:
    """The same work several times at once: each takes the next batch from a source they share."""

    async def run() -> None:
        await work()

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(run())


def _reads(count: int) -> Iterator[list[dict[str, str]]]:
    names = list(ids(count))
    for first in range(0, count, 100):
        yield [{"id": name} for name in names[first : first + 100]]


def _lots(source: Iterator[Any]) -> Iterator[list[Any]]:
    while lot := list(islice(source, 100)):
        yield lot


class _Loop:
    """What all of them share: a session, and how many are done."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self._base_url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def _post(self, path: str, body: bytes) -> bytes:
        async with self._session.post(path, data=body, headers=HEADERS) as answer:
            return await answer.read()

    async def _get(self, path: str) -> bytes:
        async with self._session.get(path, headers=HEADERS) as answer:
            return await answer.read()


class Floor(_Loop):
    """The same bytes over and over; answers are received, and not decoded."""

    async def _constant(self, path: str, inputs: list[Any], count: int, in_flight: int) -> int:
        body = json.dumps({"inputs": inputs}, separators=(",", ":")).encode()
        turns = iter(range(count // 100))

        async def work() -> None:
            for _ in turns:
                await self._post(path, body)

        await in_parallel(in_flight, work)
        return count

    async def create(self, count: int, in_flight: int) -> int:
        inputs = [{"properties": record} for record in RECORDS]
        return await self._constant(f"{MEETINGS}/batch/create", inputs, count, in_flight)

    async def upsert(self, count: int, in_flight: int) -> int:
        inputs = [{"id": record[KEY], "idProperty": KEY, "properties": record} for record in RECORDS]
        return await self._constant(f"{MEETINGS}/batch/upsert", inputs, count, in_flight)

    async def read(self, count: int, in_flight: int) -> int:
        return await self._constant(f"{MEETINGS}/batch/read", [{"id": name} for name in ids(100)], count, in_flight)

    async def update(self, count: int, in_flight: int) -> int:
        return await self._constant(f"{MEETINGS}/batch/update", [*changes(100)], count, in_flight)

    async def archive(self, count: int, in_flight: int) -> int:
        return await self._constant(f"{MEETINGS}/batch/archive", [{"id": name} for name in ids(100)], count, in_flight)

    async def export(self, count: int) -> int:
        for after in range(LISTED - count, LISTED, 100):
            await self._get(f"{LIST}&after={after}")
        return count

    async def search(self, count: int) -> int:
        body = b'{"limit":200,"sorts":["hs_object_id"],"properties":["hs_meeting_title"],"after":"0"}'
        for _ in range(count // 200):
            await self._post(f"{MEETINGS}/search", body)
        return count

    async def micro(self, count: int) -> int:
        return await self.create(count, 8)

    async def single(self, count: int) -> int:
        body = json.dumps({"properties": RECORDS[0]}, separators=(",", ":")).encode()
        for _ in range(count):
            await self._post(MEETINGS, body)
        return count


class Naive(_Loop):
    """Dicts in, dicts out."""

    async def _inputs(self, path: str, source: Iterator[list[Any]], in_flight: int, **more: Any) -> int:
        done = 0

        async def work() -> None:
            nonlocal done
            for inputs in source:
                url, body = f"{MEETINGS}/batch/{path}", {"inputs": inputs, **more}
                async with self._session.post(url, json=body, headers=HEADERS) as answer:
                    results = (await answer.json())["results"] if answer.status != 204 else inputs
                done += len(results)

        await in_parallel(in_flight, work)
        return done

    async def create(self, count: int, in_flight: int) -> int:
        source = ([{"properties": record} for record in batch] for batch in batches(count))
        return await self._inputs("create", source, in_flight)

    async def upsert(self, count: int, in_flight: int) -> int:
        source = (
            [{"id": record[KEY], "idProperty": KEY, "properties": record} for record in batch]
            for batch in batches(count)
        )
        return await self._inputs("upsert", source, in_flight)

    async def read(self, count: int, in_flight: int) -> int:
        return await self._inputs("read", _reads(count), in_flight, properties=NAMES)

    async def update(self, count: int, in_flight: int) -> int:
        return await self._inputs("update", _lots(changes(count)), in_flight)

    async def archive(self, count: int, in_flight: int) -> int:
        return await self._inputs("archive", _reads(count), in_flight)

    async def export(self, count: int) -> int:
        done, after = 0, str(LISTED - count)
        while after:
            async with self._session.get(f"{LIST}&after={after}", headers=HEADERS) as answer:
                page = await answer.json()
            done += len(page["results"])
            after = page.get("paging", {}).get("next", {}).get("after")
        return done

    async def search(self, count: int) -> int:
        done, after = 0, DISTINCT - min(count, DISTINCT)
        while done < count:
            body = {"limit": 200, "sorts": ["hs_object_id"], "properties": NAMES, "after": str(after)}
            async with self._session.post(f"{MEETINGS}/search", json=body, headers=HEADERS) as answer:
                page = await answer.json()
            done += len(page["results"])
            after = int(page.get("paging", {}).get("next", {}).get("after", 0))
        return done

    async def single(self, count: int) -> int:
        for number in range(count):
            body = {"properties": ALL[number % DISTINCT]}
            async with self._session.post(MEETINGS, json=body, headers=HEADERS) as answer:
                assert (await answer.json())["id"]
        return count

    async def decode(self, count: int) -> int:
        body, done = batch_answer(0), 0
        while done < count:
            done += len(json.loads(body)["results"])
        return done


class Meeting(msgspec.Struct, rename="camel", gc=False):
    """What a careful hand would decode."""

    id: str
    properties: dict[str, str | None]
    created_at: datetime
    updated_at: datetime
    archived: bool = False


class Next(msgspec.Struct):
    """The next page's cursor."""

    after: str


class Paging(msgspec.Struct):
    """Whether there is a next page."""

    next: Next


class Answer(msgspec.Struct):
    """A batch, a page of a list, or of a search."""

    results: list[Meeting]
    paging: Paging | None = None


class Msgspec(_Loop):
    """Typed answers, encoders and decoders made once; nothing kept of a record once it is sent."""

    _encode = msgspec.json.Encoder().encode
    _answer = msgspec.json.Decoder(Answer)
    _meeting = msgspec.json.Decoder(Meeting)

    async def _inputs(self, path: str, source: Iterator[list[Any]], in_flight: int, **more: Any) -> int:
        done = 0

        async def work() -> None:
            nonlocal done
            for inputs in source:
                body = self._encode({"inputs": inputs, **more})
                answer = await self._post(f"{MEETINGS}/batch/{path}", body)
                done += len(self._answer.decode(answer).results if answer else inputs)

        await in_parallel(in_flight, work)
        return done

    async def create(self, count: int, in_flight: int) -> int:
        source = ([{"properties": record} for record in batch] for batch in batches(count))
        return await self._inputs("create", source, in_flight)

    async def upsert(self, count: int, in_flight: int) -> int:
        source = (
            [{"id": record[KEY], "idProperty": KEY, "properties": record} for record in batch]
            for batch in batches(count)
        )
        return await self._inputs("upsert", source, in_flight)

    async def read(self, count: int, in_flight: int) -> int:
        return await self._inputs("read", _reads(count), in_flight, properties=NAMES)

    async def update(self, count: int, in_flight: int) -> int:
        return await self._inputs("update", _lots(changes(count)), in_flight)

    async def archive(self, count: int, in_flight: int) -> int:
        return await self._inputs("archive", _reads(count), in_flight)

    async def export(self, count: int) -> int:
        done, after = 0, str(LISTED - count)
        while True:
            page = self._answer.decode(await self._get(f"{LIST}&after={after}"))
            done += len(page.results)
            if page.paging is None:
                return done
            after = page.paging.next.after

    async def search(self, count: int) -> int:
        done, last = 0, id_of(DISTINCT - min(count, DISTINCT) - 1) if count < DISTINCT else "0"
        while done < count:
            body = {
                "limit": 200,
                "sorts": ["hs_object_id"],
                "properties": NAMES,
                "filterGroups": [{"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": last}]}],
            }
            page = self._answer.decode(await self._post(f"{MEETINGS}/search", self._encode(body)))
            done += len(page.results)
            last = page.results[-1].id if page.paging else "0"
        return done

    async def single(self, count: int) -> int:
        for number in range(count):
            body = self._encode({"properties": ALL[number % DISTINCT]})
            assert self._meeting.decode(await self._post(MEETINGS, body)).id
        return count

    async def decode(self, count: int) -> int:
        body, done = batch_answer(0), 0
        while done < count:
            done += len(self._answer.decode(body).results)
        return done
