"""Files as numbered lines of text, one at a time, and what to call a line that can not be used.

This module knows files and encodings. It must not know what the lines say.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, lookup
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from ..errors import ConfigurationError

__all__ = ["Broken", "Line", "Lines", "Unreadable", "opened"]

_LONGEST_LINE = 8 * 1024 * 1024
_SHOWN_OF_A_LONG_LINE = 1000


class Broken(msgspec.Struct, frozen=True):
    """A row that is no record: the `line` where it starts, its `text` (bytes that are no text as `\\xff`), and why."""

    line: int
    text: str
    reason: str


class Unreadable(ValueError):
    """Why a row is no record."""


def opened(path: str | os.PathLike[str] | BinaryIO) -> tuple[BinaryIO, str]:
    if not isinstance(path, (str, os.PathLike)):
        return path, str(getattr(path, "name", "stream"))
    name = os.fspath(path)
    if name == "-":
        # A reader of its own: the interpreter's would be locked at exit if a thread still waits for input.
        return open(0, "rb", closefd=False), "standard input"
    if name.endswith(".gz"):
        return cast("BinaryIO", io.BufferedReader(cast("Any", gzip.open(name, "rb")))), name
    return open(name, "rb"), name


class Line(NamedTuple):
    number: int
    text: str
    trouble: str | None = None  # why the line can not be used, although there is a text to show
    cut: bool = False  # whether `text` is only its beginning


class Lines:
    """The lines of a stream as text, numbered from 1; each is read when it is asked for."""

    def __init__(self, stream: BinaryIO, name: str, encoding: str) -> None:
        _check_encoding(encoding)
        self.number = 0
        self._stream = stream
        self._name = name
        self._encoding = encoding

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        raw = self._read()
        if not raw:
            raise StopIteration
        self.number += 1
        if self.number == 1:
            if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
                raise ConfigurationError(f"{self._name} is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)")
            raw = raw.removeprefix(BOM_UTF8)
        if len(raw) > _LONGEST_LINE:
            return self._too_long(raw)
        try:
            return Line(self.number, raw.decode(self._encoding))
        except UnicodeDecodeError as error:
            trouble = (
                f"byte {raw[error.start]:#04x} at position {error.start + 1} is no {self._encoding};"
                " save the file as UTF-8, or name its encoding (cp1252 for older Windows programs)"
            )
            return Line(self.number, raw.decode(self._encoding, "backslashreplace"), trouble)

    def _read(self) -> bytes:
        try:
            return self._stream.readline(_LONGEST_LINE + 1)
        except (OSError, EOFError, zlib.error) as error:
            after = f" after line {self.number}" if self.number else ""
            raise OSError(f"{self._name} can not be read{after}: {error}") from error

    def _too_long(self, raw: bytes) -> Line:
        start = raw[:_SHOWN_OF_A_LONG_LINE].decode(self._encoding, "backslashreplace")
        while raw and not raw.endswith(b"\n"):
            raw = self._read()
        return Line(self.number, start + "…", f"the line is longer than {_LONGEST_LINE // 2**20} MiB", cut=True)


def _check_encoding(encoding: str) -> None:
    try:
        splits_at_newlines = lookup(encoding).encode("\n,")[0] == b"\n,"
    except (LookupError, TypeError) as error:
        raise ConfigurationError(f"no encoding {encoding!r} is known; try utf-8, cp1252 or latin-1") from error
    if not splits_at_newlines:
        raise ConfigurationError(f"files in {encoding} can not be read line by line; save the file as UTF-8")
