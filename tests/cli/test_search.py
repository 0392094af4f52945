"""`hubspot-meetings search` and `get`: the right meetings, as a table or as JSON; wrong words get a line."""

from __future__ import annotations

import asyncio

import pytest

from hubspot_meetings_async import MeetingsClient
from hubspot_meetings_async.emulator import ThreadedEmulator

from .shell import Shell

pytestmark = pytest.mark.hubspot(unique_properties=["booking_ref"])


def add(hubspot: ThreadedEmulator, number: int, **values: str) -> str:
    """A meeting at noon UTC of that day of November."""
    at = f"2026-11-{number:02}T12:00:00Z"
    properties = {"hs_timestamp": at, "hs_meeting_start_time": at, "hs_meeting_title": f"Kick-off {number}"}
    return hubspot.add_object("meetings", properties={**properties, "hs_meeting_outcome": "SCHEDULED", **values})


async def link(meeting: str, contact: str) -> None:
    async with MeetingsClient.from_env() as hubspot:
        await hubspot.associations.set_default("meetings", meeting, "contacts", contact)


class TestSearch:
    def test_conditions_order_and_number(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        ids = [add(hubspot_emulator, number, booking_ref=f"b-{number}") for number in range(1, 6)]
        add(hubspot_emulator, 6, hs_meeting_outcome="CANCELED")
        hubspot_emulator.advance(60)
        words = ("search", "hs_meeting_outcome=SCHEDULED", "--since", "2026-11-02", "--sort", "-hs_timestamp")
        answer = shell(*words, "--limit", "3", "--query", "kick")
        assert answer.code == 0, answer.err
        assert [value["id"] for value in answer.values] == [ids[4], ids[3], ids[2]]
        assert answer.values[0]["properties"]["hs_timestamp"] == "2026-11-05T12:00:00Z"
        assert answer.line == "3 of 4 meetings; --limit N or --all shows more."
        rest = shell(*words, "--until", "2026-11-05", "--all", "--properties", "booking_ref")
        assert [value["properties"]["booking_ref"] for value in rest.values] == ["b-4", "b-3", "b-2"]
        assert rest.line == "3 meetings."

    def test_a_day_is_one_of_the_persons_zone(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        late = add(hubspot_emulator, 3, hs_timestamp="2026-11-03T23:30:00Z")  # the 4th in Berlin
        hubspot_emulator.advance(60)
        for zone, found in (("Europe/Berlin", [late]), ("America/New_York", [])):
            answer = shell("search", "hs_timestamp>=2026-11-04", "hs_meeting_title~kick", "--timezone", zone)
            assert [value["id"] for value in answer.values] == found

    def test_a_full_page_costs_one_request(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        for number in range(1, 5):
            add(hubspot_emulator, number)
        hubspot_emulator.advance(60)
        assert len(shell("search", "--limit", "2").values) == 2
        hubspot_emulator.assert_sent("POST", "*/search", times=1)

    def test_a_table_at_a_terminal_and_a_list_where_it_is_narrow(
        self, hubspot_emulator: ThreadedEmulator, shell: Shell
    ) -> None:
        ids = [add(hubspot_emulator, 1, hs_meeting_title="[red]Renée[/] \x1b[31m"), add(hubspot_emulator, 2)]
        hubspot_emulator.advance(60)
        wide = shell("search", terminal=True)
        head, line, first, second = wide.out.splitlines()
        assert head.split() == ["id", "start", "outcome", "title"]
        assert set(line) == {"─"}
        assert first.split() == [ids[0], "2026-11-01", "13:00", "SCHEDULED", "[red]Renée[/]", "�[31m"]
        assert second.split()[0] == ids[1]
        assert wide.line == "2 meetings."
        narrow = shell("search", terminal=True, width=40).out.splitlines()
        assert narrow[0].split() == ["id", ids[0]]
        assert narrow[1].split() == ["start", "2026-11-01", "13:00"]
        assert narrow[4] == ""
        assert shell("search", "--json", terminal=True).values[1]["id"] == ids[1]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["nonsense"], "a condition is written as"),
            (["--since", "soon"], "--since takes a day"),
            (["--limit", "3", "--all"], "choose one of --limit and --all"),
            (["--properties", ", ,"], "--properties takes names"),
            (["--timezone", "Nowhere"], "--timezone takes a name"),
            (["--sort", ""], "sorts takes the name of a property"),
            ([f"p{n}={n}" for n in range(7)], "HubSpot takes 6 in a group"),
            (["--limit", "0"], "--limit"),
        ],
    )
    def test_wrong_words_send_nothing(
        self, hubspot_emulator: ThreadedEmulator, shell: Shell, words: list[str], told: str
    ) -> None:
        answer = shell("search", *words)
        assert (answer.code, answer.out) == (2, "")
        assert told in answer.line
        assert hubspot_emulator.requests == []

    def test_a_property_that_is_none_is_told_in_hubspots_words(self, shell: Shell) -> None:
        answer = shell("search", "nope=1")
        assert (answer.code, answer.out) == (3, "")
        assert "hubspot-meetings search: There was a problem with the request. Property nope" in answer.line


class TestGet:
    def test_in_the_order_asked_for_with_what_they_are_linked_to(
        self, hubspot_emulator: ThreadedEmulator, shell: Shell
    ) -> None:
        contact = hubspot_emulator.add_object("contacts", properties={"email": "g@example.com"})
        one, two = (add(hubspot_emulator, number, booking_ref=f"b-{number}") for number in (1, 2))
        asyncio.run(link(two, contact))
        answer = shell("get", two, one, two, "--associations", "contacts,deals", "--properties", "booking_ref")
        assert answer.code == 0, answer.err
        assert [value["id"] for value in answer.values] == [two, one]
        assert [value["properties"]["booking_ref"] for value in answer.values] == ["b-2", "b-1"]
        assert [value["associations"]["contacts"] for value in answer.values] == [[contact], []]
        hubspot_emulator.assert_sent("POST", "*/batch/read", times=3)
        by_ref = shell("get", "b-1", "--id-property", "booking_ref")
        assert [value["id"] for value in by_ref.values] == [one]

    def test_what_is_not_there_is_named_and_the_rest_is_shown(
        self, hubspot_emulator: ThreadedEmulator, shell: Shell
    ) -> None:
        one = add(hubspot_emulator, 1)
        answer = shell("get", "7", one, "x y")
        assert answer.code == 1
        assert [value["id"] for value in answer.values] == [one]
        assert "7: there is no such meeting" in answer.err
        assert "x y: the id of a meeting is 1-20 digits" in answer.err

    def test_one_is_a_list_and_several_are_a_table_at_a_terminal(
        self, hubspot_emulator: ThreadedEmulator, shell: Shell
    ) -> None:
        one, two = add(hubspot_emulator, 1), add(hubspot_emulator, 2)
        facts = [line.strip().split(maxsplit=1) for line in shell("get", one, terminal=True).out.splitlines()]
        assert facts[0] == ["id", one]
        assert ["hs_timestamp", "2026-11-01 13:00"] in facts
        every = shell("get", one, "--properties", "all", terminal=True).out
        assert "hs_object_id" in every
        table = shell("get", one, two, "--associations", "contacts", terminal=True).out.splitlines()
        assert table[0].split() == ["id", "start", "outcome", "title", "contacts"]
        assert [line.split()[0] for line in table[2:]] == [one, two]

    def test_only_the_bin_is_looked_into(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        answer = shell("get", add(hubspot_emulator, 1), "--archived")
        assert (answer.code, answer.out) == (1, "")

    def test_wrong_words(self, shell: Shell) -> None:
        assert "--associations takes object types" in shell("get", "1", "--associations", ",").line
        assert shell("get").code == 2
