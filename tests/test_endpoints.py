"""Every operation of HubSpot's Meetings APIs has a method, and the method asks for just that operation."""

from __future__ import annotations

import json
import os
import re
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async import HubSpotError, MeetingsClient, TransportFailed

from .endpoints import ENDPOINTS, Endpoint

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
ROWS = [(endpoint, version) for endpoint in ENDPOINTS for version in endpoint.known_in]


def pattern(path: str) -> str:
    """A path with `{…}` as a regular expression; one segment each."""
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))


@pytest.mark.parametrize(("endpoint", "version"), ROWS, ids=lambda value: getattr(value, "name", value))
async def test_the_method_asks_for_the_operation(
    endpoint: Endpoint, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request of the method has the operation's HTTP method and path, in each API version."""
    asked: list[tuple[str, str]] = []

    async def send(request: Any, headers: Any, **_: Any) -> Any:
        asked.append((request.method, request.path))
        raise TransportFailed("only asked", sent=False, fatal=True)

    async with MeetingsClient("token", base_url="http://127.0.0.1:9", api_version=version) as hubspot:
        monkeypatch.setattr(hubspot._transport, "send", send)
        with pytest.raises(HubSpotError):
            await endpoint.call(hubspot)
    assert [method for method, _ in asked] == [endpoint.method]
    assert re.fullmatch(pattern(endpoint.path(version)), asked[0][1]), asked


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
async def test_the_method_is_there_and_in_the_readme(endpoint: Endpoint) -> None:
    """The client has the method by the name that the README's table gives it."""
    async with MeetingsClient("token") as hubspot:
        assert callable(attrgetter(endpoint.name)(hubspot))
    assert endpoint.row() in README


@pytest.mark.skipif(
    "HUBSPOT_SPECS" not in os.environ, reason="HUBSPOT_SPECS names no folder with HubSpot's OpenAPI files"
)
def test_no_operation_of_the_specifications_is_missing() -> None:
    """Each operation in HubSpot's OpenAPI files is in the list, but those of versions this library does not speak."""
    listed = {(endpoint.method, re.sub(r"\{\w+\}", "{}", endpoint.path(version))) for endpoint, version in ROWS}
    missing = set()
    for file in Path(os.environ["HUBSPOT_SPECS"]).glob("*.openapi.json"):
        for path, operations in json.loads(file.read_text(encoding="utf-8"))["paths"].items():
            # The labels have two addresses, one of them an alias; 2025-09 is older than what the library speaks.
            if "/2025-09/" in path or path.startswith("/crm/associations/v4/"):
                continue
            form = re.sub(r"\{\w+\}", "{}", path)
            missing |= {(method.upper(), form) for method in operations} - listed
    assert missing == set()
