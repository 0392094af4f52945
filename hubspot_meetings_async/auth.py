"""A valid token, now.

This module knows what a token looks like and keeps it out of sight. It must not know resources or retries.

HubSpot: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/overview
"""

from __future__ import annotations

import re
from typing import Protocol, final

from .errors import ConfigurationError

__all__ = ["Auth", "Secret", "StaticToken"]

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


@final
class Secret:
    """A string that no repr, str, format, log line, traceback or pickle shows. `reveal()` gives it out."""

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        # A closure instead of an attribute: tools that dump objects with their slots find nothing to print.
        def reveal() -> str:
            return value

        self._reveal = reveal

    def reveal(self) -> str:
        """The string itself; hand it on, do not keep it."""
        return self._reveal()

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled; give the other process its own token")


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
        self._token = Secret(_checked(token.reveal() if isinstance(token, Secret) else token))

    async def token(self) -> Secret:
        """The token."""
        return self._token

    async def renew(self, rejected: Secret) -> bool:
        """Never: a static token has no successor."""
        return False


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"the access token must be a string, not {type(text).__name__}")
    if not text:
        raise ConfigurationError("the access token is empty; pass the token of a private app or a service key")
    if not _VISIBLE_ASCII.fullmatch(text):
        raise ConfigurationError(
            "the access token holds a space, a line end or a character outside ASCII; copy it again, alone"
        )
    return text
