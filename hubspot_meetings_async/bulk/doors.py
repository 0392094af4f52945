"""`hubspot.bulk`: five thin doors to the engine.

This module knows which batch call each operation uses and how its inputs are formed. It must not know how a run works,
or the client.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from msgspec import Struct

from ..errors import ConfigurationError
from ..inputs import Inputs
from ..meetings import Meetings
from ..models import Meeting, property_names
from .engine import Operation, Run
from .outcomes import Report

__all__ = ["Bulk"]

R = TypeVar("R")
S = TypeVar("S", bound=Struct)

_MAX_BATCH_BYTES = 1_000_000


class Bulk:
    """Any number of records through HubSpot's batch calls, at full quota, with one outcome for every record.

    Each method takes an `Iterable` or `AsyncIterable` of any length, read only as fast as HubSpot takes the records,
    and returns a `Run`: `await` it for the `Report`, or open it with `async with` and iterate over the outcomes. A
    plain iterable is read on the event loop: one that blocks (a slow file or cursor) belongs behind an async iterable.

    Options that all share: `max_batch_bytes` bounds the JSON of one request (HubSpot takes at most 100 inputs
    anyway). `workers` bounds the requests in flight (1-128); None follows quota and latency. `on_progress` is called
    in the loop with a `Report` after every batch; what it raises ends the run.
    """

    def __init__(self, meetings: Meetings, *, quota: Callable[[], tuple[int, float]], rng: random.Random) -> None:
        self._meetings = meetings
        self._quota = quota
        self._rng = rng

    def create(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        split_refused: bool = True,
        max_batch_bytes: int = _MAX_BATCH_BYTES,
        workers: int | None = None,
        on_progress: Callable[[Report], None] | None = None,
    ) -> Run[R]:
        """Create a meeting for every record.

        Outcomes: `Created`; `Rejected`; `Ambiguous` when a request left and its answer was lost (those records are
        never sent again: HubSpot would make second copies); `NotSent`.

        A batch that HubSpot refuses as a whole is halved until the culprits stand alone. Its documents say that a
        refused batch wrote nothing, which this relies on; one integrator saw otherwise. `split_refused=False` rejects
        all records of such a batch instead.
        """
        operation = Operation(
            name="create",
            inputs=Inputs.create(),
            send=self._meetings.send_create,
            may_repeat=False,
            split_refused=split_refused,
            quota=self._quota,
        )
        return self._run(operation, records, max_batch_bytes, workers, on_progress)

    def update(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        id_property: str | None = None,
        max_batch_bytes: int = _MAX_BATCH_BYTES,
        workers: int | None = None,
        on_progress: Callable[[Report], None] | None = None,
    ) -> Run[R]:
        """Write every record's properties to the meeting it names.

        A record is `{"id": …, property: value, …}`, HubSpot's `{"id": …, "properties": {…}}` or `Record(id=…)`; with
        `id_property`, the value of that unique property stands for the id. Two records of one id are never in flight
        at once, and land in their order. Outcomes: `Updated`, `Rejected`, `Ambiguous`, `NotSent`.
        """
        operation = Operation(
            name="update",
            inputs=Inputs.update(id_property=id_property),
            send=self._meetings.send_update,
            id_property=id_property,
            quota=self._quota,
        )
        return self._run(operation, records, max_batch_bytes, workers, on_progress)

    def upsert(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        id_property: str,
        max_batch_bytes: int = _MAX_BATCH_BYTES,
        workers: int | None = None,
        on_progress: Callable[[Report], None] | None = None,
    ) -> Run[R]:
        """Create or update the meeting whose unique property `id_property` has the record's value.

        Safe to run again: a record that is there already is updated. Upserts carry no associations. Outcomes:
        `Created`, `Updated`, `Rejected`, `Ambiguous`, `NotSent`.
        """
        operation = Operation(
            name="upsert",
            inputs=Inputs.upsert(id_property=id_property),
            send=self._meetings.send_upsert,
            id_property=id_property,
            quota=self._quota,
        )
        return self._run(operation, records, max_batch_bytes, workers, on_progress)

    def archive(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        max_batch_bytes: int = _MAX_BATCH_BYTES,
        workers: int | None = None,
        on_progress: Callable[[Report], None] | None = None,
    ) -> Run[R]:
        """Move meetings to the recycling bin. Records are ids, or mappings with an `id`.

        Outcomes: `Archived` (also for ids that do not exist: HubSpot does not tell), `Rejected`, `Ambiguous`,
        `NotSent`.
        """
        operation = Operation(
            name="archive", inputs=Inputs.archive(), send=self._meetings.send_archive, quota=self._quota
        )
        return self._run(operation, records, max_batch_bytes, workers, on_progress)

    @overload
    def read(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        max_batch_bytes: int = _MAX_BATCH_BYTES,
        workers: int | None = None,
        on_progress: Callable[[Report], None] | None = None,
    ) -> Run[R]: ...

    @overload
    def read(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        into: type[S],
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        max_batch_bytes: int = _MAX_BATCH_BYTES,
        workers: int | None = None,
        on_progress: Callable[[Report], None] | None = None,
    ) -> Run[R, Meeting[S]]: ...

    def read(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        max_batch_bytes: int = _MAX_BATCH_BYTES,
        workers: int | None = None,
        on_progress: Callable[[Report], None] | None = None,
        into: type[Struct] | None = None,
    ) -> Run[R, Any]:
        """Read meetings by id, or by the value of the unique property `id_property`.

        Outcomes: `Read`; `Rejected` with `NotFound` for missing ones; `NotSent`. `archived=True` reads the recycling
        bin and nothing else. Batches with histories hold 50. With `into=MyMeeting`, each
        meeting's `properties` are a `MyMeeting`; one whose values do not fit is `Rejected`.
        """
        if into is not None:
            if properties:
                raise ConfigurationError(
                    "give properties= or into=, not both: the properties follow from into's fields"
                )
            properties = property_names(into)
        if id_property is not None and id_property not in properties:
            # Asked for, it comes back with every result, and results can be told apart by it.
            properties = (*properties, id_property)
        operation = Operation(
            name="read",
            inputs=Inputs.read(
                properties=properties, properties_with_history=properties_with_history, id_property=id_property
            ),
            send=partial(self._meetings.send_read, archived=archived),
            id_property=id_property,
            into=into,
            quota=self._quota,
        )
        return self._run(operation, records, max_batch_bytes, workers, on_progress)

    def _run(
        self,
        operation: Operation,
        records: Iterable[R] | AsyncIterable[R],
        max_batch_bytes: int,
        workers: int | None,
        on_progress: Callable[[Report], None] | None,
    ) -> Run[R, Any]:
        return Run(
            operation,
            records,
            max_batch_bytes=max_batch_bytes,
            workers=workers,
            on_progress=on_progress,
            rng=self._rng,
        )
