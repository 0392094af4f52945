"""Whether to try again, and when: plain tables."""

import random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubspot_meetings_async.calling import retry
from hubspot_meetings_async.calling.retry import Effect, RetryBudget, RetryPolicy
from hubspot_meetings_async.errors import (
    AmbiguousWriteError,
    ConfigurationError,
    Conflict,
    DailyLimitExceeded,
    DeadlineExceeded,
    Forbidden,
    HubSpotError,
    HubSpotUnavailable,
    InvalidRecord,
    NotFound,
    RateLimited,
    RequestRejected,
    TransportFailed,
    Unauthorized,
    UnexpectedResponse,
)
from hubspot_meetings_async.wire import Replay

ALWAYS, IF_NOT_DONE, IF_NOT_SENT = Replay.ALWAYS, Replay.IF_NOT_DONE, Replay.IF_NOT_SENT
NOT_HERE = Replay.NOT_HERE
UNREADABLE = UnexpectedResponse("no", status=200)

# What each failure proves, and which calls are sent again after it.
CLASSES: list[tuple[HubSpotError, Effect, set[Replay]]] = [
    (TransportFailed("refused", sent=False), Effect.NOT_SENT, set(Replay)),
    (TransportFailed("connect", sent=False, timeout=True), Effect.NOT_SENT, set(Replay)),
    (TransportFailed("certificate", sent=False, fatal=True), Effect.NOT_SENT, set()),
    (TransportFailed("reset", sent=True), Effect.UNKNOWN, {ALWAYS}),
    (TransportFailed("silence", sent=True, timeout=True), Effect.UNKNOWN, {ALWAYS}),
    (RateLimited("no", status=429), Effect.NOT_DONE, {ALWAYS, IF_NOT_DONE, NOT_HERE}),
    (DailyLimitExceeded("no", status=429), Effect.NOT_DONE, set()),
    *[(HubSpotUnavailable("no", status=s), Effect.NOT_DONE, {ALWAYS, IF_NOT_DONE, NOT_HERE}) for s in (425, 477)],
    *[
        (HubSpotUnavailable("no", status=s), Effect.UNKNOWN, {ALWAYS})
        for s in (408, 423, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 599)
    ],
    *[(HubSpotUnavailable("no", status=s), Effect.UNKNOWN, set()) for s in (525, 526, 530)],
    *[(UnexpectedResponse("no", status=s), Effect.REFUSED, set()) for s in (301, 302, 303, 307, 308)],
    *[(UnexpectedResponse("no", status=s), Effect.UNKNOWN, {ALWAYS}) for s in (200, 201, 207)],
    *[(RequestRejected("no", status=s), Effect.REFUSED, set()) for s in (400, 405, 411, 413, 414, 415, 422, 431)],
    *[(kind("no"), Effect.REFUSED, set()) for kind in (Unauthorized, Forbidden, NotFound, Conflict)],
    *[(kind("no"), Effect.REFUSED, set()) for kind in (ConfigurationError, InvalidRecord)],
]
IDS = [f"{type(e).__name__}-{e.status or e.message}" for e, _, _ in CLASSES]


def after(
    error: HubSpotError, replay: Replay = ALWAYS, failures: int = 1, refusals: int = 1, seed: int = 0, **policy: Any
) -> float | None:
    return retry.after(
        error,
        replay=replay,
        failures=failures,
        refusals=refusals,
        policy=RetryPolicy(**policy),
        rng=random.Random(seed),
    )


class TestClasses:
    @pytest.mark.parametrize(("error", "effect", "again"), CLASSES, ids=IDS)
    def test_effect(self, error: HubSpotError, effect: Effect, again: set[Replay]) -> None:
        """Each failure proves about the request what it proves, and no more."""
        assert retry.effect_of(error) is effect

    @pytest.mark.parametrize(("error", "effect", "again"), CLASSES, ids=IDS)
    def test_again(self, error: HubSpotError, effect: Effect, again: set[Replay]) -> None:
        """A call is sent again where that is safe for its kind and of use, and nowhere else."""
        assert {replay for replay in Replay if after(error, replay) is not None} == again

    @pytest.mark.parametrize(
        ("error", "word"),
        [
            (TransportFailed("x", sent=True), "reset"),
            (TransportFailed("x", sent=True, timeout=True), "timeout"),
            (DeadlineExceeded("x", sent=True, timeout=True), "timeout"),
            (HubSpotUnavailable("x", status=423), "locked"),
            (HubSpotUnavailable("x", status=503), "5xx"),
            (UNREADABLE, "unreadable"),
        ],
    )
    def test_why(self, error: HubSpotError, word: str) -> None:
        """One word says what left a write in doubt, and it is one of those that AmbiguousWriteError promises."""
        assert retry.why(error) == word
        assert f"`{word}`" in (AmbiguousWriteError.__doc__ or "")


class TestWaits:
    @given(failures=st.integers(1, 10_000), seed=st.integers(), status=st.sampled_from([500, 423]))
    @example(failures=9_999, seed=0, status=500)
    def test_full_jitter(self, failures: int, seed: int, status: int) -> None:
        """The wait lies between 0 and min(cap, base·2ⁿ), however many failures there were; a lock adds its time."""
        wait_s = after(
            HubSpotUnavailable("x", status=status),
            failures=failures,
            seed=seed,
            attempts=10_001,
            base_s=0.2,
            cap_s=20.0,
        )
        least_s = 2.0 if status == 423 else 0.0
        assert wait_s is not None
        assert least_s <= wait_s <= least_s + min(20.0, 0.2 * 2 ** min(failures - 1, 30))

    def test_the_whole_span_is_used(self) -> None:
        """Waits differ: calls that failed together do not come back together."""
        waits = [after(HubSpotUnavailable("x", status=500), failures=4, seed=seed) or 0.0 for seed in range(300)]
        assert min(waits) < 0.2
        assert max(waits) > 1.4
        assert max(waits) <= 1.6

    def test_attempts_end(self) -> None:
        """The failure that makes as many as `attempts` ends the call; attempts=1 is never again."""
        assert after(UNREADABLE, failures=5, attempts=6) is not None
        assert after(UNREADABLE, failures=6, attempts=6) is None
        assert after(UNREADABLE, failures=1, attempts=1) is None

    def test_refusals_are_counted_apart(self) -> None:
        """429s use up no attempts; they have a bound of their own."""
        refused = RateLimited("x")
        assert after(refused, failures=100, refusals=20) is not None
        assert after(refused, failures=0, refusals=21) is None
        assert after(refused, failures=0, refusals=1, longest_wait_s=0.0) is not None

    def test_refusals_are_spaced(self) -> None:
        """Also without a gate that shuts, repeated 429s are not answered at once: about ten seconds for twenty."""
        totals = [
            sum(after(RateLimited("x"), refusals=n, seed=seed * 100 + n) or 0.0 for n in range(1, 21))
            for seed in range(20)
        ]
        assert min(totals) > 5.0
        assert max(totals) < 16.0

    @pytest.mark.parametrize(
        "error", [RateLimited("x", retry_after_s=30), HubSpotUnavailable("x", status=503, retry_after_s=30)]
    )
    def test_retry_after_wins(self, error: HubSpotError) -> None:
        """A longer Retry-After replaces our own wait."""
        assert after(error) == 30

    def test_a_shorter_retry_after_does_not(self) -> None:
        """Our own wait holds where it is longer."""
        waits = [
            after(HubSpotUnavailable("x", status=503, retry_after_s=0.001), failures=5, seed=seed) or 0.0
            for seed in range(50)
        ]
        assert max(waits) > 1.0
        assert min(waits) >= 0.001

    @pytest.mark.parametrize("seconds", [60.1, 86_400.0, 1e9])
    @pytest.mark.parametrize("status", [429, 477, 503])
    def test_too_long_a_wait_gives_up(self, seconds: float, status: int) -> None:
        """A Retry-After beyond `longest_wait_s` ends the call at once instead of a sleep."""
        error = (
            RateLimited("x", status=429, retry_after_s=seconds)
            if status == 429
            else HubSpotUnavailable("x", status=status, retry_after_s=seconds)
        )
        assert after(error) is None
        assert after(error, longest_wait_s=2e9) == seconds


class TestPolicy:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"attempts": 0},
            {"attempts": -1},
            {"attempts": "3"},
            {"attempts": None},
            {"attempts": True},
            {"refusals": -1},
            {"base_s": 0},
            {"base_s": -1},
            {"base_s": float("nan")},
            {"base_s": 30.0},
            {"cap_s": float("inf")},
            {"longest_wait_s": -1},
            {"locked_s": -0.1},
            {"locked_s": float("nan")},
        ],
    )
    def test_numbers_that_make_no_sense(self, wrong: dict[str, Any]) -> None:
        """A policy with a senseless number fails at once, in words that name RetryPolicy."""
        with pytest.raises(ConfigurationError, match="RetryPolicy"):
            RetryPolicy(**wrong)

    def test_it_can_not_be_changed(self) -> None:
        """One policy may serve many calls: nobody changes it."""
        with pytest.raises(AttributeError):
            RetryPolicy().attempts = 1  # type: ignore[misc]


class TestBudget:
    """What repeats may cost a client in an outage."""

    def test_what_a_repeat_costs(self) -> None:
        """Five, ten after a timeout; a success gives one back, up to the most."""
        budget = RetryBudget(21)
        assert budget.take(HubSpotUnavailable("no", status=502))
        assert budget.take(TransportFailed("silence", sent=True, timeout=True))
        assert budget.tokens == 6
        assert not budget.take(AmbiguousWriteError("lost", why="timeout"))
        assert budget.take(TransportFailed("reset", sent=True))
        assert not budget.take(TransportFailed("reset", sent=True))
        for _ in range(30):
            budget.give()
        assert budget.tokens == 21

    def test_without_a_bound(self) -> None:
        """None: every repeat may be paid for."""
        budget = RetryBudget(None)
        assert all(budget.take(HubSpotUnavailable("no", status=502)) for _ in range(1_000))
