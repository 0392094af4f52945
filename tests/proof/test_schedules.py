"""Random schedules of the real engine: faults, crashes, loss of power, cancellation; every promise kept in each.

`make test` plays 1,000 of each mode that promises something, `make soak` ten times as many from SOAK_SEED on.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

import pytest

from .checker import problems
from .network import BODY_FAULTS, FAULTS, READ_FAULTS
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


@pytest.mark.row("P13", "T21", "T22", "S21")
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


def test_the_weather_is_as_bad_as_it_should_be() -> None:
    """Every kind of fault, record and end of a session comes up, and a quarter of the requests meets a fault: what is
    kept here is kept in the rain."""
    faults: Counter[str] = Counter()
    ends: set[str] = set()
    kinds: set[str] = set()
    codes: Counter[str] = Counter()
    for mode in PROMISED:
        for seed in range(60):
            history = play(mode, seed)
            now = [request.fault for request in history.network.requests if request.at < history.plan.weather.calm_at]
            faults.update(now)
            kinds.update(item.kind for item in history.plan.items)
            ends.update(s.end.kind for s in history.sessions if s.end is not None and s.interrupted_at is not None)
            codes.update(history.disk.promised.codes.values())
    assert {*FAULTS, *BODY_FAULTS, *READ_FAULTS, "fatal"} - {"not sent"} <= faults.keys()
    assert 0.15 < 1 - faults[""] / faults.total() < 0.45
    assert ends == {"crash", "power", "cancel", "scope", "stop", "break", "raise"}
    assert kinds == {"good", "bad", "clash", "poison", "invalid", "double"}
    assert codes["c"] > 1_000
    assert codes["u"] > 1_000
    assert codes["x"] > 100
    assert codes["?"] > 100
