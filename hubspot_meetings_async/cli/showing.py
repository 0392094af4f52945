"""What was found: a table for people, JSON for programs.

This module knows stdout, tables and lines of JSON. It must not know where the values come from.

Into a pipe or file, and with `--json`, every value is a JSON object on a line of its own. On a terminal the values make
a table. Words about them go to stderr in both cases.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec
from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ..errors import printable
from .terminal import data

__all__ = ["Column", "Rows", "facts", "for_programs", "given", "show_table", "write"]

T = TypeVar("T")

_BETWEEN = 3
_BROKEN_FROM = 24
"""Words in less room than this are torn."""


def for_programs(json: bool) -> bool:
    """Whether stdout gets JSON: asked for, or nobody is looking. Settings for colours do not count."""
    return json or not sys.stdout.isatty()


def write(value: object) -> None:
    """A value as a line of JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def given(received: msgspec.Struct) -> dict[str, object]:
    """What HubSpot sent, under its own names, without what it left out."""
    members: dict[str, object] = msgspec.to_builtins(received)
    return {name: value for name, value in members.items() if value is not None and value != ()}


class Column(NamedTuple):
    """A column of a table. `whole`: its words are not broken, as long as the terminal is wide enough."""

    name: str
    whole: bool = False
    style: str = ""


class Rows(Generic[T]):
    """Values of one kind: each is written as it is added, or all are shown as a table at the end.

    `row` makes the cells of a table's row, `as_json` what is written.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        row: Callable[[T], Sequence[str]],
        as_json: Callable[[T], object],
        *,
        json: bool,
    ) -> None:
        self._columns = columns
        self._row = row
        self._as_json = as_json
        self._json = for_programs(json)
        self._rows: list[Sequence[str]] = []
        self.count = 0

    def add(self, value: T) -> None:
        """One more."""
        self.count += 1
        if self._json:
            write(self._as_json(value))
        else:
            self._rows.append(self._row(value))

    def show(self) -> None:
        """The table, where it is to be one and has rows."""
        show_table(self._columns, self._rows)


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A table of plain words, if it has rows: nothing in them is read as markup.

    Where the terminal is too narrow for it, each row is a list of its cells.
    """
    if not rows:
        return
    console = data()
    if console.width < _least_width(columns, rows):
        for at, row in enumerate(rows):
            if at:
                console.print()
            facts([(column.name, cell) for column, cell in zip(columns, row, strict=True) if cell])
        return
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(Text(printable(column.name)), style=column.style, no_wrap=column.whole, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    console.print(shown)


def _least_width(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """The terminal that the table needs, in characters."""
    widths = [
        max(cell_len(text) for text in (column.name, *cells))
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    needed = (
        width if column.whole else min(width, _BROKEN_FROM) for column, width in zip(columns, widths, strict=True)
    )
    return sum(needed) + _BETWEEN * (len(columns) - 1)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and what they are, a line each."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="dim", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, words in pairs:
        shown.add_row(Text(printable(name)), Text(printable(words)))
    data().print(shown)
