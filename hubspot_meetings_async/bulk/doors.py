"""`hubspot.bulk`: five thin doors to the engine.

This module knows which batch call each operation uses, how its inputs are formed, and what is done about its lost
answers. It must not know how a run works, or the client.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, cast, get_args, overload

from msgspec import Struct

from ..calling.retry import RetryBudget, RetryPolicy
from ..errors import ConfigurationError
from ..inputs import Inputs
from ..meetings.batches import BATCH, UPSERTED
from ..meetings.certainty import SETTLE_S, OnAmbiguous, mode_of
from ..meetings.resource import Meetings
from ..models import BatchResponse, Meeting, property_names
from ..properties.resource import Properties
from ..wire import Replay
from .engine import Options, Run
from .events import OnRunEvent
from .journal.journal import Job, Resume, journal_file
from .operation import Doubt, Find, Operation, Verify
from .outcomes import Report

if TYPE_CHECKING:
    from .journal.store import Durability

if sys.version_info >= (3, 12):
    from typing import Unpack
else:
    from typing_extensions import Unpack

__all__ = ["Bulk", "OnExisting", "RunOptions", "WriteOptions"]

R = TypeVar("R")
S = TypeVar("S", bound=Struct)

OnExisting = Literal["accept", "reject"]
"""What a record is whose key was taken before the run: `"accept"`: done (`Created(new=False)`); `"reject"`: `Rejected`.
"""


class RunOptions(TypedDict, total=False):
    """Options that all runs share.

    `max_batch_bytes` bounds the JSON of one request (1,000,000; HubSpot takes at most 100 inputs anyway). `workers`
    bounds the requests in flight (1-128); None follows quota and latency. `on_progress` is called in the loop with a
    `Report` after every batch; what it raises ends the run. `delivery_timeout_s` is what a batch may take from the
    moment it is full: waiting for quota, repeats and transfer; then its records are `NotSent("deadline")`, or
    `Ambiguous("timeout")` if they had left. `wait_for_reset`: sleep until HubSpot takes calls again when the daily
    limit is spent or the account is being moved (477), instead of ending the run. `read_in_thread`: None reads
    iterables that may block (all but containers) in a thread; False reads them on the event loop, as sources need that
    belong to its thread.
    """

    max_batch_bytes: int
    workers: int | None
    on_progress: Callable[[Report], None] | None
    delivery_timeout_s: float | None
    wait_for_reset: bool
    read_in_thread: bool | None


class WriteOptions(RunOptions, total=False):
    """Options of runs that write.

    `journal` is the path of a file that makes the run resumable: made if it is not there; if it is, the run goes on
    where the last one with it ended, sends what was not sent, settles what was in doubt, and repeats nothing. One
    journal for one job: the same operation and the same source.
    `durability`: `"power"` (a batch leaves only when its intent is on the disk), `"process"` (outlives a crash of the
    process; after a power cut, records without a key may be sent twice) or `"none"` (in memory).
    `resume` says how records are known again: `"ordinal"`: the source gives the same ones in the same order; `"key"`:
    in any order, by id or key property, each of which comes once (some 120 bytes of memory a record).
    `about` are strings kept in the journal for people, such as the name of the source.
    """

    journal: str | os.PathLike[str] | None
    durability: Durability
    resume: Resume
    about: Mapping[str, str]


class Bulk:
    """Any number of records through HubSpot's batch calls, at full quota, with one outcome for every record.

    Each method takes an `Iterable` or `AsyncIterable` of any length, read only as fast as HubSpot takes the records,
    and returns a `Run`: `await` it for the `Report`, or open it with `async with` and iterate over the outcomes.
    `RunOptions` and `WriteOptions` say which options the methods share.

    A batch that HubSpot refuses as a whole is halved until the culprits stand alone; so is one that makes HubSpot fail
    five times.
    """

    def __init__(
        self,
        meetings: Meetings,
        *,
        properties: Properties,
        account: Callable[[], Awaitable[tuple[str, str | None]]],
        quota: Callable[[], tuple[int, float]],
        policy: RetryPolicy,
        budget: RetryBudget,
        rng: random.Random,
        on_event: OnRunEvent | None = None,
    ) -> None:
        self._on_event = on_event
        self._meetings = meetings
        self._properties = properties
        self._account = account
        self._quota = quota
        self._policy = policy
        self._budget = budget
        self._rng = rng

    def create(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        key_property: str | None = None,
        on_ambiguous: OnAmbiguous | None = None,
        on_existing: OnExisting = "accept",
        settle_s: float | None = None,
        split_refused: bool = True,
        verify: Literal["values"] | None = None,
        **options: Unpack[WriteOptions],
    ) -> Run[R]:
        """Create a meeting for every record.

        With `key_property`, the name of a property that HubSpot keeps unique (see
        `hubspot.properties.ensure_key_property`) and of which each record has a value, every record is created exactly
        once, whatever happens: when an answer is lost, its records are read by their keys, and only what is missing is
        sent again (`on_ambiguous="reconcile"`). A record whose key was taken before the run is `Created(new=False)`, or
        `Rejected` with `on_existing="reject"`; a second record of a key is `Rejected`.

        Without it, a record whose answer is lost is `Ambiguous` and never sent again (`"hold"`): HubSpot would make a
        second copy. `"probe"` searches for it by `key_property`, which need not be unique, after `settle_s` seconds
        (60), and sends it again when it is not seen: best effort, since the index lags. `"resend"` sends it again:
        copies.

        A record that makes HubSpot fail, alone and several times, is looked for once more after `settle_s` seconds,
        since a request that was thought lost may land late; then it is `Rejected` as a `PoisonRecord`.

        A batch that HubSpot refuses as a whole is halved until the culprits stand alone. Its documents say that a
        refused batch wrote nothing, which creates without a key rely on; one integrator saw otherwise.
        `split_refused=False` rejects all records of such a batch instead. `verify="values"` reads each batch back and
        says in `Created.differs` what is stored otherwise.

        Outcomes: `Created`, `Rejected`, `Ambiguous`, `NotSent`.
        """
        mode = mode_of(key_property, on_ambiguous)
        if on_existing not in get_args(OnExisting):
            raise ConfigurationError(f"on_existing is accept or reject, not {on_existing!r}")
        if verify not in (None, "values"):
            raise ConfigurationError("verify= of a bulk create is None or 'values'; 'final' is for updates and upserts")
        find: Find | None = None
        if key_property is not None and mode == "reconcile":
            find = partial(self._meetings.lookup.by_unique, key_property)
        elif key_property is not None and mode == "probe":
            find = partial(self._meetings.lookup.by_search, key_property)
        reconciles = mode == "reconcile"
        operation = Operation(
            name="create",
            inputs=Inputs.create(key_property=key_property),
            send=partial(self._meetings.send_create, replay=Replay.IF_NOT_DONE if mode == "hold" else Replay.NOT_HERE),
            whole=BATCH,
            begin=partial(self._need_key, key_property or "") if reconciles else None,
            id_property=key_property,
            doubt=Doubt.HOLD if mode == "hold" else Doubt.REPEAT if mode == "resend" else Doubt.FIND,
            find=find,
            settle_s=_seconds(settle_s, SETTLE_S) if mode == "probe" else 0.0,
            patience_s=_seconds(settle_s, SETTLE_S),
            unique_keys=key_property is not None,
            key_is_unique=reconciles,
            accept_existing=on_existing == "accept",
            split_refused=split_refused,
            verify=verify,
            read_back=self._read_back,
            quota=self._quota,
        )
        return self._write(operation, records, mode, options)

    def update(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        id_property: str | None = None,
        verify: Verify | None = None,
        settle_s: float | None = None,
        **options: Unpack[WriteOptions],
    ) -> Run[R]:
        """Write every record's properties to the meeting it names.

        A record is `{"id": …, property: value, …}`, HubSpot's `{"id": …, "properties": {…}}` or `Record(id=…)`; with
        `id_property`, the value of that unique property stands for the id. Two records of one id are never in flight
        at once, and land in their order; records whose answer was lost are sent again.

        A request that was thought lost may land late, over a newer value. `verify="final"` looks at such records at the
        end, after `settle_s` seconds (60), and sends the last values again where they are not there. `"values"` reads
        every batch back and says in `Updated.differs` what is stored otherwise.

        Outcomes: `Updated`, `Rejected`, `Ambiguous`, `NotSent`.
        """
        operation = Operation(
            name="update",
            inputs=Inputs.update(id_property=id_property),
            send=partial(self._meetings.send_update, replay=Replay.NOT_HERE),
            whole=BATCH,
            id_property=id_property,
            settle_s=_seconds(settle_s, SETTLE_S),
            verify=_verify(verify),
            read_back=self._read_back,
            quota=self._quota,
        )
        return self._write(operation, records, "repeat", options)

    def upsert(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        id_property: str,
        verify: Verify | None = None,
        settle_s: float | None = None,
        **options: Unpack[WriteOptions],
    ) -> Run[R]:
        """Create or update the meeting whose unique property `id_property` has the record's value.

        Safe to run again: a record that is there already is updated. Upserts carry no associations. `verify` and
        `settle_s` as for `update`. Outcomes: `Created`, `Updated`, `Rejected`, `Ambiguous`, `NotSent`.
        """
        operation = Operation(
            name="upsert",
            inputs=Inputs.upsert(id_property=id_property),
            send=partial(self._meetings.send_upsert, replay=Replay.NOT_HERE),
            whole=UPSERTED,
            id_property=id_property,
            find=partial(self._meetings.lookup.by_unique, id_property),
            settle_s=_seconds(settle_s, SETTLE_S) if verify == "final" else 0.0,
            patience_s=_seconds(settle_s, SETTLE_S),
            verify=_verify(verify),
            read_back=self._read_back,
            quota=self._quota,
        )
        return self._write(operation, records, "repeat", options)

    def archive(self, records: Iterable[R] | AsyncIterable[R], **options: Unpack[WriteOptions]) -> Run[R]:
        """Move meetings to the recycling bin. Records are ids, or mappings with an `id`.

        Outcomes: `Archived` (also for ids that do not exist: HubSpot does not tell), `Rejected`, `Ambiguous`,
        `NotSent`.
        """
        operation = Operation(
            name="archive",
            inputs=Inputs.archive(),
            send=partial(self._meetings.send_archive, replay=Replay.NOT_HERE),
            quota=self._quota,
        )
        return self._write(operation, records, "repeat", options)

    @overload
    def read(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        **options: Unpack[RunOptions],
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
        **options: Unpack[RunOptions],
    ) -> Run[R, Meeting[S]]: ...

    def read(
        self,
        records: Iterable[R] | AsyncIterable[R],
        *,
        properties: Sequence[str] = (),
        properties_with_history: Sequence[str] = (),
        id_property: str | None = None,
        archived: bool = False,
        into: type[Struct] | None = None,
        **options: Unpack[RunOptions],
    ) -> Run[R, Any]:
        """Read meetings by id, or by the value of the unique property `id_property`.

        Outcomes: `Read`; `Rejected` with `NotFound` for missing ones; `NotSent`. `archived=True` reads the recycling
        bin and nothing else. Batches with histories hold 50. With `into=MyMeeting`, each meeting's `properties` are a
        `MyMeeting`; one whose values do not fit is `Rejected`.
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
            send=partial(self._meetings.send_read, archived=archived, replay=Replay.NOT_HERE),
            id_property=id_property,
            into=into,
            quota=self._quota,
        )
        return self._run(operation, records, Options(**_known(options, RunOptions)), None)

    def _write(
        self, operation: Operation, records: Iterable[R] | AsyncIterable[R], mode: str, options: WriteOptions
    ) -> Run[R]:
        given = _known(options, WriteOptions)
        path = given.pop("journal", None)
        durability: Durability = given.pop("durability", "power")
        resume: Resume = given.pop("resume", "ordinal")
        about: Mapping[str, str] = given.pop("about", {})
        if path is None:
            return self._run(operation, records, Options(**given), None)
        if resume == "key" and operation.name == "create" and operation.id_property is None:
            raise ConfigurationError("resume='key' knows records by a key: give key_property=, or resume by ordinal")
        journal = journal_file(path, durability=durability, resume=resume, about=about)

        async def job() -> Job:
            host, portal = await self._account()
            return Job(
                operation=operation.name, mode=mode, key_property=operation.id_property or "", host=host, portal=portal
            )

        return self._run(operation, records, Options(**given, journal=journal), job)

    def _run(
        self,
        operation: Operation,
        records: Iterable[R] | AsyncIterable[R],
        options: Options,
        job: Callable[[], Awaitable[Job]] | None,
    ) -> Run[R, Any]:
        return Run(
            operation,
            records,
            options=options,
            job=job,
            rng=self._rng,
            policy=self._policy,
            budget=self._budget,
            on_event=self._on_event,
        )

    async def _need_key(self, name: str) -> None:
        await self._properties.need_key(name)

    async def _read_back(self, ids: Sequence[str], properties: Sequence[str]) -> BatchResponse[Any]:
        return await self._meetings.batch_read(ids, properties=properties)


def _known(options: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """A copy of the options. Raises: TypeError for one that there is not."""
    known: frozenset[str] = cast("Any", kind).__optional_keys__
    for name in options:
        if name not in known:
            raise TypeError(f"a bulk run has no option {name!r}; there are {', '.join(sorted(known))}")
    return dict(options)


def _seconds(given: float | None, usual: float) -> float:
    if given is None:
        return usual
    if type(given) not in (int, float) or not 0 <= given < float("inf"):
        raise ConfigurationError(f"settle_s must be a number of seconds, not {given!r}")
    return given


def _verify(given: Verify | None) -> Verify | None:
    if given is not None and given not in get_args(Verify):
        raise ConfigurationError(f"verify is None, 'values' or 'final', not {given!r}")
    return given
