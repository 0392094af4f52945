"""How fast an account is copied: the share of HubSpot's limits that sync and export use, and what a request brings.

    python -m benchmarks.sync            steady state at answers of 50 ms to 2 s
    python -m benchmarks.sync --full     and a million meetings, 50,000 changed meanwhile, broken off twice (minutes)

On virtual time, with the library's own limiters and the emulator's rules, without sockets. A slot of a rolling window
can be used again a window after its answer, so a client that never risks a 429 gets limit / (window + answer time) at
most: that is the 100 %. A bit more is possible where the limiter has learned when HubSpot stamps requests.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from hubspot_meetings_async import Changes
from hubspot_meetings_async.emulator.quota import Lane as Pace
from tests.sync.simulated import TITLE, filled, gates
from tests.sync.test_scale import kept_in_step
from tests.virtual_time import run_virtual

from .figures import Table

__all__ = ["measure"]

ANSWERS_S = (0.05, 0.2, 0.5, 1.0, 2.0)
SEARCH = (5, 1.0, 200)
LIST = (190, 10.0, 100)
"""Limit, window in seconds, meetings a request."""
ONE_LIST = "export('list')"
WAYS = {
    "changes()": SEARCH,
    "changes(), 100 in a millisecond": SEARCH,
    "export('search')": SEARCH,
    "export('ranges')": LIST,
    ONE_LIST: LIST,
}


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """One table, two with `full`."""
    columns = ("way", "answers s", "requests/s", "of the ceiling %", "meetings/s", "meetings a request", "429s")
    table = Table("Steady state at 5 searches a second and 190 calls in 10 s", columns)
    for way, (limit, window_s, _) in WAYS.items():
        for answer_s in (0.2,) if quick else ANSWERS_S:
            found = run_virtual(partial(_steady, way=way, answer_s=answer_s), seed=1)
            ceiling = limit / (window_s + answer_s)
            rate, each, refused = found["rate"], found["each"], found["refused"]
            table.add(way, answer_s, rate, 100 * rate / ceiling, rate * each, each, refused)
    table.note("'list' follows HubSpot's own cursor: one page an answer time, whatever the limit.")
    yield table
    if full:
        yield _million()


async def _steady(rng: random.Random, *, way: str, answer_s: float) -> dict[str, Any]:
    meetings = {"export('ranges')": 110_000, ONE_LIST: 4_000 if answer_s > 0.5 else 12_000}.get(way, 48_000)
    per_batch = 100 if "millisecond" in way else 1
    account = filled(meetings, answer_s=answer_s, rng=rng, per_batch=per_batch)
    sync = account.sync(limiters=gates())
    walk: Changes[Any]
    if way.startswith("changes"):
        walk = sync.changes(properties=[TITLE], archived=False)
    else:
        method: Any = way.split("'")[1]
        walk = sync.export(properties=[TITLE], method=method)
    lane = "search" if WAYS[way] is SEARCH else "window"
    stamps: list[float] = []
    assert account.quota is not None
    accept = account.quota.accept

    def noted(app: str, at: float, of: Pace) -> None:
        if of == lane:
            stamps.append(at)
        accept(app, at, of)

    account.quota.accept = noted  # type: ignore[method-assign, assignment]  # listens to the emulator, for this run
    told = 0
    async with walk:
        async for lot in walk.lots():
            told += len(lot.changes)
    assert told == meetings
    # Whole turns of the slots, without the first one, which they begin as they please, and the end.
    turn_s = WAYS[way][1] + answer_s if way != ONE_LIST else 1.0
    turns = int((stamps[-1] - 2 * answer_s) / turn_s)
    rate = sum(turn_s < at <= turns * turn_s for at in stamps) / ((turns - 1) * turn_s)
    return {"rate": rate, "each": told / len(stamps), "refused": account.refused}


def _million() -> Table:
    columns = ("first copy by", "virtual s", "searches", "list pages", "real s")
    table = Table("1,000,000 meetings, 50,000 changed meanwhile, two crashes: the copy is the account", columns)
    for export in (False, True):
        began_at = time.perf_counter()
        found = run_virtual(partial(kept_in_step, meetings=1_000_000, changes=50_000, export=export), seed=1)
        way = "export('search')" if export else "changes()"
        searches, lists = found["meetings.search"], found["meetings.list"]
        table.add(way, found["seconds"], searches, lists, time.perf_counter() - began_at)
    return table


def main() -> None:
    """Show the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    asked = parser.parse_args()
    for table in measure(quick=asked.quick, full=asked.full):
        table.show()


if __name__ == "__main__":
    main()
