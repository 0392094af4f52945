"""Processes that are short of memory or files, stopped for a while, not closed, or two at once.

Signals that a person sends (P3, P4) are in `tests/cli`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from .jobs import account, ended, job_in, judged, played, started, writes


@pytest.mark.row("P5")
@pytest.mark.parametrize("mode", ["keyed", "hold"])
def test_a_process_without_memory_dies_and_its_job_is_finished_later(tmp_path: Path, mode: str) -> None:
    """Whatever fails first then, the journal says what was done."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode)
        assert played("hungry", job).code != 0
        first = writes(hubspot)
        again = played("plain", job)
        assert (again.code, again.err) == (0, "")
        verdict = judged(hubspot, job)
    assert 2 <= first < 7
    assert verdict.wrong == {}
    assert len(verdict.ambiguous) <= (0 if mode == "keyed" else 400)


@pytest.mark.row("P9")
@pytest.mark.parametrize("mode", ["keyed", "hold"])
def test_a_run_that_was_left_is_finished_by_another_process(tmp_path: Path, mode: str) -> None:
    """What the first one left open is named by it, and known to the second."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode)
        for scene in ("left", "plain"):
            assert played(scene, job) == (0, "", "")
        verdict = judged(hubspot, job)
    assert verdict.wrong == {}
    assert len(verdict.ambiguous) <= (0 if mode == "keyed" else 400)


@pytest.mark.row("P10")
@pytest.mark.parametrize("mode", ["keyed", "hold"])
def test_an_interpreter_that_ends_with_a_run_open_is_like_a_crash(tmp_path: Path, mode: str) -> None:
    """It ends, with a warning that something was not closed, and the next process finishes the job."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode)
        first = played("unclosed", job, PYTHONWARNINGS="default")
        assert "ResourceWarning" in first.err
        assert played("plain", job) == (0, "", "")
        verdict = judged(hubspot, job)
    assert verdict.wrong == {}
    assert len(verdict.ambiguous) <= (0 if mode == "keyed" else 400)


@pytest.mark.row("P12")
def test_a_second_process_with_the_journal_fails_at_once(tmp_path: Path) -> None:
    """It sends nothing, and the first one, which stands still meanwhile, is unharmed."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, count=1_500)
        first = started("plain", job)
        hubspot.wait_for_requests(5, timeout_s=30.0)
        os.kill(first.pid, signal.SIGSTOP)
        second = played("plain", job)
        os.kill(first.pid, signal.SIGCONT)
        assert ended(first) == (0, "", "")
        verdict = judged(hubspot, job)
        sent = writes(hubspot)
    assert second.code == 1
    assert "JournalLockedError" in second.err
    assert sent == 15
    assert verdict.wrong == {}
    assert verdict.ambiguous == []


@pytest.mark.row("P14")
@pytest.mark.parametrize(("scene", "mode"), [("hurried", "hold"), ("impatient", "keyed")])
def test_a_process_that_was_stopped_goes_on(tmp_path: Path, scene: str, mode: str) -> None:
    """Stopped for longer than it waits for answers: those that came are read, the others are in doubt; no storm."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode, count=3_000)
        process = started(scene, job)
        hubspot.wait_for_requests(10, timeout_s=30.0)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGCONT)
        assert ended(process) == (0, "", "")
        verdict = judged(hubspot, job)
        sent = writes(hubspot)
    assert verdict.wrong == {}
    assert sent <= 30 + job.workers
    # How long a connection is silent is measured by aiohttp, which may look at its watch before it looks at the
    # socket: records without a key may end as ambiguous for it, so that case has keys.
    assert verdict.ambiguous == []


@pytest.mark.row("P16")
@pytest.mark.parametrize("mode", ["keyed", "hold"])
def test_without_free_files_fewer_requests_are_in_flight(tmp_path: Path, mode: str) -> None:
    """A connection that can not be opened sent nothing: its batch waits, and everything is created."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode, count=1_500, workers=8)
        assert played("few_files", job) == (0, "", "")
        verdict = judged(hubspot, job)
    assert verdict.wrong == {}
    assert verdict.ambiguous == []


@pytest.mark.row("P3", "P4")
@pytest.mark.parametrize(
    ("number", "times", "mode"),
    [(signal.SIGINT, 1, "keyed"), (signal.SIGINT, 1, "hold"), (signal.SIGINT, 2, "hold"), (signal.SIGTERM, 1, "hold")],
)
def test_a_signal_ends_a_process_and_another_finishes_its_job(
    tmp_path: Path, number: signal.Signals, times: int, mode: str
) -> None:
    """`asyncio.run` cancels at the first SIGINT, so that the journal is closed; the second, and SIGTERM, are a crash.

    What the command line makes of signals is in `tests/cli`.
    """
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode, count=3_000)
        process = started("plain", job)
        hubspot.wait_for_requests(10, timeout_s=30.0)
        for _ in range(times):
            process.send_signal(number)
        ending = ended(process)
        assert ending.code == -number
        if (number, times) == (signal.SIGINT, 1):
            assert not Path(f"{job.journal}-wal").exists()
        assert played("plain", job) == (0, "", "")
        verdict = judged(hubspot, job)
    assert verdict.wrong == {}
    assert len(verdict.ambiguous) <= (0 if mode == "keyed" else 100 * job.workers)
