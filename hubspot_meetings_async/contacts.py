"""Which contacts there are for some e-mail addresses.

This module knows one search of the contacts object and its limits. It must not know the transport, the limiter, or why
somebody asks; it is given a `Call`.

HubSpot: https://developers.hubspot.com/docs/api-reference/search/guide
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .errors import ConfigurationError
from .models import PlainProperties
from .search import Search, plan, where
from .versions import known_version
from .wire import Call

__all__ = ["Contacts"]

_MOST_ADDRESSES: Final = 100
_MOST_CHARACTERS: Final = 2_000
"""HubSpot takes 3,000 for the whole request."""


class Contacts:
    """The people meetings are with, as far as meetings need them (`hubspot.contacts`)."""

    def __init__(self, call: Call, *, api_version: str) -> None:
        v3 = known_version(api_version) == "v3"
        self._path = "/crm/v3/objects/contacts" if v3 else f"/crm/objects/{api_version}/contacts"
        self._call = call

    async def by_email(self, addresses: Iterable[str]) -> dict[str, str]:
        """The ids of the contacts with these e-mail addresses (`POST …/objects/contacts/search`).

        Any number of addresses, upper and lower case alike, about a hundred a search; HubSpot allows five searches a
        second for the whole account, and the client waits for its turn. Keys of the answer are the addresses in lower
        case; one without a contact is not in it. Only a contact's main address is searched, and a contact that was
        just made may not be found for some seconds.

        Raises: Forbidden when the app may not read contacts (`crm.objects.contacts.read`).
        """
        if isinstance(addresses, str):
            raise ConfigurationError(f"addresses are a list, not the one string {addresses!r}")
        found: dict[str, str] = {}
        for some in _cut(dict.fromkeys(address.strip().lower() for address in addresses if address.strip())):
            wanted = plan(where("email").is_in(some), properties=["email"])
            search: Search[PlainProperties] = Search(self._call, self._path, wanted)
            async for contact in search:
                address = (contact.properties.get("email") or "").lower()
                if address in some:
                    found.setdefault(address, contact.id)
        return found


def _cut(addresses: Iterable[str]) -> Iterator[list[str]]:
    some: list[str] = []
    characters = 0
    for address in addresses:
        # In JSON a character is up to six.
        size = len(address.encode("ascii", "backslashreplace")) + 3
        if some and (len(some) == _MOST_ADDRESSES or characters + size > _MOST_CHARACTERS):
            yield some
            some, characters = [], 0
        some.append(address)
        characters += size
    if some:
        yield some
