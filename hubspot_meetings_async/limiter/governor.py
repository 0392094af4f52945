"""What the gate learns from answers: foreign use, stamp jitter, refusals, the day's budget.

Four small judges, each fed with times (seconds on the gate's clock) and counts, each asked for one verdict. This module
must not know asyncio, clocks, slots in queues, or HTTP.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from datetime import datetime

from .protocol import BULK, Lane

__all__ = ["DailyBudget", "ForeignUse", "Shutter", "StampJitter"]


# How long the greatest surplus seen counts. Much longer, and a passing burst of others costs our own throughput; much
# shorter, and the samples between two answers are too few to be sure.
_SURPLUS_LASTS_S = 2.0
# A log is cut when it has doubled since the last time: each cut moves all that is left of it.
_SENT_LOG_WINDOWS = 3
_SENT_LOG_TRIM = 1024


class ForeignUse:
    """Proves that others use the window too (or that it is wider than published), and how much.

    HubSpot's count for a call is exact at its stamp. Of our own calls, those sent until its answer can be in that
    count, save those that were answered more than a window before it was sent. A higher count is not ours.

    Attributes:
        sent: Requests that left, and are not cut from the log yet; to be counted here when one leaves.
    """

    __slots__ = ("_ended", "_horizon_at", "_samples", "_trim_from", "sent", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.sent = 0
        self._ended: list[float] = []
        self._trim_from = _SENT_LOG_TRIM
        self._horizon_at = -math.inf
        self._samples: deque[tuple[float, int]] = deque()

    def ended(self, at: float, now: float) -> None:
        """A request that left was stamped no later than `at`."""
        ended = self._ended
        if not ended or ended[-1] <= at:
            ended.append(at)
        else:
            insort(ended, at)
        if len(ended) >= self._trim_from:
            self._trim(now - _SENT_LOG_WINDOWS * self.window_s)

    def forget(self, ended_at: float) -> None:
        """A request that ended then was refused: HubSpot did not count it, as far as anybody knows.

        If HubSpot does count refused requests, this makes the hold too large by their number: the safe side.
        """
        place = bisect_left(self._ended, ended_at)
        if place < len(self._ended) and self._ended[place] == ended_at:
            del self._ended[place]
            self.sent -= 1

    def observe(self, now: float, sent_at: float, count: int) -> None:
        """HubSpot counted `count` calls in the window of a request that left at `sent_at` and was answered now."""
        since = sent_at - self.window_s
        if since < self._horizon_at:
            return  # in flight for so long that the log it would be compared with is cut
        surplus = count - (self.sent - bisect_right(self._ended, since))
        samples = self._samples
        if surplus <= 0:
            if not samples:
                return
            surplus = 0
        # Only a sample above all later ones can ever be the greatest of the last seconds; the rest is dropped.
        while samples and samples[-1][1] <= surplus:
            samples.pop()
        samples.append((now, surplus))

    def hold(self, now: float) -> int:
        """Calls of the window to leave to others: the greatest surplus of the last two seconds.

        Without an answer for so long, the last one counts until its window has passed.
        """
        samples = self._samples
        if not samples:
            return 0
        while len(samples) > 1 and samples[0][0] + _SURPLUS_LASTS_S <= now:
            samples.popleft()
        if len(samples) == 1 and samples[0][0] + self.window_s <= now:
            samples.popleft()
        return samples[0][1] if samples else 0

    def changes_at(self) -> float:
        """When the hold goes down by itself at the earliest; infinity when there is none."""
        if not self._samples or not self._samples[0][1]:
            return math.inf
        return self._samples[0][0] + (_SURPLUS_LASTS_S if len(self._samples) > 1 else self.window_s)

    def _trim(self, before: float) -> None:
        cut = bisect_right(self._ended, before)
        if cut:
            self._horizon_at = self._ended[cut - 1]
            self.sent -= cut
            del self._ended[:cut]
        self._trim_from = max(_SENT_LOG_TRIM, 2 * len(self._ended))


_STAMP_MEMORY_S = 300.0
_STAMP_ANSWERS = 300
_STAMP_BIN_S = 30.0
_STAMP_NEAR_S = 0.25
_STAMP_FLOOR_S = 0.05


class StampJitter:
    """Learns a bound on how much later than another HubSpot stamps one request after it left.

    With it a slot need not wait for a slow answer: it rests from the latest possible stamp. The bound is a guess from
    the past (twice the greatest jitter of five minutes), so now and then a call may be refused for it.
    """

    __slots__ = ("_bins", "_sent", "_trim_from", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._sent: list[float] = []
        self._trim_from = _SENT_LOG_TRIM
        self._bins: deque[tuple[float, float, int]] = deque()  # begin, greatest jitter, answers that told something

    def sent(self, now: float) -> None:
        """A request left."""
        sent = self._sent
        sent.append(now)
        if len(sent) >= self._trim_from:
            del sent[: bisect_right(sent, now - _SENT_LOG_WINDOWS * self.window_s)]
            self._trim_from = max(_SENT_LOG_TRIM, 2 * len(sent))

    def observe(self, now: float, sent_at: float, count: int) -> None:
        """HubSpot counted `count` calls in the window of a request that left at `sent_at` and was answered now."""
        jitter_s = self._jitter_s(sent_at, count)
        if jitter_s is None:
            return
        begin, greatest_s, answers = self._bins[-1] if self._bins else (-math.inf, 0.0, 0)
        if now - begin < _STAMP_BIN_S:
            self._bins[-1] = (begin, max(greatest_s, jitter_s), answers + 1)
        else:
            self._bins.append((now, jitter_s, 1))

    def forget(self) -> None:
        """A call was refused: whatever was learned is not to be trusted."""
        self._bins.clear()

    def bound_s(self, now: float) -> float:
        """The learned bound; infinity until enough answers told something."""
        while self._bins and self._bins[0][0] <= now - _STAMP_MEMORY_S:
            self._bins.popleft()
        if sum(answers for _, _, answers in self._bins) < _STAMP_ANSWERS:
            return math.inf
        return 2 * max(greatest_s for _, greatest_s, _ in self._bins) + _STAMP_FLOOR_S

    def _jitter_s(self, sent_at: float, count: int) -> float | None:
        """The least jitter that explains the count; None when it tells nothing (no send near the window's begin)."""
        sent, since = self._sent, sent_at - self.window_s
        low, high = bisect_right(sent, since), bisect_right(sent, sent_at)
        near = [at for at in (*sent[max(0, low - 1) : low], *sent[low : low + 1]) if abs(at - since) < _STAMP_NEAR_S]
        if not near:
            return None
        if count < high - low:
            return self._least_shrink_s(low, high, count, since, sent_at)
        return self._least_stretch_s(low, high, count, since, sent_at)

    def _least_shrink_s(self, low: int, high: int, count: int, since: float, until: float) -> float:
        jitter_s = 0.0
        while high - low > count:
            from_begin_s, from_end_s = self._sent[low] - since, until - self._sent[high - 1]
            jitter_s = max(jitter_s, min(from_begin_s, from_end_s))
            low, high = (low + 1, high) if from_begin_s < from_end_s else (low, high - 1)
        return jitter_s

    def _least_stretch_s(self, low: int, high: int, count: int, since: float, until: float) -> float | None:
        jitter_s = 0.0
        while high - low < count:
            before_s = since - self._sent[low - 1] if low > 0 else math.inf
            after_s = self._sent[high] - until if high < len(self._sent) else math.inf
            if min(before_s, after_s) == math.inf:
                return None  # more than we ever sent: somebody else's calls are in it
            jitter_s = max(jitter_s, min(before_s, after_s))
            low, high = (low - 1, high) if before_s <= after_s else (low, high + 1)
        return jitter_s


_FIRST_PAUSE_S = 0.25
_PATIENCE_S = 2.0
_LONGEST_WISH_S = 86_400.0


class Shutter:
    """Shuts the gate after a 429, and opens it when one call sent as a probe was not refused.

    The pause is 0.25 s, doubled for each refused probe up to the window, or what `Retry-After` asks for if that is
    longer. Calls that were under way when it shut change nothing: their refusal tells nothing new.

    Attributes:
        pauses: How often a refusal shut the gate.
        refused: Refusals seen.
        shut: Nobody may go but a probe; while False, who asks `admits()` or tells of a call may as well leave it.
        opens_at: When the pause ends and the probe may go.
    """

    __slots__ = ("_probe_at", "_shut_at", "_step_s", "longest_s", "opens_at", "pauses", "refused", "shut")

    def __init__(self, *, longest_s: float, probe_first: bool) -> None:
        self.longest_s = longest_s
        self.opens_at = -math.inf
        self.pauses = 0
        self.refused = 0
        self.shut = probe_first
        self._shut_at = -math.inf
        self._step_s = 0.0
        self._probe_at: float | None = None

    def admits(self, now: float) -> bool:
        """True when a call may go now: the gate is open, or this call would be the probe."""
        if not self.shut:
            return True
        # A probe that hangs must not hang everybody: after a while another one may try.
        return now >= self.opens_at and (self._probe_at is None or now >= self._probe_at + _PATIENCE_S)

    def changes_at(self) -> float:
        """While no call is admitted: when one will be."""
        return self.opens_at if self._probe_at is None else max(self.opens_at, self._probe_at + _PATIENCE_S)

    def began(self, now: float) -> None:
        """A call that was admitted goes now."""
        if self.shut:
            self._probe_at = now

    def overtook(self, began_at: float) -> bool:
        """True when the gate shut after a call had been admitted, so that it must wait again."""
        return self.shut and began_at <= self._shut_at

    def passed(self, began_at: float) -> None:
        """A call was answered and not refused. If it was the probe, the gate is open again."""
        if self.shut and began_at > self._shut_at:
            self.shut = False
            self._step_s = 0.0
            self._probe_at = None

    def came_to_nothing(self, began_at: float) -> None:
        """A call ended without an answer. If it was the probe, another call must be it."""
        if self.shut and began_at > self._shut_at:
            self._probe_at = None

    def refuse(self, now: float, began_at: float, retry_after_s: float | None) -> None:
        """A call that began then was refused now."""
        self.refused += 1
        wish_s = min(retry_after_s, _LONGEST_WISH_S) if retry_after_s and retry_after_s > 0 else 0.0
        if began_at > self._shut_at:
            self.pauses += 1
            self._step_s = min(max(2 * self._step_s, _FIRST_PAUSE_S), self.longest_s)
            self._shut_until(now, now + max(self._step_s, wish_s))
        elif now + wish_s > self.opens_at and wish_s:
            self._shut_until(now, now + wish_s)

    def demand_probe(self, now: float) -> None:
        """Let one call go ahead and the others wait for it, without a pause."""
        # A hair before now: a call that goes at this very moment is the probe.
        self._shut_until(math.nextafter(now, -math.inf), now)

    def _shut_until(self, now: float, opens_at: float) -> None:
        self.shut = True
        self._shut_at = now
        self.opens_at = max(self.opens_at, opens_at)
        self._probe_at = None


_DAILY_PROBE_EVERY_S = 900.0


class DailyBudget:
    """Knows when calling is no use before the day's reset: for all after a DAILY refusal, for bulk near the end.

    Attributes:
        limit: Calls a day, as HubSpot tells; None before.
        remaining: Calls left today; None before HubSpot told.
        resets_at: When the count starts again (aware); None where nobody told.
        spent: A call was refused for it, and none has passed since.
        quiet_until: Until then `new_day` and `blocks` say no, unless something is heard before.
    """

    __slots__ = (
        "_begun_at",
        "_kept_from_bulk",
        "_next_probe_at",
        "_reserve",
        "_resets_at_s",
        "limit",
        "quiet_until",
        "remaining",
        "resets_at",
        "spent",
    )

    def __init__(self, reserve: float) -> None:
        self.limit: int | None = None
        self.remaining: int | None = None
        self.resets_at: datetime | None = None
        self._reserve = reserve
        self._resets_at_s = math.inf
        self._kept_from_bulk = False
        self.spent = False
        self._begun_at = -math.inf
        self._next_probe_at = -math.inf
        self.quiet_until = math.inf

    def observe(self, limit: int | None, remaining: int | None, now: float) -> None:
        """HubSpot told the day's limit and what is left of it."""
        if limit is not None:
            self.limit = limit
        if remaining is not None:
            self.remaining = remaining
        if self.limit is None or self.remaining is None:
            return
        kept = self.remaining <= self._reserve * self.limit
        if kept is self._kept_from_bulk:
            return
        if kept:
            self._next_probe_at = now + _DAILY_PROBE_EVERY_S
        self._kept_from_bulk = kept
        self._look_ahead()

    def learn_reset(self, resets_at: datetime, in_s: float, now: float) -> None:
        """Somebody told when the day ends."""
        self.resets_at = resets_at
        self._resets_at_s = now + in_s
        self._look_ahead()

    def refuse(self, now: float) -> None:
        """A call was refused because the day's calls are spent."""
        self.spent = True
        self._begun_at = now
        self._next_probe_at = now + _DAILY_PROBE_EVERY_S
        self._look_ahead()

    def passed(self, began_at: float) -> None:
        """A call was answered and not refused; if it began after the refusal, the day has calls again."""
        if self.spent and began_at > self._begun_at:
            self.spent = False
            self._look_ahead()

    def new_day(self, now: float) -> bool:
        """True once, when the reset has come: what was known of the day is forgotten."""
        if now < self._resets_at_s:
            return False
        self._resets_at_s = math.inf
        self.resets_at = self.remaining = None
        self._kept_from_bulk = False
        spent, self.spent = self.spent, False
        self._look_ahead()
        return spent

    def blocks(self, lane: Lane) -> bool:
        """True when calls of this lane have no business before the reset."""
        return self.spent or (self._kept_from_bulk and lane is BULK)

    def takes_probe(self, now: float) -> bool:
        """True when a blocked call may go all the same, to see; at most once in 15 minutes."""
        if now < self._next_probe_at:
            return False
        self._next_probe_at = now + _DAILY_PROBE_EVERY_S
        return True

    def probe_unused(self, now: float) -> None:
        """The call that was to probe never left: the next one may."""
        self._next_probe_at = now

    def _look_ahead(self) -> None:
        self.quiet_until = -math.inf if self.spent or self._kept_from_bulk else self._resets_at_s
