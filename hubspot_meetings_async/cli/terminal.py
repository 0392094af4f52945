"""Where words go: stdout for data, stderr for people."""

from __future__ import annotations

from rich.console import Console

from ..errors import printable

__all__ = ["data", "people", "say", "warn"]


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
