"""The page at `/`: whole in itself, kept to itself, and told by `/__emulator/live` what it shows."""

import base64
import hashlib
import re
from typing import Any

import aiohttp
import pytest

from hubspot_meetings_async.emulator import Emulator, Fault, ManualClock
from tests.emulator.account import MEETINGS

CONTACT = {"to": {"id": "101"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}]}


async def fetch_page(hubspot: Emulator) -> tuple[str, str]:
    """The document and its Content-Security-Policy, as a browser without a token gets them."""
    async with aiohttp.ClientSession() as session, session.get(hubspot.url + "/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        return await response.text(), response.headers["Content-Security-Policy"]


async def live(hubspot: Emulator) -> Any:
    async with aiohttp.ClientSession() as session, session.get(hubspot.url + "/__emulator/live") as response:
        assert response.status == 200
        return await response.json()


class TestDocument:
    async def test_it_is_small_and_needs_nothing_else(self, hubspot: Emulator) -> None:
        """One document: nothing is fetched from anywhere, except the icon, which is in it, and the emulator's state."""
        page, _ = await fetch_page(hubspot)
        assert len(page.encode()) <= 30 * 1024
        assert re.findall(r"""(?:src|href)=["'](?!data:)""", page) == []
        assert re.findall(r"@import|url\(", page) == []
        assert set(re.findall(r"https?://[^'\" )]+", page)) == {"http://www.w3.org/2000/svg"}
        assert set(re.findall(r"fetch\(\"([^\"]+)", page)) == {"/__emulator/live", "/__emulator/faults"}

    async def test_only_its_own_script_and_style_may_run(self, hubspot: Emulator) -> None:
        """The policy names both by their hash, so what is smuggled in does not run."""
        page, policy = await fetch_page(hubspot)
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for tag in ("script", "style"):
            (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
        assert re.findall(r"\son\w+=|\sstyle=", page.partition("<script>")[0]) == []

    async def test_what_comes_from_requests_goes_in_as_text(self, hubspot: Emulator) -> None:
        """The script has no way to make markup of a string."""
        page, _ = await fetch_page(hubspot)
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", page) == []

    async def test_every_field_has_a_label(self, hubspot: Emulator) -> None:
        page, _ = await fetch_page(hubspot)
        labels = "".join(re.findall(r"<label.*?</label>", page, re.DOTALL))
        fields = re.findall(r"<(?:input|select)[^>]*>", page)
        assert len(fields) >= 5
        assert [field for field in fields if field not in labels] == []

    async def test_every_fault_on_offer_can_be_armed(self, hubspot: Emulator) -> None:
        """Each choice of the form is one that the admin call takes, with the words that the script sends."""
        page, _ = await fetch_page(hubspot)
        (select,) = re.findall(r'<select id="kind">(.*?)</select>', page, re.DOTALL)
        kinds = re.findall(r'value="([^"]+)"', select)
        faults = [{"status": int(kind)} if kind.isdigit() else {"kind": kind} for kind in kinds]
        rules = [{"fault": fault | ({"latency_s": 2} if fault == {"kind": "latency"} else {})} for fault in faults]
        async with (
            aiohttp.ClientSession() as session,
            session.post(hubspot.url + "/__emulator/faults", json={"rules": rules}) as response,
        ):
            assert response.status == 200
        assert len((await live(hubspot))["armed"]) == len(kinds) >= 10

    async def test_api_clients_get_hubspots_answer_instead(
        self, hubspot: Emulator, http: aiohttp.ClientSession
    ) -> None:
        async with http.get(hubspot.url + "/") as response:
            assert (response.status, (await response.json())["status"]) == (404, "error")

    @pytest.mark.parametrize("origin", ["https://evil.example", "null"])
    async def test_pages_of_others_cannot_steer_the_emulator(self, hubspot: Emulator, origin: str) -> None:
        """A web page that the developer happens to look at arms no faults."""
        async with aiohttp.ClientSession(headers={"Origin": origin}) as session:
            async with session.post(hubspot.url + "/__emulator/reset") as response:
                assert response.status == 403
            async with session.post(hubspot.url + "/__emulator/reset", headers={"Origin": hubspot.url}) as response:
                assert response.status == 200


class TestLive:
    async def test_looking_costs_nothing(self, hubspot: Emulator) -> None:
        await fetch_page(hubspot)
        await live(hubspot)
        state = await live(hubspot)
        assert (state["requests"], state["daily"]["used"], state["apps"], state["recent"]) == (0, 0, [], [])

    async def test_the_window_moves_on_with_the_clock(self, http: aiohttp.ClientSession) -> None:
        """Used, limit and refusals, second by second; after the window has passed it is free again."""
        clock = ManualClock()
        async with Emulator(limit=2, clock=clock, daily_limit=100) as hubspot:
            clock.advance(3)
            for _ in range(3):
                await http.get(hubspot.url + MEETINGS)
            state = await live(hubspot)
            assert state["window"] == {
                "window_s": 10.0,
                "limit": 2,
                "first_s": 0,
                "used": [0, 0, 0, 2, 2],
                "refused": [0, 0, 0, 1],
                "struck": [0, 0, 0, 0],
            }
            (app,) = state["apps"]
            assert app == {"name": "app-1", "used": 2, "limit": 2, "most": 2, "accepted": 2, "refused": 1}
            assert (state["refused"], state["daily"]["used"], state["daily"]["limit"]) == (1, 2, 100)
            clock.advance(300)
            state = await live(hubspot)
            assert (state["apps"][0]["used"], set(state["window"]["used"])) == (0, {0})
            assert (len(state["window"]["used"]), state["window"]["first_s"]) == (122, 183)

    async def test_searches_have_a_limit_of_their_own(self, http: aiohttp.ClientSession) -> None:
        async with Emulator(search_limit=1, clock=ManualClock()) as hubspot:
            for _ in range(2):
                await http.post(f"{hubspot.url}{MEETINGS}/search", json={})
            assert (await live(hubspot))["searches"] == {"used": 1, "limit": 1, "refused": 1, "resets_in_s": None}

    async def test_records_and_ties(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.portal.add_object("contacts", id=101)
        async with http.post(hubspot.url + MEETINGS, json={"properties": {}, "associations": [CONTACT]}) as response:
            first = (await response.json())["id"]
        await http.post(hubspot.url + MEETINGS, json={"properties": {}})
        assert (await live(hubspot))["records"]["associations"] == 1
        await http.delete(f"{hubspot.url}{MEETINGS}/{first}")
        records = (await live(hubspot))["records"]
        assert (records["live"], records["in_bin"], records["created"], records["archived"]) == (1, 1, 2, 1)
        assert records["others"] == {"contacts": 1}

    async def test_faults_armed_and_struck(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        hubspot.faults.fail_next(502, applied=True, times=2, operation="meetings.create")
        hubspot.faults.at_rate(0.5, Fault(kind="reset"), operation="nothing")
        await http.post(hubspot.url + MEETINGS, json={"properties": {}})
        state = await live(hubspot)
        armed = [(rule["name"], rule["operation"], rule["left"], rule["rate"]) for rule in state["armed"]]
        assert armed == [("502 applied", "meetings.create", 1, None), ("reset", "nothing", None, 0.5)]
        assert (state["injected"], sum(state["window"]["struck"])) == ({"502 applied": 1}, 1)
        assert (state["recent"][0]["fault"], state["recent"][0]["status"]) == ("502 applied", 502)

    async def test_the_last_fifty_requests_newest_first(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        """Sizes and times are told; tokens, bodies and queries are not."""
        for _ in range(51):
            await http.get(hubspot.url + MEETINGS)
        body = {"properties": {"hs_meeting_title": "between us"}}
        async with http.post(f"{hubspot.url}{MEETINGS}?q=between-us", json=body) as response:
            answer = await response.read()
        state = await live(hubspot)
        first = state["recent"][0]
        assert (len(state["recent"]), state["left"]) == (50, 52)
        assert (first["method"], first["path"], first["status"]) == ("POST", MEETINGS, 201)
        assert (first["request_bytes"], first["answer_bytes"]) == (50, len(answer))
        assert first["took_ms"] > 0
        assert abs(first["at_ms"] - state["now_ms"]) < 60_000
        assert "between" not in str(state)
        assert "token-a" not in str(state)

    async def test_a_hostile_path_stays_a_string(self, hubspot: Emulator, http: aiohttp.ClientSession) -> None:
        await http.get(f"{hubspot.url}/<img src=x onerror=alert(1)>/" + "x" * 1000)
        path = (await live(hubspot))["recent"][0]["path"]
        assert path.startswith("/%3Cimg")
        assert len(path) == 301
