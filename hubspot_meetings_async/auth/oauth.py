"""OAuth: a token of an installed app, now, and renewed in time.

This module knows when a token is due and who waits for it. It must not know resources, or how a request travels.

HubSpot: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/oauth/working-with-oauth
"""

from __future__ import annotations

import copy
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable
from typing import TypeVar, cast
from urllib.parse import urlencode, urlsplit

import anyio
from msgspec import Struct

from ..errors import ConfigurationError, HubSpotError, TokenRefused, TokenUnavailable
from ..models import TokenInfo, Tokens
from ..secret import Secret
from ..settings import need_seconds
from ..wire import Call, Request, Trail
from .endpoints import TOKEN_VERSIONS, TokenEndpoints

__all__ = ["OAuth", "new_code_verifier"]

T = TypeVar("T")

_log = logging.getLogger("hubspot_meetings_async")

_RENEWAL_WITHIN_S = 30.0
"""Longest a renewal may take, the storing included. Whoever is cancelled while his renewal is out waits for its end."""

_APART_S = 10.0
"""A refusal of the token endpoint is believed so long, and a renewal ahead of time that failed is not repeated."""

_MOST_REFUSED = 5
"""Renewals within `_APART_S` because of a 401; then 401s stand, or each would make one when all tokens are refused."""

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")

OnRefresh = Callable[[Tokens], Awaitable[object] | object]


class _Current(Struct):
    """The token in use. Moments are on the OAuth's clock."""

    token: Secret
    due_at: float
    ends_at: float


class OAuth:
    """Tokens of one installation of an OAuth app.

        oauth = OAuth(client_id, client_secret, refresh_token, on_refresh=store)
        async with MeetingsClient(auth=oauth) as hubspot: ...

    However many tasks need a token at once, one refresh is made. It is due `refresh_ahead_s` before the token ends;
    until then tasks go on with the old one, and only the task that found out waits. A 401 renews the token at once, and
    the call is repeated once; when the new token is refused as well, the refusal stands.

    A refresh that has left is seen through to the storing of its tokens, also when the task that made it is cancelled
    (for at most 30 s): HubSpot may have replaced the refresh token. When no answer came, the old refresh token is tried
    again, which can not lose more than the missing answer did. Clients on one event loop may share an OAuth, and
    should: each would make its own refreshes otherwise.

    Args:
        refresh_token: of the installation; without it, call `exchange_code` first.
        on_refresh: called with new `Tokens`, sync or async, and finished before they are used: store
            `tokens.refresh_token` there, without calls through this client, which would wait for it. When it raises,
            calls fail with TokenUnavailable, and storing is tried again before the next one.
        version: of the token endpoint: `"v1"`, `"v3"`, `"2026-03"`, `"2026-09"`; by default the client's API version.
        refresh_ahead_s: seconds before its end that a token is renewed; a fifth of its life at most.
        clock: seconds that only go forward.

    Raises: ConfigurationError at once for a wrong value. Later, from any call: TokenRefused when HubSpot does not take
    the refresh token or the app (the user must authorize it anew), TokenUnavailable when no token could be had now.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str | Secret,
        refresh_token: str | Secret | None = None,
        *,
        on_refresh: OnRefresh | None = None,
        version: str | None = None,
        refresh_ahead_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client_id = _visible("client_id", client_id).reveal()
        self._client_secret = _visible("client_secret", client_secret)
        self._refresh_token = None if refresh_token is None else _visible("refresh_token", refresh_token)
        if on_refresh is not None and not callable(on_refresh):
            raise ConfigurationError("on_refresh takes a function of one argument, the new Tokens")
        if version is not None and version not in TOKEN_VERSIONS:
            raise ConfigurationError(f"OAuth: version must be {', '.join(TOKEN_VERSIONS)}, not {version!r}")
        need_seconds("OAuth: refresh_ahead_s", refresh_ahead_s)
        self._on_refresh = on_refresh
        self._version = version
        self._ahead_s = refresh_ahead_s
        self._clock = clock
        self._attached: dict[int, tuple[Call, str]] = {}
        self._lock = anyio.Lock()
        self._current: _Current | None = None
        self._unstored: tuple[Tokens, float] | None = None
        """Tokens that came, and when they were asked for, until they are stored."""
        self._rounds = 0
        """Counts finished renewals: who waited for one that failed shares its failure."""
        self._failure: HubSpotError | None = None
        self._failed_at = float("-inf")
        self._refused_at: deque[float] = deque(maxlen=_MOST_REFUSED)

    def __repr__(self) -> str:
        state = "no token yet" if self._current is None else "a token"
        return f"<OAuth of app {self._client_id}, {state}>"

    # ---- for the client

    def attach(self, call: Call, *, api_version: str) -> None:
        """Send through this call from now on; the client does that."""
        version = self._version or (api_version if api_version in TOKEN_VERSIONS else "v3")
        self._attached[id(call)] = (call, version)

    async def detach(self, call: Call) -> None:
        """Do not send through this call any more; waits for a renewal that is under way."""
        async with self._lock:
            self._attached.pop(id(call), None)

    async def token(self) -> Secret:
        """The token to use now; waits for a renewal when there is none that is still good."""
        current, now = self._current, self._clock()
        if current is not None and now < current.due_at:
            return current.token
        if current is None or now >= current.ends_at:
            return await self._renewed(lambda: self._good(self._clock()))
        if self._lock.locked() or now < self._failed_at + _APART_S:
            return current.token
        try:
            return await self._renewed(lambda: self._good(self._clock(), fresh=True))
        except HubSpotError as error:
            _log.warning("the token could not be renewed ahead of its end, and is used on: %s", error)
            return current.token

    async def renew(self, rejected: Secret) -> bool:
        """HubSpot refused this token: whether there is another."""
        current = self._current
        if current is None or current.token is not rejected:
            return True  # renewed meanwhile
        if len(self._refused_at) == _MOST_REFUSED and self._clock() < self._refused_at[0] + _APART_S:
            return False
        await self._renewed(lambda: None if self._is(rejected) else self._good(self._clock()), after_refusal=True)
        return True

    # ---- for the user

    def authorization_url(
        self,
        redirect_uri: str,
        scopes: Iterable[str],
        *,
        state: str,
        optional_scopes: Iterable[str] = (),
        code_verifier: str | Secret | None = None,
        page: str = "https://app.hubspot.com/oauth/authorize",
    ) -> str:
        """Where to send the user's browser to install the app; it comes back to `redirect_uri?code=…&state=…`.

        Args:
            state: something that only this browser session knows; compare it when the browser comes back, or somebody
                else's code may be slipped in.
            code_verifier: from `new_code_verifier()`, kept for `exchange_code`: PKCE.
        """
        query = {"client_id": self._client_id, "redirect_uri": _uri(redirect_uri), "scope": _scopes(scopes)}
        if not state:
            raise ConfigurationError("state must be a string that only this browser session knows")
        if optional := _scopes(optional_scopes):
            query["optional_scope"] = optional
        query["state"] = state
        if code_verifier is not None:
            import base64
            import hashlib

            digest = hashlib.sha256(_verifier(code_verifier).reveal().encode()).digest()
            query["code_challenge"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            query["code_challenge_method"] = "S256"
        return f"{page}?{urlencode(query)}"

    async def exchange_code(
        self, code: str | Secret, *, redirect_uri: str, code_verifier: str | Secret | None = None
    ) -> Tokens:
        """Tokens for the code the browser came back with; from now on this OAuth uses them. They pass `on_refresh` too.

        Raises: TokenRefused for a code that is unknown, used or too old, or another `redirect_uri`.
        """
        given, uri = _visible("code", code), _uri(redirect_uri)
        verifier = None if code_verifier is None else _verifier(code_verifier)

        async def exchange(endpoints: TokenEndpoints) -> Tokens:
            return await endpoints.exchange(given, redirect_uri=uri, code_verifier=verifier)

        async with self._lock:
            return await self._seen_through(exchange, anew=True)

    async def client_credentials(self, scopes: Iterable[str] = ()) -> Tokens:
        """A token of the app itself, for endpoints that are about the app; the account's meetings need the other kind.

        It is not used by this OAuth, nor given to `on_refresh`. Not on v1.
        """
        return await self._sender().client_credentials(_scopes(scopes).split())

    async def introspect(self, token: str | Secret | None = None, *, refresh_token: bool = False) -> TokenInfo:
        """What HubSpot knows of a token of this app; by default the one in use. Say when it is a refresh token."""
        asked = _visible("token", token) if token is not None else await self._own(refresh_token)
        return await self._sender().introspect(asked, hint=_hint(refresh_token))

    async def revoke(self, token: str | Secret | None = None, *, refresh_token: bool = True) -> None:
        """Make a token worthless; by default the refresh token of this OAuth, which ends the installation's access
        (access tokens that were given live on until their end)."""
        given = _visible("token", token) if token is not None else await self._own(refresh_token)
        await self._sender().revoke(given, hint=_hint(refresh_token))

    async def _own(self, refresh_token: bool) -> Secret:
        if not refresh_token:
            return await self.token()
        if self._refresh_token is None:
            raise _no_refresh_token()
        return self._refresh_token

    # ---- one renewal at a time

    def _is(self, token: Secret) -> bool:
        return self._current is not None and self._current.token is token

    def _good(self, now: float, *, fresh: bool = False) -> Secret | None:
        current = self._current
        if current is None or now >= (current.due_at if fresh else current.ends_at):
            return None
        return current.token

    async def _renewed(self, known: Callable[[], Secret | None], *, after_refusal: bool = False) -> Secret:
        """What is `known` by the time it is our turn, else a new token."""
        rounds = self._rounds
        async with self._lock:
            if (token := known()) is not None:
                return token
            failure = self._failure
            believed = isinstance(failure, TokenRefused) and self._clock() < self._failed_at + _APART_S
            if failure is not None and (rounds != self._rounds or believed):
                raise copy.copy(failure) from failure.__cause__
            if after_refusal:
                self._refused_at.append(self._clock())
            return (await self._seen_through(self._refresh)).access_token

    async def _refresh(self, endpoints: TokenEndpoints) -> Tokens:
        if self._refresh_token is None:
            raise _no_refresh_token()
        return await endpoints.refresh(self._refresh_token)

    async def _seen_through(self, ask: Callable[[TokenEndpoints], Awaitable[Tokens]], *, anew: bool = False) -> Tokens:
        """Get tokens, have them stored, and use them: all of it once the request has left, whoever is cancelled."""
        tokens: Tokens | None = None
        failure: HubSpotError | None = None

        async def renewal() -> None:
            nonlocal tokens, failure
            try:
                with anyio.fail_after(_RENEWAL_WITHIN_S) as scope:

                    def left() -> None:
                        scope.shield = True

                    if anew or self._unstored is None:
                        asked_at = self._clock()
                        self._keep(await ask(self._sender(left)), asked_at)
                    left()
                    tokens = await self._stored()
            except (ConfigurationError, TokenRefused, TokenUnavailable) as error:
                failure = error
            except HubSpotError as error:
                failure = TokenUnavailable(f"no token could be had: {error.message}")
                failure.__cause__ = error
            except TimeoutError:
                failure = TokenUnavailable(f"no token could be had and stored within {_RENEWAL_WITHIN_S:g} s")

        # A task of its own, since a task that asyncio cancels can not finish what it does.
        async with anyio.create_task_group() as alone:
            alone.start_soon(renewal)
        self._rounds += 1
        self._failure = None if anew else failure
        if tokens is None:
            self._failed_at = self._clock()
            error = failure if failure is not None else TokenUnavailable("no token could be had")
            raise copy.copy(error) from error.__cause__
        return tokens

    def _keep(self, tokens: Tokens, asked_at: float) -> None:
        if tokens.refresh_token is not None:
            self._refresh_token = tokens.refresh_token
        if not _VISIBLE.fullmatch(tokens.access_token.reveal()):
            raise TokenUnavailable("HubSpot gave an access token that is none: empty, or with spaces or line ends")
        self._unstored = tokens, asked_at

    async def _stored(self) -> Tokens:
        if self._unstored is None:
            raise TokenUnavailable("no token came")
        tokens, asked_at = self._unstored
        if self._on_refresh is not None:
            try:
                if isawaitable(stored := self._on_refresh(tokens)):
                    await stored
            except Exception as error:
                raise TokenUnavailable(
                    f"on_refresh raised {type(error).__name__}; the new tokens are not used before they are stored"
                ) from error
        life_s = max(0.0, tokens.expires_in)
        ends_at = asked_at + life_s
        self._current = _Current(
            token=tokens.access_token,
            due_at=ends_at - min(self._ahead_s, life_s / 5),
            ends_at=ends_at,
        )
        self._unstored = None
        return tokens

    def _sender(self, left: Callable[[], None] | None = None) -> TokenEndpoints:
        """The endpoints, through the client that was attached last; `left` is called when a request has left."""
        if not self._attached:
            raise ConfigurationError("this OAuth has no open client to send through: MeetingsClient(auth=oauth)")
        call, version = next(reversed(self._attached.values()))

        async def watched(request: Request[T], trail: Trail | None = None) -> T:
            return await call(request, Trail(on_sent=left))

        return TokenEndpoints(watched, client_id=self._client_id, client_secret=self._client_secret, version=version)


def new_code_verifier() -> Secret:
    """A fresh secret for PKCE (RFC 7636): keep it with the browser session, give it to `authorization_url` and later to
    `exchange_code`."""
    import secrets

    return Secret(secrets.token_urlsafe(64))


def _no_refresh_token() -> ConfigurationError:
    return ConfigurationError(
        "this OAuth has no refresh token yet: give it one, or send the user to authorization_url(…) and call "
        "exchange_code(…) with what comes back"
    )


def _hint(refresh_token: bool) -> str:
    return "refresh_token" if refresh_token else "access_token"


def _visible(name: str, value: object) -> Secret:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str) or not _VISIBLE.fullmatch(text):
        # Secret or nearly so: it is not repeated.
        raise ConfigurationError(f"{name} must be a string of visible ASCII characters, without spaces or line ends")
    return Secret(text)


def _verifier(value: object) -> Secret:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str) or not _VERIFIER.fullmatch(text):
        raise ConfigurationError(
            "code_verifier must be 43 to 128 letters, digits or -._~ ; new_code_verifier() makes one"
        )
    return Secret(text)


def _uri(value: object) -> str:
    try:
        parts = urlsplit(value) if isinstance(value, str) and _VISIBLE.fullmatch(value) else None
    except ValueError:
        parts = None
    if not isinstance(value, str) or parts is None or not parts.scheme or parts.fragment:
        raise ConfigurationError(
            f"redirect_uri must be an absolute address as the app's settings have it, not {value!r}"
        )
    return value


def _scopes(scopes: object) -> str:
    listed = (
        None if isinstance(scopes, str) or not isinstance(scopes, Iterable) else list(cast("Iterable[object]", scopes))
    )
    if listed is None or not all(isinstance(scope, str) and _VISIBLE.fullmatch(scope) for scope in listed):
        raise ConfigurationError("scopes are a list of names such as 'crm.objects.contacts.read'")
    return " ".join(cast("list[str]", listed))
