"""`/crm/…/objects/meetings/batch`: up to 100 meetings in one call.

This module knows paths and bodies of the batch calls. It must not know the transport, the limiter, or how to sleep; it
is given a `Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide (batch calls)
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast, overload

import msgspec
from msgspec import Struct

from ..entries import Entry
from ..errors import ConfigurationError
from ..inputs import Inputs
from ..models import BatchResponse, Meeting, PlainProperties, UpsertedMeeting, property_names, read_as
from ..wire import Call, Decodes, Replay, Request, Trail

__all__ = ["BATCH", "UPSERTED", "MeetingBatches", "asked", "names_of"]

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

BATCH: Final = msgspec.json.Decoder(BatchResponse[Meeting[PlainProperties]])
UPSERTED: Final = msgspec.json.Decoder(BatchResponse[UpsertedMeeting[PlainProperties]])
"""These read all of an answer; see `bulk/glance.py` for less."""


class MeetingBatches:
    """Single calls of up to 100 inputs; `hubspot.bulk` takes any number."""

    def __init__(self, call: Call, path: str) -> None:
        self._call = call
        self._path = path

    async def batch_create(self, inputs: Iterable[object]) -> BatchResponse[Meeting]:
        """Create up to 100 meetings in one request (`POST …/batch/create`).

        Every input gets an `objectWriteTraceId` of its own, so that one bad input does not fail the batch: look at
        `errors`. `results` come in no promised order. Not repeated when the answer is lost.

        Raises: AmbiguousWriteError; ConfigurationError for more than 100 inputs.
        """
        return await self.send_create(_body(Inputs.create(), inputs))

    @overload
    async def batch_read(
        self,
        inputs: Iterable[object],
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
    ) -> BatchResponse[Meeting]: ...

    @overload
    async def batch_read(
        self,
        inputs: Iterable[object],
        *,
        into: type[S],
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
    ) -> BatchResponse[Meeting[S]]: ...

    async def batch_read(
        self,
        inputs: Iterable[object],
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        into: type[Struct] | None = None,
    ) -> BatchResponse[Meeting[Any]]:
        """Read up to 100 meetings (50 with histories) by id or unique value (`POST …/batch/read`).

        Missing ones are in `errors`. Associations can not be read this way. With `into=MyMeeting`, each
        meeting's `properties` are a `MyMeeting`.
        """
        form = Inputs.read(
            properties=asked(properties, into),
            properties_with_history=properties_with_history,
            id_property=id_property,
        )
        answer = await self.send_read(_body(form, inputs), archived=archived)
        if into is None:
            return answer
        results = tuple(read_as(meeting, into) for meeting in answer.results)
        return cast("BatchResponse[Meeting[Any]]", msgspec.structs.replace(answer, results=results))

    async def batch_update(self, inputs: Iterable[object], *, id_property: str | None = None) -> BatchResponse[Meeting]:
        """Write properties to up to 100 meetings (`POST …/batch/update`), by id or by `id_property`."""
        return await self.send_update(_body(Inputs.update(id_property=id_property), inputs))

    async def batch_upsert(self, inputs: Iterable[object], *, id_property: str) -> BatchResponse[UpsertedMeeting]:
        """Create or update up to 100 meetings by a unique property (`POST …/batch/upsert`).

        `result.new` tells which it was.
        """
        return await self.send_upsert(_body(Inputs.upsert(id_property=id_property), inputs))

    async def batch_archive(self, inputs: Iterable[object]) -> None:
        """Move up to 100 meetings to the recycling bin (`POST …/batch/archive`); unknown ids are no error."""
        await self.send_archive(_body(Inputs.archive(), inputs))

    # ---- the same with an encoded body, for the bulk engine

    def send_create(
        self,
        body: bytes,
        trail: Trail | None = None,
        *,
        replay: Replay = Replay.IF_NOT_DONE,
        decoder: Decodes[Any] = BATCH,
    ) -> Awaitable[BatchResponse[Meeting]]:
        """`POST …/batch/create` with an encoded body."""
        return self._batch("create", body, decoder, trail, replay=replay)

    def send_read(
        self,
        body: bytes,
        trail: Trail | None = None,
        *,
        archived: bool = False,
        replay: Replay = Replay.ALWAYS,
    ) -> Awaitable[BatchResponse[Meeting]]:
        """`POST …/batch/read` with an encoded body."""
        return self._batch("read", body, BATCH, trail, replay=replay, query="archived=true" if archived else "")

    def send_update(
        self,
        body: bytes,
        trail: Trail | None = None,
        *,
        replay: Replay = Replay.ALWAYS,
        decoder: Decodes[Any] = BATCH,
    ) -> Awaitable[BatchResponse[Meeting]]:
        """`POST …/batch/update` with an encoded body."""
        return self._batch("update", body, decoder, trail, replay=replay)

    def send_upsert(
        self,
        body: bytes,
        trail: Trail | None = None,
        *,
        replay: Replay = Replay.ALWAYS,
        decoder: Decodes[Any] = UPSERTED,
    ) -> Awaitable[BatchResponse[UpsertedMeeting]]:
        """`POST …/batch/upsert` with an encoded body."""
        return self._batch("upsert", body, decoder, trail, replay=replay)

    def send_archive(
        self, body: bytes, trail: Trail | None = None, *, replay: Replay = Replay.ALWAYS
    ) -> Awaitable[None]:
        """`POST …/batch/archive` with an encoded body."""
        return self._batch("archive", body, None, trail, replay=replay)

    def _batch(
        self,
        name: str,
        body: bytes,
        decoder: Decodes[T] | None,
        trail: Trail | None,
        *,
        replay: Replay,
        query: str = "",
    ) -> Awaitable[T]:
        # Not a coroutine itself: each would be one more to go through whenever the request's task goes on.
        request = Request(
            method="POST", path=f"{self._path}/batch/{name}", query=query, body=body, decoder=decoder, replay=replay
        )
        return self._call(request, trail)


def _body(form: Inputs, inputs: Iterable[object]) -> bytes:
    entries: list[Entry] = []
    for number, item in enumerate(_listed("inputs", inputs)):
        if number == form.max_inputs:
            raise ConfigurationError(
                f"one batch call takes up to {form.max_inputs} inputs; hubspot.bulk takes any number"
            )
        entries.append(form.entry(number, item, str(number)))
    return form.body(entries)


def asked(properties: Sequence[str], into: type[Struct] | None) -> tuple[str, ...]:
    """Which properties to ask for."""
    if into is None:
        return names_of(properties)
    if properties:
        raise ConfigurationError("give properties= or into=, not both: the properties follow from the fields of into")
    return property_names(into)


def names_of(names: Sequence[str]) -> tuple[str, ...]:
    return cast("tuple[str, ...]", tuple(_listed("names", names)))


def _listed(what: str, given: object) -> Iterable[object]:
    kind = type(given).__name__
    # A string is an iterable, too: `batch_archive("501")` would archive the meetings 5, 0 and 1.
    if isinstance(given, (str, bytes, Mapping, Struct)) or not isinstance(given, Iterable):
        raise ConfigurationError(f"give a list of {what}, not one {kind}")
    return cast("Iterable[object]", given)
