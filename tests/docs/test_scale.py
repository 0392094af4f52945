"""The page on scale says what its benchmark finds: the virtual and the reckoned exactly, the measured about."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from benchmarks.figures import Table
from benchmarks.redis_server import RedisServer
from benchmarks.scale import costs, fleet, plans, shared

from .pages import DOCS

PAGE = (DOCS / "scale.md").read_text("utf-8")


def number(cell: str) -> float:
    """The number that a cell begins with."""
    found = re.match(r"[\d,.]+", cell)
    assert found is not None, cell
    return float(found[0].replace(",", ""))


def rows_below(heading: str) -> dict[str, list[str]]:
    """The page's table whose first column is called so: its rows by their first cells."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    return {row[0]: row for row in rows}


def told_and_found(table: Table, *columns: int) -> Iterator[tuple[list[float], list[float]]]:
    """Of each row of a table: the page's figures, and the benchmark's."""
    rows = rows_below(table.columns[0])
    for row in table.rows:
        told = rows[str(row[0])]
        yield [number(told[place]) for place in columns], [number(str(row[place])) for place in columns]


def test_rates() -> None:
    """What one account takes, by plan."""
    for told, found in told_and_found(plans(), 1, 2, 3, 4, 5):
        assert told == pytest.approx(found, rel=0.01)


def test_all_accounts() -> None:
    """How large the accounts are, and how long all of them take, by workers."""
    sizes, workers = fleet()
    for told, found in (*told_and_found(sizes, 1, 2), *told_and_found(workers, 1, 2, 3)):
        assert told == pytest.approx(found, rel=0.01)


def test_memory_and_disk() -> None:
    """What a client and a journal take; fewer of them here."""
    for told, found in told_and_found(costs(clients=20, records=4000), 1):
        assert told == pytest.approx(found, rel=0.4)


def test_redis() -> None:
    """What Redis is asked and keeps; for a shorter time here."""
    if not RedisServer.installed():
        pytest.skip("redis-server is not on the path")
    table = shared(seconds=15.0, processes=(1, 4))
    for told, found in told_and_found(table, 2, 3, 7):
        assert told == pytest.approx(found, rel=0.5)
