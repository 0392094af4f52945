"""What HubSpot's token endpoints answer.

This module knows the fields. It must not know how tokens are got, kept or sent. Tokens are `Secret`s: `reveal()` gives
the string for storing it, everything else shows stars.

HubSpot: https://developers.hubspot.com/docs/api-reference/latest/authentication/oauth-tokens
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from ..secret import Secret
from .forms import Received

__all__ = ["PrivateAppTokenInfo", "TokenInfo", "Tokens", "as_secret"]


class Tokens(Struct, frozen=True, kw_only=True):
    """A new access token, and the refresh token to keep for the next one.

    `expires_in` are the seconds the access token lives, 1,800 as a rule. HubSpot repeats the refresh token today; keep
    whatever comes. Client credentials come without one.
    """

    access_token: Secret
    refresh_token: Secret | None = None
    expires_in: float = 1800.0
    token_type: str | None = None
    token_use: str | None = None
    hub_id: int | str | None = None
    user_id: int | str | None = None
    scopes: tuple[str, ...] | None = None
    id_token: Secret | None = None


class TokenInfo(Struct, frozen=True, kw_only=True):
    """What HubSpot tells about a token of an app. Of a token that is good no more only `active` is told."""

    active: bool
    token_use: str | None = None
    token_type: str | None = None
    hub_id: int | str | None = None
    hub_domain: str | None = None
    user: str | None = None
    user_id: int | str | None = None
    app_id: int | str | None = None
    client_id: str | None = None
    scopes: tuple[str, ...] | None = None
    expires_in: float | None = None
    is_private_distribution: bool | None = None


class PrivateAppTokenInfo(Received, frozen=True, kw_only=True):
    """What a private app's token stands for."""

    hub_id: int | str | None = None
    user_id: int | str | None = None
    app_id: int | str | None = None
    scopes: tuple[str, ...] = field(default=())


def as_secret(kind: type, value: Any) -> Any:
    """msgspec's hook for `Secret` fields."""
    if kind is not Secret or not isinstance(value, str):
        raise TypeError("a token must be a string")
    return Secret(value)
