"""K20: only what HubSpot signed within five minutes is believed, and every event comes out as what it is."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async import ConfigurationError, Secret, WebhookRefused
from hubspot_meetings_async.integrations.webhooks import (
    AssociationChange,
    Creation,
    Deletion,
    Event,
    Merge,
    PropertyChange,
    Restore,
    check_signature,
    parse_events,
)

from ..security.canaries import everything_told_by
from .deliveries import EVENT, NOW_S, SECRET, delivery, signed

URL = "https://app.example.com/hubspot/webhooks?team=sales"
BODY = delivery(EVENT)


def check(headers: dict[str, str], **other: Any) -> None:
    """As the receiver does it; raises when it is refused."""
    asked: dict[str, Any] = {"method": "POST", "url": URL, "body": BODY, "headers": headers, "now": lambda: NOW_S}
    secret = other.pop("secret", SECRET)
    check_signature(secret, **asked | other)


def refused(headers: dict[str, str], **other: Any) -> str:
    with pytest.raises(WebhookRefused) as caught:
        check(headers, **other)
    return caught.value.why


class TestSignature:
    def test_a_known_vector(self) -> None:
        """A delivery signed with another tool: printf … | openssl dgst -sha256 -hmac … -binary | base64."""
        headers = {
            "X-HubSpot-Signature-v3": "OBNKWZinlxBDSioAD45RDRIJ9pmkDk/ULjBAoKbFdNw=",
            "X-HubSpot-Request-Timestamp": "1795000000000",
        }
        check(headers, url="https://www.example.com/webhook_uri", body=b'[{"eventId":1}]', secret="yyyyyyyy-yyyy")

    def test_what_hubspot_signed(self) -> None:
        """It passes, with the secret as a string or hidden, and headers in any case."""
        headers = signed(BODY, url=URL)
        check(headers)
        check(headers, secret=Secret(SECRET))
        check({name.upper(): value for name, value in headers.items()})
        check({name.lower(): value for name, value in headers.items()}, method="post")

    @pytest.mark.parametrize(
        "changed",
        [
            {"body": BODY + b" "},
            {"body": BODY.replace(b"501", b"502")},
            {"body": b""},
            {"url": URL + "&x=1"},
            {"url": URL.replace("https", "http")},
            {"url": URL.replace("app.", "evil.")},
            {"method": "PUT"},
            {"secret": SECRET + "x"},
            {"secret": SECRET[:-1]},
        ],
        ids=range(9),
    )
    def test_tampering(self, changed: dict[str, Any]) -> None:
        """A change to the body, the URL, the method or the secret is noticed."""
        assert refused(signed(BODY, url=URL), **changed) == "forged"

    def test_the_timestamp_is_signed_too(self) -> None:
        """An old delivery does not become young by a new timestamp."""
        headers = signed(BODY, url=URL, at_s=NOW_S - 3600)
        assert refused(headers) == "stale"
        assert refused(headers | {"X-HubSpot-Request-Timestamp": str(int(NOW_S * 1000))}) == "forged"

    @pytest.mark.parametrize(
        ("age_s", "why"),
        [
            (0, None),
            (299.999, None),
            (300, None),
            (300.001, "stale"),
            (86_400, "stale"),
            (-60, None),
            (-60.001, "stale"),
        ],
    )
    def test_five_minutes_by_the_wall_clock(self, age_s: float, why: str | None) -> None:
        """A replay after five minutes is refused, and so is what was signed in the future by more than a minute."""
        headers = signed(BODY, url=URL, at_s=NOW_S - age_s)
        if why is None:
            check(headers)
        else:
            assert refused(headers) == why

    def test_the_wall_clock_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without `now`, the time is the system's."""
        headers = signed(BODY, url=URL, at_s=1_000_000_000)
        with pytest.raises(WebhookRefused, match=r"clock"):
            check_signature(SECRET, method="POST", url=URL, body=BODY, headers=headers)

    @pytest.mark.parametrize("missing", ["X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"])
    def test_a_missing_header_is_named(self, missing: str) -> None:
        """Without signature or timestamp nothing is believed; the older signatures count for nothing."""
        headers = signed(BODY, url=URL) | {"X-HubSpot-Signature": "0" * 64, "X-HubSpot-Signature-Version": "v1"}
        del headers[missing]
        with pytest.raises(WebhookRefused, match=missing) as caught:
            check(headers)
        assert caught.value.why == "unsigned"

    @pytest.mark.parametrize(
        "stamp", ["", " ", "abc", "-1", "+1795000000000", "1795000000000 ", "1.795e12", "١٧٩٥", "9" * 400]
    )
    def test_a_timestamp_that_is_none(self, stamp: str) -> None:
        """Signed or not: what is no number of milliseconds is refused, and is no other error."""
        assert refused(signed(BODY, url=URL) | {"X-HubSpot-Request-Timestamp": stamp}) == "unsigned"

    @pytest.mark.parametrize("signature", ["", "=", "é", "\ud800", "A" * 44, "x" * 100_000])
    def test_a_signature_that_is_none(self, signature: str) -> None:
        """Whatever stands there is compared, and is no other error."""
        assert refused(signed(BODY, url=URL) | {"X-HubSpot-Signature-v3": signature}) == "forged"

    @pytest.mark.parametrize(
        ("called", "signs"),
        [
            ("https://a.example/w?q=a%3Ab%2Fc%3Fd%40e", "https://a.example/w?q=a:b/c?d@e"),
            ("https://a.example/w?q=%21%24%27%28%29%2A%2C%3B", "https://a.example/w?q=!$'()*,;"),
            ("https://a.example/w?q=%3a%2f%2a%2c", "https://a.example/w?q=:/*,"),
            ("https://a.example/w?q=a%20b%26c%3Dd%25e%2Bf+g%23", "https://a.example/w?q=a%20b%26c%3Dd%25e%2Bf+g%23"),
            ("https://a.example/w?q=%253A", "https://a.example/w?q=%253A"),
            ("https://a.example/caf%C3%A9?q=%E4%BC%9A", "https://a.example/caf%C3%A9?q=%E4%BC%9A"),
            ("https://a.example/café?q=会", "https://a.example/café?q=会"),
        ],
        ids=range(7),
    )
    def test_escapes_in_the_url(self, called: str, signs: str) -> None:
        """HubSpot signs the URL with twelve characters decoded, and everything else as it was."""
        check(signed(BODY, url=signs), url=called)
        if called != signs:
            assert refused(signed(BODY, url=called), url=called) == "forged"

    def test_the_raw_body_counts(self) -> None:
        """Bytes, in any encoding or none; not what a JSON reader would make of them."""
        for body in ('[{"propertyValue":"会议 café"}]'.encode(), b"\xff\xfe\x00", b'[ {"a" : 1} ]\r\n', b""):
            check(signed(body, url=URL), body=body)
            assert refused(signed(body, url=URL), body=body + b"\n") == "forged"

    def test_the_comparison_takes_the_same_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was sent and what was expected meet in `hmac.compare_digest` and nowhere else."""
        compared: list[tuple[bytes, bytes]] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return True

        monkeypatch.setattr("hmac.compare_digest", compare)
        check(signed(BODY, url=URL) | {"X-HubSpot-Signature-v3": "anything"})
        assert compared == [(signed(BODY, url=URL)["X-HubSpot-Signature-v3"].encode(), b"anything")]

    @given(body=st.binary(max_size=200), query=st.text(max_size=30), secret=st.text("abc-123", min_size=1, max_size=80))
    def test_round_trip(self, body: bytes, query: str, secret: str) -> None:
        """Whatever is signed for an URL passes, and not with another body or secret."""
        url = "https://a.example/w?q=" + query.encode("utf-8", "replace").hex()
        at_ms = str(int(NOW_S * 1000))
        source = b"POST" + url.encode() + body + at_ms.encode()
        signature = base64.b64encode(hmac.new(secret.encode(), source, "sha256").digest()).decode()
        headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": at_ms}
        check(headers, url=url, body=body, secret=secret)
        assert refused(headers, url=url, body=body + b"x", secret=secret) == "forged"
        assert refused(headers, url=url, body=body, secret=secret + "x") == "forged"

    @pytest.mark.parametrize("secret", ["", " ", "a b", "secret\n", "sécret", None, b"bytes", 7, Secret("")])
    def test_a_client_secret_that_can_not_be_one(self, secret: Any) -> None:
        """An empty secret would let everybody sign: it is refused in words, which do not repeat it."""
        with pytest.raises(ConfigurationError, match="client_secret") as caught:
            check(signed(BODY, url=URL), secret=secret)
        assert not isinstance(secret, str) or not secret.strip() or secret not in str(caught.value)

    @pytest.mark.parametrize("forge", [lambda h: h, lambda h: {}, lambda h: h | {"X-HubSpot-Request-Timestamp": "1"}])
    def test_refusals_tell_no_secret(self, forge: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Neither the client secret nor the right signature are in the error or in what hangs on it."""
        right = signed(BODY, url=URL)["X-HubSpot-Signature-v3"]
        with pytest.raises(WebhookRefused) as caught:
            check_signature(
                Secret(SECRET),
                method="POST",
                url=URL,
                body=BODY,
                headers=forge(signed(BODY + b" ", url=URL)),
                now=lambda: NOW_S,
            )
        told = everything_told_by(caught.value)
        assert SECRET not in told
        assert right not in told


class TestEvents:
    def test_a_property_change(self) -> None:
        """Ids are strings, as everywhere in the library; the time is aware."""
        (event,) = parse_events(BODY)
        assert isinstance(event, PropertyChange)
        assert (event.property_name, event.property_value) == ("hs_meeting_outcome", "COMPLETED")
        assert (event.object_id, event.object_type_id, event.portal_id, event.app_id) == (
            "501",
            "0-47",
            "62515",
            "1160452",
        )
        assert (event.event_id, event.subscription_id) == ("3816279340", "25")
        assert event.occurred_at == datetime.fromtimestamp(1_794_999_998, UTC)
        assert (event.attempt_number, event.change_source) == (0, "CRM_UI")
        assert event.of_meetings
        assert event.fields == EVENT

    @pytest.mark.parametrize(
        ("name", "kind", "more"),
        [
            ("object.creation", Creation, {}),
            ("object.deletion", Deletion, {}),
            ("object.restore", Restore, {}),
            ("object.propertyChange", PropertyChange, {"propertyName": "a", "propertyValue": None}),
            ("object.merge", Merge, {"primaryObjectId": 1, "mergedObjectIds": [2]}),
            ("object.associationChange", AssociationChange, {"fromObjectId": 1, "toObjectId": 2}),
            ("contact.creation", Creation, {}),
            ("object.newThing", Event, {"anything": {"at": "all"}}),
            ("", Event, {}),
        ],
    )
    def test_every_type_has_its_class(self, name: str, kind: type[Event], more: dict[str, Any]) -> None:
        """Types that are not known are plain events."""
        (event,) = parse_events(delivery({"subscriptionType": name, "objectId": 7} | more))
        assert type(event) is kind
        assert (event.subscription_type, event.object_id) == (name, "7")
        assert event.fields["objectId"] == 7

    def test_a_merge(self) -> None:
        """Many into one, which may be new."""
        fields = {"primaryObjectId": 1, "mergedObjectIds": [2, 3], "newObjectId": 4, "numberOfPropertiesMoved": 9}
        (event,) = parse_events(delivery({"subscriptionType": "object.merge", "objectTypeId": "0-47"} | fields))
        assert isinstance(event, Merge)
        assert (event.primary_object_id, event.merged_object_ids, event.new_object_id) == ("1", ("2", "3"), "4")
        assert event.number_of_properties_moved == 9

    @pytest.mark.parametrize(
        ("types", "of_meetings"),
        [
            ({"fromObjectTypeId": "0-47", "toObjectTypeId": "0-1"}, True),
            ({"fromObjectTypeId": "0-1", "toObjectTypeId": "0-47"}, True),
            ({"fromObjectTypeId": "0-1", "toObjectTypeId": "0-3"}, False),
        ],
    )
    def test_an_association(self, types: dict[str, str], of_meetings: bool) -> None:
        """Meetings may stand on either side."""
        fields = {"fromObjectId": 501, "toObjectId": 101, "associationRemoved": True, "associationTypeId": 200}
        (event,) = parse_events(delivery({"subscriptionType": "object.associationChange"} | fields | types))
        assert isinstance(event, AssociationChange)
        assert (event.from_object_id, event.to_object_id, event.association_removed) == ("501", "101", True)
        assert event.association_type_id == "200"
        assert event.of_meetings is of_meetings

    def test_events_of_other_objects(self) -> None:
        """A contact's event says so."""
        (event,) = parse_events(delivery(EVENT | {"objectTypeId": "0-1"}))
        assert not event.of_meetings

    def test_a_full_delivery(self) -> None:
        """A hundred events come out in their order."""
        found = parse_events(delivery(*(EVENT | {"objectId": number} for number in range(100))))
        assert [event.object_id for event in found] == [str(number) for number in range(100)]
        assert parse_events(b"[]") == ()

    def test_new_fields_and_nulls(self) -> None:
        """What HubSpot adds later is in `fields`; what it leaves empty is no error."""
        empty = dict.fromkeys(("changeSource", "changeFlag", "sourceId", "propertyValue", "eventId", "objectTypeId"))
        (event,) = parse_events(delivery(EVENT | empty | {"isSensitive": True, "shiny": [1]}))
        assert isinstance(event, PropertyChange)
        assert (event.property_value, event.event_id, event.is_sensitive) == (None, "", True)
        assert event.fields["shiny"] == [1]

    @pytest.mark.parametrize(
        "odd",
        [
            {"occurredAt": "yesterday"},
            {"occurredAt": 10**30},
            {"attemptNumber": "many"},
            {"objectId": {"id": 1}},
            {"propertyName": None},
            {"changeSource": 7},
            {"subscriptionType": ["object.creation"]},
        ],
        ids=range(7),
    )
    def test_an_odd_event_spoils_none_beside_it(self, odd: dict[str, Any]) -> None:
        """It is a plain event with its fields; its neighbours are whole. Refusing all would lose them in the end."""
        found = parse_events(delivery(EVENT, EVENT | odd, EVENT))
        assert [type(event) for event in found] == [PropertyChange, Event, PropertyChange]
        assert found[1].fields == EVENT | odd

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b'"x"',
            b"[1]",
            b"[[]]",
            b"[{]",
            b"\xff",
            b"null",
            b"[" * 200_000,
            b'[{"a":' + b"[" * 200_000,
            b"[" + b"9" * 9_000,
        ],
        ids=range(11),
    )
    def test_a_body_that_holds_no_events(self, body: bytes) -> None:
        """Refused as unreadable, whatever it is."""
        with pytest.raises(WebhookRefused) as caught:
            parse_events(body)
        assert caught.value.why == "unreadable"

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*EVENT, "x"]), inner),
        )
    )
    def test_any_json(self, value: Any) -> None:
        """Whatever comes, there are events or a refusal."""
        body = json.dumps([value, EVENT | (value if isinstance(value, dict) else {})]).encode()
        try:
            events = parse_events(body)
        except WebhookRefused:
            assert not isinstance(value, dict)
        else:
            assert len(events) == 2


def test_no_framework_is_needed() -> None:
    """Webhooks work where FastAPI is not installed."""
    code = (
        "import sys; sys.modules['fastapi'] = sys.modules['starlette'] = None\n"
        "import hubspot_meetings_async.integrations.webhooks as w; print(len(w.parse_events(b'[{}]')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
