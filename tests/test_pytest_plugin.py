"""The pytest plugin as its users meet it: test files of theirs, run by a pytest of their own."""

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
DOCS = re.findall(r"^```python\n# (\S+)\n(.*?)^```", (ROOT / "docs/testing.md").read_text(), re.MULTILINE | re.DOTALL)
SETTINGS = """
[pytest]
addopts = --strict-markers -p no:cacheprovider
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
SENDING = '''
import json
import urllib.request

def send(hubspot, method, path, body=None, token=None):
    """A client that shares nothing with the package."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token or hubspot.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(hubspot.url + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
'''
MEETINGS = "/crm/v3/objects/meetings"


@pytest.fixture
def theirs(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with the strictest settings, where every warning is an error."""
    pytester.makeini(SETTINGS)
    pytester.makepyfile(sending=SENDING)
    return pytester


def run(theirs: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return theirs.runpytest_subprocess(*arguments, timeout=100)


class TestHowTo:
    @pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
    def test_every_block_of_the_page_passes(self, theirs: pytest.Pytester, arguments: tuple[str, ...]) -> None:
        """`docs/testing.md`, each block in the file it names; also spread over processes."""
        for name, text in DOCS:
            (theirs.path / name).write_text(text, encoding="utf-8")
        run(theirs, *arguments, str(theirs.path)).assert_outcomes(passed=12)

    def test_there_are_blocks(self) -> None:
        assert {"backfill.py", "conftest.py", "test_backfill.py", "test_async.py"} <= {name for name, _ in DOCS}

    def test_the_failure_it_shows_is_the_one_that_comes(self, theirs: pytest.Pytester) -> None:
        """The report in the page, line by line, for a test that expects a request too few."""
        for name, text in DOCS:
            (theirs.path / name).write_text(text.replace("times=4", "times=3"), encoding="utf-8")
        page = (ROOT / "docs/testing.md").read_text()
        shown = [line for line in page.splitlines() if line.startswith("E  ")]
        assert len(shown) == 6
        result = run(theirs, "test_backfill.py")
        # Which of the batches comes first is up to the client.
        result.stdout.fnmatch_lines([re.sub(r"\d+ inputs", "* inputs", line) for line in shown])


PLUGIN = "hubspot_meetings_async.pytest_plugin"


class TestLoading:
    def test_it_is_registered(self) -> None:
        """As `hubspot_emulator`, in the project's settings and where it is installed (else: install it again)."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert project["entry-points"]["pytest11"] == {"hubspot_emulator": PLUGIN}
        assert [found.value for found in entry_points(group="pytest11", name="hubspot_emulator")] == [PLUGIN]

    def test_who_does_not_ask_for_it_pays_nothing(self, theirs: pytest.Pytester) -> None:
        """A run without the fixture imports neither aiohttp nor the emulator."""
        theirs.makeconftest(
            f"""
            import sys
            def pytest_unconfigure():
                heavy = {{"aiohttp", "hubspot_meetings_async.emulator", "sqlite3"}} & set(sys.modules)
                print("plugin:", {PLUGIN!r} in sys.modules, "heavy:", sorted(heavy))
            """
        )
        theirs.makepyfile("def test_nothing(): pass")
        run(theirs, "-s").stdout.fnmatch_lines(["*plugin: True heavy: []*"])

    def test_the_marker_and_the_fixtures_are_explained(self, theirs: pytest.Pytester) -> None:
        run(theirs, "--markers").stdout.fnmatch_lines(["@pytest.mark.hubspot(limit=*): the account that*"])
        result = run(theirs, "--fixtures")
        result.stdout.fnmatch_lines(["hubspot_emulator -- *", "    A HubSpot account on a port of its own*"])
        result.stdout.fnmatch_lines(["hubspot_environment -- *", "    Point `MeetingsClient.from_env()`*"])


class TestRunners:
    def test_sync_tests_need_no_async_plugin(self, theirs: pytest.Pytester) -> None:
        theirs.makeini(SETTINGS.replace("asyncio_", "# "))
        theirs.makepyfile(
            f"""
            from sending import send
            def test_sync(hubspot_emulator):
                send(hubspot_emulator, "POST", "{MEETINGS}", {{"properties": {{"hs_meeting_title": "x"}}}})
                assert [meeting["hs_meeting_title"] for meeting in hubspot_emulator.meetings()] == ["x"]
            """
        )
        run(theirs, "-p", "no:asyncio", "-p", "no:anyio").assert_outcomes(passed=1)

    def test_anyios_plugin(self, theirs: pytest.Pytester) -> None:
        """The fixture, and an `async with Emulator()` in a test and in an async fixture."""
        theirs.makeini(SETTINGS.replace("asyncio_", "# "))
        theirs.makepyfile(
            """
            import pytest
            from hubspot_meetings_async import MeetingsClient
            from hubspot_meetings_async.emulator import Emulator
            pytestmark = pytest.mark.anyio
            @pytest.fixture
            def anyio_backend():
                return "asyncio"
            @pytest.fixture
            async def own():
                async with Emulator() as hubspot:
                    yield hubspot
            async def create(url, token):
                async with MeetingsClient(token, base_url=url) as client:
                    await client.meetings.create({"hs_meeting_title": "x"})
            async def test_fixture(hubspot_emulator):
                await create(hubspot_emulator.url, hubspot_emulator.token)
                hubspot_emulator.assert_sent(operation="meetings.create", times=1)
            async def test_own(own):
                await create(own.url, "any")
                assert own.stats().records.created == 1
            async def test_with():
                async with Emulator() as hubspot:
                    await create(hubspot.url, "any")
                    assert hubspot.stats().records.created == 1
            """
        )
        run(theirs, "-p", "no:asyncio").assert_outcomes(passed=3)

    def test_pytest_asyncio(self, theirs: pytest.Pytester) -> None:
        """An async fixture whose two halves run in different tasks."""
        theirs.makepyfile(
            """
            import pytest
            from hubspot_meetings_async import MeetingsClient
            from hubspot_meetings_async.emulator import Emulator
            @pytest.fixture
            async def own():
                async with Emulator() as hubspot:
                    yield hubspot
            async def test_own(own, hubspot_emulator):
                async with MeetingsClient("any", base_url=own.url) as client:
                    await client.meetings.create({"hs_meeting_title": "x"})
                assert own.stats().records.created == 1
                hubspot_emulator.assert_not_sent()
            """
        )
        run(theirs).assert_outcomes(passed=1)


class TestIsolation:
    def test_each_test_has_an_account_of_its_own(self, theirs: pytest.Pytester) -> None:
        """Records, faults and counts of one test are not those of the next; ports are closed and threads ended."""
        theirs.makepyfile(
            f"""
            import os
            import socket
            import threading
            import pytest
            from sending import send
            seen = []
            @pytest.mark.parametrize("turn", range(3))
            def test_alone(hubspot_emulator, hubspot_environment, turn):
                assert os.environ["HUBSPOT_BASE_URL"] == hubspot_emulator.url
                assert "127.0.0.1" in os.environ["NO_PROXY"]
                assert hubspot_emulator.meetings() == [] and hubspot_emulator.requests == []
                send(hubspot_emulator, "POST", "{MEETINGS}", {{"properties": {{}}}})
                hubspot_emulator.fail_next(503, times=None)
                seen.append(hubspot_emulator.port)
            def test_nothing_is_left():
                assert "HUBSPOT_BASE_URL" not in os.environ
                assert [thread.name for thread in threading.enumerate() if "hubspot" in thread.name] == []
                assert len(seen) == 3
                for port in seen:
                    with socket.socket() as probe:
                        assert probe.connect_ex(("127.0.0.1", port)) != 0
            """
        )
        run(theirs, "-p", "no:randomly").assert_outcomes(passed=4)

    def test_words_of_the_marker(self, theirs: pytest.Pytester) -> None:
        """The closest marker wins over the class's, and each over the fixture `hubspot_emulator_options`."""
        theirs.makeconftest(
            """
            import pytest
            @pytest.fixture
            def hubspot_emulator_options():
                return {"limit": 7, "unique_properties": ["ref"], "portal_id": 5}
            """
        )
        theirs.makepyfile(
            """
            import pytest
            def limits(hubspot):
                return hubspot.call(lambda e: (e.quota.limit, e.portal.portal_id, "ref" in e.portal.meetings.book))
            def test_defaults(hubspot_emulator):
                assert limits(hubspot_emulator) == (7, 5, True)
            @pytest.mark.hubspot(limit=8, portal_id=6)
            class TestMarked:
                def test_class(self, hubspot_emulator):
                    assert limits(hubspot_emulator) == (8, 6, True)
                @pytest.mark.hubspot(limit=None, unique_properties=[], token="mine")
                def test_closest(self, hubspot_emulator):
                    assert limits(hubspot_emulator) == (None, 6, False)
                    assert hubspot_emulator.environment["HUBSPOT_ACCESS_TOKEN"] == "mine"
            """
        )
        run(theirs).assert_outcomes(passed=3)

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ("limt=3", "unknown: limt; it takes *limit, *unique_properties"),
            ("limit=0", "limit must be at least 1, or None for no limit, not 0"),
            ("unique_properties='ref'", "unique_properties takes a list of names, not one string: 'ref'"),
            ("100", "takes words only, such as limit=100"),
        ],
    )
    def test_wrong_words_are_told_in_a_line(self, theirs: pytest.Pytester, words: str, told: str) -> None:
        theirs.makepyfile(f"import pytest\n@pytest.mark.hubspot({words})\ndef test_it(hubspot_emulator): pass")
        result = run(theirs)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([f"@pytest.mark.hubspot*{told}*"])
        result.stdout.no_fnmatch_line("*Traceback*")


class TestFailures:
    def test_any_failed_test_shows_what_was_sent(self, theirs: pytest.Pytester) -> None:
        """Also where the fixture is used by another one; a test that passes shows nothing."""
        theirs.makepyfile(
            f"""
            import pytest
            from sending import send
            @pytest.fixture
            def account(hubspot_emulator):
                return hubspot_emulator
            def test_fails(account):
                send(account, "GET", "{MEETINGS}?limit=3")
                assert account.meetings()
            def test_passes(account):
                send(account, "GET", "{MEETINGS}?limit=4")
            """
        )
        result = run(theirs, "-rA")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            ["*- HubSpot emulator -*", "the HubSpot emulator saw 1 request:", f"  1. GET {MEETINGS}?limit=3 -> 200"]
        )
        assert "limit=4 ->" not in result.stdout.str()

    def test_a_failed_assertion_says_it_once_and_shows_the_users_line(self, theirs: pytest.Pytester) -> None:
        """No line of the plugin stands between the user's line and the message."""
        theirs.makepyfile(
            f"""
            from sending import send
            def test_fails(hubspot_emulator):
                send(hubspot_emulator, "POST", "{MEETINGS}", {{"properties": {{"hs_meeting_title": "a"}}}})
                hubspot_emulator.assert_sent("POST", "{MEETINGS}", json={{"properties": {{"hs_meeting_title": "b"}}}})
            """
        )
        result = run(theirs)
        result.stdout.fnmatch_lines(
            [
                ">*hubspot_emulator.assert_sent(*",
                f'E*POST {MEETINGS}, JSON {{"properties":{{"hs_meeting_title":"b"}}}} was sent 0 times;',
                "E*the HubSpot emulator saw 1 request:",
                f"E*1. POST {MEETINGS} -> 201",
                'E*{"properties": {"hs_meeting_title": "a"}}',
                "test_*.py:4: AssertionError",
            ]
        )
        assert "threaded.py" not in result.stdout.str()
        # pytest's own summary repeats the message whole where the environment says CI.
        report, _, _ = result.stdout.str().partition("short test summary info")
        assert report.count("saw 1 request") == 1
