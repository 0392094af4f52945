"""Play one schedule and tell its history: `python -m tests.proof --mode keyed --seed 123`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence

from .checker import problems
from .plan import MODES, Plan
from .schedule import play, replay


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--count", type=int, default=1, help="how many seeds, from this one on; more than one: no history"
    )
    given = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    if given.count == 1:
        plan = Plan.draw(given.mode, given.seed)
        print("\n".join(f"{name}: {getattr(plan, name)}" for name in plan.__slots__))  # noqa: T201
        history = replay(plan, telling=True)
        print("\n".join(history.lines))  # noqa: T201
        found = problems(history)
        print("\n".join(found) or "every promise was kept")  # noqa: T201
        return bool(found)
    began, broken = time.perf_counter(), 0
    for seed in range(given.seed, given.seed + given.count):
        if found := problems(play(given.mode, seed)):
            broken += 1
            print(f"--mode {given.mode} --seed {seed}: {len(found)} problems, such as: {found[0]}")  # noqa: T201
    took_s = time.perf_counter() - began
    print(f"{given.count} schedules, {broken} broken, {given.count / took_s:.0f}/s")  # noqa: T201
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
