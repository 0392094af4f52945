"""HubSpot's token endpoints: what each is asked, in forms, and what comes back.

This module knows paths, fields and answers. It must not know when a token is due, or who waits for it.

Secrets travel in the form body only, never in a path or query, where logs would keep them; and no error repeats one.

HubSpot: https://developers.hubspot.com/docs/api-reference/latest/authentication/oauth-tokens
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from ..errors import ConfigurationError, HubSpotError, RateLimited, RequestRejected, TokenRefused, printable
from ..models import PrivateAppTokenInfo, TokenInfo, Tokens, as_secret
from ..secret import Secret
from ..wire import Call, Quota, Request, encode

__all__ = ["TOKEN_VERSIONS", "TokenEndpoints", "private_app_token_info"]

T = TypeVar("T")

TOKEN_VERSIONS = ("v1", "v3", "2026-03", "2026-09")
"""Versions of the token endpoint; HubSpot ends v1 on 16 February 2027."""

_tokens = msgspec.json.Decoder(Tokens, dec_hook=as_secret)
_token_info = msgspec.json.Decoder(TokenInfo)
_private_app_info = msgspec.json.Decoder(PrivateAppTokenInfo)

_FORM = "application/x-www-form-urlencoded"


class TokenEndpoints:
    """The calls of one app. All may be sent again when no answer came: where the first one was carried out and its
    tokens got lost with the answer, a second one has nothing to lose.

    Args:
        call: sends without a token when a request says so.
        version: of the token endpoint. v1 has no forms for introspection and revocation, but wants tokens in the path;
            those two go to v3 then.
    """

    def __init__(self, call: Call, *, client_id: str, client_secret: Secret, version: str) -> None:
        if version not in TOKEN_VERSIONS:
            raise ConfigurationError(
                f"the token endpoint's version must be {', '.join(TOKEN_VERSIONS)}, not {version!r}"
            )
        self._call = call
        self._client_id = client_id
        self._client_secret = client_secret
        self._version = version

    async def refresh(self, refresh_token: Secret) -> Tokens:
        """`POST /oauth/{version}/token` with a refresh token. Raises: TokenRefused, and what any call raises."""
        return await self._grant("refresh_token", refresh_token=refresh_token)

    async def exchange(self, code: Secret, *, redirect_uri: str, code_verifier: Secret | None) -> Tokens:
        """`POST /oauth/{version}/token` with an authorization code, good once and for some minutes."""
        return await self._grant(
            "authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=code_verifier
        )

    async def client_credentials(self, scopes: Iterable[str]) -> Tokens:
        """`POST /oauth/{version}/token` for the app itself, without a refresh token; not on v1."""
        if self._version == "v1":
            raise ConfigurationError("v1 of the token endpoint has no client credentials; give version='v3' or later")
        return await self._grant("client_credentials", scope=" ".join(scopes) or None)

    async def introspect(self, token: Secret, *, hint: str) -> TokenInfo:
        """`POST /oauth/{version}/token/introspect`: what a token stands for, and whether it is still good."""
        # HubSpot's schema has the token in `token`, its guide in a field with the name of the kind.
        form: dict[str, str | Secret | None] = {"token": token, hint: token, "token_type_hint": hint}
        return await self._send(self._sibling("introspect"), form, _token_info)

    async def revoke(self, token: Secret, *, hint: str) -> None:
        """`POST /oauth/{version}/token/revoke`; a token that nobody knows is as good as revoked."""
        await self._send(self._sibling("revoke"), {"token": token, "token_type_hint": hint}, None)

    def _sibling(self, name: str) -> str:
        return f"/oauth/{'v3' if self._version == 'v1' else self._version}/token/{name}"

    async def _grant(self, grant_type: str, **fields: str | Secret | None) -> Tokens:
        return await self._send(f"/oauth/{self._version}/token", {"grant_type": grant_type, **fields}, _tokens)

    async def _send(
        self, path: str, form: Mapping[str, str | Secret | None], decoder: msgspec.json.Decoder[T] | None
    ) -> T:
        fields = {**form, "client_id": self._client_id, "client_secret": self._client_secret}
        secrets = tuple(value for value in fields.values() if isinstance(value, Secret))
        try:
            return await self._call(_request(path, _encoded(fields), _FORM, decoder, secrets))
        except HubSpotError as error:
            _scrub(error, secrets)
            if not isinstance(error, RequestRejected) or isinstance(error, RateLimited):
                raise
            refusal = _refusal(error)
        raise refusal


async def private_app_token_info(call: Call, token: Secret) -> PrivateAppTokenInfo:
    """`POST /oauth/v2/private-apps/get/access-token-info`: account, user, app and scopes of a private app's token.

    Raises: NotFound for a token that HubSpot does not know.
    """
    path = "/oauth/v2/private-apps/get/access-token-info"
    # The body in no variable: tracebacks with local variables would show it.
    return await call(
        _request(path, encode({"tokenKey": token.reveal()}), "application/json", _private_app_info, (token,))
    )


def _request(
    path: str,
    body: bytes,
    content_type: str,
    decoder: msgspec.json.Decoder[T] | None,
    secrets: tuple[Secret, ...],
) -> Request[T]:
    return Request(
        method="POST",
        path=path,
        body=body,
        content_type=content_type,
        decoder=decoder,
        quota=Quota.NONE,
        bearer=False,
        secrets=secrets,
    )


def _encoded(fields: Mapping[str, str | Secret | None]) -> bytes:
    return urlencode(
        {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in fields.items()
            if value is not None
        }
    ).encode()


def _scrub(error: HubSpotError, secrets: Iterable[Secret]) -> None:
    """Take short secrets too out of what a server, or somebody between, repeats of what was sent."""
    for secret in secrets:
        # A message ends after 500 characters, in the middle of a long token maybe.
        for shown in (secret.reveal(), secret.reveal()[:16]):
            if len(shown) > 3:
                error.message = error.message.replace(shown, "***")
    error.args = (error.message,)


def _refusal(error: RequestRejected) -> TokenRefused:
    # RFC 6749's words are lower case; HubSpot's categories, of a refusal somewhere else on the way, are not.
    word = error.category if error.category is not None and error.category.islower() else None
    named = f" ({printable(word)})" if word is not None else ""
    return error.told_as(TokenRefused, f"HubSpot gives no token{named}: {error.message}", error=word)
