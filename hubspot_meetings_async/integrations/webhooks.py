"""HubSpot's webhooks: whether a delivery is HubSpot's own, and what happened in the account.

    check_signature(client_secret, method="POST", url="https://app.example.com/hubspot", body=body, headers=headers)
    for event in parse_events(body):
        match event:
            case PropertyChange(property_name="hs_meeting_outcome", property_value="COMPLETED"): ...

This module knows HubSpot's signatures and the forms of its events. It must not know web frameworks, the client, or how
a delivery came here.

HubSpot delivers up to 100 events at once, waits 5 s for a 2xx, and else tries again up to ten times within a day.
Events may come twice, and in another order than they happened in: compare `occurred_at`, or read the meeting.

HubSpot: https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide,
https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
"""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ..errors import ConfigurationError, WebhookRefused
from ..models.forms import Received
from ..models.tolerant import Moment, Text, tolerant_convert
from ..secret import Secret

__all__ = [
    "MAX_AGE_S",
    "MAX_SKEW_S",
    "SIGNATURE_HEADER",
    "TIMESTAMP_HEADER",
    "AssociationChange",
    "Creation",
    "Deletion",
    "Event",
    "Merge",
    "PropertyChange",
    "Restore",
    "check_signature",
    "client_secret_of",
    "parse_events",
]

SIGNATURE_HEADER: Final = "X-HubSpot-Signature-v3"
TIMESTAMP_HEADER: Final = "X-HubSpot-Request-Timestamp"

MAX_AGE_S: Final = 300.0
"""HubSpot asks to refuse what was signed longer ago."""
MAX_SKEW_S: Final = 60.0
"""How far HubSpot's clock may be ahead of this machine's."""

MEETINGS: Final = "0-47"
"""The object type id of meetings."""

# ---- signatures ---------------------------------------------------------------------------------------------------

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_UNIX_MS = re.compile(r"[0-9]{1,15}")

_DECODED: Final = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$",
    "%27": "'", "%28": "(", "%29": ")", "%2A": "*", "%2C": ",", "%3B": ";",
}  # fmt: skip
"""What HubSpot has decoded in the URL that it signs; every other escape stays as it is."""
_ESCAPES = re.compile("|".join(_DECODED), re.IGNORECASE)


def client_secret_of(client_secret: object) -> Secret:
    """An app's client secret, out of sight. Raises: ConfigurationError for what can not be one; never repeats it."""
    text = client_secret.reveal() if isinstance(client_secret, Secret) else client_secret
    if not isinstance(text, str) or not _VISIBLE.fullmatch(text):
        raise ConfigurationError(
            "client_secret must be the client secret of your HubSpot app: visible ASCII characters, without spaces or "
            "line ends"
        )
    return Secret(text)


def check_signature(
    client_secret: str | Secret,
    *,
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    now: Callable[[], float] = time.time,
) -> None:
    """Refuse a request that HubSpot did not sign (signature v3) within the last five minutes.

    Args:
        client_secret: that of the app which the webhooks belong to.
        url: the whole URL as HubSpot calls it, with its query, escapes as they came: behind a proxy that is not the
            URL that the application sees.
        body: the raw body, before anything has read or written it.
        headers: at least `X-HubSpot-Signature-v3` and `X-HubSpot-Request-Timestamp`, in any case.
        now: Unix seconds.

    Raises: WebhookRefused, whose `why` is `unsigned`, `stale` or `forged`; ConfigurationError for a `client_secret`
    that can not be one.
    """
    secret = client_secret_of(client_secret)
    found = {name.lower(): value for name, value in headers.items()}
    signature, timestamp = found.get(SIGNATURE_HEADER.lower()), found.get(TIMESTAMP_HEADER.lower())
    if signature is None or timestamp is None:
        missing = SIGNATURE_HEADER if signature is None else TIMESTAMP_HEADER
        raise WebhookRefused(f"the header {missing} is missing: this is no signed delivery of HubSpot", why="unsigned")
    if not _UNIX_MS.fullmatch(timestamp):
        raise WebhookRefused(f"the header {TIMESTAMP_HEADER} is no time in Unix milliseconds", why="unsigned")
    _check_age(now() - int(timestamp) / 1000)
    signed = _ESCAPES.sub(lambda escape: _DECODED[escape[0].upper()], url)
    source = b"".join(
        (method.upper().encode("utf-8", "replace"), signed.encode("utf-8", "replace"), body, timestamp.encode())
    )
    if not hmac.compare_digest(_signature(secret, source), signature.encode("utf-8", "replace")):
        raise WebhookRefused(
            "the signature does not fit the request: it was changed on the way or is not HubSpot's, or the client "
            "secret or the URL is not the one HubSpot signed with",
            why="forged",
        )


def _signature(secret: Secret, source: bytes) -> bytes:
    return base64.b64encode(hmac.digest(secret.reveal().encode(), source, "sha256"))


def _check_age(age_s: float) -> None:
    if age_s > MAX_AGE_S:
        raise WebhookRefused(
            f"the request was signed {age_s:.0f} s ago, and {MAX_AGE_S:.0f} s are allowed: it is a replay, or this "
            "machine's clock is wrong",
            why="stale",
        )
    if age_s < -MAX_SKEW_S:
        raise WebhookRefused(
            f"the request was signed {-age_s:.0f} s in the future: this machine's clock is wrong, or the request is "
            "not HubSpot's",
            why="stale",
        )


# ---- events -------------------------------------------------------------------------------------------------------


class Event(Received, frozen=True, kw_only=True):
    """Something that happened in an account.

    Of this class itself are the events of types that are not known here, and those that lack their documented form: of
    these, rely on `subscription_type` and `fields` only. `fields` is the event as it came, new fields included.

    `occurred_at` is in UTC. `event_id` need not be unique. `attempt_number` counts deliveries of this event from 0.
    `change_source` says what changed the record (`CRM_UI`, `INTEGRATION`, …).
    """

    subscription_type: str
    object_id: Text = ""
    object_type_id: Text = ""
    event_id: Text = ""
    subscription_id: Text = ""
    portal_id: Text = ""
    app_id: Text = ""
    occurred_at: Moment | None = None
    attempt_number: int = 0
    change_source: str | None = None
    change_flag: str | None = None
    source_id: Text | None = None
    fields: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])

    @property
    def of_meetings(self) -> bool:
        """Whether it is about a meeting (object type `0-47`)."""
        return self.object_type_id == MEETINGS


class Creation(Event, frozen=True, kw_only=True):
    """A record was created (`object.creation`)."""


class Deletion(Event, frozen=True, kw_only=True):
    """A record went to the recycling bin (`object.deletion`)."""


class Restore(Event, frozen=True, kw_only=True):
    """A record came back from the recycling bin (`object.restore`)."""


class PropertyChange(Event, frozen=True, kw_only=True):
    """A property of a record has a new value (`object.propertyChange`); None or `""` is no value.

    `is_sensitive`: the account marks the property as sensitive; its value belongs into no log.
    """

    property_name: str
    property_value: Text | None = None
    is_sensitive: bool | None = None


class Merge(Event, frozen=True, kw_only=True):
    """Records were merged (`object.merge`): `merged_object_ids` into `primary_object_id`.

    The result may be a record of a new id, `new_object_id`.
    """

    primary_object_id: Text
    merged_object_ids: tuple[Text, ...] = ()
    new_object_id: Text | None = None
    number_of_properties_moved: int | None = None


class AssociationChange(Event, frozen=True, kw_only=True):
    """Two records were associated, or are no longer (`association_removed`) (`object.associationChange`).

    HubSpot tells the same change from both sides, as two events.
    """

    from_object_id: Text
    to_object_id: Text
    from_object_type_id: Text = ""
    to_object_type_id: Text = ""
    association_type: str | None = None
    association_type_id: Text | None = None
    association_category: str | None = None
    association_removed: bool | None = None
    is_primary_association: bool | None = None

    @property
    def of_meetings(self) -> bool:
        """Whether it is about a meeting on either side."""
        return MEETINGS in (self.object_type_id, self.from_object_type_id, self.to_object_type_id)


_KINDS: Final[dict[str, type[Event]]] = {
    "creation": Creation,
    "deletion": Deletion,
    "restore": Restore,
    "propertyChange": PropertyChange,
    "merge": Merge,
    "associationChange": AssociationChange,
}


def parse_events(body: bytes) -> tuple[Event, ...]:
    """The events of a delivery, in HubSpot's order; check its signature first.

    One odd event spoils none beside it: see `Event`.

    Raises: WebhookRefused (`why` is `unreadable`) for a body that is not a JSON array of objects.
    """
    try:
        found = msgspec.json.decode(body, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WebhookRefused(f"the body is no JSON array of events: {error}", why="unreadable") from None
    return tuple(map(_event, found))


def _event(fields: dict[str, Any]) -> Event:
    # Generic subscriptions say object.creation, older ones contact.creation.
    name = str(fields.get("subscriptionType", ""))
    kind = _KINDS.get(name.rpartition(".")[2], Event)
    try:
        return tolerant_convert({**fields, "fields": fields}, kind)
    except (msgspec.ValidationError, RecursionError):
        return Event(subscription_type=name, fields=fields)
