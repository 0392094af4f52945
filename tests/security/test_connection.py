"""K2, K11, K12, K13, K14: whom a client talks to, and what it adds to a request."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from hubspot_meetings_async import ConfigurationError, MeetingsClient, NoLimit, TransportFailed
from hubspot_meetings_async.emulator import Emulator

from ..conftest import SWIFT
from ..raw_server import Connection, listening
from .canaries import TOKEN

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n{"id":"1","properties":{}}'


async def serve_ok(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.send(OK)


def client(url: str, **options: Any) -> MeetingsClient:
    settings: dict[str, Any] = {"limiter": NoLimit(), "retry": SWIFT} | options
    return MeetingsClient(TOKEN, base_url=url, **settings)


@pytest.mark.parametrize(
    ("url", "allow_insecure", "taken"),
    [
        ("https://api.hubapi.com", False, True),
        ("https://api-eu1.hubapi.com", False, True),
        ("http://127.0.0.1:8080", False, True),
        ("http://[::1]:8080", False, True),
        ("http://localhost:8080", False, True),
        ("http://api.hubapi.com", False, False),
        ("http://api.hubapi.com", True, True),
        ("http://127.0.0.1.evil.example", False, False),
        ("http://localhost.evil.example", False, False),
        ("http://0.0.0.0:1", False, False),
        ("http://10.0.0.1", False, False),
        ("https://user:password@api.hubapi.com", True, False),
        ("https://api.hubapi.com?x=1", True, False),
        ("https://api.hubapi.com#x", True, False),
        ("https://api.hubapi.com\\@evil.example", True, False),
        ("https://api.hubapi.com\r\nHost: evil", True, False),
        ("https://", True, False),
        ("ftp://api.hubapi.com", True, False),
        ("file:///etc/passwd", True, False),
        ("api.hubapi.com", True, False),
        ("", True, False),
    ],
)
def test_where_a_token_may_travel(url: str, allow_insecure: bool, taken: bool) -> None:
    """https everywhere, http to loopback only unless it is forced; an address with more in it than a host is none."""
    if taken:
        assert url in repr(MeetingsClient(TOKEN, base_url=url, allow_insecure=allow_insecure))
        return
    with pytest.raises(ConfigurationError) as caught:
        MeetingsClient(TOKEN, base_url=url, allow_insecure=allow_insecure)
    assert "password" not in str(caught.value).replace("name or password", "")


RESERVED = ("Authorization", "authorization", "Proxy-Authorization", "Host", "Content-Length", "Content-Type",
            "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Cookie",
            "Accept-Encoding", "Content-Encoding", "User-Agent")  # fmt: skip
BREAKING = {
    "line end in a value": {"X-A": "1\r\nAuthorization: Bearer x"},
    "line feed in a value": {"X-A": "1\nX-B: 2"},
    "carriage return in a value": {"X-A": "1\rX-B: 2"},
    "NUL in a value": {"X-A": "1\x00"},
    "escape in a value": {"X-A": "\x1b[2J"},
    "non-ASCII in a value": {"X-A": "é"},
    "direction sign in a value": {"X-A": "\u202e"},
    "bytes as a value": {"X-A": b"1"},
    "a number as a value": {"X-A": 1},
    "None as a value": {"X-A": None},
    "line end in a name": {"X-A\r\nX-B": "1"},
    "a space in a name": {"X A": "1"},
    "a colon in a name": {"X-A:": "1"},
    "an empty name": {"": "1"},
    "non-ASCII in a name": {"X-é": "1"},
    "bytes as a name": {b"X-A": "1"},
    "no mapping": [("X-A", "1")],
}


class TestHeaders:
    @pytest.mark.parametrize("name", RESERVED)
    def test_what_belongs_to_the_library(self, name: str) -> None:
        """Headers that carry the token, frame the message or name the host are not the user's."""
        with pytest.raises(ConfigurationError, match=name):
            MeetingsClient(TOKEN, headers={name: "x"})

    @pytest.mark.parametrize("case", BREAKING)
    def test_what_breaks_out_of_its_line(self, case: str) -> None:
        """Nothing that ends a line or hides in one is a header."""
        with pytest.raises(ConfigurationError):
            MeetingsClient(TOKEN, headers=BREAKING[case])  # type: ignore[arg-type]

    @pytest.mark.parametrize("prefix", ["a\r\nX: 1", "a\nb", "é", "\x00", "\u202e"])
    def test_a_user_agent_is_one_line(self, prefix: str) -> None:
        """Nor does the user agent end its line."""
        with pytest.raises(ConfigurationError, match="user_agent"):
            MeetingsClient(TOKEN, user_agent=prefix)

    async def test_exactly_these_go_out(self) -> None:
        """The set of headers is fixed: what the library needs, and what the user gave."""
        async with listening(serve_ok) as server, client(server.url, headers={"X-Team": "a"}) as hubspot:
            await hubspot.meetings.create({"hs_meeting_title": "x"})
            await hubspot.meetings.get(1)
        names = [
            sorted(line.split(b":")[0].decode().lower() for line in head.split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
            for head in server.requests
        ]
        usual = ["accept", "accept-encoding", "authorization", "host", "user-agent", "x-team"]
        assert names == [sorted([*usual, "content-length", "content-type"]), usual]


class TestEnvironment:
    async def test_nothing_is_read_from_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Proxies and .netrc of the environment get no request and give no password, unless `trust_env` says so."""
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password other\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with listening(serve_ok) as proxy, listening(serve_ok) as server:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            async with client(server.url) as hubspot:
                await hubspot.meetings.get(1)
            assert proxy.connections == 0
            assert f"Authorization: Bearer {TOKEN}".encode() in server.requests[0]
            async with client(server.url, trust_env=True) as hubspot:
                await hubspot.meetings.get(1)
            assert proxy.connections == 1

    async def test_no_cookie_comes_back(self) -> None:
        """What a server sets as a cookie is forgotten, for this host and others."""

        async def serve(connection: Connection) -> None:
            while True:
                await connection.request()
                await connection.send(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=1; Path=/; Domain=127.0.0.1\r\n\r\n"))

        async with listening(serve) as server, client(server.url) as hubspot:
            for _ in range(3):
                await hubspot.meetings.get(1)
        assert len(server.requests) == 3
        assert b"cookie" not in b"".join(server.requests).lower()


CA = trustme.CA()


def served(case: str) -> tuple[ssl.SSLContext, ssl.SSLContext | None]:
    """A server's side of a certificate, and the context of a client that trusts the CA, where it does."""
    now = datetime.datetime.now(datetime.UTC)
    server, trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    CA.configure_trust(trust)
    match case:
        case "expired":
            made = CA.issue_cert(
                "127.0.0.1", not_before=now - datetime.timedelta(9), not_after=now - datetime.timedelta(1)
            )
        case "not yet valid":
            made = CA.issue_cert(
                "127.0.0.1", not_before=now + datetime.timedelta(1), not_after=now + datetime.timedelta(9)
            )
        case "wrong host":
            made = CA.issue_cert("api.hubapi.com")
        case "self-signed":
            made = trustme.CA().issue_cert("127.0.0.1")
        case _:
            made = CA.issue_cert("127.0.0.1")
    made.configure_cert(server)
    if case == "TLS 1.1":
        server.minimum_version = ssl.TLSVersion.TLSv1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    return server, None if case == "unknown CA" else trust


class TestTls:
    @pytest.mark.row("T7")
    @pytest.mark.parametrize(
        "case",
        [
            pytest.param("expired", marks=pytest.mark.row("C4")),
            pytest.param("not yet valid", marks=pytest.mark.row("C4")),
            "wrong host",
            "self-signed",
            "unknown CA",
        ],
    )
    async def test_bad_certificates(self, case: str) -> None:
        """Refused at once, for good, in clear words; no request and no token reach the server."""
        server_side, trust = served(case)
        async with listening(serve_ok, tls=server_side) as server, client(server.url, ssl=trust) as hubspot:
            for call in (hubspot.meetings.get(1), hubspot.meetings.create({})):
                with pytest.raises(TransportFailed, match="certificate") as caught:
                    await call
                assert (caught.value.sent, caught.value.fatal, caught.value.attempt) == (False, True, 1)
                assert "clock" in str(caught.value)
        assert server.requests == []

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
    async def test_old_tls(self) -> None:
        """A server that speaks TLS 1.1 at most is not talked to."""
        server_side, trust = served("TLS 1.1")
        async with listening(serve_ok, tls=server_side) as server, client(server.url, ssl=trust) as hubspot:
            with pytest.raises(TransportFailed) as caught:
                await hubspot.meetings.get(1)
        assert (caught.value.sent, server.requests) == (False, [])

    async def test_a_good_one_passes(self) -> None:
        """So that the others can fail."""
        server_side, trust = served("good")
        async with listening(serve_ok, tls=server_side) as server, client(server.url, ssl=trust) as hubspot:
            assert (await hubspot.meetings.get(1)).id == "1"

    @pytest.mark.row("T6")
    async def test_plain_text_on_the_tls_port(self) -> None:
        """A clear error, nothing sent, not tried again."""

        async def plain(connection: Connection) -> None:
            await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await connection.gone()

        async with listening(plain) as server, client(server.url.replace("http:", "https:")) as hubspot:
            with pytest.raises(TransportFailed, match="TLS") as caught:
                await hubspot.meetings.create({})
        assert (caught.value.sent, caught.value.fatal, server.connections) == (False, True, 1)

    @pytest.mark.parametrize("wrong", [False, True, None, "off", 0])
    def test_checking_can_not_be_switched_off(self, wrong: Any) -> None:
        """`ssl=False` is not offered, nor a context that does not check."""
        if wrong is not None:
            with pytest.raises(ConfigurationError, match="ssl"):
                MeetingsClient(TOKEN, ssl=wrong)
        for name in ("check_hostname", "verify_mode"):
            context = ssl.create_default_context()
            context.check_hostname = False
            if name == "verify_mode":
                context.verify_mode = ssl.CERT_NONE
            with pytest.raises(ConfigurationError, match="check"):
                MeetingsClient(TOKEN, ssl=context)


async def test_an_http_emulator_is_loopback() -> None:
    """The one place where a token travels in clear by default."""
    async with Emulator(limit=None) as emulator, client(emulator.url) as hubspot:
        assert (await hubspot.meetings.create({})).id
