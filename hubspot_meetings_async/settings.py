"""Connection settings, checked at once: a wrong value fails in words, before anything is sent.

This module knows which values make sense, and what may not be replaced. It must not know how a request travels.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl as ssl_module
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from .errors import ConfigurationError
from .version import __version__

__all__ = [
    "ClientCertificate",
    "Proxy",
    "base_url_of",
    "headers_of",
    "need",
    "need_count",
    "need_methods",
    "need_seconds",
    "need_switch",
    "proxy_of",
    "refuse_hapikey",
    "tls_of",
    "user_agent_of",
]

ClientCertificate: TypeAlias = "str | os.PathLike[str] | tuple[Any, ...]"


# ---- kinds of values


def need(name: str, value: object, kind: type, example: str) -> None:
    """Refuse what is no `kind`."""
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name} takes {example}, not {value!r}")


def need_methods(name: str, value: object, *methods: str) -> None:
    """Refuse what lacks one of `methods`."""
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if value is not None and missing:
        raise ConfigurationError(f"{name} must have the methods {', '.join(methods)}; {missing[0]}() is missing")


def need_count(name: str, value: object) -> None:
    """Refuse what is no whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be a whole number, at least 1, not {value!r}")


def need_seconds(name: str, value: object) -> None:
    """Refuse what is no length of time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} must be a number of seconds above 0, not {value!r}")


def need_switch(**switches: object) -> None:
    """Refuse what is neither True nor False."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} must be True or False, not {value!r}")


def refuse_hapikey() -> NoReturn:
    """Say what took the place of API keys."""
    raise ConfigurationError(
        "HubSpot takes no API keys (hapikey) since 30 November 2022; use the token of a private app (pat-…) or a "
        "service key as MeetingsClient(token), or auth=OAuth(…)"
    )


# ---- where to


_URL = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)


def base_url_of(base_url: object, *, allow_insecure: bool) -> str:
    """`base_url`, when a token may travel there."""
    if "hapikey" in str(base_url).lower():
        refuse_hapikey()
    # What may hold a password is not repeated.
    shown = "one with a name or password in it" if "@" in str(base_url) else repr(base_url)
    wrong = ConfigurationError(f"base_url must look like https://api.hubapi.com, not {shown}")
    if not isinstance(base_url, str) or not _URL.fullmatch(base_url) or any(sign in base_url for sign in "@?#\\"):
        raise wrong
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host:
        raise wrong
    if parts.scheme == "http" and not _is_loopback(host) and not allow_insecure:
        raise ConfigurationError(
            f"base_url {base_url!r} would send the token in clear; use https://, or allow_insecure=True if you mean it"
        )
    return base_url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# ---- headers


_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_OWN = {
    "authorization": "give the token to MeetingsClient, or auth=",
    "proxy-authorization": "put it into proxy_headers=",
    "user-agent": "give user_agent=",
    "accept-encoding": "give compress_responses=",
    "content-encoding": "give compress_requests=",
    "cookie": "HubSpot's API has no cookies",
    "cookie2": "HubSpot's API has no cookies",
}
_WIRE = {
    "host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive", "te", "trailer",
    "upgrade", "expect", "http2-settings",
}  # fmt: skip


def headers_of(headers: object, *, name: str = "headers") -> dict[str, str]:
    """Headers to send with every request.

    Raises: ConfigurationError for what would break out of its line, and for headers that the library itself sets.
    """
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"{name} takes a mapping of strings, not a {type(headers).__name__}")
    checked: dict[str, str] = {}
    for key, value in cast("Mapping[object, object]", headers).items():
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            raise ConfigurationError(f"{name}: {key!r} can not be the name of a header")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            # The value may be a secret, and is not repeated.
            raise ConfigurationError(f"{name}: the value of {key} must be printable ASCII on one line")
        if name == "headers" and key.lower() in _OWN:
            raise ConfigurationError(f"{name} may not set {key}; {_OWN[key.lower()]}")
        if key.lower() in _WIRE:
            raise ConfigurationError(f"{name} may not set {key}, which belongs to the connection")
        checked[key] = value
    return checked


def user_agent_of(prefix: object) -> str:
    """The library's user agent, behind the user's."""
    if prefix is not None and not (isinstance(prefix, str) and prefix.isascii() and prefix.isprintable()):
        raise ConfigurationError("user_agent must be printable ASCII on one line")
    own = f"hubspot-meetings-async/{__version__}"
    return f"{prefix} {own}" if prefix else own


# ---- proxies


class Proxy:
    """A proxy: its address, shown; and headers for it alone, not shown, since they hold its password."""

    __slots__ = ("headers", "url")

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        kept = dict(headers)

        def give() -> dict[str, str]:
            return dict(kept)

        self.url = url
        self.headers = give

    def __repr__(self) -> str:
        return f"<Proxy {self.url}>"


def proxy_of(proxy: object, proxy_headers: object, *, trust_env: bool, base_url: str) -> Proxy | None:
    """The proxy to go through: the one given, or with `trust_env` the environment's for this address, or none."""
    headers = headers_of(proxy_headers, name="proxy_headers")
    where = "proxy"
    if proxy is None and trust_env:
        proxy, where = _from_environment(base_url), "the environment's proxy"
    if proxy is None:
        if headers and not trust_env:
            raise ConfigurationError("proxy_headers are for a proxy; give proxy= too")
        return None
    wrong = ConfigurationError(f"{where} must look like http://proxy.example.com:3128, with name:password@ if it wants")
    if not isinstance(proxy, str) or not _URL.fullmatch(proxy):
        raise wrong
    try:
        parts = urlsplit(proxy)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment or "\\" in proxy:
        raise wrong
    if parts.username is not None:
        if any(name.lower() == "proxy-authorization" for name in headers):
            raise ConfigurationError("give the proxy's password in its address or in proxy_headers=, not in both")
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        import base64

        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    shown = f"[{host}]" if ":" in host else host
    return Proxy(f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else ""), headers)


def _from_environment(base_url: str) -> str | None:
    parts = urlsplit(base_url)
    import urllib.request  # twelve milliseconds, for who asks for it

    settings = urllib.request.getproxies_environment()
    # The standard library's own reading of NO_PROXY, which its type stubs leave out.
    if urllib.request.proxy_bypass_environment(parts.netloc, settings):  # type: ignore[attr-defined]
        return None
    found = settings.get(parts.scheme) or settings.get("all")
    return f"http://{found}" if found and "://" not in found else found


# ---- TLS


def tls_of(ssl: object, ca_file: object, client_certificate: object) -> ssl_module.SSLContext | None:
    """The TLS context that these settings ask for; None for the usual one. It always checks certificates."""
    if ssl is not None:
        if ca_file is not None or client_certificate is not None:
            raise ConfigurationError("give ssl=, or ca_file= and client_certificate=; a context of your own has both")
        return _checking(ssl)
    if ca_file is None and client_certificate is None:
        return None
    if ca_file is not None and not isinstance(ca_file, (str, os.PathLike)):
        raise ConfigurationError(f"ca_file takes the path of a PEM file, not {ca_file!r}")
    context = ssl_module.create_default_context()
    if ca_file is not None:
        path = os.fspath(cast("str | os.PathLike[str]", ca_file))
        try:
            context.load_verify_locations(cafile=path)
        except (OSError, ValueError) as error:  # also ssl.SSLError
            raise ConfigurationError(f"ca_file: no certificates could be read from {path!r}: {error}") from None
    if client_certificate is not None:
        _identify(context, client_certificate)
    return context


def _identify(context: ssl_module.SSLContext, certificate: Any) -> None:
    parts = tuple(cast("Iterable[Any]", certificate)) if isinstance(certificate, tuple) else (certificate,)
    paths = parts[:2]
    password: object = parts[2] if len(parts) == 3 else ""
    if (
        not 1 <= len(parts) <= 3
        or not all(isinstance(path, (str, os.PathLike)) for path in paths)
        or not isinstance(password, (str, bytes))
    ):
        raise ConfigurationError(
            "client_certificate takes the path of a PEM file with certificate and key, or a tuple (certificate, key) "
            "or (certificate, key, password)"
        )
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(paths[0], paths[1] if len(paths) == 2 else None, password)
    except (OSError, ValueError) as error:  # also ssl.SSLError
        shown = " and ".join(repr(str(path)) for path in paths)
        raise ConfigurationError(f"client_certificate: {shown} can not be used: {error}") from None


def _checking(context: object) -> ssl_module.SSLContext:
    if not isinstance(context, ssl_module.SSLContext):
        raise ConfigurationError(f"ssl takes an ssl.SSLContext, not {context!r}; certificates are always checked")
    if context.verify_mode is not ssl_module.CERT_REQUIRED or not context.check_hostname:
        raise ConfigurationError(
            "ssl: this context does not check certificates; begin with ssl.create_default_context(cafile=…) for a CA "
            "of your own"
        )
    return context
