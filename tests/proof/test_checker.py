"""The checker by itself: a history that was right, with one thing in it made wrong, is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec
import pytest

from hubspot_meetings_async.bulk.outcomes import Ambiguous, Created, NotSent, Rejected
from hubspot_meetings_async.errors import RequestRejected

from .checker import problems
from .plan import End, Mode, Plan
from .schedule import History, Session, replay


def quiet(mode: Mode) -> History:
    """A schedule of good records without faults."""
    plan = Plan.draw(mode, 2)
    plan.weather.rate = plan.weather.fatal = plan.weather.meddling = 0.0
    plan.rules.multi_status, plan.full_stack, plan.resume, plan.twins = True, False, "ordinal", False
    plan.others, plan.delivery_timeout_s = [], None
    plan.ends.clear()
    plan.items = [item for item in plan.items if item.kind == "good"]
    for index, item in enumerate(plan.items):
        item.index = index
    return replay(plan)


def first(history: History) -> tuple[Session, int, Created[object]]:
    session = history.sessions[0]
    for position, (_, outcome) in enumerate(session.told):
        if isinstance(outcome, Created):
            return session, position, outcome
    raise AssertionError("a quiet schedule creates something")


def changed(history: History, outcome: object) -> None:
    session, position, _ = first(history)
    session.told[position] = (session.told[position][0], outcome)  # type: ignore[assignment]  # what it is, the test says


def forget_an_outcome(history: History) -> None:
    history.sessions[0].told.pop()


def tell_one_twice(history: History) -> None:
    history.sessions[0].told.append(history.sessions[0].told[0])


def name_another_meeting(history: History) -> None:
    other = history.sessions[0].told[-1][1]
    _, _, outcome = first(history)
    assert isinstance(other, Created)
    changed(history, msgspec.structs.replace(outcome, meeting=other.meeting))


def call_a_created_one_rejected(history: History) -> None:
    _, _, outcome = first(history)
    changed(history, Rejected(outcome.record, outcome.ordinal, RequestRejected("no")))


def call_a_created_one_unsent(history: History) -> None:
    _, _, outcome = first(history)
    changed(history, NotSent(outcome.record, outcome.ordinal, "cancelled"))


def call_it_found(history: History) -> None:
    _, _, outcome = first(history)
    changed(history, msgspec.structs.replace(outcome, new=False))


def delete_the_meeting(history: History) -> None:
    _, _, outcome = first(history)
    history.world.meetings.pop(outcome.meeting.id)


def make_a_copy(history: History) -> None:
    _, _, outcome = first(history)
    made = history.world.meetings[outcome.meeting.id]
    history.world.make(made.mark, dict(made.properties), at=1.0)


def lose_an_ack(history: History) -> None:
    _, _, outcome = first(history)
    history.disk.promised.codes[outcome.ordinal] = "i"


def journal_another_id(history: History) -> None:
    _, _, outcome = first(history)
    history.disk.promised.details[outcome.ordinal] = "1"


def send_it_again(history: History) -> None:
    history.network.requests.append(history.network.requests[0])


def count_wrongly(history: History) -> None:
    report = history.sessions[0].report
    assert report is not None
    report.pulled += 1


SPOILS = (
    forget_an_outcome,
    tell_one_twice,
    name_another_meeting,
    call_a_created_one_rejected,
    call_a_created_one_unsent,
    delete_the_meeting,
    make_a_copy,
    lose_an_ack,
    journal_another_id,
    count_wrongly,
)


@pytest.mark.parametrize(
    ("mode", "spoil"),
    [
        ("keyed", call_it_found),
        *itertools.product(("keyed", "hold"), SPOILS),
    ],
)
def test_one_wrong_thing_is_found(mode: Mode, spoil: Callable[[History], None]) -> None:
    """Right before, wrong after."""
    history = quiet(mode)
    assert problems(history) == []
    spoil(history)
    assert problems(history) != []


def test_a_second_send_of_a_held_record_is_found() -> None:
    """In hold, no record leaves twice, whatever came of it."""
    history = quiet("hold")
    send_it_again(history)
    assert any("again in" in problem for problem in problems(history))


def test_the_same_seed_is_the_same_schedule() -> None:
    """A seed that failed fails again: the history repeats to the last event."""
    once, twice = (replay(Plan.draw("keyed", 7), telling=True) for _ in range(2))
    assert once.lines == twice.lines
    assert any("sent" in line for line in once.lines)


def test_ambiguous_outcomes_promise_nothing_but_are_counted() -> None:
    """A record whose fate is open is no lie, whichever way it went."""
    history = quiet("hold")
    _, _, outcome = first(history)
    changed(history, Ambiguous(outcome.record, outcome.ordinal, "reset"))
    history.disk.promised.codes[outcome.ordinal] = "?"
    assert problems(history) == []


@pytest.mark.row("P13")
@pytest.mark.parametrize(("durability", "safe"), [("power", True), ("process", False)])
def test_the_hole_of_a_journal_that_is_not_synced_is_real(durability: str, safe: bool) -> None:
    """Loss of power: with `durability="power"` no record without a key is doubled; with `"process"` some are."""
    doubled = 0
    for seed in range(60):
        plan = Plan.draw("hold", seed)
        plan.durability, plan.full_stack = durability, False
        plan.ends = [End("power", "answer", 2.0), End("power", "answer", 2.0)]
        made = replay(plan).world.made
        doubled += any(sum(not meeting.copy for meeting in meetings) > 1 for meetings in made.values())
    assert (doubled == 0) is safe
