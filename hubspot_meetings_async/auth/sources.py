"""A valid token, now.

This module knows what a token looks like and keeps it out of sight. It must not know resources or retries.

HubSpot: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/overview
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Protocol

from ..errors import ConfigurationError, HubSpotError, TokenUnavailable
from ..secret import Secret

__all__ = ["Auth", "Secret", "StaticToken", "TokenSource"]

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_API_KEY = re.compile(r"(?:[a-z]{2,4}\d-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Auth(Protocol):
    """Where tokens come from."""

    async def token(self) -> Secret:
        """The token to use now; may wait for a new one."""
        ...

    async def renew(self, rejected: Secret) -> bool:
        """HubSpot refused `rejected` (401): get another. False when there is none, and the refusal stands."""
        ...


class StaticToken:
    """A private-app token or service key: one string that never changes.

    Raises: ConfigurationError for an empty token, or one with spaces, line ends or non-ASCII characters; the message
    does not repeat the token.
    """

    def __init__(self, token: str | Secret) -> None:
        self._token = _checked(_hidden(token))

    async def token(self) -> Secret:
        """The token."""
        return self._token

    async def renew(self, rejected: Secret) -> bool:
        """Never: a static token has no successor."""
        return False


def _hidden(given: object) -> object:
    """A string as a Secret; from here on no traceback with local variables shows it, whatever is wrong with it."""
    return Secret(given) if isinstance(given, str) else given


def _checked(token: object) -> Secret:
    if not isinstance(token, Secret):
        raise ConfigurationError(f"the access token must be a string, not {type(token).__name__}")
    if (wrong := _wrong_with(token.reveal())) is not None:
        raise ConfigurationError(wrong)
    return token


def _wrong_with(text: object) -> str | None:
    if not isinstance(text, str):
        return f"the access token must be a string, not {type(text).__name__}"
    if not text:
        return "the access token is empty; pass the token of a private app or a service key"
    if not _VISIBLE_ASCII.fullmatch(text):
        return "the access token holds a space, a line end or a character outside ASCII; copy it again, alone"
    if _API_KEY.fullmatch(text):
        return (
            "this looks like an API key (hapikey), which HubSpot takes no more since 30 November 2022; use the token "
            "of a private app (pat-…), a service key, or OAuth(…)"
        )
    return None


class TokenSource:
    """Tokens from a callable of the user's own, sync or async: `MeetingsClient(auth=my_callable)`.

    It is called for every request, also by many tasks at once, so let it keep its token and answer fast; a sync one
    must not block. After a 401 it is called once more, and the request repeated if another token comes. What it raises
    reaches the caller as `TokenUnavailable` with the cause, errors of this library as they are.
    """

    def __init__(self, source: Callable[[], str | Secret | Awaitable[str | Secret]]) -> None:
        self._source = source

    async def token(self) -> Secret:
        """What the callable gives now."""
        try:
            token = _hidden(self._source())
            if isawaitable(token):
                token = _hidden(await token)
        except HubSpotError:
            raise
        except Exception as error:
            raise TokenUnavailable(f"the token source raised {type(error).__name__}; nothing was sent") from error
        return _checked(token)

    async def renew(self, rejected: Secret) -> bool:
        """Whether the callable gives another token by now."""
        return (await self.token()).reveal() != rejected.reveal()
