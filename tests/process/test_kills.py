"""`kill -9` in the middle of a job, at every point where it could matter: it is finished later, exact to the record."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from .jobs import MODES, POINTS, Done, Nursery, Plan, account, finish, job_in, nursery

_COUNT = 700
_WORKERS = 4


@pytest.fixture(scope="module")
def births() -> Iterator[Nursery]:
    """One nursery for all jobs."""
    with nursery() as running:
        yield running


def killed(
    births: Nursery, folder: Path, mode: str, plan: Plan, *, trouble: bool, seed: int = 0, **further: Any
) -> Done:
    """A job that was killed as planned, and finished; `further` is said of the job."""
    with account(seed=seed, trouble=trouble) as hubspot:
        job = job_in(folder, hubspot.url, mode, count=_COUNT, workers=_WORKERS)
        return finish(births, hubspot, msgspec.structs.replace(job, **further), plan)


def assert_exact(mode: str, done: Done) -> None:
    assert done.verdict.wrong == {}
    assert_bounded(mode, done)


def assert_bounded(mode: str, done: Done) -> None:
    """No more is left open than was in flight at a kill."""
    verdict = done.verdict
    if mode == "hold":
        # What was in flight at a kill, and what HubSpot lost the answer to.
        assert len(verdict.ambiguous) <= 100 * (_WORKERS * len(done.kills) + done.faults)
    else:
        # Who was alone at a death after three is suspected to have caused it, and held back by name.
        assert set(verdict.ambiguous) <= set(verdict.suspects)
        assert len(verdict.suspects) <= _WORKERS * max(0, len(done.kills) - 3)


def _plan(point: str, count: int) -> list[str]:
    """To die at a point when it is reached so often; those that only a resumed job has come after another death."""
    if point == "before_close":
        return [f"{point}:1"]
    return ["after_response:2", f"{point}:1"] if point in ("in_reconcile", "in_resume") else [f"{point}:{count}"]


@pytest.mark.row("P1")
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_every_record_is_created_once(births: Nursery, tmp_path: Path, point: str) -> None:
    """Keyed: nothing lost, nothing twice, nothing told that is not so; what was told is in the journal."""
    plan = _plan(point, 2)
    done = killed(births, tmp_path, "keyed", plan, trouble=False)
    assert done.kills == plan
    assert_exact("keyed", done)


@pytest.mark.row("P1")
@pytest.mark.parametrize("mode", MODES)
def test_killed_again_and_again_while_hubspot_fails(births: Nursery, tmp_path: Path, mode: str) -> None:
    """Answers are lost before and after their effect, effects come late, and the process dies at three points."""
    plan = ["after_intent:3", "after_response:2", "before_commit:1"]
    done = killed(births, tmp_path, mode, plan, trouble=True, seed=MODES.index(mode) + 3)
    assert done.faults
    assert done.kills
    assert_exact(mode, done)


@pytest.mark.row("P2")
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_random_moments(births: Nursery, tmp_path: Path, mode: str) -> None:
    """Wherever it is."""
    rng = random.Random(f"moments {mode}")
    done = killed(births, tmp_path, mode, [rng.uniform(0.02, 0.2) for _ in range(3)], trouble=True)
    assert_exact(mode, done)


@pytest.mark.row("P2")
@pytest.mark.parametrize("mode", ["keyed", "upsert"])
def test_killed_with_a_source_in_another_order_each_time(births: Nursery, tmp_path: Path, mode: str) -> None:
    """Records are known again by their keys."""
    # On a slow machine little may be left for the last run: there is more to do, and its first step is its end.
    plan = ["after_response:3", "before_commit:2", "after_intent:1"]
    done = killed(births, tmp_path, mode, plan, trouble=True, seed=7, shuffled=True, count=1_400)
    assert len(done.kills) == 3
    assert_exact(mode, done)


@pytest.mark.row("P18")
@pytest.mark.parametrize("mode", ["keyed", "upsert", "update"])
def test_a_record_that_kills_the_process_is_found_and_left_out(births: Nursery, tmp_path: Path, mode: str) -> None:
    """Its batch was in flight at three deaths: then each record goes alone, and the one that kills is named."""
    with account() as hubspot:
        job = job_in(tmp_path, hubspot.url, mode, count=125, workers=1)
        job.lethal = 110
        done = finish(births, hubspot, job, [])
    assert len(done.kills) == 4
    assert done.verdict.ambiguous == [110]


@pytest.mark.parametrize(
    ("broken", "point", "seen"),
    [("intents", "after_response:3", "duplicated"), ("acks", "before_commit:3", "misreported")],
)
def test_a_library_that_is_not_safe_is_found_out(
    births: Nursery, tmp_path: Path, broken: str, point: str, seen: str
) -> None:
    """Sent without an intent, or told before the journal has it: a kill shows it, and the checker sees it."""
    done = killed(births, tmp_path, "hold", [point], trouble=False, broken=broken)
    assert done.verdict.wrong[seen]


_MOST_JOBS = 260


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_hundreds_of_kills_lose_and_double_nothing(
    births: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Ten deaths at each point, a hundred at random moments, in all modes, with and without failures of HubSpot."""
    rng = random.Random(int(os.environ.get("SOAK_SEED", "1")))
    plans: list[Plan] = [_plan(point, rng.randint(1, 3)) for point in POINTS for _ in range(11)]
    plans += [[rng.uniform(0.03, 0.25) for _ in range(7)] for _ in range(20)]
    rng.shuffle(plans)
    figures: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    wrong = []
    for number in range(_MOST_JOBS):
        if number == len(plans):
            if reached["random"] >= 105 and reached.total() >= 255:
                break
            # A swift machine is done before its last deaths: some more jobs, which die sooner.
            plans.append([rng.uniform(0.01, 0.1) for _ in range(7)])
        plan = plans[number]
        # Nothing is looked for where records are held or sent again.
        modes = ("keyed",) if plan[-1] == "in_reconcile:1" else ("keyed", "keyed", "hold", "upsert", "update")
        mode = rng.choice(modes)
        job: dict[str, Any] = {
            "trouble": rng.random() < 0.5,
            "seed": number,
            "durability": rng.choice(("power", "process")),
            "shuffled": mode in ("keyed", "upsert") and rng.random() < 0.3,
        }
        done = killed(births, tmp_path / f"{number}", mode, plan, **job)
        reached.update(kill.partition(":")[0] if ":" in kill else "random" for kill in done.kills)
        verdict = done.verdict
        figures.update(
            {name: len(getattr(verdict, name)) for name in ("lost", "duplicated", "misreported", "suspects")}
        )
        if verdict.wrong:
            wrong.append((mode, plan, job, verdict.wrong))
        assert_bounded(mode, done)
    record_property("jobs killed with kill -9", f"{len(plans)}, {reached.total()} times ({dict(reached)})")
    record_property("records of them", f"{_COUNT * len(plans):,}: {dict(figures)}")
    assert wrong == []
    assert reached.total() >= 250
    assert min(reached[point] for point in POINTS) >= 10
    assert reached["random"] >= 100
