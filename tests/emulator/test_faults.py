"""Faults strike whom they should, as often as they should, the same way for the same seed."""

from typing import Any

import msgspec
import pytest

from hubspot_meetings_async.emulator import Fault, FaultRule, Faults


def names(faults: Faults, number: int, operation: str = "meetings.list") -> list[str | None]:
    drawn = [faults.draw(operation, "GET /crm/v3/objects/meetings", b"") for _ in range(number)]
    return [fault.name if fault else None for fault in drawn]


def test_without_rules_nothing_happens() -> None:
    assert names(Faults(), 3) == [None, None, None]


def test_a_script_strikes_the_next_request_once() -> None:
    faults = Faults()
    faults.fail_next(503)
    assert names(faults, 2) == ["503", None]


def test_a_script_runs_in_the_order_it_was_written() -> None:
    faults = Faults()
    faults.fail_next(503, times=2)
    faults.reset_next(applied=True)
    faults.hang_next()
    faults.delay_next(0.5)
    assert names(faults, 6) == ["503", "503", "reset applied", "hang", "latency", None]
    assert faults.injected == {"503": 2, "reset applied": 1, "hang": 1, "latency": 1}


def test_requests_can_pass_first() -> None:
    faults = Faults()
    faults.fail_next(500, skip=2)
    assert names(faults, 4) == [None, None, "500", None]


def test_for_ever_until_cleared() -> None:
    faults = Faults()
    faults.fail_next(500, times=None)
    assert names(faults, 50) == ["500"] * 50
    faults.clear()
    assert names(faults, 1) == [None]


@pytest.mark.parametrize(
    ("pattern", "struck"),
    [("meetings.batch_*", True), ("POST /crm/v3/*", True), ("*", True), ("meetings.list", False), ("GET *", False)],
)
def test_patterns_choose_by_operation_or_path(pattern: str, struck: bool) -> None:
    faults = Faults()
    faults.fail_next(500, operation=pattern)
    fault = faults.draw("meetings.batch_create", "POST /crm/v3/objects/meetings/batch/create", b"")
    assert (fault is not None) is struck


def test_a_poisonous_body_is_told_by_its_text() -> None:
    faults = Faults()
    faults.fail_next(500, times=None, body_contains="poison")
    assert faults.draw("x", "POST /", b'{"a": "fine"}') is None
    assert faults.draw("x", "POST /", b'{"a": "poison"}') is not None


def test_rates_are_kept_and_repeat_with_the_seed() -> None:
    runs: list[list[str | None]] = []
    for seed in (1, 1, 2):
        faults = Faults(seed=seed)
        faults.at_rate(0.1, Fault(status=503))
        faults.at_rate(0.1, Fault(kind="reset"))
        runs.append(names(faults, 5000))
    assert runs[0] == runs[1] != runs[2]
    for name in ("503", "reset"):
        assert 400 < runs[0].count(name) < 600


def test_a_rate_can_have_an_end() -> None:
    faults = Faults()
    faults.at_rate(1.0, Fault(status=503), times=2)
    assert names(faults, 3) == ["503", "503", None]


def test_reset_starts_the_seed_anew() -> None:
    faults = Faults(seed=5)
    runs: list[list[str | None]] = []
    for _ in range(2):
        faults.reset()
        faults.at_rate(0.5, Fault(status=503))
        runs.append(names(faults, 100))
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "status"},
        {"kind": "reset", "status": 500},
        {"status": 99},
        {"status": 500, "latency_s": -1},
        {"kind": "latency"},
        {"status": 500, "applied_inputs": 3},
    ],
)
def test_faults_that_make_no_sense_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        Fault(**words)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(words, Fault)


@pytest.mark.parametrize("words", [{"rate": 0.0}, {"rate": 1.5}, {"times": 0}, {"skip": -1}])
def test_rules_that_make_no_sense_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        FaultRule(fault=Fault(status=500), **words)


def test_rules_show_what_is_left() -> None:
    faults = Faults()
    faults.fail_next(500, times=3)
    names(faults, 1)
    assert [(left, struck) for _, left, struck in faults.rules()] == [(2, 1)]
