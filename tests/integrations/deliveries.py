"""Webhook deliveries as HubSpot would send them, signed by hand: nothing here comes from the library."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

SECRET = "cl13nt-c4n4ry-9f2e7"
NOW_S = 1_795_000_000.0

EVENT: dict[str, Any] = {
    "eventId": 3816279340,
    "subscriptionId": 25,
    "portalId": 62515,
    "appId": 1160452,
    "occurredAt": 1_794_999_998_000,
    "subscriptionType": "object.propertyChange",
    "attemptNumber": 0,
    "changeSource": "CRM_UI",
    "objectTypeId": "0-47",
    "objectId": 501,
    "propertyName": "hs_meeting_outcome",
    "propertyValue": "COMPLETED",
}


def delivery(*events: dict[str, Any]) -> bytes:
    """The body of a delivery."""
    return json.dumps(events).encode()


def signed(body: bytes, *, url: str, method: str = "POST", at_s: float = NOW_S, secret: str = SECRET) -> dict[str, str]:
    """Headers for `url`, which stands as it is signed: without any decoding."""
    at_ms = str(int(at_s * 1000))
    # HMAC as RFC 2104 writes it, not by Python's hmac, which the library uses.
    key = secret.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
    inner.update(method.encode() + url.encode() + body + at_ms.encode())
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner.digest())
    return {
        "X-HubSpot-Signature-v3": base64.b64encode(outer.digest()).decode(),
        "X-HubSpot-Request-Timestamp": at_ms,
    }
