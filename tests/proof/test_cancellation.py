"""Cancellation before every single step of every task of a run: as a task, through a scope, and as a crash.

A step is a callback that becomes ready, so that each resumption of each task of the engine is among them.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from .checker import problems
from .plan import PROMISED, End, Mode, Plan
from .schedule import History, replay

_SOON_S = 1.5


def struck(mode: Mode, seed: int, how: str, step: int, *, full_stack: bool) -> History:
    """A small schedule whose first session is struck before this step, and then goes on to its end."""
    plan = Plan.draw(mode, seed)
    plan.items, plan.others, plan.twins = plan.items[:9], [], plan.twins
    plan.batch_bytes, plan.workers, plan.live, plan.full_stack = 1_000, 2, True, full_stack
    plan.delivery_timeout_s, plan.slow_consumer = None, False
    plan.weather.calm_at, plan.weather.fatal = 30.0, 0.0
    plan.ends = [End(how, "step", float(step))]
    return replay(plan)


def strike_before_every_step(mode: Mode, seed: int, how: str, *, full_stack: bool) -> None:
    whole = struck(mode, seed, how, 10**9, full_stack=full_stack)
    assert problems(whole) == []
    steps = whole.sessions[0].steps
    assert steps > 10
    for step in range(1, steps + 1):
        history = struck(mode, seed, how, step, full_stack=full_stack)
        where = f"{mode}, seed {seed}, {how} before step {step} of {steps}"
        assert problems(history) == [], where
        session = history.sessions[0]
        if session.interrupted_at is None:
            continue
        assert session.ended_at - session.interrupted_at < _SOON_S, where
        if how == "cancel":
            assert isinstance(session.error, asyncio.CancelledError), where


@pytest.mark.row("X1", "X2", "X3", "X4", "X5", "X6")
@pytest.mark.parametrize("full_stack", [False, True], ids=["engine", "library"])
@pytest.mark.parametrize("how", ["cancel", "scope", "crash"])
@pytest.mark.parametrize("mode", PROMISED)
def test_a_run_can_be_cancelled_before_any_step(mode: Mode, how: str, full_stack: bool) -> None:
    """X1-X6: it ends at once, passes the cancellation on, tells the truth about every record, and leaves no task."""
    strike_before_every_step(mode, 0, how, full_stack=full_stack)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("full_stack", [False, True], ids=["engine", "library"])
@pytest.mark.parametrize("how", ["cancel", "scope", "crash"])
@pytest.mark.parametrize("mode", PROMISED)
def test_so_can_others(mode: Mode, how: str, full_stack: bool) -> None:
    """The same for five more schedules, from SOAK_SEED on."""
    first = int(os.environ.get("SOAK_SEED", "1")) * 1_000
    for seed in range(first, first + 5):
        strike_before_every_step(mode, seed, how, full_stack=full_stack)
