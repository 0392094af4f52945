"""Every way in which HubSpot, the network, the machine or the user may fail has its test: a table of rows to tests.

Rows are named where they are tested, with `@pytest.mark.row("T13")`.
`python -m pytest tests/test_fault_matrix.py -s -k table` prints the table.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

ROWS = {
    "T": 27,  # transport: from a name that does not resolve to garbage behind an answer
    "H": 22,  # HTTP statuses
    "B": 13,  # bodies
    "S": 21,  # what answers leave open
    "P": 18,  # the process: signals, crashes, sources, forks
    "C": 5,  # clocks
    "D": 10,  # disks
    "X": 7,  # cancellation
    "U": 8,  # the user's own mistakes
}

NOT_TESTED: dict[str, str] = {
    "U8": "a new random key for each record and run looks like any other key; the README says where keys come from",
}
"""Rows that no test here can stand for, and why."""


def marked(path: Path) -> Iterator[tuple[str, str]]:
    """(row, test) of every mark in a file: on tests, on classes of tests, and on a module (`pytestmark`)."""
    tree = ast.parse(path.read_text("utf-8"))
    name = path.relative_to(TESTS).as_posix()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for mark in node.decorator_list:
                yield from ((row, f"{name}::{node.name}") for row in rows_of(mark))
    for call in ast.walk(tree):
        # Marks of single parameters: pytest.param(..., marks=pytest.mark.row("T13")).
        if isinstance(call, ast.keyword) and call.arg == "marks":
            yield from ((row, f"{name} (a parameter)") for row in rows_of(call.value))


def rows_of(node: ast.AST) -> list[str]:
    """The rows of `pytest.mark.row(...)`, also in a list of marks."""
    return [
        argument.value
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "row"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


@cache
def table() -> dict[str, list[str]]:
    """Rows to tests."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("*.py")):
        for row, test in marked(path):
            found[row].append(test)
    return found


ALL = [f"{letter}{number}" for letter, count in ROWS.items() for number in range(1, count + 1)]


@pytest.mark.parametrize("row", ALL)
def test_a_row_has_its_test(row: str) -> None:
    """Or a reason why not."""
    assert (row in table()) != (row in NOT_TESTED)


def test_no_mark_names_a_row_that_there_is_not() -> None:
    """A slip of the pen in a mark would leave its row untested in silence."""
    assert set(table()) <= set(ALL)


def test_the_table_can_be_printed() -> None:
    """For people: `-s`."""
    found = table()
    for row in ALL:
        sys.stdout.write("\n    ".join([row, *(found.get(row) or [NOT_TESTED.get(row, "-")])]) + "\n")
    assert found
