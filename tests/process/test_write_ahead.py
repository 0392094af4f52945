"""No byte of a batch leaves before the journal's word for it is on the disk, as the system sees it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from .jobs import account, ended, job_in, judged, started

CALLS = "pwrite64,fdatasync,fsync,sendto,sendmsg,write,writev"
_PREFIX = "seen-by-strace"
_KEY = re.compile(rf"{_PREFIX}-\d+(?=\D)")
_LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")


class Step(Struct):
    """A system call: where in the trace it began and where it ended, and what it was given."""

    name: str
    began: int
    ended: int
    text: str


def steps(trace: Path) -> Iterator[Step]:
    """The calls of a trace, whole: those that another thread interrupts are two lines of it."""
    open_: dict[str, Step] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        match = _LINE.match(line)
        if match is None:
            continue
        thread, resumed, name, text = match.groups()
        if resumed:
            step = open_.pop(thread)
            step.ended, step.text = number, step.text + text
            yield step
        elif text.endswith("<unfinished ...>"):
            open_[thread] = Step(name, number, number, text)
        else:
            yield Step(name, number, number, text)


def requests(calls: list[Step]) -> Iterator[bool]:
    """For every batch that left: whether its keys were written before, and a sync began after that and returned."""
    written = [call for call in calls if call.name == "pwrite64"]
    synced = [call for call in calls if call.name in ("fdatasync", "fsync")]
    for call in calls:
        if call.name in ("pwrite64", "fdatasync", "fsync") or "/batch/" not in call.text:
            continue
        keys = set(_KEY.findall(call.text))
        assert len(keys) == 100, "a request's head and body are one call"
        # Keys in the journal may be cut at the end of a page: most of them are whole.
        intents = [one for one in written if one.ended < call.began and len(keys & set(_KEY.findall(one.text))) > 10]
        assert intents, f"{min(keys)}… left without an intent"
        yield any(intents[0].ended < sync.began and sync.ended < call.began for sync in synced)


@pytest.mark.parametrize(("mode", "durability"), [("keyed", "power"), ("upsert", "power"), ("keyed", "process")])
def test_each_batch_leaves_after_the_sync_of_its_intent(tmp_path: Path, mode: str, durability: str) -> None:
    """With `power`. With `process` it is written and not synced, which also shows that this test can tell."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not there; on Debian: apt-get install strace")
    trace = tmp_path / "trace"
    with account() as hubspot:
        job = job_in(tmp_path / "job", hubspot.url, mode, count=600)
        job.prefix, job.durability = _PREFIX, durability
        prefix = [strace, "-f", "-e", f"trace={CALLS}", "-s", "100000", "-o", str(trace)]
        done = ended(started("plain", job, prefix=prefix))
        if done.code == 1 and "PTRACE" in done.err:
            pytest.skip(f"strace may not trace here: {done.err}")
        assert (done.code, done.err) == (0, "")
        assert judged(hubspot, job).wrong == {}
    assert list(requests(list(steps(trace)))) == [durability == "power"] * 6
