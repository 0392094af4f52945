"""Connection settings, over real sockets; and every wrong value refused at once."""
# ruff: noqa: SIM117 - a server, and inside it one client or several: two steps

import gzip
import json
import ssl
import traceback
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async import MeetingsClient, NoLimit, RetryPolicy, Timeouts
from hubspot_meetings_async.calling.breaker import CircuitBreaker
from hubspot_meetings_async.emulator import Emulator, Fault
from hubspot_meetings_async.errors import (
    CircuitOpen,
    ConfigurationError,
    HubSpotUnavailable,
    RequestRejected,
    TransportFailed,
    UnexpectedResponse,
)
from hubspot_meetings_async.models import BatchResponse, Meeting, Page, as_far_as_it_fits
from hubspot_meetings_async.settings import headers_of, proxy_of

from .proxy_server import proxying
from .raw_server import Connection, listening, refused_port

TOKEN = "pat-na1-c4n4ry"
MEETING = {"id": "501", "properties": {}, "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}


def client(url: str, **options: Any) -> MeetingsClient:
    settings: dict[str, Any] = {"limiter": NoLimit(), "retry": RetryPolicy(attempts=1)} | options
    return MeetingsClient(TOKEN, base_url=url, **settings)


async def a_meeting(connection: Connection, body: Any = MEETING, *headers: str) -> None:
    """Answer every request of a connection with a meeting."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    while True:
        await connection.request()
        lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(raw)}", *headers]
        await connection.send("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


def server_tls(ca: trustme.CA, *, wants_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    if wants_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        ca.configure_trust(context)
    return context


def unchecked_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
def no_proxy_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


class TestTls:
    async def test_ca_file(self, ca: trustme.CA, ca_file: Path) -> None:
        """A CA of one's own is trusted by ca_file, and not without it."""
        async with listening(a_meeting, tls=server_tls(ca)) as server:
            async with client(server.url, ca_file=ca_file) as hubspot:
                assert (await hubspot.meetings.get(501)).id == "501"
            async with client(server.url) as hubspot:
                with pytest.raises(TransportFailed, match="no trusted TLS connection"):
                    await hubspot.meetings.get(501)
            assert len(server.requests) == 1

    @pytest.mark.parametrize("form", ["one file", "two files", "a password"])
    async def test_client_certificate(self, ca: trustme.CA, ca_file: Path, tmp_path: Path, form: str) -> None:
        """A server that wants a certificate gets it."""
        cert = ca.issue_cert("client.example")
        whole, chain, key = tmp_path / "whole.pem", tmp_path / "chain.pem", tmp_path / "key.pem"
        cert.private_key_and_cert_chain_pem.write_to_path(str(whole))
        chain.write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
        key.write_bytes(cert.private_key_pem.bytes())
        given: Any = {"one file": whole, "two files": (chain, str(key)), "a password": (chain, key, "unused")}[form]
        async with listening(a_meeting, tls=server_tls(ca, wants_certificate=True)) as server:
            async with client(server.url, ca_file=ca_file, client_certificate=given) as hubspot:
                assert (await hubspot.meetings.get(501)).id == "501"
            async with client(server.url, ca_file=ca_file) as hubspot:
                with pytest.raises(TransportFailed):
                    await hubspot.meetings.get(501)


class TestProxy:
    async def test_a_tunnel_for_https(self, ca: trustme.CA, ca_file: Path) -> None:
        """HTTPS goes through CONNECT; the proxy gets its password and headers, and never the token."""
        async with listening(a_meeting, tls=server_tls(ca)) as server, proxying() as proxy:
            async with client(
                server.url,
                ca_file=ca_file,
                proxy=proxy.url.replace("//", "//me:p%40ss@"),
                proxy_headers={"X-Team": "meetings"},
            ) as hubspot:
                for _ in range(3):
                    assert (await hubspot.meetings.get(501)).id == "501"
            assert proxy.lines == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
            assert proxy.header("Proxy-Authorization") == ["Basic bWU6cEBzcw=="]
            assert proxy.header("X-Team") == ["meetings"]
            assert TOKEN not in "".join(proxy.heads)
            assert b"roxy-Auth" not in b"".join(server.requests)
            assert TOKEN.encode() in server.requests[0]

    async def test_an_https_proxy(self, ca: trustme.CA, ca_file: Path) -> None:
        """TLS to the proxy, and TLS through it."""
        async with listening(a_meeting, tls=server_tls(ca)) as server, proxying(tls=server_tls(ca)) as proxy:
            async with client(server.url, ca_file=ca_file, proxy=proxy.url) as hubspot:
                assert (await hubspot.meetings.get(501)).id == "501"
            assert proxy.lines == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]

    async def test_plain_http(self) -> None:
        """Plain HTTP goes through in absolute form, with the proxy's password in the request."""
        async with listening(a_meeting) as server, proxying() as proxy:
            async with client(server.url, proxy=proxy.url.replace("//", "//me:pw@")) as hubspot:
                assert (await hubspot.meetings.get(501)).id == "501"
            assert proxy.lines[0].startswith(f"GET http://127.0.0.1:{server.port}/crm/v3/objects/meetings/501")
            assert proxy.header("Proxy-Authorization") == ["Basic bWU6cHc="]

    @pytest.mark.parametrize(("status", "fatal"), [(407, True), (403, True), (502, False), (503, False)])
    async def test_a_proxy_that_refuses(self, ca_file: Path, status: int, fatal: bool) -> None:
        """Nothing was sent; a refusal that will not change is not tried again. No secret is shown."""
        async with proxying(refuse=status) as proxy:
            async with client(
                "https://127.0.0.1:9",
                ca_file=ca_file,
                proxy=proxy.url.replace("//", "//me:c4n4ry-pw@"),
                retry=RetryPolicy(attempts=3, base_s=0.001, cap_s=0.001),
            ) as hubspot:
                with pytest.raises(TransportFailed, match=rf"the proxy .* answered {status}") as caught:
                    await hubspot.meetings.create({"hs_meeting_title": "one"})
            assert (caught.value.sent, caught.value.fatal) == (False, fatal)
            assert len(proxy.heads) == (1 if fatal else 3)
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert [word for word in ("bWU6", TOKEN) if word in shown.split("in test_a_proxy_that_refuses")[-1]] == []

    async def test_a_proxy_that_is_away(self) -> None:
        """It is the proxy that is named, not HubSpot."""
        async with client("https://127.0.0.1:9", proxy=f"http://me:pw@127.0.0.1:{refused_port()}") as hubspot:
            with pytest.raises(TransportFailed, match="the proxy http://127") as caught:
                await hubspot.meetings.get(1)
            assert caught.value.sent is False
            assert "pw" not in f"{caught.value!r}{hubspot!r}"

    @pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
    async def test_the_environment_only_when_asked(self, no_proxy_settings: pytest.MonkeyPatch, name: str) -> None:
        """Variables are ignored without trust_env, and heeded with it."""
        async with listening(a_meeting) as server, proxying() as proxy:
            no_proxy_settings.setenv(name, proxy.url)
            async with client(server.url) as hubspot:
                await hubspot.meetings.get(501)
            assert (len(proxy.heads), len(server.requests)) == (0, 1)
            async with client(server.url, trust_env=True) as hubspot:
                await hubspot.meetings.get(501)
            assert (len(proxy.heads), len(server.requests)) == (1, 2)

    async def test_no_proxy(self, no_proxy_settings: pytest.MonkeyPatch) -> None:
        """NO_PROXY is heeded, and proxy= wins over the environment."""
        async with listening(a_meeting) as server, proxying() as one, proxying() as other:
            no_proxy_settings.setenv("http_proxy", one.url)
            no_proxy_settings.setenv("no_proxy", "127.0.0.1")
            async with client(server.url, trust_env=True) as hubspot:
                await hubspot.meetings.get(501)
            async with client(server.url, trust_env=True, proxy=other.url) as hubspot:
                await hubspot.meetings.get(501)
            assert (len(one.heads), len(other.heads)) == (0, 1)

    async def test_netrc_is_never_read(self, no_proxy_settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Also with trust_env the token stays ours."""
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
        no_proxy_settings.setenv("NETRC", str(tmp_path / "netrc"))
        async with listening(a_meeting) as server:
            async with client(server.url, trust_env=True) as hubspot:
                await hubspot.meetings.get(501)
            assert f"Authorization: Bearer {TOKEN}".encode() in server.requests[0]

    def test_other_schemes_in_the_environment(self, no_proxy_settings: pytest.MonkeyPatch) -> None:
        """A SOCKS proxy is refused in words; an address without a scheme is taken as http."""
        no_proxy_settings.setenv("https_proxy", "socks5://127.0.0.1:1080")
        with pytest.raises(ConfigurationError, match="environment's proxy"):
            client("https://api.example.com", trust_env=True)
        no_proxy_settings.setenv("https_proxy", "127.0.0.1:3128")
        found = proxy_of(None, None, trust_env=True, base_url="https://api.example.com")
        assert found is not None
        assert found.url == "http://127.0.0.1:3128"


class TestCompression:
    @pytest.mark.parametrize(("on", "coding"), [(True, b"gzip"), (False, b"identity")])
    async def test_answers(self, on: bool, coding: bytes) -> None:
        """Gzip is asked for unless it is switched off."""
        async with listening(a_meeting) as server:
            async with client(server.url, compress_responses=on) as hubspot:
                await hubspot.meetings.get(501)
            assert b"Accept-Encoding: " + coding + b"\r\n" in server.requests[0]

    async def test_requests(self) -> None:
        """With compress_requests, bodies from 1 KiB on travel as gzip and mean the same; small ones as they are."""
        async with listening(a_meeting) as server:
            async with client(server.url, compress_requests=True) as hubspot:
                await hubspot.meetings.create({"hs_meeting_body": "x" * 5000})
                await hubspot.meetings.create({"hs_meeting_body": "x"})
        packed, plain = server.requests
        head, _, body = packed.partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        assert len(body) < 500
        assert json.loads(gzip.decompress(body))["properties"]["hs_meeting_body"] == "x" * 5000
        assert b"Content-Encoding" not in plain

    async def test_off_by_default(self) -> None:
        """Nobody gets gzip who did not ask to send it."""
        async with listening(a_meeting) as server:
            async with client(server.url) as hubspot:
                await hubspot.meetings.create({"hs_meeting_body": "x" * 5000})
        assert b"Content-Encoding" not in server.requests[0]

    async def test_bulk_against_the_emulator(self) -> None:
        """A whole run with packed bodies."""
        async with Emulator(limit=None) as emulator:
            async with client(emulator.url, compress_requests=True) as hubspot:
                records = [{"hs_meeting_title": f"meeting {n}", "hs_meeting_body": "x" * 300} for n in range(250)]
                report = await hubspot.bulk.create(records)
            assert report.created == 250


class TestValidation:
    BODY = MEETING | {"createdAt": "yesterday", "archived": "no", "properties": {"a": "1"}}

    async def test_on(self) -> None:
        """An answer of another form is refused."""
        async with listening(lambda connection: a_meeting(connection, self.BODY)) as server:
            async with client(server.url) as hubspot:
                with pytest.raises(UnexpectedResponse):
                    await hubspot.meetings.get(501)

    async def test_off(self) -> None:
        """It is given as far as it fits: fields of another form hold what came."""
        async with listening(lambda connection: a_meeting(connection, self.BODY)) as server:
            async with client(server.url, validate_responses=False) as hubspot:
                meeting = await hubspot.meetings.get(501)
        assert isinstance(meeting, Meeting)
        assert (meeting.id, meeting.properties, str(meeting.created_at)) == ("501", {"a": "1"}, "yesterday")

    async def test_what_is_no_json_is_refused_in_any_case(self) -> None:
        """A web page is no meeting."""
        async with listening(lambda connection: a_meeting(connection, b"<html>")) as server:
            async with client(server.url, validate_responses=False) as hubspot:
                with pytest.raises(UnexpectedResponse):
                    await hubspot.meetings.get(501)

    async def test_bulk_validates_in_any_case(self) -> None:
        """A run accounts for every record: an answer it can not read proves nothing."""
        odd = {"status": "COMPLETE", "results": [{"id": {"a": 1}, "properties": 7}]}
        async with listening(lambda connection: a_meeting(connection, odd)) as server:
            async with client(server.url, validate_responses=False) as hubspot:
                report = await hubspot.bulk.create([{"hs_meeting_title": "one"}])
        assert (report.created, report.ambiguous) == (0, 1)

    def test_lists_stay_lists_of_structs(self) -> None:
        """One odd record leaves the page and its neighbours what they are."""
        page = as_far_as_it_fits({"results": [MEETING, self.BODY, 7], "paging": {"next": {"after": 5}}}, Page[Meeting])
        assert isinstance(page, Page)
        assert [type(one) for one in page.results] == [Meeting, Meeting, int]
        assert page.results[0].created_at.year == 2026
        assert page.after is not None

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["results", "id", "properties", "status", "paging", "next", "errors"]), inner
                )
            ),
        )
    )
    def test_it_never_raises(self, value: Any) -> None:
        """Any JSON becomes something: a Struct for an object, itself for anything else."""
        for kind in (Page[Meeting], BatchResponse[Meeting], Meeting):
            got = as_far_as_it_fits(value, kind)
            assert isinstance(got, (Page, BatchResponse, Meeting)) or not isinstance(value, dict)


class TestSession:
    async def test_its_connections_and_nothing_else(self) -> None:
        """Of a session only the connections are used; its headers, cookies and limits stay its own; it stays open."""
        async with listening(lambda c: a_meeting(c, MEETING, "Set-Cookie: a=1")) as server:
            async with aiohttp.ClientSession(
                headers={"X-Theirs": "1"}, cookies={"theirs": "1"}, cookie_jar=aiohttp.CookieJar(unsafe=True)
            ) as session:
                for _ in range(2):
                    async with client(server.url, session=session) as hubspot:
                        await hubspot.meetings.get(501)
                assert not session.closed
                assert len(session.cookie_jar) == 1
                async with session.get(server.url) as answer:
                    assert answer.status == 200
        assert server.connections == 1
        assert [b"X-Theirs" in request or b"Cookie" in request for request in server.requests] == [False, False, True]

    async def test_redirects_are_not_followed_there_either(self) -> None:
        """A redirect is an error, and its target sees nothing."""

        async def redirect(connection: Connection) -> None:
            await connection.request()
            await connection.send(f"HTTP/1.1 307 T\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n".encode())

        async with listening(a_meeting) as other, listening(redirect) as server, aiohttp.ClientSession() as session:
            async with client(server.url, session=session) as hubspot:
                with pytest.raises(UnexpectedResponse, match="redirect"):
                    await hubspot.meetings.create({"hs_meeting_title": "one"})
            assert other.requests == []

    async def test_a_connector(self) -> None:
        """A connector alone will do."""
        connector = aiohttp.TCPConnector(limit=3)
        async with listening(a_meeting) as server:
            async with client(server.url, session=connector) as hubspot:
                await hubspot.meetings.get(501)
            assert not connector.closed
            await connector.close()

    async def test_a_closed_one(self) -> None:
        """Is refused in words: at once, or when it is closed before the first request."""
        session = aiohttp.ClientSession()
        hubspot = client("http://127.0.0.1:9", session=session)
        await session.close()
        with pytest.raises(ConfigurationError, match="is closed"):
            await hubspot.meetings.get(1)
        with pytest.raises(ConfigurationError, match=r"open aiohttp\.ClientSession|is closed"):
            client("http://127.0.0.1:9", session=session)

    async def test_one_that_checks_no_certificates(self) -> None:
        """Is refused: certificates are always checked."""
        for unchecked in (False, unchecked_context()):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=unchecked)) as session:
                with pytest.raises(ConfigurationError, match="check certificates"):
                    client("https://127.0.0.1:9", session=session)


class TestHeaders:
    async def test_they_are_sent(self) -> None:
        """With every request, beside ours."""
        async with listening(a_meeting) as server:
            async with client(server.url, headers={"X-Team": "meetings"}, user_agent="app/1") as hubspot:
                await hubspot.meetings.get(501)
        assert b"X-Team: meetings\r\n" in server.requests[0]
        assert b"User-Agent: app/1 hubspot-meetings-async/" in server.requests[0]

    @pytest.mark.parametrize(
        "name",
        ["Authorization", "authorization", "HOST", "Content-Length", "Transfer-Encoding", "Content-Type", "Connection",
         "Cookie", "Proxy-Authorization", "User-Agent", "Accept-Encoding", "Content-Encoding", "TE", "Upgrade"],
    )  # fmt: skip
    def test_protected(self, name: str) -> None:
        """What the library or the connection sets can not be replaced."""
        with pytest.raises(ConfigurationError, match=f"may not set {name}"):
            client("http://localhost", headers={name: "x"})

    @given(st.text(), st.text())
    def test_nothing_breaks_out_of_its_line(self, name: str, value: str) -> None:
        """Whatever is taken is a token and printable ASCII on one line."""
        try:
            (taken,) = headers_of({name: value}).items()
        except ConfigurationError:
            return
        assert taken == (name, value)
        assert name.isascii()
        assert not set(name) & set('\r\n\0 :"(),/;<=>?@[\\]{}')
        assert value.isascii()
        assert value.replace("\t", " ").isprintable()

    def test_line_ends(self) -> None:
        """They are refused in names and values, and the value is not repeated."""
        for wrong in ({"X": "c4n4ry\r\nHost: evil"}, {"X\r\nHost": "evil"}, {"X": "c4n4ry\n"}, {"X\n": "1"}):
            with pytest.raises(ConfigurationError) as caught:
                headers_of(wrong)
            assert "c4n4ry" not in str(caught.value)


class TestCircuitBreaker:
    async def test_over_sockets(self) -> None:
        """Three 503, and the fourth call does not reach HubSpot."""
        async with Emulator(limit=None) as emulator:
            emulator.faults.strike_next(Fault(status=503), times=None)
            async with client(emulator.url, circuit_breaker=CircuitBreaker(failures=3)) as hubspot:
                for _ in range(3):
                    with pytest.raises(HubSpotUnavailable):
                        await hubspot.meetings.get(1)
                with pytest.raises(CircuitOpen) as caught:
                    await hubspot.meetings.get(1)
            assert 29 < caught.value.retry_in_s <= 30
            assert emulator.stats().requests == 3

    async def test_refusals_do_not_open_it(self) -> None:
        """404 is an answer."""
        async with Emulator(limit=None) as emulator:
            async with client(emulator.url, circuit_breaker=CircuitBreaker(failures=1)) as hubspot:
                for _ in range(3):
                    with pytest.raises(RequestRejected):
                        await hubspot.meetings.get(1)


CLIENT_TLS = ssl.create_default_context()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hapikey": "abc"}, "private app"),
        ({"base_url": "https://api.hubapi.com?hapikey=c4n4ry"}, "private app"),
        ({"base_url": "http://api.hubapi.com"}, "in clear"),
        ({"token": "0f3c4a6e-1b2d-4c5e-8f90-123456789abc"}, "hapikey"),
        ({"token": "eu1-0f3c4a6e-1b2d-4c5e-8f90-123456789abc"}, "hapikey"),
        ({"token": None}, "either"),
        ({"token": None, "auth": "pat-c4n4ry"}, "a token itself goes first"),
        ({"token": None, "auth": 5}, "methods token, renew"),
        ({"auth": lambda: "x"}, "one of the two"),
        ({"ssl": False}, r"ssl\.SSLContext"),
        ({"ssl": unchecked_context()}, "does not check"),
        ({"ssl": CLIENT_TLS, "ca_file": "x"}, "give ssl=, or"),
        ({"ca_file": "/nowhere/c4.pem"}, "no certificates could be read"),
        ({"ca_file": 5}, "path of a PEM file"),
        ({"client_certificate": "/nowhere/c4.pem"}, "can not be used"),
        ({"client_certificate": ("a", "b", "c", "d")}, "PEM file with certificate"),
        ({"client_certificate": ("a", "b", 5)}, "PEM file with certificate"),
        ({"proxy": "proxy:3128"}, "must look like"),
        ({"proxy": "socks5://proxy:3128"}, "must look like"),
        ({"proxy": "http://me:c4n4ry@"}, "must look like"),
        ({"proxy": "http://me:c4n4ry@proxy:99999"}, "must look like"),
        ({"proxy": "http://proxy/path"}, "must look like"),
        ({"proxy": "http://me:c4n4ry@proxy", "proxy_headers": {"proxy-authorization": "x"}}, "not in both"),
        ({"proxy_headers": {"X": "1"}}, "give proxy= too"),
        ({"proxy": "http://proxy", "proxy_headers": {"Host": "x"}}, "may not set Host"),
        ({"proxy": "http://proxy", "proxy_headers": {"X": "c4n4ry\n"}}, "on one line"),
        ({"trust_env": "yes"}, "True or False"),
        ({"compress_requests": "gzip"}, "True or False"),
        ({"compress_responses": 1}, "True or False"),
        ({"validate_responses": None}, "True or False"),
        ({"allow_insecure": 1}, "True or False"),
        ({"circuit_breaker": True}, "CircuitBreaker"),
        ({"session": "session"}, "aiohttp.ClientSession"),
        ({"session": object(), "ssl": CLIENT_TLS}, "brings its own"),
        ({"session": object(), "max_connections": 5}, "brings its own"),
        ({"max_connections": 0}, "at least 1"),
        ({"max_connections": True}, "at least 1"),
        ({"max_response_bytes": -1}, "at least 1"),
        ({"headers": [("X", "1")]}, "mapping"),
        ({"headers": {"X": 1}}, "printable ASCII"),
        ({"user_agent": "a\r\nb"}, "one line"),
        ({"timeout": 5}, "Timeouts"),
        ({"retry": 5}, "RetryPolicy"),
        ({"limits": 100}, "Limits"),
        ({"api_version": "v4"}, "v3"),
    ],
)
def test_every_wrong_value_is_refused_at_once(wrong: dict[str, Any], words: str) -> None:
    """In words that say what to give instead, and without repeating what may be secret."""
    options: dict[str, Any] = {"token": TOKEN} | wrong
    with pytest.raises(ConfigurationError, match=words) as caught:
        MeetingsClient(options.pop("token"), **options)
    assert "c4n4ry" not in str(caught.value)


def test_time_limits_are_checked() -> None:
    """No time limit is zero, negative, endless (but for the call's) or a word."""
    for name in ("call_s", "attempt_s", "connect_s", "read_s"):
        for wrong in (0, -1, float("nan"), float("inf"), "5", True):
            with pytest.raises(ConfigurationError, match=name):
                Timeouts(**{name: wrong})  # type: ignore[arg-type]
