"""Who may call: apps, their OAuth tokens and codes, tokens with scopes. The state behind HubSpot's token endpoints.

Pure and synchronous. Must not know requests, forms or answers (`oauth_endpoints`), nor which call needs which scope
(`oauth_scopes`). Tokens live by the emulator's clock.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from .behaviour import Behaviour
from .clock import Clock

__all__ = ["App", "Code", "IssuedTokens", "Keyring", "Token", "TokenError"]

CODE_LIFETIME_MS = 600_000
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ACCESS_LENGTH = 320
"""Real ones exceed 300 characters, and whoever stores them in a short column finds out here."""

TokenKind = Literal["access_token", "refresh_token"]


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A registered OAuth app. `scopes` None is an app that nothing is refused to."""

    client_id: str
    client_secret: str
    id: int
    scopes: tuple[str, ...] | None
    redirect_uris: tuple[str, ...]
    private: bool
    token_lifetime_s: int
    rotates: bool
    user: str
    user_id: int


class Token(msgspec.Struct, kw_only=True):
    """A token and what it stands for; `app` None is a token of a private app, which does not expire by itself."""

    value: str
    kind: TokenKind
    app_name: str
    app: App | None
    scopes: tuple[str, ...] | None
    expires_ms: int | None

    def expired(self, now_ms: int) -> bool:
        """Whether its time is up."""
        return self.expires_ms is not None and self.expires_ms <= now_ms


class IssuedTokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a token endpoint gives; without a refresh token for client credentials."""

    access: Token
    refresh: Token | None


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A user's agreement that waits to be exchanged for tokens."""

    app: App
    scopes: tuple[str, ...] | None
    redirect_uri: str
    expires_ms: int
    challenge: str | None


class TokenError(Exception):
    """Why there is no token: the error word of RFC 6749, HubSpot's own status word, and a text."""

    def __init__(self, error: str, status: str, message: str) -> None:
        super().__init__(message)
        self.error = error
        self.status = status
        self.message = message


class Keyring:
    """Apps and tokens of one account."""

    def __init__(self, clock: Clock, behaviour: Behaviour, *, seed: int = 0) -> None:
        self._clock = clock
        self._behaviour = behaviour
        self._rng = random.Random(seed)
        self._apps: dict[str, App] = {}
        self._codes: dict[str, Code] = {}
        self._tokens: dict[str, Token] = {}
        self._struck: list[Token] = []
        self.grants: Counter[str] = Counter()
        """Tokens given, by `grant_type`: `grants["refresh_token"]` counts the refreshes. Also `refused`, `revoked`."""

    @property
    def apps(self) -> list[App]:
        """The registered apps."""
        return list(self._apps.values())

    def add_app(
        self,
        client_id: str,
        client_secret: str,
        *,
        scopes: Iterable[str] | None = None,
        redirect_uris: Iterable[str] = (),
        private: bool = False,
        token_lifetime_s: int | None = None,
        rotates: bool | None = None,
        user: str = "installer@example.com",
        user_id: int = 51_204_417,
    ) -> App:
        """Register an OAuth app that the account has installed.

        Args:
            scopes: what its tokens may do at most; None lets them do everything.
            redirect_uris: where codes may be sent; none given allows any.
            private: privately distributed; others have HubSpot's marketplace limit of 110 calls per window.
            token_lifetime_s, rotates: in place of `token_lifetime_s` and `refresh_tokens` of the `Behaviour`.

        Raises: ValueError (client id taken or empty).
        """
        if not client_id or not client_secret:
            raise ValueError("an app needs a client id and a client secret")
        if client_id in self._apps:
            raise ValueError(f"there is an app {client_id!r} already")
        if isinstance(scopes, str):
            raise ValueError(f"scopes takes a list of scopes, not one string: {scopes!r}")
        lifetime_s = self._behaviour.token_lifetime_s if token_lifetime_s is None else token_lifetime_s
        if lifetime_s < 1:
            raise ValueError(f"token_lifetime_s must be at least 1, not {lifetime_s}")
        app = self._apps[client_id] = App(
            client_id=client_id,
            client_secret=client_secret,
            id=2_140_611 + 17 * len(self._apps),
            scopes=None if scopes is None else tuple(dict.fromkeys(scopes)),
            redirect_uris=tuple(redirect_uris),
            private=private,
            token_lifetime_s=lifetime_s,
            rotates=self._behaviour.refresh_tokens == "rotated" if rotates is None else rotates,
            user=user,
            user_id=user_id,
        )
        return app

    @property
    def tokens(self) -> list[Token]:
        """All tokens; those that a fault struck as they were before, since faults are not there for ever."""
        struck = {token.value for token in self._struck}
        return [
            msgspec.structs.replace(token, expires_ms=None) if token.value in struck else token
            for token in self._tokens.values()
        ]

    @property
    def codes(self) -> dict[str, Code]:
        """Codes that were not exchanged yet."""
        return self._codes

    def put_back(
        self, apps: Iterable[App], tokens: Iterable[Token], codes: Mapping[str, Code], *, rng: random.Random
    ) -> None:
        """Furnish the room with what it had before; `rng` makes the tokens to come."""
        self._apps = {app.client_id: app for app in apps}
        self._tokens = {token.value: token for token in tokens}
        self._codes = dict(codes)
        self._rng = rng

    def app(self, client_id: str) -> App | None:
        """The app of a client id."""
        return self._apps.get(client_id)

    def add_token(self, value: str, *, scopes: Iterable[str] | None = None, app: str | None = None) -> None:
        """Accept a private app's token, with these scopes only; tokens of the same `app` share a window.

        Raises: ValueError (empty or known already).
        """
        if not value or value in self._tokens:
            raise ValueError("a token must not be empty, nor known already")
        if isinstance(scopes, str):
            raise ValueError(f"scopes takes a list of scopes, not one string: {scopes!r}")
        named = app or f"private-{sum(token.app is None for token in self._tokens.values()) + 1}"
        given = None if scopes is None else tuple(scopes)
        self._keep(Token(value=value, kind="access_token", app_name=named, app=None, scopes=given, expires_ms=None))

    def expire_tokens(self) -> int:
        """Let every access token of every OAuth app expire now; returns how many did."""
        now_ms = self._clock.wall_ms()
        struck = [
            token
            for token in self._tokens.values()
            if token.kind == "access_token" and token.app is not None and not token.expired(now_ms)
        ]
        for token in struck:
            token.expires_ms = now_ms
        return len(struck)

    def expire(self, value: str, app_name: str) -> Token:
        """Let one bearer token expire now, also one nobody had heard of."""
        token = self._tokens.get(value)
        if token is None:
            token = Token(value=value, kind="access_token", app_name=app_name, app=None, scopes=None, expires_ms=None)
            self._keep(token)
        token.expires_ms = self._clock.wall_ms()
        if token.app is None:
            self._struck.append(token)
        return token

    def revive(self) -> None:
        """Let tokens that hold for ever by themselves do so again after `expire()`."""
        for token in self._struck:
            token.expires_ms = None
        self._struck.clear()

    def token(self, value: str) -> Token | None:
        """A token that was given, expired or not; None when it is unknown or was revoked."""
        return self._tokens.get(value)

    def revoke(self, token: Token) -> None:
        """Make a token invalid. Access tokens given for a refresh token live on until they expire."""
        self._tokens.pop(token.value, None)

    # getting tokens

    def authorize(
        self,
        client_id: str,
        redirect_uri: str,
        *,
        scopes: Iterable[str] | None = None,
        challenge: str | None = None,
    ) -> str:
        """A code, as if a user had agreed; good once, for ten minutes. Scopes left out are all of the app's.

        Raises: TokenError.
        """
        app = self._apps.get(client_id)
        if app is None:
            raise TokenError("invalid_client", "BAD_CLIENT_ID", "missing or unknown client id")
        if not redirect_uri or (app.redirect_uris and redirect_uri not in app.redirect_uris):
            raise TokenError("invalid_request", "BAD_REDIRECT_URI", "redirect URI is missing or not registered")
        code = self._random(36)
        self._codes[code] = Code(
            app=app,
            scopes=self._granted(app, scopes),
            redirect_uri=redirect_uri,
            expires_ms=self._clock.wall_ms() + CODE_LIFETIME_MS,
            challenge=challenge,
        )
        return code

    def issue(self, client_id: str, *, scopes: Iterable[str] | None = None) -> IssuedTokens:
        """Tokens of an installed app without a dance: for a client that starts with a refresh token.

        Raises: ValueError.
        """
        app = self._apps.get(client_id)
        if app is None:
            raise ValueError(f"there is no app {client_id!r}; add one with add_app()")
        try:
            return self._issued(app, self._granted(app, scopes), None)
        except TokenError as error:
            raise ValueError(error.message) from None

    def exchange(self, app: App, code: str, redirect_uri: str, verifier: str | None) -> IssuedTokens:
        """Tokens for a code. Raises: TokenError."""
        known = self._codes.pop(code, None)
        if known is None or known.app is not app or known.expires_ms <= self._clock.wall_ms():
            raise TokenError("invalid_grant", "BAD_AUTH_CODE", "missing or unknown auth code")
        if known.redirect_uri != redirect_uri:
            raise TokenError("invalid_grant", "MISMATCH_REDIRECT_URI_AUTH_CODE", "redirect URI does not match the code")
        if known.challenge is not None and known.challenge != _challenge(verifier or ""):
            raise TokenError("invalid_grant", "BAD_CODE_VERIFIER", "code verifier does not match the challenge")
        return self._counted("authorization_code", self._issued(app, known.scopes, None))

    def refresh(self, app: App, value: str) -> IssuedTokens:
        """Tokens for a refresh token, which stays good unless the app's are rotated. Raises: TokenError."""
        known = self._tokens.get(value)
        if known is None or known.kind != "refresh_token" or known.app is not app:
            raise TokenError("invalid_grant", "BAD_REFRESH_TOKEN", "refresh token is invalid, expired or revoked")
        if app.rotates:
            self.revoke(known)
        return self._counted("refresh_token", self._issued(app, known.scopes, None if app.rotates else known))

    def credentials(self, app: App, scopes: Iterable[str] | None) -> IssuedTokens:
        """A token of the app itself. Raises: TokenError."""
        access = self._access(app, self._granted(app, scopes))
        return self._counted("client_credentials", IssuedTokens(access=access, refresh=None))

    def _issued(self, app: App, scopes: tuple[str, ...] | None, refresh: Token | None) -> IssuedTokens:
        if refresh is None:
            refresh = Token(
                value=f"na1-{self._random(32)}",
                kind="refresh_token",
                app_name=app.client_id,
                app=app,
                scopes=scopes,
                expires_ms=None,
            )
            self._keep(refresh)
        return IssuedTokens(access=self._access(app, scopes), refresh=refresh)

    def _access(self, app: App, scopes: tuple[str, ...] | None) -> Token:
        token = Token(
            value=self._random(_ACCESS_LENGTH),
            kind="access_token",
            app_name=app.client_id,
            app=app,
            scopes=scopes,
            expires_ms=self._clock.wall_ms() + app.token_lifetime_s * 1000,
        )
        self._keep(token)
        return token

    def _granted(self, app: App, scopes: Iterable[str] | None) -> tuple[str, ...] | None:
        if scopes is None:
            return app.scopes
        asked = tuple(dict.fromkeys(scopes))
        foreign = [scope for scope in asked if app.scopes is not None and scope not in app.scopes]
        if foreign:
            raise TokenError("invalid_scope", "BAD_SCOPES", f"the app does not have the scopes {', '.join(foreign)}")
        return asked

    def _keep(self, token: Token) -> None:
        self._tokens[token.value] = token

    def _counted(self, grant: str, issued: IssuedTokens) -> IssuedTokens:
        self.grants[grant] += 1
        return issued

    def _random(self, length: int) -> str:
        return "".join(self._rng.choices(_LETTERS, k=length))


def _challenge(verifier: str) -> str:
    """The S256 challenge of RFC 7636."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
