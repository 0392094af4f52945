"""Requests and answers as bytes: what goes out stays in its place, what comes in is a value or one of our errors."""

import json
import re
import string
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from hubspot_meetings_async.errors import (
    Conflict,
    DailyLimitExceeded,
    Forbidden,
    HubSpotError,
    HubSpotUnavailable,
    InvalidRecord,
    NotFound,
    RateLimited,
    RequestRejected,
    Unauthorized,
    UnexpectedResponse,
)
from hubspot_meetings_async.models import BatchError, BatchResponse, Meeting, Page, UpsertedMeeting
from hubspot_meetings_async.wire import Request, Response, encode, parse, query_string, rejection, segment

from . import sampling

CORRELATION_ID = "b8a4ff12-6a3a-4f2a-9d0e-0c4a5e5b1f10"
DECODERS: list[msgspec.json.Decoder[Any] | None] = [
    None,
    msgspec.json.Decoder(Meeting),
    msgspec.json.Decoder(Page[Meeting]),
    msgspec.json.Decoder(BatchResponse[Meeting]),
    msgspec.json.Decoder(BatchResponse[UpsertedMeeting]),
]


def asking(decoder: msgspec.json.Decoder[Any] | None = DECODERS[1]) -> Request[Any]:
    return Request(method="GET", path="/crm/v3/objects/meetings/1", decoder=decoder)


def refusal(response: Response, decoder: msgspec.json.Decoder[Any] | None = DECODERS[1]) -> HubSpotError:
    with pytest.raises(HubSpotError) as caught:
        parse(asking(decoder), response)
    assert caught.value.__cause__ is None
    return caught.value


class TestSegment:
    @given(value=st.text() | st.integers() | st.none() | st.floats() | st.binary() | st.lists(st.text(), max_size=2))
    @example(value=10**5000)
    def test_ids_are_digits_or_refused(self, value: Any) -> None:
        """With `digits`, 1-20 ASCII digits come out unchanged; everything else is an InvalidRecord."""
        try:
            text = segment(value, what="the id")
        except InvalidRecord:
            assert not isinstance(value, str) or not re.fullmatch("[0-9]{1,20}", value)
            assert not isinstance(value, int) or not 0 <= value < 10**20
            return
        assert re.fullmatch("[0-9]{1,20}", text)
        assert text == str(value)

    @given(value=st.text(min_size=1) | st.text("./%?#&\\;@ é", min_size=1))
    def test_a_value_never_leaves_its_segment(self, value: str) -> None:
        """A unique property's value becomes one segment that means the value and nothing else, or is refused."""
        try:
            text = segment(value, what="the value of ref", digits=False)
        except InvalidRecord:
            assert value in (".", "..") or not value.isprintable()
            return
        assert unquote(text) == value
        assert set(text) <= set(string.ascii_letters + string.digits + "%-._~")
        assert text not in (".", "..")

    @pytest.mark.parametrize(
        "value", ["", ".", "..", "a\nb", "\x00", "\x7f", "a\u202eb", "\ud800", None, True, 1.5, b"a"]
    )
    def test_what_has_no_segment_is_refused(self, value: Any) -> None:
        """Nothing, dots, control characters and what is no text are refused in words."""
        with pytest.raises(InvalidRecord, match="the value of ref"):
            segment(value, what="the value of ref", digits=False)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("../../contacts/1", "..%2F..%2Fcontacts%2F1"),
            ("1?archived=true", "1%3Farchived%3Dtrue"),
            ("1#f", "1%23f"),
            ("%2e%2e", "%252e%252e"),
            ("b 1", "b%201"),
            ("é", "%C3%A9"),
            (7, "7"),
        ],
    )
    def test_hostile_values_are_encoded_once(self, value: Any, expected: str) -> None:
        """Signs with a meaning in URLs lose it."""
        assert segment(value, what="x", digits=False) == expected


class TestQueryString:
    @given(
        st.dictionaries(
            st.sampled_from(["a", "b", "idProperty"]),
            st.none()
            | st.booleans()
            | st.text(st.characters(codec="utf-8"))
            | st.integers(0, 500)
            | st.lists(st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1), max_size=3)
            | st.sets(st.integers(), max_size=0),
        )
    )
    def test_a_server_reads_what_was_meant(self, parameters: dict[str, Any]) -> None:
        """Decoding the query gives the parameters back; None and empty lists are left out."""
        wanted = {}
        for name, value in parameters.items():
            if value is None or (isinstance(value, (list, set)) and not value):
                continue
            listed = ["true" if value else "false"] if isinstance(value, bool) else value
            wanted[name] = [",".join(listed)] if isinstance(listed, list) else [str(listed)]
        query = query_string(parameters)
        assert parse_qs(query, keep_blank_values=True, strict_parsing=bool(query)) == wanted
        assert set(query) <= set(string.ascii_letters + string.digits + "%-._~&=,")

    def test_half_characters_are_refused(self) -> None:
        """A lone surrogate has no UTF-8, and is refused as ours."""
        with pytest.raises(InvalidRecord, match="after"):
            query_string({"after": "\ud800"})

    @pytest.mark.parametrize("empty", [None, (), [], set(), frozenset(), iter(())])
    def test_nothing_is_left_out(self, empty: Any) -> None:
        """What is empty makes no parameter, whatever kind of empty it is."""
        assert query_string({"a": empty, "b": 1}) == "b=1"


class TestEncode:
    @pytest.mark.parametrize("value", ["\ud800", object(), {None: 1}, {(1,): 2}, pytest.param(10**5000, id="huge"), 1j])
    def test_what_json_can_not_say(self, value: Any) -> None:
        """Values without JSON are an InvalidRecord."""
        with pytest.raises(InvalidRecord, match="can not be written as JSON"):
            encode({"x": value})

    def test_deep_nesting_is_ours_too(self) -> None:
        """A value nested beyond the stack is an InvalidRecord, not a RecursionError."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(InvalidRecord):
            encode(deep)


class TestParse:
    @pytest.mark.parametrize(
        ("name", "decoder"),
        [
            ("create/created", DECODERS[1]),
            ("get/with_history", DECODERS[1]),
            ("list/page_with_associations", DECODERS[2]),
            ("list/last_page", DECODERS[2]),
            ("batch_create/multi_status", DECODERS[3]),
            ("batch_read/missing_ids", DECODERS[3]),
            ("batch_update/sorted_by_id", DECODERS[3]),
            ("batch_upsert/created_and_updated", DECODERS[4]),
            ("batch_archive/done", None),
            ("archive/done", None),
        ],
    )
    def test_documented_successes(self, name: str, decoder: msgspec.json.Decoder[Any] | None) -> None:
        """Every documented success answer decodes, and holds what it held."""
        value = parse(asking(decoder), sampling.response(name))
        if decoder is None:
            assert value is None
            return
        body = sampling.payload(name)
        expected = [item["id"] for item in body["results"]] if "results" in body else [body["id"]]
        found = [item.id for item in value.results] if "results" in body else [value.id]
        assert found == expected

    @pytest.mark.parametrize(
        ("name", "kind", "category", "properties"),
        [
            ("unknown_property", RequestRejected, "VALIDATION_ERROR", ("nope",)),
            ("bad_option", RequestRejected, "VALIDATION_ERROR", ("hs_meeting_outcome",)),
            ("bad_number", RequestRejected, "VALIDATION_ERROR", ("hubspot_owner_id",)),
            ("unknown_id", NotFound, None, ()),
            ("id_no_number", NotFound, "OBJECT_NOT_FOUND", ()),
            ("missing_member", RequestRejected, None, ()),
            ("required_property", RequestRejected, "VALIDATION_ERROR", ()),
            ("unique_value_taken", Conflict, "CONFLICT", ()),
            ("too_many_inputs", RequestRejected, "VALIDATION_ERROR", ()),
            ("duplicate_ids", RequestRejected, "VALIDATION_ERROR", ()),
            ("bad_association", RequestRejected, "VALIDATION_ERROR", ()),
            ("token_expired", Unauthorized, "EXPIRED_AUTHENTICATION", ()),
            ("no_token", Unauthorized, "INVALID_AUTHENTICATION", ()),
            ("missing_scopes", Forbidden, "MISSING_SCOPES", ()),
            ("ten_secondly", RateLimited, "RATE_LIMIT", ()),
            ("daily", DailyLimitExceeded, "RATE_LIMIT", ()),
            ("secondly", RateLimited, "RATE_LIMITS", ()),
        ],
    )
    def test_documented_refusals(
        self, name: str, kind: type[RequestRejected], category: str | None, properties: tuple[str, ...]
    ) -> None:
        """Every documented error body becomes the right exception, with category, correlation id and property."""
        response = sampling.response(f"errors/{name}")
        error = refusal(response)
        assert type(error) is kind
        assert isinstance(error, RequestRejected)
        assert (error.status, error.category, error.correlation_id) == (response.status, category, CORRELATION_ID)
        assert error.property_names == properties
        assert str(error).isprintable()
        assert "isValid" not in str(error)
        assert all(named in str(error) for named in properties)

    def test_what_the_contexts_say(self) -> None:
        """Lists that HubSpot sends along are there to be read."""
        assert dict(refusal_of("required_property").context) == {"properties": ("hs_pipeline_stage", "subject")}
        assert refusal_of("bad_association").context["objectId"] == ("424242",)
        forbidden = refusal_of("missing_scopes")
        assert isinstance(forbidden, Forbidden)
        assert forbidden.scopes == ("crm.objects.contacts.read",)
        assert [(d.code, d.message) for d in refusal_of("unknown_property").details] == [
            ("PROPERTY_DOESNT_EXIST", 'Property "nope" does not exist')
        ]

    def test_advice(self) -> None:
        """Where the user can do something about it, the message says what."""
        assert "token" in str(refusal_of("no_token"))
        assert "scope" in str(refusal_of("missing_scopes"))

    @pytest.mark.parametrize(
        ("name", "status", "wait_s", "correlation_id"),
        [
            ("locked", 423, None, CORRELATION_ID),
            ("migrating", 477, 86400.0, CORRELATION_ID),
            ("gateway_page", 502, None, None),
            ("edge_without_body", 524, None, None),
        ],
    )
    def test_out_of_service(self, name: str, status: int, wait_s: float | None, correlation_id: str | None) -> None:
        """423, 477 and 5xx are HubSpotUnavailable whatever the body, with the wait that was asked for."""
        error = refusal(sampling.response(f"errors/{name}"))
        assert type(error) is HubSpotUnavailable
        assert (error.status, error.retry_after_s, error.correlation_id) == (status, wait_s, correlation_id)

    @pytest.mark.parametrize(
        "status", [408, 423, 425, 477, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 525, 530, 599]
    )
    def test_statuses_of_trouble(self, status: int) -> None:
        """The statuses that prove nothing, or only "later", share one exception."""
        assert type(refusal(sampling.answer(status))) is HubSpotUnavailable

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, RequestRejected), (401, Unauthorized), (403, Forbidden), (404, NotFound), (405, RequestRejected),
         (409, Conflict), (411, RequestRejected), (413, RequestRejected), (414, RequestRejected),
         (415, RequestRejected), (422, RequestRejected), (429, RateLimited), (431, RequestRejected)],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "body", [None, b"<html>", b"[]", b"null", b'"x"', b"5", b"\xff\xfe", b'{"message":5}', b"[" * 100_000]
    )
    def test_refusals_without_hubspots_body(self, status: int, kind: type[HubSpotError], body: bytes | None) -> None:
        """A 4xx without HubSpot's error body is classified by its status alone, and shows how the body began."""
        assert type(refusal(sampling.answer(status, body))) is kind

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
    def test_redirects(self, status: int) -> None:
        """A redirect is an error that names its target; a target with control characters does no harm."""
        error = refusal(sampling.answer(status, Location="https://elsewhere.example/\r\n\x1b[2J"))
        assert type(error) is UnexpectedResponse
        assert error.status == status
        assert "https://elsewhere.example/" in str(error)
        assert "base_url" in str(error)

    @pytest.mark.parametrize("status", [100, 103, 199])
    def test_informational_statuses_are_unexpected(self, status: int) -> None:
        """A 1xx as the final answer is no success."""
        assert isinstance(refusal(sampling.answer(status)), UnexpectedResponse)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b'{"id":"1"', b"[]", b"null", b"123", b'"x"', b"<html><title>Login</title>", b"\xef\xbb\xbf{}",
         b'{"id":"\xff"}', b'{"id":"1","x":NaN}', b'{"id":"1","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"\x00"],
        ids=range(13),
    )  # fmt: skip
    @pytest.mark.parametrize("decoder", DECODERS[1:], ids=range(4))
    def test_unreadable_successes(self, body: bytes, decoder: msgspec.json.Decoder[Any]) -> None:
        """A 2xx whose body is not the documented shape is UnexpectedResponse with a short look at it, never a value."""
        error = refusal(sampling.answer(200, body, Content_Type="text/html"), decoder)
        assert type(error) is UnexpectedResponse
        assert error.status == 200
        assert "text/html" in str(error)

    def test_a_body_where_none_belongs(self) -> None:
        """A page of a captive portal does not pass for a done archive."""
        error = refusal(sampling.answer(200, b"<html>Please log in", Content_Type="text/html"), None)
        assert type(error) is UnexpectedResponse
        assert "Please log in" in str(error)

    @pytest.mark.parametrize("status", [200, 202, 204])
    def test_done_without_a_body(self, status: int) -> None:
        """A success without a body is what calls without an answer expect."""
        assert parse(asking(None), sampling.answer(status)) is None

    @pytest.mark.parametrize(
        ("value", "expected"),
        [("2", 2.0), ("0", 0.0), ("1.5", 1.5), ("1e9", 1e9), ("-5", None), ("abc", None), ("", None), ("nan", None),
         ("inf", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
    )  # fmt: skip
    def test_retry_after(self, value: str, expected: float | None) -> None:
        """`Retry-After` is a number of seconds, 0 or more; everything else counts as absent."""
        for status in (429, 503):
            error = refusal(sampling.answer(status, Retry_After=value))
            assert isinstance(error, (RateLimited, HubSpotUnavailable))
            assert error.retry_after_s == expected

    @pytest.mark.parametrize(
        ("name", "policy"), [("ten_secondly", "TEN_SECONDLY_ROLLING"), ("daily", "DAILY"), ("secondly", "SECONDLY")]
    )
    def test_policies(self, name: str, policy: str) -> None:
        """The limit that was hit is named, also where HubSpot names it only in its message."""
        error = refusal_of(name)
        assert isinstance(error, RateLimited)
        assert error.policy == policy

    def test_correlation_id_from_the_header(self) -> None:
        """Where the body has no correlation id, the header's is taken, whatever its case."""
        error = refusal(sampling.answer(400, {"message": "no"}, x_hubspot_correlation_id="c-7"))
        assert isinstance(error, RequestRejected)
        assert error.correlation_id == "c-7"

    def test_forged_lines(self) -> None:
        """Control and direction signs in HubSpot's words reach no terminal."""
        error = refusal(sampling.answer(400, {"message": "a\r\nERROR fake\x1b[31m\u202e", "category": "X"}))
        assert str(error) == "a��ERROR fake�[31m�"

    def test_a_megabyte_of_message(self) -> None:
        """A huge message is cut."""
        assert len(str(refusal(sampling.answer(400, {"message": "x" * 1_000_000})))) <= 500

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["id", "results", "errors", "message", "context", "status", "category", "paging", "next",
                             "after", "correlationId", "policyName", "subCategory", "properties", "propertyName",
                             "code", "in", "warnings", "associations", "createdAt", "new", "numErrors"]),
            inner, max_size=6),
        max_leaves=20,
    )  # fmt: skip

    @given(
        status=st.integers(100, 999),
        body=st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()),
        headers=st.dictionaries(
            st.sampled_from(
                ["Retry-After", "Location", "Content-Type", "X-HubSpot-Correlation-Id", "Content-Encoding"]
            ),
            st.text(max_size=20),
        ),
        decoder=st.sampled_from(DECODERS),
    )
    def test_only_our_errors_come_out(
        self, status: int, body: bytes, headers: dict[str, str], decoder: msgspec.json.Decoder[Any] | None
    ) -> None:
        """Any status with any body is a value or one of our errors, readable on one line."""
        seen: HubSpotError | None = None
        try:
            parse(asking(decoder), Response(status, CIMultiDict(headers), body))
        except HubSpotError as error:
            seen = error
        assert seen is not None or 200 <= status < 300
        assert seen is None or (seen.status == status and str(seen).isprintable())

    @given(value=json_values, status=st.sampled_from([400, 403, 409, 429]))
    def test_error_bodies_of_any_shape(self, value: Any, status: int) -> None:
        """HubSpot's error members may have any type or be missing; the error can be asked for everything."""
        error = refusal(sampling.answer(status, value))
        assert isinstance(error, RequestRejected)
        assert all(isinstance(name, str) for name in error.property_names)
        assert all(isinstance(item, str) for items in error.context.values() for item in items)
        if isinstance(error, Forbidden):
            assert all(isinstance(scope, str) for scope in error.scopes)


def refusal_of(name: str) -> RequestRejected:
    error = refusal(sampling.response(f"errors/{name}"))
    assert isinstance(error, RequestRejected)
    return error


class TestRejection:
    def test_the_packed_list_is_unpacked(self) -> None:
        """A 207 entry whose message packs a JSON list reads as a sentence, and names the property."""
        answer = parse(asking(DECODERS[3]), sampling.response("batch_create/multi_status"))
        error = rejection(answer.errors[0])
        assert str(error) == 'Property values were not valid: Property "nope" does not exist'
        assert error.property_names == ("nope",)
        assert error.context == {"objectWriteTraceId": ("b7f2-2",)}

    @pytest.mark.parametrize(
        ("category", "kind"),
        [
            ("OBJECT_NOT_FOUND", NotFound),
            ("CONFLICT", Conflict),
            ("VALIDATION_ERROR", RequestRejected),
            (None, RequestRejected),
        ],
    )
    def test_kinds(self, category: str | None, kind: type[RequestRejected]) -> None:
        """An entry has the kind its category stands for."""
        assert type(rejection(BatchError(category=category, message="no"))) is kind

    @given(TestParse.json_values)
    def test_any_entry(self, value: Any) -> None:
        """Every entry that decodes makes an error."""
        try:
            entry = msgspec.convert(value, BatchError)
        except msgspec.ValidationError:
            return
        assert str(rejection(entry))
