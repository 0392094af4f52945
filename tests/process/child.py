"""A bulk job in a process of its own, which kills itself at a named point: `python -m tests.process.child`.

It takes jobs as lines of JSON on its standard input and forks for each, so that 250 deaths cost 250 forks and not 250
starts of Python. The fork runs one job and may die of it; the nursery waits, kills it after a while if it was told to,
and says how it ended. What the library does is wrapped from outside: there is no hook in it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import sys
import time
import traceback
from asyncio import selector_events
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from hubspot_meetings_async import MeetingsClient, NoLimit, RetryPolicy, Timeouts
from hubspot_meetings_async.bulk.account import Account
from hubspot_meetings_async.bulk.carrier import Carrier
from hubspot_meetings_async.bulk.engine import Run
from hubspot_meetings_async.bulk.journal.database import Database
from hubspot_meetings_async.bulk.journal.journal import Journal
from hubspot_meetings_async.bulk.journal.rows import ACK, Past
from hubspot_meetings_async.transport import AiohttpTransport

__all__ = ["KEY", "MARK", "Job", "records_of", "run_of", "told_line", "work"]

KEY = "booking_ref"
"""A property that the emulated account keeps unique."""
MARK = "source_ref"
"""A property by which the checker knows a record again, and the library does not."""

_BATCHES = ("/batch/create", "/batch/upsert", "/batch/update")
_HEAD = b"POST /crm/"


class Job(msgspec.Struct, kw_only=True):
    """What one process is to do. `kill_at` is a point and how often it is reached first, `NAME:COUNT`."""

    mode: str
    """`keyed`, `hold`, `upsert` or `update`."""
    url: str
    journal: str
    told: str
    """The file that takes what the job was told, a line per outcome."""
    errors: str
    prefix: str = "r"
    count: int = 800
    workers: int = 4
    first_id: int = 0
    durability: str = "power"
    shuffled: bool = False
    """Whether the source gives its records in another order each time, and the job is known again by keys."""
    attempt: int = 0
    kill_at: str | None = None
    kill_after_s: float | None = None
    lethal: int | None = None
    """The ordinal of a record that kills the process whenever a request holds it."""
    broken: str | None = None
    """What the library leaves out, to see whether the checker notices: `intents`, or the wait for `acks`."""


class Ended(msgspec.Struct, kw_only=True):
    """How a process ended: by a signal (its number), or with an exit code."""

    signal: int = 0
    code: int = 0


def records_of(job: Job) -> Iterator[dict[str, str]]:
    """The source: the same records in the same order, every time (unless the job wants them shuffled)."""
    numbers = list(range(job.count))
    if job.shuffled:
        random.Random(job.attempt).shuffle(numbers)
    for number in numbers:
        mark = f"{job.prefix}-{number}"
        values = {"hs_meeting_title": f"Review {number}", MARK: mark}
        if job.mode in ("keyed", "upsert"):
            values[KEY] = mark
        if job.mode == "update":
            values["id"] = str(job.first_id + number)
        yield values


def run_of(client: MeetingsClient, job: Job, records: Iterable[dict[str, str]]) -> Run[dict[str, str]]:
    """The run that the job describes."""
    options: Any = {"journal": job.journal, "durability": job.durability, "workers": job.workers}
    if job.shuffled:
        options["resume"] = "key"
    match job.mode:
        case "keyed":
            return client.bulk.create(records, key_property=KEY, **options)
        case "hold":
            return client.bulk.create(records, **options)
        case "upsert":
            return client.bulk.upsert(records, id_property=KEY, **options)
        case "update":
            return client.bulk.update(records, **options)
        case _:
            raise ValueError(f"no such mode: {job.mode!r}")


def told_line(outcome: Any) -> bytes:
    """An outcome as the caller saw it: ordinal, kind, the meeting's id or the reason, and whether it is journaled."""
    kind = type(outcome).__name__
    meeting = getattr(outcome, "meeting", None)
    detail = meeting.id if meeting is not None else getattr(outcome, "why", None) or str(outcome.error)
    return json.dumps([outcome.ordinal, kind, detail, outcome.journaled]).encode() + b"\n"


async def work(
    job: Job, *, after: Callable[[int], None] | None = None, timeout: Timeouts | None = None, leave_at: int = 0
) -> None:
    """Run the job, and write down every outcome before the next is asked for.

    `after` is called with the number of outcomes so far; after `leave_at` of them the block is left.
    """
    told = os.open(job.told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    retry = RetryPolicy(base_s=0.005, cap_s=0.02, locked_s=0.0)
    client = MeetingsClient("token", base_url=job.url, limiter=NoLimit(), retry=retry, timeout=timeout)
    number = 0
    async with client, run_of(client, job, records_of(job)) as run:
        async for outcome in run:
            os.write(told, told_line(outcome))
            number += 1
            if after is not None:
                after(number)
            if number == leave_at:
                break
    for outcome in run.unread:
        os.write(told, told_line(outcome))


# ---- dying


class _Death:
    """Kills this process when its point is reached for the n-th time."""

    def __init__(self, kill_at: str | None) -> None:
        self.point, _, count = (kill_at or ":0").partition(":")
        self._left = int(count)

    def here(self, point: str) -> None:
        if point == self.point:
            self._left -= 1
            if self._left == 0:
                now()


def now() -> None:
    """Die as with `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner: Any, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def plain(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args)
        result = inner(*args, **kwargs)
        if after is not None:
            after(*args)
        return result

    @functools.wraps(inner)
    async def waiting(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args)
        result = await inner(*args, **kwargs)
        if after is not None:
            after(*args)
        return result

    setattr(owner, name, waiting if asyncio.iscoroutinefunction(inner) else plain)


def _arm(death: _Death) -> None:
    """Wrap the library so that it dies at its point; only that point is touched."""

    def here(*_: object) -> None:
        death.here(death.point)

    def acks(_: Database, rows: Any) -> None:
        if any(kind == ACK for kind, *_ in rows):
            here()

    def batches(_: object, request: Any, *rest: object) -> None:
        if request.path.endswith(_BATCHES):
            here()

    places: dict[str, tuple[Any, str, Callable[..., None] | None, Callable[..., None] | None]] = {
        "before_intent": (Journal, "intend", here, None),
        "after_intent": (Journal, "intend", None, here),
        "before_send": (AiohttpTransport, "send", batches, None),
        "after_response": (Carrier, "_answered", here, None),
        "after_ack_queued": (Account, "settle", None, here),
        "before_commit": (Database, "write", acks, None),
        "after_commit": (Database, "write", None, acks),
        "before_told": (Account, "told", here, None),
        "in_reconcile": (Carrier, "_look", None, here),
        "in_resume": (Past, "read", None, here),
        "before_close": (Journal, "aclose", here, None),
        "in_close": (Database, "_checkpoint", None, here),
    }
    if death.point == "during_send":
        _cut_request(here)
    elif death.point:
        _wrap(*places[death.point])


def _cut_request(here: Callable[[], None]) -> None:
    """Let half of what a batch's request holds leave, then die."""
    transport: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]  # where bytes leave
    write = transport.write

    def cut(self: Any, data: Any) -> None:
        head, _, rest = bytes(data).partition(b"\r\n")
        if head.startswith(_HEAD) and any(path.encode() in head for path in _BATCHES):
            self._of_a_batch = True
        if self.__dict__.get("_of_a_batch") and len(rest) > 2_000:
            write(self, bytes(data[: len(data) // 2]))
            here()
            write(self, bytes(data[len(data) // 2 :]))
        else:
            write(self, data)

    class Traced(transport):  # type: ignore[misc]  # has a __dict__, which the original lacks
        pass

    Traced.write = cut
    Traced.writelines = lambda self, pieces: cut(self, b"".join(pieces))
    selector_events._SelectorSocketTransport = Traced  # type: ignore[attr-defined]


def _arm_lethal(job: Job) -> None:
    """Die whenever a request carries the record: as if it tripped over a bug of the process itself."""
    mark = json.dumps(f"{job.prefix}-{job.lethal}").encode()

    def look(_: object, request: Any, *rest: object) -> None:
        if request.path.endswith(_BATCHES) and mark in (request.body or b""):
            now()

    _wrap(AiohttpTransport, "send", look, None)


def _break(part: str) -> None:
    """Leave out a part of what makes a run safe."""

    async def nothing(*_: object, **__: object) -> None: ...

    async def at_once(_: Account, told: Any) -> Any:
        return told.outcomes

    def slowly(_: Database, rows: Any) -> None:
        if any(kind == ACK for kind, *_ in rows):
            time.sleep(0.05)

    if part == "intents":
        setattr(Journal, "intend", nothing)  # noqa: B010 - a type checker has no taste for such things
    else:
        setattr(Account, "written", at_once)  # noqa: B010
        _wrap(Database, "write", slowly, None)


# ---- the nursery


def born(job: Job) -> None:
    """Do the job in a process that was forked for it, and leave without a word of the nursery's."""
    code = 1
    try:
        errors = os.open(job.errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(errors, 2)
        os.dup2(errors, 1)
        _arm(_Death(job.kill_at))
        if job.broken is not None:
            _break(job.broken)
        if job.lethal is not None:
            _arm_lethal(job)
        asyncio.run(work(job))
        code = 0
    except BaseException:  # noqa: BLE001 - told by the exit code and in the file
        traceback.print_exc()
    finally:
        os._exit(code)


def nursery() -> None:
    """Fork for each job that is read, and say how each ended."""
    children = {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, children)
    for line in sys.stdin:
        job = msgspec.json.decode(line, type=Job)
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, children)
            born(job)
        if job.kill_after_s is not None and signal.sigtimedwait(children, job.kill_after_s) is None:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        # One that ended by itself left its signal behind.
        signal.sigtimedwait(children, 0)
        ended = Ended(
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
        )
        os.write(1, msgspec.json.encode(ended) + b"\n")


if __name__ == "__main__":
    nursery()
