"""A client that is too fast is refused exactly where HubSpot's rule refuses, as a client of others sees it.

The rule is written here a second time, from its definition: a request is refused if and only if 190 accepted ones lie
in the ten seconds that end with it.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from hubspot_meetings_async.emulator import Emulator, ManualClock
from hubspot_meetings_async.emulator.threaded import ThreadedEmulator

hubspot = pytest.importorskip("hubspot", reason="hubspot-api-client is not installed: it is in the extra `bench`")

LIMIT, WINDOW_MS = 190, 10_000
TICK_MS = 50


class Rule:
    """HubSpot's window, in whole milliseconds."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    def left(self, at_ms: int) -> int:
        """How many requests the window still takes; those exactly ten seconds ago are out."""
        return LIMIT - sum(1 for stamp in self.accepted if at_ms - WINDOW_MS < stamp <= at_ms)

    def takes(self, at_ms: int) -> bool:
        """Whether a request of this moment is accepted; if so it counts from now on."""
        if self.left(at_ms) <= 0:
            return False
        self.accepted.append(at_ms)
        return True


def twenty_a_second() -> list[int]:
    """Forty seconds, a request every fifty milliseconds."""
    return [TICK_MS * n for n in range(800)]


def in_bursts(seed: int) -> list[int]:
    """As many on average, drawn: rushes at one moment, pauses of up to three seconds."""
    rng = random.Random(seed)
    moments: list[int] = []
    at_ms = 0
    while len(moments) < 800:
        moments += [at_ms] * rng.choice([1, 2, 5, 40])
        at_ms += TICK_MS * rng.choice([1, 3, 10, 60])
    return moments


@pytest.fixture
def account() -> Iterator[Emulator]:
    emulator = Emulator(limit=LIMIT, clock=ManualClock())
    with ThreadedEmulator(emulator):
        yield emulator


def verdicts(account: Emulator, moments: list[int]) -> Iterator[tuple[int, int, int]]:
    """Each request's moment, status, and what the window still takes according to its headers."""
    clock = account.portal.clock
    assert isinstance(clock, ManualClock)
    client = hubspot.Client.create(access_token="token", host=account.url)
    api: Any = client.crm.objects.meetings.basic_api
    now_ms = 0
    for at_ms in moments:
        clock.advance((at_ms - now_ms) / 1000)
        now_ms = at_ms
        try:
            _, status, headers = api.get_page_with_http_info(limit=1)
        except hubspot.crm.objects.meetings.ApiException as error:
            status, headers = error.status, error.headers
        yield at_ms, status, int(headers["X-HubSpot-RateLimit-Remaining"])


@pytest.mark.parametrize("moments", [twenty_a_second(), in_bursts(1), in_bursts(2)], ids=["steady", "bursts", "rushes"])
def test_refusals_are_those_of_the_rule(account: Emulator, moments: list[int]) -> None:
    rule = Rule()
    refused = 0
    for at_ms, status, left in verdicts(account, moments):
        expected = 200 if rule.takes(at_ms) else 429
        assert (at_ms, status, left) == (at_ms, expected, rule.left(at_ms))
        refused += status == 429
    assert 0 < refused < len(moments)
    assert account.stats().rate_limited.ten_secondly == refused


def test_a_client_of_twenty_a_second_has_one_in_twenty_refused(account: Emulator) -> None:
    """The first 190 of each ten seconds pass, the next ten do not; then those of ten seconds ago leave the window."""
    statuses = [status for _, status, _ in verdicts(account, twenty_a_second())]
    assert statuses[:200] == [200] * 190 + [429] * 10
    assert statuses == statuses[:200] * 4
