"""Whatever was written and whatever is asked: search finds what a plain look at every record finds, in the same order.

The reference keeps every state the account went through and scans the one that search should see.
"""

import re
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.emulator.account import MEETINGS, Account

DELAY_S = 5
START_MS = 1_795_249_800_123
TITLES = ["Kick-off", "kick-off", "Review", "", "a b"]
OUTCOMES = ["SCHEDULED", "COMPLETED", "NO_SHOW"]
NAMES = ["hs_meeting_title", "hs_meeting_outcome", "hs_timestamp", "length", "hs_object_id", "hs_lastmodifieddate"]

Rows = dict[int, dict[str, Any]]

properties = st.fixed_dictionaries(
    {"hs_timestamp": st.integers(0, 5)},
    optional={
        "hs_meeting_title": st.sampled_from(TITLES),
        "hs_meeting_outcome": st.sampled_from(OUTCOMES),
        "length": st.integers(-2, 3) | st.sampled_from(["", "1.5"]),
    },
)
first = st.lists(st.tuples(st.just("create"), properties), min_size=3, max_size=7)
writes = st.lists(
    st.tuples(st.just("create"), properties)
    | st.tuples(st.just("update"), st.integers(0, 9), properties)
    | st.tuples(st.just("archive"), st.integers(0, 9))
    | st.tuples(st.just("wait"), st.integers(1, 4))
    | st.tuples(st.just("search")),
    max_size=20,
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(NAMES))
    values = {
        "hs_meeting_title": st.sampled_from([*TITLES[:3], "review"]),
        "hs_meeting_outcome": st.sampled_from([*OUTCOMES, "scheduled"]),
        "hs_timestamp": st.integers(0, 5).map(str),
        "length": st.sampled_from(["-1", "0", "1", "1.5", "2"]),
        "hs_object_id": st.integers(65_059_680_000, 65_059_680_006).map(str),
        "hs_lastmodifieddate": st.integers(0, 12).map(lambda s: str(START_MS + 1000 * s)),
    }[name]
    given: dict[str, Any] = {"propertyName": name}
    given["operator"] = operator = draw(
        st.sampled_from(["EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN"])
        | st.sampled_from(["HAS_PROPERTY", "NOT_HAS_PROPERTY"])
        | st.sampled_from(["CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"] if name == "hs_meeting_title" else ["EQ"])
    )
    if operator.endswith("CONTAINS_TOKEN"):
        given["value"] = draw(st.sampled_from(["kick", "Kick-off", "kick-*", "*ff", "b a", "k*f", "*", "a", "[a]"]))
    elif operator in ("IN", "NOT_IN"):
        given["values"] = draw(st.lists(values, min_size=1, max_size=3))
    else:
        given["value"] = draw(values)
        if operator == "BETWEEN":
            given["highValue"] = draw(values)
    return given


searches = st.fixed_dictionaries(
    {
        "filterGroups": st.lists(
            st.fixed_dictionaries({"filters": st.lists(conditions(), min_size=1, max_size=3)}), max_size=3
        )
        | st.just([]),
        "limit": st.integers(1, 4),
        "after": st.integers(0, 3).map(str),
    },
    optional={
        "sorts": st.tuples(st.sampled_from(["", "-"]), st.sampled_from(NAMES)).map(lambda pair: ["".join(pair)]),
        "query": st.sampled_from(["", "kick", "b", "off kick"]),
    },
)


def comparable(name: str, value: Any, *, listed: bool = False) -> Any:
    if name in ("hs_meeting_outcome",):
        return str(value)
    if name == "hs_meeting_title":
        return value if listed else value.lower()
    return float(value)


def holds(row: dict[str, Any], condition: dict[str, Any]) -> bool:
    name, operator = condition["propertyName"], condition["operator"]
    value = row.get(name, "")
    if operator == "NOT_HAS_PROPERTY":
        return bool(value == "")
    if value == "":
        return False
    here = comparable(name, value)
    if operator in ("IN", "NOT_IN"):
        found = here in [comparable(name, wanted, listed=True) for wanted in condition["values"]]
        return found is (operator == "IN")
    if operator == "HAS_PROPERTY":
        return True
    if operator.endswith("CONTAINS_TOKEN"):
        return contains(value.lower(), condition["value"].lower()) is (operator == "CONTAINS_TOKEN")
    low = comparable(name, condition["value"])
    if operator == "BETWEEN":
        return bool(low <= here <= comparable(name, condition["highValue"]))
    return bool(
        {
            "EQ": here == low,
            "NEQ": here != low,
            "LT": here < low,
            "LTE": here <= low,
            "GT": here > low,
            "GTE": here >= low,
        }[operator]
    )


def contains(text: str, tokens: str) -> bool:
    words = {*text.split(), *text.replace("-", " ").split()}
    patterns = [re.compile(".*".join(re.escape(part) for part in token.split("*"))) for token in tokens.split()]
    return all(any(pattern.fullmatch(word) for word in words) for pattern in patterns)


def asked_for(row: dict[str, Any], query: str) -> bool:
    words = row.get("hs_meeting_title", "").lower().replace("-", " ").split()
    return all(any(word.startswith(start) for word in words) for start in query.split())


def found(rows: Rows, body: dict[str, Any]) -> list[str]:
    """All results of a search, by looking at every record."""
    groups = body["filterGroups"]
    matching = {
        id_: row
        for id_, row in rows.items()
        if (not groups or any(all(holds(row, one) for one in group["filters"]) for group in groups))
        and asked_for(row, body.get("query", ""))
    }
    sort = body.get("sorts", ["created"])[0]
    name = sort.removeprefix("-")
    valued = [id_ for id_, row in matching.items() if row.get(name, "") != ""]
    valued.sort(key=lambda id_: (comparable(name, matching[id_][name]), id_), reverse=sort.startswith("-"))
    return [str(id_) for id_ in [*valued, *sorted(id_ for id_ in matching if id_ not in valued)]]


class Reference:
    """What the account holds, and held at every moment before."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.states: list[tuple[int, Rows]] = [(0, {})]

    def note(self, now_ms: int) -> None:
        self.states.append((now_ms, deepcopy(self.rows)))

    def seen(self, now_ms: int) -> Rows:
        """The state of five seconds ago, without what was archived since."""
        (_, rows) = [state for state in self.states if state[0] <= now_ms - DELAY_S * 1000][-1]
        return {id_: row for id_, row in rows.items() if id_ in self.rows}


@given(first, writes, st.lists(searches, min_size=2, max_size=6))
@settings(max_examples=300, deadline=None)
def test_search_finds_what_a_plain_look_finds(start: list[Any], steps: list[Any], bodies: list[dict[str, Any]]) -> None:
    account = Account(search_delay_s=DELAY_S)
    account.portal.add_property("length", type="number")
    reference = Reference()

    def compare() -> None:
        for body in bodies:
            status, answer = account.post(f"{MEETINGS}/search", body)
            assert status == 200, answer
            expected = found(reference.seen(account.clock.wall_ms()), body)
            offset = int(body["after"])
            assert answer["total"] == len(expected)
            assert [record["id"] for record in answer["results"]] == expected[offset : offset + body["limit"]]
            assert ("paging" in answer) is (offset + body["limit"] < len(expected))

    for step in [*start, ("wait", DELAY_S), ("search",), *steps]:
        now_ms = account.clock.wall_ms()
        ids = list(reference.rows)
        if step[0] == "create":
            id_ = int(account.create(**step[1]))
            row = {**step[1], "hs_object_id": id_, "created": now_ms, "hs_lastmodifieddate": now_ms}
            reference.rows[id_] = row
        elif step[0] == "wait":
            account.clock.advance(step[1])
        elif step[0] == "search":
            compare()
        elif ids:
            id_ = ids[step[1] % len(ids)]
            if step[0] == "archive":
                account.send("DELETE", f"{MEETINGS}/{id_}")
                del reference.rows[id_]
            else:
                account.send("PATCH", f"{MEETINGS}/{id_}", {"properties": step[2]})
                reference.rows[id_] = {**reference.rows[id_], **step[2], "hs_lastmodifieddate": now_ms}
        reference.note(now_ms)
    compare()
    account.clock.advance(DELAY_S)
    compare()


def test_the_reference_reads_moments_as_the_emulator_does() -> None:
    _, record = (account := Account()).get(f"{MEETINGS}/{account.create()}")
    assert (
        datetime.fromtimestamp(START_MS / 1000, UTC).isoformat(timespec="milliseconds")[:-6] == record["createdAt"][:-1]
    )
