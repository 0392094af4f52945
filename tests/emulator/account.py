"""An account driven without sockets: requests go through the routes to the rules, answers come back as JSON values."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from hubspot_meetings_async.emulator import Behaviour, ManualClock, Portal
from hubspot_meetings_async.emulator.calls import Call
from hubspot_meetings_async.emulator.refusals import Refusal
from hubspot_meetings_async.emulator.routes import hubspot_routes

MEETINGS = "/crm/v3/objects/meetings"


class Account:
    """One portal with a clock that stands still."""

    def __init__(self, **behaviour: Any) -> None:
        self.clock = ManualClock()
        self.portal = Portal(behaviour=Behaviour(**behaviour), clock=self.clock)
        self.requests = 0
        self._routes = hubspot_routes()

    def send(self, method: str, url: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one request; a `bytes` body goes as it is."""
        parts = urlsplit(url)
        match = self._routes.match(method, parts.path)
        assert match.endpoint is not None, f"no route for {method} {url}"
        self.requests += 1
        call = Call(
            operation=match.operation,
            captures=match.captures,
            query=parse_qs(parts.query, keep_blank_values=True),
            body=body if isinstance(body, bytes) else msgspec.json.encode(body),
            url="http://test" + parts.path,
            number=self.requests,
            now_ms=self.clock.wall_ms(),
        )
        try:
            answer = match.endpoint(self.portal, call)
        except Refusal as refusal:
            return refusal.status, msgspec.json.decode(msgspec.json.encode(refusal.body("the-correlation-id")))
        return answer.status, msgspec.json.decode(msgspec.json.encode(answer.payload))

    def get(self, url: str) -> tuple[int, Any]:
        return self.send("GET", url)

    def post(self, url: str, body: Any) -> tuple[int, Any]:
        return self.send("POST", url, body)

    def create(self, **properties: Any) -> str:
        """Create a meeting; returns its id."""
        status, record = self.post(MEETINGS, {"properties": properties})
        assert status == 201, record
        return str(record["id"])

    def batch(self, name: str, inputs: list[Any], **members: Any) -> tuple[int, Any]:
        return self.post(f"{MEETINGS}/batch/{name}", {"inputs": inputs, **members})


def ids(payload: Any) -> list[str]:
    return [result["id"] for result in payload["results"]]
