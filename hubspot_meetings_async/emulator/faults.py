"""Faults on demand: what goes wrong, to which requests, how often. Scripted, or drawn with a seed.

Pure decisions. Must not know sockets or records: the front door asks `draw()` for each request and does what it says.
"""

from __future__ import annotations

import random
from collections import Counter
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from .latency import Latency, LogNormal, drawn_s, read_latency
from .quota import Policy
from .refusals import Refusal

__all__ = ["BROKEN_KINDS", "Fault", "FaultRule", "Faults", "Kind"]

Kind = Literal[
    "status",
    "reset",
    "hang",
    "latency",
    "drip",
    "cut",
    "cut_chunked",
    "wrong_type",
    "html",
    "bad_gzip",
    "cut_gzip",
    "oversized",
    "gzip_bomb",
    "twice",
    "expire_token",
]
BROKEN_KINDS: frozenset[Kind] = frozenset(
    ("drip", "cut", "cut_chunked", "wrong_type", "bad_gzip", "cut_gzip", "oversized", "gzip_bomb")
)
"""Those that let the request through and spoil its answer."""
_ALWAYS_CARRIED_OUT: frozenset[Kind] = frozenset((*BROKEN_KINDS, "latency", "twice"))
_LATE_KINDS: frozenset[Kind] = frozenset(("status", "reset", "hang", "html"))
MOVING_RETRY_AFTER_S = 60

_TEXTS: dict[int, tuple[str, str | None]] = {
    400: ("Invalid request", "VALIDATION_ERROR"),
    401: ("The OAuth token used to make this call expired 75 second(s) ago.", "EXPIRED_AUTHENTICATION"),
    403: ("This app hasn't been granted all required scopes to make this call.", "MISSING_SCOPES"),
    404: ("resource not found", None),
    423: ("The resource is locked by other writes. Wait at least 2 seconds before trying again.", None),
    477: ("This account is being moved to another data centre.", None),
    502: ("bad gateway", None),
    503: ("service unavailable", None),
    504: ("gateway timeout", None),
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong with one request.

    Args:
        kind: `status` answers with an error, `reset` tears the connection down (RST), `hang` never answers, `latency`
            only delays.
            `html` answers 200 with a web page, as a captive portal does. `expire_token` lets the bearer token expire
            for good and answers 401. `twice` carries the request out twice and gives the second answer, as behind a
            proxy that repeats.
            These carry the request out and spoil the answer: `drip` sends it a few bytes at a time; `cut` and
            `cut_chunked` close the connection in the middle of the body, with its length announced or in chunks;
            `wrong_type` calls it `content_type`; `bad_gzip` calls plain bytes gzip; `cut_gzip` leaves out the second
            half of the gzip stream; `oversized` and `gzip_bomb` blow it up to `size_bytes` with white space. An answer
            without a body stays as it is.
        status: of the error; 429 is not counted against the window, everything else is.
        applied: whether the request is carried out before the fault strikes. The client must not be able to tell.
        applied_inputs: of a batch, carry out only so many inputs.
        applied_after_s: carry the request out so long after the answer (status, reset, hang, html), by the emulator's
            clock. `Emulator.apply_late_writes()` does it at once.
        latency_s: wait so long before the fault strikes, or before the answer.
        latency_sigma: draw the wait from a lognormal distribution whose median is `latency_s`.
        pause_s, piece_bytes: of a `drip`: the time between two pieces, and their size.
        size_bytes: of an `oversized` answer or a `gzip_bomb`, unpacked.
        policy: the limit a 429 names.
        retry_after: value of a `Retry-After` header, sent as it is. A 477 (account being moved) has one of 60 s if none
            is given, as HubSpot promises one.
        message, category: of the error body, where the usual ones will not do.
        body, content_type: a body to send instead of HubSpot's error shape (an HTML page of a gateway, say).
        headers: further headers of the error.
    """

    kind: Kind = "status"
    status: int | None = None
    applied: bool = False
    applied_inputs: int | None = None
    applied_after_s: float | None = None
    latency_s: float = 0.0
    latency_sigma: float | None = None
    pause_s: float = 0.1
    piece_bytes: int = 1
    size_bytes: int = 64 * 1024 * 1024
    policy: Policy = "TEN_SECONDLY_ROLLING"
    retry_after: str | int | float | None = None
    message: str | None = None
    category: str | None = None
    body: str | None = None
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        if (self.kind == "status") is (self.status is None):
            raise ValueError("a fault of kind 'status' needs a status, and no other kind takes one")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status must be from 200 to 599, not {self.status}")
        if self.latency_s < 0:
            raise ValueError(f"latency_s must not be negative, not {self.latency_s}")
        if self.kind == "latency" and not self.latency_s:
            raise ValueError("a fault of kind 'latency' needs latency_s above 0")
        if self.applied_inputs is not None and (self.applied_inputs < 0 or not self.applied):
            raise ValueError("applied_inputs must not be negative, and goes with applied=True")
        if self.applied_after_s is not None and (
            self.applied_after_s < 0 or self.applied or self.kind not in _LATE_KINDS
        ):
            kinds = ", ".join(sorted(_LATE_KINDS))
            raise ValueError(f"applied_after_s must not be negative, and goes without applied, with {kinds}")
        if self.latency_sigma is not None:
            read_latency("latency_s", self.latency)
        if self.pause_s < 0 or self.piece_bytes < 1 or self.size_bytes < 1:
            raise ValueError("pause_s must not be negative, piece_bytes and size_bytes must be at least 1")

    def refusal(self) -> Refusal:
        """The error body of a status fault."""
        message, category = _TEXTS.get(self.status or 500, ("internal error", None))
        return Refusal(self.status or 500, self.message or message, category=self.category or category)

    @property
    def carried_out(self) -> bool:
        """Whether the request takes effect."""
        return self.applied or self.kind in _ALWAYS_CARRIED_OUT

    @property
    def latency(self) -> Latency:
        """The wait as a distribution."""
        if self.latency_sigma is None:
            return self.latency_s, self.latency_s
        return LogNormal(self.latency_s, self.latency_sigma)

    def wait_s(self, rng: random.Random) -> float:
        """How long to wait this time."""
        return drawn_s(self.latency, rng) if self.latency_sigma is not None else self.latency_s

    @property
    def name(self) -> str:
        """As it is counted: `503`, `503 applied`, `503 late`, `reset`, `reset applied`, `latency`, `drip`, …"""
        what = str(self.status) if self.kind == "status" else self.kind
        if self.applied_after_s is not None:
            return f"{what} late"
        return f"{what} applied" if self.applied and self.kind not in _ALWAYS_CARRIED_OUT else what


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a fault strikes.

    Args:
        operation: a shell pattern for the operation (`meetings.batch_*`) or for method and path
            (`POST /crm/v3/*`).
        times: strike so often, then never again; None is for ever. Left out: once, or for ever with a `rate`.
        skip: let so many matching requests pass first.
        rate: strike each matching request with this probability, drawn from the seed.
        body_contains: only requests whose body contains this text (a poisonous record).
    """

    fault: Fault
    operation: str = "*"
    times: int | msgspec.UnsetType | None = msgspec.UNSET
    skip: int = 0
    rate: float | None = None
    body_contains: str | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= 1:
            raise ValueError(f"rate is a probability above 0 and at most 1, not {self.rate!r}")
        if isinstance(self.times, int) and self.times < 1:
            raise ValueError(f"times must be at least 1, not {self.times}")
        if self.skip < 0:
            raise ValueError(f"skip must not be negative, not {self.skip}")


class _Active:
    """A rule and how much of it is used up."""

    __slots__ = ("left", "needle", "rule", "skip", "struck")

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        if isinstance(rule.times, msgspec.UnsetType):
            self.left = 1 if rule.rate is None else None
        else:
            self.left = rule.times
        self.skip = rule.skip
        self.struck = 0
        self.needle = None if rule.body_contains is None else rule.body_contains.encode()

    def matches(self, operation: str, line: str, body: bytes) -> bool:
        if self.left == 0:
            return False
        pattern = self.rule.operation
        if pattern != "*" and not (fnmatchcase(operation, pattern) or fnmatchcase(line, pattern)):
            return False
        return self.needle is None or self.needle in body

    def strike(self) -> Fault:
        self.struck += 1
        if self.left is not None:
            self.left -= 1
        return self.rule.fault


class Faults:
    """All rules at work: scripted ones first, in the order they were added; then at most one of those with a rate."""

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._active: list[_Active] = []
        self.injected: Counter[str] = Counter()
        """How often each fault struck, by `Fault.name`."""

    def add(self, rule: FaultRule) -> None:
        """Put a rule to work."""
        self._active.append(_Active(rule))

    def fail_next(
        self,
        status: int,
        *,
        times: int | None = 1,
        operation: str = "*",
        skip: int = 0,
        applied: bool = False,
        applied_inputs: int | None = None,
        retry_after: str | int | float | None = None,
        policy: Policy = "TEN_SECONDLY_ROLLING",
        latency_s: float = 0.0,
        body: str | None = None,
        content_type: str = "text/html; charset=utf-8",
        headers: dict[str, str] | None = None,
        body_contains: str | None = None,
    ) -> None:
        """Answer the next matching requests with an error status; see `Fault` and `FaultRule` for the words."""
        fault = Fault(
            status=status,
            applied=applied,
            applied_inputs=applied_inputs,
            retry_after=retry_after,
            policy=policy,
            latency_s=latency_s,
            body=body,
            content_type=content_type,
            headers=headers or {},
        )
        self.add(FaultRule(fault=fault, operation=operation, times=times, skip=skip, body_contains=body_contains))

    def reset_next(
        self,
        *,
        times: int | None = 1,
        operation: str = "*",
        skip: int = 0,
        applied: bool = False,
        applied_inputs: int | None = None,
        latency_s: float = 0.0,
    ) -> None:
        """Tear down the connection of the next matching requests, before or after they were carried out."""
        fault = Fault(kind="reset", applied=applied, applied_inputs=applied_inputs, latency_s=latency_s)
        self.add(FaultRule(fault=fault, operation=operation, times=times, skip=skip))

    def hang_next(self, *, times: int | None = 1, operation: str = "*", skip: int = 0, applied: bool = False) -> None:
        """Never answer the next matching requests."""
        self.add(FaultRule(fault=Fault(kind="hang", applied=applied), operation=operation, times=times, skip=skip))

    def delay_next(self, latency_s: float, *, times: int | None = 1, operation: str = "*", skip: int = 0) -> None:
        """Answer the next matching requests late."""
        fault = Fault(kind="latency", latency_s=latency_s)
        self.add(FaultRule(fault=fault, operation=operation, times=times, skip=skip))

    def strike_next(self, fault: Fault | Kind, *, times: int | None = 1, operation: str = "*", skip: int = 0) -> None:
        """Strike the next matching requests with any fault; a kind that needs no further words may be given by name."""
        struck = Fault(kind=fault) if isinstance(fault, str) else fault
        self.add(FaultRule(fault=struck, operation=operation, times=times, skip=skip))

    def move_account(self, retry_after_s: int = MOVING_RETRY_AFTER_S, *, times: int | None = None) -> None:
        """Answer 477 with `Retry-After`, until `clear()` or `times` times: the account moves to another data centre."""
        self.fail_next(477, times=times, retry_after=retry_after_s)

    def at_rate(self, rate: float, fault: Fault, *, operation: str = "*", times: int | None = None) -> None:
        """Strike matching requests with a probability, for ever or `times` times."""
        self.add(FaultRule(fault=fault, operation=operation, rate=rate, times=times))

    def clear(self) -> None:
        """Take all rules away; the counts stay."""
        self._active.clear()

    def reset(self) -> None:
        """Take all rules away, forget the counts, start the seed anew."""
        self._active.clear()
        self.injected.clear()
        self._rng = random.Random(self._seed)

    def rules(self) -> list[tuple[FaultRule, int | None, int]]:
        """The rules at work: rule, strikes left (None is no end), strikes so far."""
        return [(active.rule, active.left, active.struck) for active in self._active]

    def draw(self, operation: str, line: str, body: bytes) -> Fault | None:
        """Decide about one request; `line` is its method and path."""
        if not self._active:
            return None
        fault = self._scripted(operation, line, body) or self._by_chance(operation, line, body)
        if fault is not None:
            self.injected[fault.name] += 1
            self._active = [active for active in self._active if active.left != 0]
        return fault

    def _scripted(self, operation: str, line: str, body: bytes) -> Fault | None:
        for active in self._active:
            if active.rule.rate is None and active.matches(operation, line, body):
                if active.skip:
                    active.skip -= 1
                    continue
                return active.strike()
        return None

    def _by_chance(self, operation: str, line: str, body: bytes) -> Fault | None:
        """One draw for all rates together, so that a request is struck by one fault at most."""
        matching = [a for a in self._active if a.rule.rate is not None and a.matches(operation, line, body)]
        if not matching:
            return None
        drawn = self._rng.random()
        for active in matching:
            if active.skip:
                active.skip -= 1
                continue
            drawn -= active.rule.rate or 0.0
            if drawn < 0:
                return active.strike()
        return None
