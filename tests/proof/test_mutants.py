"""The checker sees what is broken: each mutant is killed within 200 schedules of its mode."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import pytest

from .mutants import MUTANTS, Mutant, as_drawn, by_ordinal, killed_after, silent, verified
from .plan import PROMISED, Mode, Plan

MOST: Final = 200


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_variant_is_killed(name: str) -> None:
    """Some schedule of the first 200 shows that this variant breaks a promise."""
    killed = killed_after(MUTANTS[name], MOST)
    assert killed is not None, f"{MOST} schedules, and nobody noticed: {name}"
    print(f"{name}: killed by schedule {killed[0]}: {killed[1]}")  # noqa: T201 - `pytest -s` gives the table
    assert " a bug: " not in killed[1], "it breaks by itself, which proves nothing of the checker"


@pytest.mark.parametrize("mode", PROMISED)
@pytest.mark.parametrize("bend", [as_drawn, by_ordinal, silent, verified])
def test_the_real_thing_is_not(mode: Mode, bend: Callable[[Plan], None]) -> None:
    """The same schedules with nothing broken keep every promise."""
    assert killed_after(Mutant(mode, contextlib.nullcontext, bend), 60) is None


def test_there_are_twenty_and_more() -> None:
    """The list does not shrink unnoticed."""
    assert len(MUTANTS) >= 20
