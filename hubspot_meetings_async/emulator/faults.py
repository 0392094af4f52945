"""Faults on demand: what goes wrong, to which requests, how often. Scripted, or drawn with a seed.

Pure decisions. Must not know sockets or records: the front door asks `draw()` for each request and does what it says.
"""

from __future__ import annotations

import random
from collections import Counter
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from .quota import Policy
from .refusals import Refusal

__all__ = ["Fault", "FaultRule", "Faults"]

Kind = Literal["status", "reset", "hang", "latency"]

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
        status: of the error; 429 is not counted against the window, everything else is.
        applied: whether the request is carried out before the fault strikes. The client must not be able to tell.
        applied_inputs: of a batch, carry out only so many inputs.
        latency_s: wait so long before the fault strikes, or before the answer.
        policy: the limit a 429 names.
        retry_after: value of a `Retry-After` header, sent as it is.
        message, category: of the error body, where the usual ones will not do.
        body, content_type: a body to send instead of HubSpot's error shape (an HTML page of a gateway, say).
        headers: further headers of the error.
    """

    kind: Kind = "status"
    status: int | None = None
    applied: bool = False
    applied_inputs: int | None = None
    latency_s: float = 0.0
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

    def refusal(self) -> Refusal:
        """The error body of a status fault."""
        message, category = _TEXTS.get(self.status or 500, ("internal error", None))
        return Refusal(self.status or 500, self.message or message, category=self.category or category)

    @property
    def carried_out(self) -> bool:
        """Whether the request takes effect."""
        return self.applied or self.kind == "latency"

    @property
    def name(self) -> str:
        """As it is counted: `503`, `503 applied`, `reset`, `reset applied`, `latency`, …"""
        what = str(self.status) if self.kind == "status" else self.kind
        return f"{what} applied" if self.applied and self.kind != "latency" else what


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
