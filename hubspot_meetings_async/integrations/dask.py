"""Dask: bulk runs of many accounts or many files, on many machines.

    async with Client("tcp://scheduler:8786", asynchronous=True) as dask:
        reports = await run_partitions(dask, jobs, connect=connect)

Each job is an ordinary bulk run with a journal of its own, in a thread and event loop of its own on some worker. When a
worker dies, Dask runs its jobs again on others; each goes on where its journal ends, and repeats nothing. Tokens stay
off the wire: `connect` is called on the worker, and finds the token there by the account's name.

Dask, and not Ray: it is pure Python, installed by pip beside the library, with a local cluster of processes that tests
can afford (a second); lost workers and failed tasks are retried one by one; its scheduler keeps no state of ours worth
more than the journals. What Ray is better at, objects in shared memory and actors, is not needed here.

This module knows Dask's client and the public face of the library. It must not know how a run works. It needs the extra
`dask`.

Dask: https://distributed.dask.org/en/stable/
"""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, cast, get_args

import anyio
from msgspec import Struct

try:
    from distributed import Client, KilledWorker, Reschedule, Status, get_worker
    from distributed.protocol import pickle
except ImportError as missing:
    raise ImportError(
        f"this needs Dask ({missing.name} is missing): pip install 'hubspot-meetings-async[dask]'"
    ) from None

from ..bulk.engine import Run
from ..bulk.outcomes import Report
from ..bulk.sources import Broken, Source, records
from ..client import MeetingsClient
from ..errors import ConfigurationError, HubSpotError, HubSpotUnavailable, JournalLockedError, TransportFailed
from ..limiter import Limits, QuotaGate

__all__ = ["Connect", "Job", "JobReport", "Share", "run_partitions"]

_pickled = cast("Callable[[object], bytes]", pickle.dumps)  # pyright: ignore[reportUnknownMemberType] - untyped there

Kind = Literal["create", "update", "upsert", "archive"]

_LOCKED_S: Final = 60.0
"""A worker that is dead for Dask may hold its journal for so long: file servers find out later."""
_LOOK_S: Final = 0.5
_MOST_BROKEN: Final = 100
_TOKEN: Final = re.compile(rb"pat-[a-z]{2,4}\d-[0-9A-Za-z]{8}")


class Job(Struct, frozen=True, kw_only=True):
    """One bulk run.

    `account` is a name by which `connect` finds the account's token; never the token. `source` is the path of a JSONL
    or CSV file, or a function without arguments that gives the records, the same ones each time it is called; it is
    called on the worker. `key_property` is what `create` calls so, and the `id_property` of `update` and `upsert`.
    `journal` is the path of the run's journal. Both paths are absolute, on storage that all workers see. (SQLite keeps
    the journal, for itself alone: a network file system must have working locks, as NFS 4 has.) `options` are further
    options of the call, such as `{"workers": 4, "wait_for_reset": True}`.

    Raises: ConfigurationError for a job that can not be run.
    """

    account: str
    source: str | Callable[[], Iterable[Any] | AsyncIterable[Any]]
    operation: Kind
    journal: str
    key_property: str | None = None
    options: Mapping[str, Any] = {}

    def __post_init__(self) -> None:
        if _TOKEN.search(self.account.encode()) or not self.account:
            raise ConfigurationError("account= is a name by which connect finds the token on the worker, not the token")
        if self.operation not in get_args(Kind):
            raise ConfigurationError(f"operation is {', '.join(get_args(Kind))}, not {self.operation!r}")
        if self.operation == "upsert" and self.key_property is None:
            raise ConfigurationError("an upsert knows its records by key_property=; give one")
        if self.operation == "archive" and self.key_property is not None:
            raise ConfigurationError("an archive goes by ids and takes no key_property=")
        for path in (self.journal, self.source if isinstance(self.source, str) else os.sep):
            if not os.path.isabs(path):
                raise ConfigurationError(
                    f"{path!r} is a relative path, and workers run elsewhere; give an absolute one"
                )


class Share(Struct, frozen=True, kw_only=True):
    """What a job may take of its account's quota: one part `of` so many that run at the same time."""

    account: str
    of: int = 1

    def limiter(self, limits: Limits) -> QuotaGate:
        """A gate that keeps to this part of the limits, whatever the others do.

        What another part does not use is lost; `integrations.redis.RedisQuota` shares it out.
        """
        if self.of == 1:
            return QuotaGate(limit=limits.per_ten_seconds)
        return QuotaGate(limit=max(1, limits.per_ten_seconds // self.of), assumed=False)


Connect = Callable[[Share], AbstractAsyncContextManager[MeetingsClient]]
"""Makes the client of a job, on the worker. It finds the token there: in the environment, in a file, in a vault."""


class JobReport(Struct, frozen=True, kw_only=True):
    """How a job went.

    `report` is the account of its last run; what earlier ones did, on workers that died, is `settled_before` in it. It
    is None where no run came to an end, and `error` says why. `broken` are the first hundred rows of the file that are
    no records, `broken_rows` counts them all.
    """

    job: Job
    report: Report | None = None
    error: Exception | None = None
    broken: tuple[Broken, ...] = ()
    broken_rows: int = 0

    @property
    def whole(self) -> bool:
        """Whether every row of the source was carried out."""
        report = self.report
        return (
            self.error is None
            and not self.broken_rows
            and report is not None
            and not (report.rejected or report.ambiguous or report.not_sent)
        )


async def run_partitions(
    dask: Client,
    jobs: Iterable[Job],
    *,
    connect: Connect,
    at_once: int = 1,
    retries: int = 3,
    on_done: Callable[[JobReport], None] | None = None,
) -> list[JobReport]:
    """Run the jobs on the cluster; gives their reports in the jobs' order. A job that fails spoils no other.

    Called again with the same jobs, it goes on with what is left. When it is cancelled, running jobs send what they
    have read and stop.

    Args:
        dask: an asynchronous client of the cluster: `Client(address, asynchronous=True)`.
        connect: makes a job's client on the worker: an importable function, or one whose variables hold no secret.
        at_once: jobs of one account that run at the same time. One uses all of the quota that the account has; more
            are of use where one process is too slow, and must share the quota (see `Share`).
        retries: how often a job is run again after an error that may pass, and after as many dead workers as
            Dask bears (`distributed.scheduler.allowed-failures`). Refusals such as a wrong token are final at once.
        on_done: called in the loop with each report, as it comes.

    Raises: ConfigurationError at once for a client that is not asynchronous, two jobs with one journal, and what can
    not travel to workers.
    """
    jobs = list(jobs)
    _check(dask, jobs, connect, at_once, retries)
    queues: dict[str, deque[int]] = {}
    for number, job in enumerate(jobs):
        queues.setdefault(job.account, deque()).append(number)
    done: dict[int, JobReport] = {}

    async def one_by_one(queue: deque[int], share: Share) -> None:
        while queue:
            number = queue.popleft()
            done[number] = await _carried_out(dask, jobs[number], share, connect, retries)
            if on_done is not None:
                on_done(done[number])

    async with anyio.create_task_group() as lanes:
        for account, queue in queues.items():
            share = Share(account=account, of=min(at_once, len(queue)))
            for _ in range(share.of):
                lanes.start_soon(one_by_one, queue, share)
    return [done[number] for number in range(len(jobs))]


def _check(dask: Client, jobs: list[Job], connect: Connect, at_once: int, retries: int) -> None:
    if not dask.asynchronous:
        raise ConfigurationError("run_partitions takes an asynchronous client: Client(address, asynchronous=True)")
    if at_once < 1 or retries < 0:
        raise ConfigurationError("at_once must be at least 1, retries at least 0")
    journals = Counter(os.path.normpath(job.journal) for job in jobs)
    if twice := [path for path, number in journals.items() if number > 1]:
        raise ConfigurationError(f"each job has a journal of its own, and {twice[0]} is given to two")
    _check_pickle("connect", connect)
    for number, job in enumerate(jobs):
        _check_pickle(f"job {number}", job)


def _check_pickle(name: str, thing: object) -> None:
    """What travels, travels: and it holds no token."""
    try:
        pickled = _pickled(thing)
    except Exception as error:
        raise ConfigurationError(
            f"{name} can not travel to workers ({error}); let connect find secrets and connections there"
        ) from error
    if _TOKEN.search(pickled):
        raise ConfigurationError(
            f"{name} would bring a private app's token to the workers, in itself or in a variable it uses; let connect "
            "find the token there"
        )


async def _carried_out(dask: Any, job: Job, share: Share, connect: Connect, retries: int) -> JobReport:
    deaths = 0
    while True:
        # In Dask's dashboard and logs the key tells what it is.
        key = f"hubspot-{job.operation}-{job.account}-{secrets.token_hex(8)}"
        future = dask.submit(carry_out, job, share, connect, key=key, retries=retries, pure=False)
        try:
            done: JobReport = await future
        except Exception as error:  # noqa: BLE001 - whatever a job raises is told in its report
            if not isinstance(error, KilledWorker) or deaths == retries:
                return JobReport(job=job, error=error)
            deaths += 1
        else:
            return done
        finally:
            # Also of a job that runs, when this is cancelled: it stops when its worker hears that nobody wants it.
            future.release()


# ---- on the worker


def carry_out(job: Job, share: Share, connect: Connect) -> JobReport:
    """Run a job, in this thread; what may pass by itself is raised, for Dask to try again."""
    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled" and worker.status in (Status.running, Status.paused)

    return anyio.run(_connected, job, share, connect, wanted)


async def _connected(job: Job, share: Share, connect: Connect, wanted: Callable[[], bool]) -> JobReport:
    patient_until = anyio.current_time() + _LOCKED_S
    async with connect(share) as hubspot:
        while True:
            try:
                return await _run(hubspot, job, wanted)
            except JournalLockedError:
                if anyio.current_time() > patient_until or not wanted():
                    raise
                await anyio.sleep(_LOOK_S)


async def _run(hubspot: MeetingsClient, job: Job, wanted: Callable[[], bool]) -> JobReport:
    broken: list[Broken] = []
    broken_rows = 0

    def note(row: Broken) -> None:
        nonlocal broken_rows
        broken_rows += 1
        if len(broken) < _MOST_BROKEN:
            broken.append(row)

    given = records(Source(job.source), note) if isinstance(job.source, str) else job.source()
    run = _begun(hubspot, job, given)
    error: Exception | None = None
    async with anyio.create_task_group() as beside:
        beside.start_soon(_stop_when_unwanted, run, wanted)
        try:
            await run
        except Exception as failure:  # noqa: BLE001 - it leaves this group as itself, not as a group
            error = failure
        beside.cancel_scope.cancel()
    if error is None and not wanted():
        # What was read is done, and there may be more: somebody else is to go on.
        raise Reschedule
    if error is not None and _may_pass(error):
        raise error
    return JobReport(job=job, report=run.report, error=error, broken=tuple(broken), broken_rows=broken_rows)


def _begun(hubspot: MeetingsClient, job: Job, given: Iterable[Any] | AsyncIterable[Any]) -> Run[Any]:
    about = {"account": job.account, "source": job.source if isinstance(job.source, str) else repr(job.source)}
    options: dict[str, Any] = {"about": about, **job.options, "journal": job.journal}
    match job.operation:
        case "create":
            return hubspot.bulk.create(given, key_property=job.key_property, **options)
        case "update":
            return hubspot.bulk.update(given, id_property=job.key_property, **options)
        case "upsert":
            return hubspot.bulk.upsert(given, id_property=job.key_property or "", **options)
        case "archive":
            return hubspot.bulk.archive(given, **options)


async def _stop_when_unwanted(run: Run[Any], wanted: Callable[[], bool]) -> None:
    while wanted():  # noqa: ASYNC110 - Dask tells it to nobody
        await anyio.sleep(_LOOK_S)
    run.stop()


def _may_pass(error: Exception) -> bool:
    """Whether another try, maybe on another machine, may do better."""
    if isinstance(error, HubSpotError):
        return isinstance(error, (TransportFailed, HubSpotUnavailable, JournalLockedError))
    return True
