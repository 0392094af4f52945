"""Stop knocking where nobody answers: a circuit breaker as plain bookkeeping.

This module knows which failures count, and when to let a request through. Moments come in as numbers; it must not know
clocks, sleeping, HTTP, or what is sent.

Own bookkeeping and no package: circuitbreaker 2.1 and purgatory 3.0, read for this, let every task through once the
time is over, thousands here, where one probe should tell; a late success of a request sent before the opening closes
the first of them, and so does a cancelled one; the second goes by the wall clock.
"""

from __future__ import annotations

from ..errors import CircuitOpen, DeadlineExceeded, HubSpotError, HubSpotUnavailable, TransportFailed
from ..settings import need_count, need_seconds

__all__ = ["CircuitBreaker", "Ticket", "is_down"]

_WHILE_PROBING_S = 1.0
_ALIVE = (423, 425, 477)
"""Statuses of a HubSpot that works: a locked record, an account that is being moved."""


def is_down(error: HubSpotError) -> bool:
    """Whether `error` speaks for a HubSpot that is down or out of reach. Any answer about the request itself, also a
    429, does not."""
    match error:
        case CircuitOpen() | DeadlineExceeded():
            return False
        case TransportFailed():
            return True
        case HubSpotUnavailable(status=status):
            return status not in _ALIVE
        case _:
            return False


class CircuitBreaker:
    """After `failures` failed requests in a row, none is sent for `open_s` seconds; then one, the probe, decides
    whether all may follow or another `open_s` seconds pass.

    Failures are requests without an answer, and answers 408 and 5xx. Meanwhile interactive calls raise `CircuitOpen` at
    once, which tells when the next probe is due; bulk runs wait for it and lose nothing. One breaker may be shared by
    several clients in one event loop.

    Raises: ConfigurationError.
    """

    def __init__(self, *, failures: int = 10, open_s: float = 30.0) -> None:
        need_count("CircuitBreaker: failures", failures)
        need_seconds("CircuitBreaker: open_s", open_s)
        self._failures = failures
        self._open_s = open_s
        self._in_row = 0
        self._opens_at: float | None = None
        """When the next probe may go; None while closed."""
        self._probing = False
        self._period: int = 0
        """Counts openings and closings: what was sent before one says nothing about the state after it."""

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.state}, {self._in_row} failures in a row>"

    @property
    def state(self) -> str:
        """`closed` (requests pass), `open` (none does), or `half-open` (a probe is out)."""
        if self._opens_at is None:
            return "closed"
        return "half-open" if self._probing else "open"

    def check(self, now_s: float) -> None:
        """Raise CircuitOpen if a request could not be sent now."""
        if self._opens_at is None:
            return
        left_s = self._opens_at - now_s
        if left_s > 0 or self._probing:
            wait_s = left_s if left_s > 0 else _WHILE_PROBING_S
            raise CircuitOpen(
                f"HubSpot did not answer {self._in_row} times in a row; nothing is sent for another {wait_s:.1f} s",
                retry_in_s=wait_s,
            )

    def enter(self, now_s: float) -> Ticket:
        """Permission to send one request; settle it in any case. Raises: CircuitOpen."""
        self.check(now_s)
        self._probing = self._opens_at is not None
        return Ticket(self, self._period, probe=self._probing)

    def failed(self, now_s: float) -> None:
        """Count a request that went without an answer for so long that it was given up."""
        self._in_row += 1
        probe_failed = self._opens_at is not None and now_s >= self._opens_at
        if probe_failed or (self._opens_at is None and self._in_row >= self._failures):
            self._probing = False
            self._opens_at = now_s + self._open_s
            self._period += 1

    def _settle(self, ticket: Ticket, down: bool | None, now_s: float) -> None:
        if ticket.period != self._period:
            return
        if down:
            self.failed(now_s)
        elif down is None:
            self._probing = self._probing and not ticket.probe
        else:
            self._in_row = 0
            if ticket.probe:
                self._opens_at, self._probing = None, False
                self._period += 1


class Ticket:
    """Permission to send one request."""

    __slots__ = ("_breaker", "period", "probe")

    def __init__(self, breaker: CircuitBreaker, period: int, *, probe: bool) -> None:
        self._breaker = breaker
        self.period = period
        self.probe = probe

    def settle(self, *, down: bool | None, now_s: float) -> None:
        """Say how it went; None for a request that was cancelled and proves nothing."""
        self._breaker._settle(self, down, now_s)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
