"""Where words go: stdout for data, stderr for people."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from ..errors import printable

__all__ = ["command", "data", "near", "people", "say", "tally", "warn"]


def people() -> Console:
    """The console on stderr, as it is at this moment (tests and shells redirect it)."""
    return Console(stderr=True, highlight=False)


def data() -> Console:
    """The console on stdout."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def say(text: str, *, style: str = "") -> None:
    """A line for people. `text` is never read as markup: it may hold a file's or a server's words."""
    console = people()
    # A pipe or file gets a line as one, a person gets words unbroken.
    console.print(printable(text), style=style, markup=False, soft_wrap=not console.is_terminal)


def warn(text: str) -> None:
    """A line about something that is odd but does not stop the work."""
    say(f"warning: {text}", style="yellow")


def near(path: str | os.PathLike[str]) -> str:
    """A path as somebody here would type it."""
    text = os.path.relpath(path)
    return os.path.abspath(path) if text.startswith("..") else text


def command(*words: str) -> str:
    """A command of ours, to be pasted into a shell."""
    return shlex.join(["hubspot-meetings", *words])


def tally(counts: Mapping[Any, int]) -> str:
    """Counts in a line: `3 created, 1 in doubt`."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
