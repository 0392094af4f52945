"""HubSpot's token endpoints: `/oauth/{v1,v3,2026-03,2026-09}/…`. Forms in, JSON out, errors as RFC 6749 has them.

Must not know HTTP beyond a `Call` and its `Answer`. Calls of these operations (`oauth.…`) need no bearer token and
count against no limit.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from .bodies import decoder, parse
from .calls import Answer, Call, Endpoint
from .oauth import App, IssuedTokens, Token, TokenError
from .portal import Portal
from .refusals import Refusal, validation

__all__ = [
    "access_token_info",
    "authorize",
    "forget_refresh_token",
    "introspect",
    "private_app_info",
    "refresh_token_info",
    "revoke",
    "token",
    "token_v1",
]

_ABSOLUTE_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
"""Any scheme, since apps on phones have their own; nothing that could end a header."""

Json = dict[str, Any]
Form = dict[str, str]


class OAuthRefusal(Refusal):
    """A refusal of a token endpoint: RFC 6749's two members, and HubSpot's two older ones."""

    def __init__(self, error: TokenError) -> None:
        super().__init__(400, error.message)
        self.error = error

    def body(self, correlation_id: str) -> Json:
        """The whole answer's body; it carries no correlation id."""
        return {
            "error": self.error.error,
            "error_description": self.message,
            "status": self.error.status,
            "message": self.message,
        }


class TokenKey(msgspec.Struct, rename="camel"):
    """The body of a question about a private app's token."""

    token_key: str


_token_key = decoder(TokenKey)


def _answering(endpoint: Callable[[Portal, Call], Answer]) -> Endpoint:
    def answering(portal: Portal, call: Call) -> Answer:
        try:
            return endpoint(portal, call)
        except TokenError as error:
            portal.keyring.grants["refused"] += 1
            raise OAuthRefusal(error) from None

    return answering


def authorize(portal: Portal, call: Call) -> Answer:
    """`GET /oauth/authorize`: the user agrees at once, and the browser is sent back with a code."""
    redirect_uri = call.one("redirect_uri") or ""
    asked = [*(call.one("scope") or "").split(), *(call.one("optional_scope") or "").split()]
    method = call.one("code_challenge_method")
    if method not in (None, "S256"):
        raise validation(f"code_challenge_method must be S256, not {method}")
    if not _ABSOLUTE_URL.fullmatch(redirect_uri):
        raise validation("redirect_uri must be an absolute URL")
    try:
        code = portal.keyring.authorize(
            call.one("client_id") or "", redirect_uri, scopes=asked or None, challenge=call.one("code_challenge")
        )
    except TokenError as error:
        raise validation(error.message) from None
    query = {"code": code}
    state = call.one("state")
    if state is not None:
        query["state"] = state
    joint = "&" if "?" in redirect_uri else "?"
    return Answer(302, headers={"Location": f"{redirect_uri}{joint}{urlencode(query)}"})


def _token(portal: Portal, call: Call) -> Answer:
    """`POST /oauth/{v3,…}/token`."""
    form = _form(call)
    grant = form.get("grant_type", "")
    app = _client(portal, form)
    if grant == "authorization_code":
        issued = portal.keyring.exchange(
            app, _need(form, "code"), _need(form, "redirect_uri"), form.get("code_verifier")
        )
    elif grant == "refresh_token":
        issued = portal.keyring.refresh(app, _need(form, "refresh_token"))
    elif grant == "client_credentials" and call.captures.get("version") != "v1":
        scopes = form.get("scope", "").split()
        issued = portal.keyring.credentials(app, scopes or None)
    else:
        raise TokenError("unsupported_grant_type", "BAD_GRANT_TYPE", "missing or unknown grant type")
    return Answer(200, _issued(portal, app, issued))


def _token_v1(portal: Portal, call: Call) -> Answer:
    """`POST /oauth/v1/token`: without client credentials."""
    call.captures["version"] = "v1"
    return _token(portal, call)


def _introspect(portal: Portal, call: Call) -> Answer:
    """`POST /oauth/{v3,…}/token/introspect`; of a token that is good no more only `active` is told."""
    form = _form(call)
    app = _client(portal, form)
    found = _named(portal, form)
    if found is None or found.app is not app or found.expired(call.now_ms):
        return Answer(200, {"active": False})
    shown: Json = {
        "active": True,
        "token": found.value,
        "token_use": found.kind,
        "token_type": "Bearer",
        "hub_id": portal.portal_id,
        "hub_domain": _hub_domain(portal),
        "user": app.user,
        "user_id": app.user_id,
        "app_id": app.id,
        "client_id": app.client_id,
        "scopes": _scopes(found),
    }
    if found.expires_ms is not None:
        shown["expires_in"] = (found.expires_ms - call.now_ms) // 1000
        shown["is_private_distribution"] = app.private
        shown["signed_access_token"] = {}
    return Answer(200, shown)


def _revoke(portal: Portal, call: Call) -> Answer:
    """`POST /oauth/{v3,…}/token/revoke`: 200 also for a token that nobody knows (RFC 7009)."""
    form = _form(call)
    app = _client(portal, form)
    found = _named(portal, form)
    if found is not None and found.app is app:
        portal.keyring.revoke(found)
        portal.keyring.grants["revoked"] += 1
    return Answer(200)


token = _answering(_token)
token_v1 = _answering(_token_v1)
introspect = _answering(_introspect)
revoke = _answering(_revoke)


def access_token_info(portal: Portal, call: Call) -> Answer:
    """`GET /oauth/v1/access-tokens/{token}`."""
    found = portal.keyring.token(call.captures["token"])
    if found is None or found.kind != "access_token" or found.app is None or found.expired(call.now_ms):
        raise Refusal(404, "access token is invalid, expired or revoked", category="OBJECT_NOT_FOUND")
    app = found.app
    shown: Json = {
        "token": found.value,
        "user": app.user,
        "hub_domain": _hub_domain(portal),
        "scopes": _scopes(found),
        "hub_id": portal.portal_id,
        "app_id": app.id,
        "expires_in": ((found.expires_ms or call.now_ms) - call.now_ms) // 1000,
        "user_id": app.user_id,
        "token_type": "access",
    }
    return Answer(200, shown)


def refresh_token_info(portal: Portal, call: Call) -> Answer:
    """`GET /oauth/v1/refresh-tokens/{token}`."""
    found = _refresh_token(portal, call)
    app = found.app
    shown: Json = {
        "token": found.value,
        "client_id": found.app_name,
        "hub_id": portal.portal_id,
        "hub_domain": _hub_domain(portal),
        "user": None if app is None else app.user,
        "user_id": None if app is None else app.user_id,
        "scopes": _scopes(found),
        "token_type": "refresh",
    }
    return Answer(200, shown)


def forget_refresh_token(portal: Portal, call: Call) -> Answer:
    """`DELETE /oauth/v1/refresh-tokens/{token}`."""
    portal.keyring.revoke(_refresh_token(portal, call))
    portal.keyring.grants["revoked"] += 1
    return Answer(204)


def private_app_info(portal: Portal, call: Call) -> Answer:
    """`POST /oauth/v2/private-apps/get/access-token-info`."""
    key = parse(_token_key, call.body).token_key
    found = portal.keyring.token(key)
    if found is None or found.app is not None or found.expired(call.now_ms):
        raise Refusal(404, "private app access token not found", category="OBJECT_NOT_FOUND")
    shown: Json = {"userId": 51_204_417, "hubId": portal.portal_id, "appId": 3_057_729, "scopes": _scopes(found)}
    return Answer(200, shown)


def _refresh_token(portal: Portal, call: Call) -> Token:
    found = portal.keyring.token(call.captures["token"])
    if found is None or found.kind != "refresh_token":
        raise Refusal(404, "refresh token is invalid, expired or revoked", category="OBJECT_NOT_FOUND")
    return found


def _form(call: Call) -> Form:
    """The fields of the body; what stands in the URL does not count."""
    try:
        return dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise TokenError("invalid_request", "BAD_FORM", "the body is no form, or has too many fields") from None


def _need(form: Form, name: str) -> str:
    value = form.get(name)
    if not value:
        raise TokenError("invalid_request", f"MISSING_{name.upper()}", f"missing {name}")
    return value


def _client(portal: Portal, form: Form) -> App:
    app = portal.keyring.app(form.get("client_id", ""))
    if app is None:
        raise TokenError("invalid_client", "BAD_CLIENT_ID", "missing or unknown client id")
    if not hmac.compare_digest(app.client_secret.encode(), form.get("client_secret", "").encode()):
        raise TokenError("invalid_client", "BAD_CLIENT_SECRET", "missing or invalid client secret")
    return app


def _named(portal: Portal, form: Form) -> Token | None:
    """The token that a form is about: HubSpot's schema has `token`, its guide the name of the kind."""
    hint = form.get("token_type_hint")
    if hint not in (None, "access_token", "refresh_token"):
        raise TokenError("unsupported_token_type", "BAD_TOKEN_TYPE_HINT", "unknown token type hint")
    for name in ("token", "access_token", "refresh_token"):
        if form.get(name):
            return portal.keyring.token(form[name])
    raise TokenError("invalid_request", "MISSING_TOKEN", "missing token")


def _issued(portal: Portal, app: App, issued: IssuedTokens) -> Json:
    shown: Json = {
        "token_type": "bearer",
        "access_token": issued.access.value,
        "expires_in": app.token_lifetime_s,
        "hub_id": portal.portal_id,
        "scopes": _scopes(issued.access),
        "token_use": "access_token",
    }
    if issued.refresh is not None:
        shown["refresh_token"] = issued.refresh.value
        shown["user_id"] = app.user_id
    return shown


def _scopes(token: Token) -> list[str]:
    return ["oauth"] if token.scopes is None else list(token.scopes)


def _hub_domain(portal: Portal) -> str:
    return f"emulated-{portal.portal_id}.example.com"
