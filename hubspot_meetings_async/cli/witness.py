"""The emulator as a process of its own, and what it says afterwards: the truth, as far as the demo is concerned."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

__all__ = ["Stats", "Witness", "running", "steady_use"]

T = TypeVar("T")

_PATIENCE_S = 30.0


class _RateLimited(msgspec.Struct):
    genuine: int
    injected: int


class _Records(msgspec.Struct):
    created: int
    updated: int
    stored: int


class _App(msgspec.Struct):
    accepted: int
    most_in_window: int


class Stats(msgspec.Struct):
    """What the emulator counted; `limit` is requests per `window_s` seconds."""

    uptime_s: float
    requests: int
    rate_limited: _RateLimited
    records: _Records
    faults: dict[str, int]
    limit: int | None
    window_s: float
    apps: dict[str, _App]

    @property
    def most_in_window(self) -> int:
        """The most requests that were accepted in any window."""
        return max((app.most_in_window for app in self.apps.values()), default=0)


class _Duplicates(msgspec.Struct):
    duplicates: dict[str, Any]


class _Request(msgspec.Struct):
    at_s: float
    status: int
    fault: str | None


class _Requests(msgspec.Struct):
    requests: list[_Request]


class Witness:
    """Asks a running emulator what really happened, by its own paths, which are neither limited nor disturbed."""

    def __init__(self, url: str) -> None:
        self.url = url

    def stats(self) -> Stats:
        """What was counted since the start."""
        return self._get("stats", Stats)

    def stamps(self) -> tuple[list[float], list[float]]:
        """The moments at which requests were accepted, and at which a fault answered one 429 (of the last requests),
        on the clock of `time.monotonic()`."""
        began_at = time.monotonic() - self.stats().uptime_s
        apps = self._get("stamps", dict[str, list[float]])
        accepted = sorted(began_at + stamp for stamps in apps.values() for stamp in stamps)
        requests = self._get("requests", _Requests).requests
        return accepted, [began_at + entry.at_s for entry in requests if entry.status == 429 and entry.fault]

    def duplicates(self, name: str) -> int:
        """How many values of a property more than one meeting has."""
        return len(self._get(f"duplicates?property={quote(name)}", _Duplicates).duplicates)

    def _get(self, path: str, kind: type[T]) -> T:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=_PATIENCE_S)
        try:
            connection.request("GET", f"/__emulator/{path}")
            return msgspec.json.decode(connection.getresponse().read(), type=kind)
        finally:
            connection.close()


@contextmanager
def running(options: Sequence[str]) -> Generator[Witness]:
    """An emulator with these options, on a free port, for as long as the block lasts. Raises: OSError."""
    process = subprocess.Popen(  # noqa: S603 - our own program with our own words
        [sys.executable, "-m", "hubspot_meetings_async.emulator", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        # Ctrl-C is for the demo, which then ends this one; together they would lose the answers under way.
        start_new_session=True,
    )
    try:
        if process.stdout is None:  # for the type checker: it was asked for above
            raise OSError("the emulator has no output to read")
        url = process.stdout.readline().removeprefix("HubSpot emulator on ").strip()
        if not url:
            raise OSError("the emulator did not start; its words are above")
        yield Witness(url)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def steady_use(
    stamps: Sequence[float], busy: Sequence[tuple[float, float]], limit: int | None, window_s: float
) -> float | None:
    """How full the quota's window was, on average over every window that lies in a `busy` time; None if none does.

    A busy time is one with work left to send: from its start until its source had no more. Taking every window, where
    ever it begins, makes the figure independent of the moment one begins to count, and it can not exceed 100 %.
    """
    if limit is None:
        return None
    ends = [(since + window_s, until) for since, until in busy if until - since > window_s]
    length_s = sum(until - since for since, until in ends)
    if length_s < window_s / 20:
        return None
    # A stamp counts in all windows that end within `window_s` after it.
    counted_s = sum(
        max(0.0, min(stamp + window_s, until) - max(stamp, since)) for since, until in ends for stamp in stamps
    )
    return counted_s / length_s / limit
