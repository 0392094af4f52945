"""The commands that answer a question, in this process: as in a pipe, or as at a terminal of some width."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import Any, NamedTuple

import pytest

from hubspot_meetings_async.cli.app import app

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Answer(NamedTuple):
    """The exit code, and what was written. Escape sequences are left out."""

    code: int
    out: str
    err: str

    @property
    def values(self) -> list[Any]:
        """The lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def line(self) -> str:
        """Stderr as one line, however a terminal breaks it."""
        return " ".join(self.err.split())


class _Stream(io.TextIOWrapper):
    def __init__(self, given: str, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(given.encode()), encoding="utf-8", newline="\n")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        self.flush()
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return _ESCAPES.sub("", written.getvalue().decode())


class Shell:
    """Runs `hubspot-meetings` with words, against the account that the environment names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("TZ", "Europe/Berlin")

    def __call__(self, *words: str, terminal: bool = False, width: int = 80, typed: str = "") -> Answer:
        out, err = _Stream("", terminal=terminal), _Stream("", terminal=terminal)
        with self._monkeypatch.context() as patched:
            patched.setenv("COLUMNS", str(width))
            patched.setattr(sys, "stdin", _Stream(typed, terminal=terminal))
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                app(list(words), prog_name="hubspot-meetings")
        code = ended.value.code
        assert isinstance(code, int)
        answer = Answer(code, out.text(), err.text())
        assert "Traceback" not in answer.err
        return answer
