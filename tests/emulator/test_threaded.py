"""The emulator in a thread of its own: safe from any thread, closed without a trace, and its assertions true."""

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hubspot_meetings_async.emulator import Emulator, Fault, ThreadedEmulator
from tests.emulator.account import MEETINGS

CONTACT = {"types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}]}


@pytest.fixture
def running() -> Iterator[ThreadedEmulator]:
    """An account in a thread."""
    with ThreadedEmulator() as emulator:
        yield emulator


def send(hubspot: ThreadedEmulator, method: str, path: str, body: Any = None, token: str | None = None) -> int:
    """The status of one request; 0 when no answer came."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token or hubspot.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(hubspot.url + path, method=method, data=data, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def create(hubspot: ThreadedEmulator, title: str, **body: Any) -> int:
    return send(hubspot, "POST", MEETINGS, {"properties": {"hs_meeting_title": title}, **body})


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "hubspot-emulator"]


class TestLife:
    def test_it_ends_without_a_trace(self) -> None:
        """The port is closed, the thread gone; what happened can still be read."""
        with ThreadedEmulator() as hubspot:
            port = hubspot.port
            assert threads() == ["hubspot-emulator"]
            create(hubspot, "a")
            hubspot.hang_next()
            with ThreadPoolExecutor(1) as pool:
                hanging = pool.submit(send, hubspot, "GET", MEETINGS)
                hubspot.wait_for_requests(2)
                hubspot.close()
                assert hanging.result() == 0
        assert threads() == []
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        assert [meeting["hs_meeting_title"] for meeting in hubspot.meetings()] == ["a"]
        assert [request.status for request in hubspot.requests] == [201, 0]
        assert repr(hubspot) == "<ThreadedEmulator not running>"

    def test_a_taken_port_fails_at_once_and_leaves_no_thread(self, running: ThreadedEmulator) -> None:
        second = ThreadedEmulator(Emulator(port=running.port))
        with pytest.raises(OSError, match="address already in use"):
            second.start()
        assert threads() == ["hubspot-emulator"]

    def test_it_runs_once(self, running: ThreadedEmulator) -> None:
        with pytest.raises(RuntimeError, match="running already"):
            running.start()
        running.close()
        running.close()
        with pytest.raises(RuntimeError, match="not running"):
            _ = running.url
        with pytest.raises(RuntimeError, match="not running"):
            running.wait_for_requests(1)

    def test_the_loop_of_a_test_is_not_its_own(self, running: ThreadedEmulator) -> None:
        """Its methods can be called where a loop runs, which stands still meanwhile."""

        async def ask() -> int:
            running.fail_next(503)
            return await asyncio.to_thread(send, running, "GET", MEETINGS)

        assert asyncio.run(ask()) == 503

    def test_plain_asyncio(self) -> None:
        """`async with Emulator()` under `asyncio.run`."""

        async def main() -> str:
            async with Emulator() as hubspot:
                return hubspot.url

        assert asyncio.run(main()).startswith("http://127.0.0.1:")


class TestThreads:
    def test_no_rule_is_lost_while_requests_come(self, running: ThreadedEmulator) -> None:
        """Threads arm faults while others are struck by them: each rule strikes once."""
        running.set_limits(limit=None)

        def both(number: int) -> int:
            running.fail_next(503)
            return send(running, "GET", MEETINGS)

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(both, range(200)))
        left = running.call(lambda emulator: sum(left or 0 for _, left, _ in emulator.faults.rules()))
        assert statuses.count(503) + left == 200
        assert running.stats().faults == {"503": statuses.count(503)}

    def test_errors_come_through(self, running: ThreadedEmulator) -> None:
        with pytest.raises(ValueError, match="unknown object type 'unicorns'"):
            running.objects("unicorns")
        with pytest.raises(ValueError, match="status must be from 200 to 599"):
            running.fail_next(99)

    def test_a_call_within_a_call(self, running: ThreadedEmulator) -> None:
        assert running.call(lambda _: running.stats().requests) == 0


class TestAccount:
    def test_only_its_token_is_taken(self, running: ThreadedEmulator) -> None:
        assert send(running, "GET", MEETINGS, token="another") == 401
        assert send(running, "GET", MEETINGS) == 200
        assert running.environment == {"HUBSPOT_BASE_URL": running.url, "HUBSPOT_ACCESS_TOKEN": running.token}

    def test_limits_and_the_clock(self, running: ThreadedEmulator) -> None:
        running.set_limits(limit=1)
        assert [send(running, "GET", MEETINGS) for _ in range(2)] == [200, 429]
        with pytest.raises(AssertionError, match="1 requests were refused with 429: 1 by the ten-second window"):
            running.assert_within_limits()
        running.advance(10)
        assert send(running, "GET", MEETINGS) == 200
        running.advance(10)
        running.set_limits(limit=None, search_limit=1, daily_limit=5)
        assert [send(running, "POST", f"{MEETINGS}/search", {}) for _ in range(2)] == [200, 429]

    def test_what_was_given_and_what_was_created(self, running: ThreadedEmulator) -> None:
        contact = running.add_object("contacts", properties={"email": "grace@example.com"})
        given = running.add_object("meetings", properties={"hs_meeting_title": "given"})
        create(running, "created", associations=[{"to": {"id": contact}, **CONTACT}])
        (created,) = running.created_meetings()
        assert created["hs_meeting_title"] == "created"
        assert running.associated_ids("meetings", created["hs_object_id"], "contacts") == [contact]
        assert running.associated_ids("contact", contact, "meeting") == [created["hs_object_id"]]
        assert {meeting["hs_object_id"] for meeting in running.meetings()} == {given, created["hs_object_id"]}
        assert running.objects("contacts")[0]["email"] == "grace@example.com"
        send(running, "DELETE", f"{MEETINGS}/{created['hs_object_id']}")
        assert running.created_meetings() == running.meetings(archived=True) == [created]

    def test_faults_of_every_helper(self, running: ThreadedEmulator) -> None:
        running.fail_next(502, applied=True)
        running.reset_next()
        running.delay_next(0.001)
        running.strike_next("wrong_type")
        running.strike_at_rate(1, Fault(status=423), times=1)
        assert [create(running, "x") for _ in range(6)] == [502, 0, 201, 201, 423, 201]
        faults = [request.fault for request in running.requests]
        assert faults == ["502 applied", "reset", "latency", "wrong_type", "423", None]
        running.fail_next(500, times=None)
        running.clear_faults()
        assert create(running, "x") == 201


class TestWhatWasSent:
    def test_requests_have_everything(self, running: ThreadedEmulator) -> None:
        send(running, "GET", f"{MEETINGS}?limit=2&properties=a&properties=b")
        create(running, "x")
        first, second = running.requests
        assert (first.method, first.path, first.status, first.operation) == ("GET", MEETINGS, 200, "meetings.list")
        assert (first.query, first.json) == ({"limit": ["2"], "properties": ["a", "b"]}, None)
        assert second.json == {"properties": {"hs_meeting_title": "x"}}
        assert second.took_s > 0

    def test_secrets_of_token_calls_are_not_kept(self, running: ThreadedEmulator) -> None:
        for path in ("/oauth/v1/token?secret=s3cret", "/oauth/misspelt"):
            send(running, "POST", path, {"client_secret": "s3cret"})
        assert len(running.requests) == 2
        assert "s3cret" not in str(running.requests) + running.report()

    def test_patterns(self, running: ThreadedEmulator) -> None:
        send(running, "GET", f"{MEETINGS}?limit=2&after=9")
        create(running, "x")
        create(running, "y")
        assert len(running.assert_sent("post", "/crm/v3/*", times=2)) == 2
        running.assert_sent(operation="meetings.cre*", times=2)
        running.assert_sent("GET", query={"limit": "2"}, times=1)
        running.assert_sent("GET", query={"limit": "3"}, times=0)
        (y,) = running.assert_sent(json={"properties": {"hs_meeting_title": "y"}})
        assert y.number == 3
        running.assert_not_sent("DELETE")
        with pytest.raises(ValueError, match="give the query apart from the path"):
            running.assert_sent("GET", f"{MEETINGS}?limit=2")

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ({"method": "DELETE"}, "DELETE * was sent 0 times;"),
            ({"method": "POST", "times": 2}, "POST * was sent once, not 2 times;"),
            ({"times": 0}, "any request was sent 2 times, not 0 times;"),
            ({"operation": "meetings.get"}, "any request, operation meetings.get was sent 0 times;"),
            ({"query": {"limit": "9"}}, "any request, query limit=9 was sent 0 times;"),
        ],
    )
    def test_messages_name_what_was_wanted_and_list_what_came(
        self, running: ThreadedEmulator, words: dict[str, Any], told: str
    ) -> None:
        running.fail_next(502, applied=True)
        send(running, "POST", f"{MEETINGS}/batch/create", {"inputs": [{"properties": {}}]})
        send(running, "GET", f"{MEETINGS}?limit=2")
        with pytest.raises(AssertionError) as caught:
            running.assert_sent(**words)
        assert str(caught.value).splitlines() == [
            told,
            "the HubSpot emulator saw 2 requests:",
            f"  1. POST {MEETINGS}/batch/create -> 502, fault: 502 applied, 1 input",
            f"  2. GET {MEETINGS}?limit=2 -> 200",
        ]

    def test_nothing_is_asserted_of_what_is_forgotten(self) -> None:
        """A count over half of the requests would be wrong, and nobody would notice."""
        with ThreadedEmulator(Emulator(keep_requests=2)) as hubspot:
            for _ in range(2):
                create(hubspot, "x")
            hubspot.assert_sent("POST", times=2)
            create(hubspot, "x")
            with pytest.raises(RuntimeError, match="of 3 requests only the last 2 are remembered"):
                hubspot.assert_sent("POST", times=2)

    def test_long_stories_are_cut(self, running: ThreadedEmulator) -> None:
        assert running.report() == "the HubSpot emulator saw no request"
        running.set_limits(limit=None)
        for _ in range(41):
            create(running, "x" * 1000)
        with pytest.raises(AssertionError) as caught:
            running.assert_sent("POST", MEETINGS, json={})
        lines = str(caught.value).splitlines()
        assert lines[1:4] == [
            "the HubSpot emulator saw 41 requests:",
            "  … 1 earlier ones",
            f"  2. POST {MEETINGS} -> 201",
        ]
        assert max(map(len, lines)) < 700

    def test_duplicates_are_named_with_their_requests(self, running: ThreadedEmulator) -> None:
        given = running.add_object("meetings", properties={"hs_meeting_title": "a"})
        create(running, "a")
        create(running, "b")
        with pytest.raises(AssertionError) as caught:
            running.assert_no_duplicates("hs_meeting_title")
        created = next(one["hs_object_id"] for one in running.created_meetings() if one["hs_meeting_title"] == "a")
        assert str(caught.value).splitlines()[:2] == [
            "1 value of hs_meeting_title more than once in meetings:",
            f"  a: {given} (given), {created} (by request 1)",
        ]
        send(running, "DELETE", f"{MEETINGS}/{created}")
        running.assert_no_duplicates("hs_meeting_title")

    def test_faults_that_never_struck(self, running: ThreadedEmulator) -> None:
        running.strike_at_rate(0.001, Fault(status=500))
        running.assert_faults_struck()
        running.fail_next(502, times=2, operation="meetings.create")
        create(running, "a")
        with pytest.raises(AssertionError, match="still wait for their requests: 502, 1 more of meetings"):
            running.assert_faults_struck()
        create(running, "a")
        running.assert_faults_struck()

    def test_waiting_ends_with_the_request_or_the_time(self, running: ThreadedEmulator) -> None:
        create(running, "a")
        running.wait_for_requests(1)
        with pytest.raises(TimeoutError, match=r"fewer than 2 requests came .* the HubSpot emulator saw 1"):
            running.wait_for_requests(2, timeout_s=0.01)
