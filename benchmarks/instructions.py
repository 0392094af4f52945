"""Instructions a record, counted by valgrind: a figure without noise, the same on a busy machine.

Each contestant does a bulk create twice, with few and with more records, in a process of its own under
`valgrind --tool=cachegrind --cache-sim=no`; the difference, divided by the difference in records, leaves imports and
connections out. Instructions are not time: the kernel's (sockets) are not counted, nor do they tell of cache misses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from .contestants import CONTESTANTS, FLOOR, OURS
from .figures import Table
from .processes import serving

__all__ = ["measure"]

FEW, MORE = 1_000, 6_000
IN_FLIGHT = 8
WHO = (FLOOR, OURS, "ours, report", "msgspec loop")
_COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """One table."""
    columns = ("contestant", "thousand instructions a record", "× floor")
    table = Table(f"Instructions of a bulk create ({MORE - FEW:,} records, {IN_FLIGHT} in flight)", columns)
    valgrind = shutil.which("valgrind")
    if valgrind is None or quick:
        table.note("Left out: " + ("valgrind is not installed." if valgrind is None else "too slow for --quick."))
        yield table
        return
    # Two at a time: who else runs makes no difference.
    with serving() as url, ThreadPoolExecutor(os.cpu_count()) as pool:
        names = [name for name in (CONTESTANTS if full else WHO) if CONTESTANTS[name].missing() is None]
        tasks = [(name, count) for name in names for count in (FEW, MORE)]
        counted = dict(zip(tasks, pool.map(lambda task: _count(valgrind, url, *task), tasks), strict=True))
    each = {name: (counted[name, MORE] - counted[name, FEW]) / (MORE - FEW) / 1000 for name in names}
    for name, thousands in each.items():
        table.add(name, thousands, thousands / each[FLOOR])
    yield table


def _count(valgrind: str, url: str, name: str, count: int) -> int:
    task = f'{{"work": "create", "url": "{url}", "count": {count}, "in_flight": {IN_FLIGHT}, "warm_up": 0}}\n'
    words = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    words += [sys.executable, "-m", "benchmarks.contestants", name]
    # One seed for the hashes: dicts and sets are laid out alike in both runs.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(words, input=task, capture_output=True, text=True, env=environment, check=False)
    found = _COUNTED.search(done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"valgrind could not run {name}: {done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))
