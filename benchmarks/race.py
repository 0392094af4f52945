"""CPU a record and records a second: every contestant in its own process, in turn, round after round.

Each does the same work against the same server. The figure is the median over the rounds; the ratio to the floor is
the median of the ratios within a round. CPU is that of the client's process, all its threads, imports excepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .contestants import CONTESTANTS, FLOOR, OURS
from .figures import Table, median, ratio
from .processes import Racer, asked_of, serving

__all__ = ["measure"]

SLOWER = 50
"""Slow contestants get that many times fewer records, and not fewer than four batches."""


class Cell(NamedTuple):
    """One work under one set of conditions. `who`: all contestants, or some."""

    work: str
    records: int
    latency_ms: int = 0
    in_flight: int | None = None
    who: tuple[str, ...] = ()

    def title(self) -> str:
        """In words."""
        words = [TITLES[self.work]]
        if self.in_flight is not None:
            words.append(f"{self.latency_ms} ms latency, {self.in_flight} in flight")
        return f"{words[0]}, {words[1]}" if len(words) > 1 else words[0]


TITLES = {
    "create": "Bulk create",
    "upsert": "Bulk upsert",
    "read": "Bulk read",
    "update": "Bulk update",
    "archive": "Bulk archive",
    "export": "Export by list, 100 a page",
    "search": "Search, 200 a page",
    "single": "Single creates, one after the other",
    "micro": "Micro-batching: single creates of 2,000 tasks at once; beside it a bulk run of them (ours, report)",
    "decode": "Decoding the answer to a batch and nothing else",
}
_LATE = (FLOOR, OURS, "ours, report", "msgspec loop")
_FAST = tuple(name for name, contestant in CONTESTANTS.items() if not contestant.slow)
_PAGES = tuple(name for name in CONTESTANTS if name not in ("ours, report", "api-client, 16 threads"))
"""A page is one call, which names the next: neither a report nor threads make a difference."""

CELLS = (
    Cell("create", 50_000, 0, 8),
    Cell("create", 20_000, 0, 1, _FAST),
    Cell("create", 20_000, 0, 32, _FAST),
    Cell("create", 2_000, 50, 1, _LATE),
    Cell("create", 16_000, 50, 8, _LATE),
    Cell("create", 100_000, 50, 32, _LATE),
    Cell("upsert", 20_000, 0, 8),
    Cell("read", 20_000, 0, 8),
    Cell("update", 20_000, 0, 8),
    Cell("archive", 20_000, 0, 8),
    Cell("export", 20_000, who=_PAGES),
    Cell("search", 20_000, who=_PAGES),
    Cell("single", 1_000, who=_PAGES),
    Cell("micro", 20_000, who=_LATE[:3]),
    Cell("decode", 20_000, who=(OURS, "msgspec loop", "naive", "api-client", "sdk, httpx")),
)
GRID = tuple(
    Cell(work, 100_000, latency_ms, in_flight, _LATE if latency_ms else () if in_flight == 8 else _FAST)
    for work in ("create", "upsert", "read")
    for latency_ms in (0, 50)
    for in_flight in (1, 8, 32)
)
"""What `--full` has in place of the bulk works."""


def measure(*, quick: bool = False, full: bool = False) -> Iterator[Table]:
    """One table a cell."""
    rounds = 3 if quick else 5
    cells = [*(GRID if full else ()), *(cell for cell in CELLS if not full or cell.in_flight is None)]
    if quick:
        cells = [cell._replace(records=min(cell.records, _QUICK[cell.latency_ms])) for cell in cells if _is_quick(cell)]
    with serving() as near, serving("--latency-ms", "50") as far, _racers() as (racers, left_out):
        for number, cell in enumerate(cells):
            table = _race(cell, far if cell.latency_ms else near, racers, rounds)
            if number == 0:
                for text in left_out:
                    table.note(text)
            yield table


_QUICK = {0: 10_000, 50: 32_000}


def _is_quick(cell: Cell) -> bool:
    return (cell.latency_ms, cell.in_flight) in ((0, 8), (0, None)) or cell[:1] + cell[2:4] == ("create", 50, 32)


@contextmanager
def _racers() -> Iterator[tuple[dict[str, Racer], list[str]]]:
    racers: dict[str, Racer] = {}
    left_out: list[str] = []
    try:
        for name, contestant in CONTESTANTS.items():
            if (missing := contestant.missing()) is None:
                racers[name] = Racer(name)
            else:
                left_out.append(f"Left out: {name}, since {missing} is not installed.")
        yield racers, left_out
    finally:
        for racer in racers.values():
            racer.stop()


def _race(cell: Cell, url: str, racers: dict[str, Racer], rounds: int) -> Table:
    cpu_us: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    fewest = 200 if cell.work == "search" else 20 if cell.work == "single" else 400
    server_us: list[float] = []
    without: set[str] = set()
    for _ in range(rounds):
        for name, racer in racers.items():
            if cell.who and name not in cell.who:
                continue
            count = max(fewest, cell.records // SLOWER // fewest * fewest) if CONTESTANTS[name].slow else cell.records
            before_s = asked_of(url, "/cpu")
            figures = racer.do(work=cell.work, url=url, count=count, in_flight=cell.in_flight or 1)
            if "left_out" in figures:
                without.add(name)
                continue
            if name == FLOOR:
                server_us.append((asked_of(url, "/cpu") - before_s) / count * 1e6)
            cpu_us.setdefault(name, []).append(figures["cpu_s"] / count * 1e6)
            rates.setdefault(name, []).append(count / figures["wall_s"])
    table = _table(cell, rounds, cpu_us, rates, server_us)
    if without:
        table.note(f"Without such a call: {', '.join(sorted(without))}.")
    return table


def _table(
    cell: Cell, rounds: int, cpu_us: dict[str, list[float]], rates: dict[str, list[float]], server_us: list[float]
) -> Table:
    columns = ("contestant", "µs CPU a record", "min–max", "× floor", "× ours", "records/s", "× floor's")
    table = Table(f"{cell.title()} ({cell.records:,} records, median of {rounds})", columns)
    for name, values in cpu_us.items():
        against = ratio(values, cpu_us[FLOOR]) if FLOOR in cpu_us else None
        beside = ratio(values, cpu_us[OURS]) if OURS in cpu_us else None
        pace = ratio(rates[name], rates[FLOOR]) if FLOOR in cpu_us else None
        span = f"{min(values):.2f}–{max(values):.2f}"
        table.add(name, median(values), span, against, beside, median(rates[name]), pace)
    if any(CONTESTANTS[name].slow for name in cpu_us):
        table.note(f"The official clients do a {SLOWER}th of the records; one thread of api-client has 1 in flight.")
    if server_us:
        table.note(f"The server used {median(server_us):.2f} µs CPU a record for the floor.")
    return table
