"""CSV lines as rows of cells, where one bad quote does not take the rest of the file with it.

This module knows quotes, delimiters and where a row starts. It must not know what the cells mean.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator

from ..errors import ConfigurationError
from .lines import Broken, Line

__all__ = ["Rows"]

# Which share of the lines behind an unclosed quote must be proper rows, for the quote to be taken as the mistake.
_MOSTLY_ROWS = 0.9


class Rows:
    """The rows of a CSV file, as lists of cells; `start` and `text` tell the lines of the row given last.

    An unclosed quote swallows what follows it, up to the next quote or to the size limit of a field. When what it
    swallowed are rows (by their number of cells), only its own line is broken and they are read again; when it is
    the text of a cell, the lines are one broken row, lest a line of somebody's letter be sent as a meeting.
    """

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []
        self._width = 0
        self._delimiter = ","
        self._doubtful = False  # whether a torn text may still go on

    def header(self) -> list[str] | None:
        """The first row with content, or None in an empty file. It tells the delimiter: comma, semicolon or tab."""
        for line in self._lines:
            if line.text.strip():
                break
        else:
            return None
        self._again.append(line)
        outside_quotes = re.sub(r'"[^"]*"', "", line.text)
        self._delimiter = max(",;\t", key=outside_quotes.count)
        for row in self:
            if isinstance(row, Broken):
                raise ConfigurationError(f"the header (line {row.line}) can not be read: {row.reason}")
            self._width = len(row)
            return row
        return None

    @property
    def start(self) -> int:
        """The number of the line where the row begins."""
        return self._taken[0].number

    @property
    def waiting(self) -> int:
        """Lines that were read and belong to rows to come."""
        return len(self._again)

    @property
    def text(self) -> str:
        """The row's lines as they stand in the file."""
        return "".join(line.text for line in self._taken).rstrip("\r\n")

    def __iter__(self) -> Iterator[list[str] | Broken]:
        reader = csv.reader(self._feed(), strict=True, delimiter=self._delimiter)
        while True:
            self._taken.clear()
            try:
                row = next(reader)
            except StopIteration:
                if not self._again:
                    return
                reader = csv.reader(self._feed(), strict=True, delimiter=self._delimiter)
            except csv.Error as error:
                yield self._torn(str(error))
            else:
                trouble = self._trouble(row)
                yield row if trouble is None else Broken(self.start, self.text, trouble)

    def _trouble(self, row: list[str]) -> str | None:
        for line in self._taken:
            if line.trouble is not None:
                return line.trouble
        if self._width and len(row) != self._width and any(row):
            return f"the row has {len(row)} cells, the header {self._width}"
        if self._doubtful and row:
            if self._has_bare_quote(self.text):
                return "this may be the rest of the broken row before it: a quote stands in a cell without quotes"
            self._doubtful = False
        return None

    def _feed(self) -> Iterator[str]:
        while True:
            line = self._again.popleft() if self._again else next(self._lines, None)
            if line is None:
                return
            self._taken.append(line)
            # A line cut off for its length must not open a quote.
            yield "\n" if line.cut else line.text

    def _torn(self, why: str) -> Broken:
        first, *swallowed = self._taken
        filled = [line for line in swallowed if line.text.strip()]
        if swallowed and sum(map(self._is_row, filled)) >= _MOSTLY_ROWS * len(filled):
            self._again.extendleft(reversed(swallowed))
            return Broken(first.number, first.text.rstrip("\r\n"), "a quote is opened here and not closed")
        text = self.text
        self._doubtful = True
        if "field limit" in why:
            self._skip_to_closing_quote()
        if "unexpected end" in why:
            why = "a quote is opened here and not closed"
        lines = f" (lines {first.number} to {self._taken[-1].number})" if len(self._taken) > 1 else ""
        return Broken(first.number, text, f"{why}{lines}")

    def _is_row(self, line: Line) -> bool:
        try:
            cells = next(csv.reader([line.text], strict=True, delimiter=self._delimiter))
        except csv.Error:
            return False
        return len(cells) == self._width and not self._has_bare_quote(line.text)

    def _has_bare_quote(self, text: str) -> bool:
        """Whether a quote stands inside a cell without quotes: the tail of a torn text more often than a cell."""
        bare = re.sub(rf'(^|{self._delimiter})"(?:[^"]|"")*"(?=\r?\n?$|{self._delimiter})', "", text)
        return '"' in bare

    def _skip_to_closing_quote(self) -> None:
        open_ = sum(line.text.count('"') for line in self._taken) % 2 == 1
        while open_:
            line = self._again.popleft() if self._again else next(self._lines, None)
            if line is None:
                return
            open_ = line.text.count('"') % 2 == 0
            self._taken[-1] = line
