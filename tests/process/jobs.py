"""Runs a job until it is done, however often its process is killed, and has it judged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import msgspec
from msgspec import Struct

from hubspot_meetings_async.emulator import Emulator, Fault, FaultRule, ThreadedEmulator

from .checker import Verdict, judge, read_history, read_told
from .child import KEY, MARK, Ended, Job, records_of

__all__ = [
    "MODES",
    "POINTS",
    "Done",
    "Nursery",
    "Plan",
    "Played",
    "account",
    "ended",
    "finish",
    "job_in",
    "judged",
    "marks_of",
    "nursery",
    "played",
    "started",
    "stored_by_mark",
    "writes",
]

MODES = ("keyed", "hold", "upsert", "update")
POINTS = (
    *("before_intent", "after_intent", "before_send", "during_send", "after_response", "after_ack_queued"),
    *("before_commit", "after_commit", "before_told", "in_reconcile", "in_resume", "before_close", "in_close"),
)
"""Where a process can be told to kill itself; `in_reconcile` needs a mode that looks, and something to look for."""

MOST_ATTEMPTS = 12
PATIENCE_S = 60
ROOT = Path(__file__).parents[2]

TROUBLE = (
    FaultRule(fault=Fault(status=502, applied=True), operation="meetings.batch_[cu]*", rate=0.05),
    FaultRule(fault=Fault(kind="reset", applied=True), operation="meetings.batch_[cu]*", rate=0.05),
    FaultRule(fault=Fault(status=504, applied_after_s=0.05), operation="meetings.batch_[cu]*", rate=0.05),
    FaultRule(fault=Fault(status=503), operation="meetings.batch_*", rate=0.05),
    FaultRule(fault=Fault(kind="reset"), operation="meetings.batch_*", rate=0.05),
)
"""What goes wrong at HubSpot meanwhile: answers lost with and without effect, and effects that come late."""

Plan = Sequence[str | float | None]
"""How each attempt is to end: at a point (`NAME:COUNT`), after so many seconds, or None: by itself."""


class Done(Struct, kw_only=True):
    """A job that was brought to its end."""

    kills: list[str]
    verdict: Verdict
    faults: int


class Nursery:
    """The process that gives birth to those that run jobs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._stdin, self._stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)

    def run(self, job: Job) -> Ended:
        """Run a job in a new process, to its end or its death."""
        self._stdin.write(msgspec.json.encode(job) + b"\n")
        self._stdin.flush()
        return msgspec.json.decode(self._stdout.readline(), type=Ended)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery for as long as the block lasts."""
    command = [sys.executable, "-m", "tests.process.child"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Nursery(process)
        finally:
            cast("IO[bytes]", process.stdin).close()
            process.wait(30)


@contextmanager
def account(*, seed: int = 0, trouble: bool = False) -> Iterator[ThreadedEmulator]:
    """An account without limits that answers after some milliseconds, out of order."""
    emulator = Emulator(limit=None, search_limit=None, seed=seed, service_latency_s=(0.002, 0.015), keep_requests=0)
    emulator.portal.add_property(KEY, unique=True)
    emulator.portal.add_property(MARK)
    for rule in TROUBLE if trouble else ():
        emulator.faults.add(rule)
    with ThreadedEmulator(emulator) as running:
        yield running


def marks_of(job: Job) -> list[str]:
    """How the checker knows each record of the source again."""
    return [record[MARK] for record in records_of(job)]


def finish(nursery: Nursery, hubspot: ThreadedEmulator, job: Job, plan: Plan) -> Done:
    """Run a job again and again, each attempt ended as planned, until one of them ends by itself; then judge it."""
    if job.mode == "update":
        job.first_id = _given(hubspot, job)
    kills: list[str] = []
    for attempt in range(MOST_ATTEMPTS):
        job.attempt = attempt
        end = plan[attempt] if attempt < len(plan) else None
        job.kill_at = end if isinstance(end, str) else None
        job.kill_after_s = end if isinstance(end, float) else None
        ended = nursery.run(job)
        if not ended.signal:
            assert ended.code == 0, Path(job.errors).read_text()
            break
        assert ended.signal == 9, f"it died of signal {ended.signal}"
        kills.append("by the record" if end is None else str(end))
    else:
        raise AssertionError(f"not done after {MOST_ATTEMPTS} attempts: {kills}")
    return Done(kills=kills, verdict=judged(hubspot, job), faults=sum(hubspot.stats().faults.values()))


def judged(hubspot: ThreadedEmulator, job: Job) -> Verdict:
    """What a job that is done comes to."""
    hubspot.call(lambda emulator: emulator.apply_late_writes())
    history, told = read_history(Path(job.journal)), read_told(Path(job.told))
    marks = dict(enumerate(marks_of(job)))
    if job.shuffled:
        # The journal says by its keys which record has which ordinal.
        assert sorted(history.keys.values()) == sorted(marks.values())
        marks, history.records = history.keys, len(marks)
    return judge(marks, history, told, stored_by_mark(hubspot), mode=job.mode)


def job_in(folder: Path, url: str, mode: str = "keyed", *, count: int = 700, workers: int = 4) -> Job:
    """A job whose files are in this folder."""
    folder.mkdir(exist_ok=True)
    return Job(
        mode=mode,
        url=url,
        journal=str(folder / "job.journal"),
        told=str(folder / "told"),
        errors=str(folder / "errors"),
        prefix=folder.name,
        count=count,
        workers=workers,
    )


def started(scene: str, job: Job, *, prefix: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
    """The job in a process of its own, played as a scene says."""
    command = [*prefix, sys.executable, "-m", "tests.process.scenes", scene, msgspec.json.encode(job).decode()]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Played(NamedTuple):
    """How a scene ended."""

    code: int
    out: str
    err: str


def ended(process: subprocess.Popen[str]) -> Played:
    """Wait for a scene's end."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return Played(process.returncode, out, err)


def played(scene: str, job: Job, **environment: str) -> Played:
    """The job in a process of its own, to its end, whatever that is."""
    return ended(started(scene, job, **environment))


def writes(hubspot: ThreadedEmulator) -> int:
    """How many requests came that change something."""
    counts = hubspot.stats().by_operation
    return sum(count for name, count in counts.items() if name.endswith(("_create", "_update", "_upsert", "_archive")))


def _given(hubspot: ThreadedEmulator, job: Job) -> int:
    """The meetings that an update is about, their first id."""

    def give(emulator: Emulator) -> list[int]:
        return [int(emulator.portal.add_object("meetings")) for _ in range(job.count)]

    ids = hubspot.call(give)
    assert ids == list(range(ids[0], ids[0] + job.count))
    return ids[0]


def stored_by_mark(hubspot: ThreadedEmulator) -> dict[str, list[str]]:
    """The ids of all meetings, by mark."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for entry in hubspot.call(lambda emulator: list(emulator.portal.ledger(MARK))):
        if entry.value is not None:
            ids[entry.value].append(entry.id)
    return dict(ids)
