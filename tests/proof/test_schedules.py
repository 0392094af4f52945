"""Random schedules of the real engine: faults, crashes, loss of power, cancellation; every promise kept in each.

`make test` plays 1,000 of each mode that promises something, `make soak` ten times as many from SOAK_SEED on.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from .checker import problems
from .plan import PROMISED, Mode
from .schedule import play

_CHUNK: Final = 100
_SOAK_CHUNK: Final = 500


def broken(mode: Mode, seeds: range) -> list[str]:
    """Schedules in which a promise was broken: how to replay each, and what it was."""
    told: list[str] = []
    for seed in seeds:
        found = problems(play(mode, seed))
        if found:
            told.append(f"python -m tests.proof --mode {mode} --seed {seed}\n    " + "\n    ".join(found[:5]))
    return told


@pytest.mark.parametrize("first", range(0, 1_000, _CHUNK))
@pytest.mark.parametrize("mode", PROMISED)
def test_nothing_is_lost_doubled_or_told_wrongly(mode: Mode, first: int) -> None:
    """In each of a hundred schedules: L0, D0, no outcome that is not so, every record accounted for."""
    assert not (found := broken(mode, range(first, first + _CHUNK))), "\n".join(found)


@pytest.mark.parametrize("mode", ["archive", "resend", "probe"])
def test_modes_that_promise_less_account_for_every_record(mode: Mode) -> None:
    """Archives, and creates that may exist twice: no record without an outcome, and none with two."""
    assert not (found := broken(mode, range(_CHUNK))), "\n".join(found)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(20))
@pytest.mark.parametrize("mode", PROMISED)
def test_ten_thousand_schedules(mode: Mode, chunk: int) -> None:
    """The same from SOAK_SEED on: 10,000 of each mode."""
    base = int(os.environ.get("SOAK_SEED", "1")) * 1_000_000
    first = base + chunk * _SOAK_CHUNK
    assert not (found := broken(mode, range(first, first + _SOAK_CHUNK))), "\n".join(found)
