"""Bulk jobs on disks that fill up, fail, are slow, or lose parts of the journal.

The store alone against the same is in `tests/bulk/journal`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .checker import read_history, read_told
from .child import Job
from .jobs import Nursery, account, job_in, judged, nursery, played, writes

WORKERS = 4


@pytest.fixture(scope="module")
def births() -> Iterator[Nursery]:
    """One nursery for all jobs that are killed."""
    with nursery() as running:
        yield running


def crashed(births: Nursery, job: Job) -> None:
    """A job whose process died in the middle."""
    job.kill_at = "before_commit:4"
    assert births.run(job).signal == 9


def wal(job: Job) -> Path:
    return Path(f"{job.journal}-wal")


@pytest.mark.row("D1", "D2", "D3")
@pytest.mark.parametrize("mode", ["keyed", "hold"])
@pytest.mark.parametrize("room", [60_000, 80_000, 100_000])
def test_a_disk_that_fills_up_ends_the_run_and_the_job_goes_on_with_room(tmp_path: Path, room: int, mode: str) -> None:
    """Nothing leaves without its intent; answers that came are told as not journaled; later the job is finished.

    Keyed: every record once. Without a key, what the journal could not take is held by name and never sent again.
    """
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode, count=1_500, workers=WORKERS)
        full = played("small_files", job, SMALL_FILES=str(room))
        assert full.code == 1
        assert "JournalError" in full.err
        assert "limits on file size" in full.err
        told = read_told(Path(job.told))
        created = {ordinal for ordinal, kind, _, _ in told if kind == "Created"}
        unjournaled = {ordinal for ordinal, kind, _, journaled in told if kind == "Created" and not journaled}
        assert sorted(ordinal for ordinal, *_ in told) == list(range(len(told)))
        assert len(created) == hubspot.stats().records.created < 1_500
        assert len(unjournaled) <= 100 * WORKERS
        assert played("plain", job) == (0, "", "")
        verdict = judged(hubspot, job)
    assert verdict.wrong == {}
    assert verdict.ambiguous == ([] if mode == "keyed" else sorted(unjournaled))


@pytest.mark.row("D4")
@pytest.mark.parametrize("mode", ["keyed", "hold"])
def test_a_sync_that_fails_ends_the_run_and_is_not_tried_again(tmp_path: Path, shim: str, mode: str) -> None:
    """Whether the rows reached the disk nobody knows: the next run goes by what it finds."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode, count=1_500, workers=WORKERS)
        failed = played("sync_fails", job, LD_PRELOAD=shim)
        assert failed.code == 1
        assert "JournalError" in failed.err
        assert int(failed.out) == 1
        assert played("plain", job) == (0, "", "")
        verdict = judged(hubspot, job)
    assert verdict.wrong == {}
    assert len(verdict.ambiguous) <= (0 if mode == "keyed" else 100 * WORKERS)


@pytest.mark.row("D5")
def test_a_journal_that_can_not_be_made_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    """Not even by root: the system's own folder takes no files."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url)
        job.journal = "/sys/job.journal"
        refused = played("plain", job)
        assert "JournalError" in refused.err
        assert writes(hubspot) == 0


def garbage(job: Job) -> str:
    Path(job.journal).write_bytes(b"a list of meetings\n" * 1_000)
    return "JournalDamagedError"


def newer(job: Job) -> str:
    with open(job.journal, "r+b") as file:
        # `user_version` of SQLite's header, negative while a run has the file open.
        file.seek(60)
        file.write((-7).to_bytes(4, "big", signed=True))
    return "JournalVersionError"


def without_wal(job: Job) -> str:
    wal(job).unlink()
    return "JournalDamagedError"


@pytest.mark.row("D6", "D8")
@pytest.mark.parametrize("harm", [garbage, newer, without_wal])
def test_a_journal_that_is_not_whole_is_refused_and_nothing_is_sent(
    births: Nursery, tmp_path: Path, harm: Callable[[Job], str]
) -> None:
    """The files stay as they are: to take them for an empty journal would send everything again."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, "hold")
        crashed(births, job)
        error = harm(job)
        before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
        sent = writes(hubspot)
        refused = played("plain", job)
        assert error in refused.err
        assert writes(hubspot) == sent
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.row("D7")
@pytest.mark.parametrize("mode", ["keyed", "hold"])
@pytest.mark.parametrize("cut_bytes", [1, 100, 4_096, 9_000, 0])
def test_a_torn_tail_is_dropped_and_the_job_finished(
    births: Nursery, tmp_path: Path, cut_bytes: int, mode: str
) -> None:
    """The last commit goes as a whole: it was an ack, so its batch is in doubt again. 0: garbage at the end, uncut."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode, workers=1)
        job.kill_at = "after_commit:3"
        assert births.run(job).signal == 9
        with wal(job).open("r+b") as file:
            if cut_bytes:
                file.truncate(wal(job).stat().st_size - cut_bytes)
            else:
                file.seek(-64, os.SEEK_END)
                file.write(bytes(range(64)))
        job.kill_at = None
        assert births.run(job).code == 0, Path(job.errors).read_text()
        verdict = judged(hubspot, job)
    assert verdict.wrong == {}
    assert verdict.ambiguous == ([] if mode == "keyed" else list(range(200, 300)))


@pytest.mark.row("D9")
def test_a_journal_that_was_moved_away_and_back_is_gone_on_with(births: Nursery, tmp_path: Path) -> None:
    """A copy made after a crash is as good as the original: both files of it."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url)
        crashed(births, job)
        moved = tmp_path / "moved"
        moved.mkdir()
        for file in (Path(job.journal), wal(job)):
            shutil.copy(file, moved)
            file.unlink()
        job.journal, job.kill_at = str(moved / "job.journal"), None
        assert births.run(job).code == 0, Path(job.errors).read_text()
        verdict = judged(hubspot, job)
    assert verdict.wrong == {}


@pytest.mark.row("D10")
def test_a_slow_disk_slows_the_run_and_not_the_loop(tmp_path: Path, shim: str) -> None:
    """Every sync takes 50 ms: the loop turns many times meanwhile, and all is created and journaled in order."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, "hold", workers=WORKERS)
        slow = played("slow_syncs", job, LD_PRELOAD=shim)
        assert (slow.code, slow.err) == (0, "")
        verdict = judged(hubspot, job)
        assert read_history(Path(job.journal)).records == job.count
    assert verdict.wrong == {}
    assert verdict.ambiguous == []
    # A loop that waited for the disk would turn about once for each sync.
    assert int(slow.out) > 3
