"""The Structs: what goes out has HubSpot's form, what comes in is read tolerantly."""

import enum
import gc
import json
import math
from collections import ChainMap, OrderedDict, UserDict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubspot_meetings_async import models
from hubspot_meetings_async.errors import InvalidRecord
from hubspot_meetings_async.models import (
    Association,
    AssociationType,
    BatchResponse,
    Meeting,
    MeetingProperties,
    ObjectId,
    Page,
    UpsertedMeeting,
    property_values,
    to_company,
    to_contact,
    to_deal,
    to_ticket,
)
from hubspot_meetings_async.wire import encode

NAIVE = datetime(2026, 11, 23, 9, tzinfo=UTC).replace(tzinfo=None)


class Outcome(enum.StrEnum):
    DONE = "COMPLETED"


class Size(enum.Enum):
    BIG = 3


class OurMeeting(MeetingProperties, kw_only=True, omit_defaults=True):
    booking_ref: str | msgspec.UnsetType | None = msgspec.UNSET
    seats: int | msgspec.UnsetType | None = msgspec.field(default=msgspec.UNSET, name="number_of_seats")


class Word(str):
    """As lxml, numpy and template engines have them."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Number(int):
    pass


class Ratio(float):
    pass


class TestPropertyValues:
    @given(st.dictionaries(st.text(), st.text()))
    def test_strings_are_handed_back_untouched(self, given_: dict[str, str]) -> None:
        """A mapping of strings is not copied."""
        assert property_values(given_) is given_

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, ""),
            ("", ""),
            (True, "true"),
            (False, "false"),
            (7, "7"),
            (-(2**70), str(-(2**70))),
            (1.5, "1.5"),
            (3.0, "3"),
            (-0.0, "0"),
            (1e15, "1000000000000000.0"),
            (0.1, "0.1"),
            (Outcome.DONE, "COMPLETED"),
            (Size.BIG, "3"),
            (date(2026, 11, 23), "2026-11-23"),
            (datetime(2026, 11, 23, 9, tzinfo=UTC), "2026-11-23T09:00:00.000Z"),
            (datetime(2026, 11, 23, 9, 0, 0, 123_999, tzinfo=UTC), "2026-11-23T09:00:00.123Z"),
            (datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-11-23T03:30:00.000Z"),
            (("1", "2"), "1;2"),
            ([1, Size.BIG, Outcome.DONE], "1;3;COMPLETED"),
            ([True, 2.0], "true;2"),
            ((), ""),
        ],
    )
    def test_each_form(self, value: Any, expected: Any) -> None:
        """Every kind of value gets HubSpot's form, in a mapping and next to plain strings."""
        assert property_values({"title": "x", "p": value}) == {"title": "x", "p": expected}

    @pytest.mark.parametrize(
        "value",
        [
            NAIVE,
            math.nan,
            math.inf,
            -math.inf,
            Ratio("nan"),
            b"bytes",
            object(),
            {"a": 1},
            1j,
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
            datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
            ["a", None],
            pytest.param(10**5000, id="huge"),
            [math.nan],
            [NAIVE],
            [b"x"],
        ],
    )
    def test_what_has_no_form_is_refused_by_name(self, value: Any) -> None:
        """A value without a form at HubSpot is an InvalidRecord naming the property, never a null or the word None."""
        with pytest.raises(InvalidRecord, match="'p_name'"):
            property_values({"title": "x", "p_name": value})

    @pytest.mark.parametrize(
        "value", [None, "title", b"x", 5, [("a", "b")], {"a", "b"}, MeetingProperties, datetime(2026, 1, 1, tzinfo=UTC)]
    )
    def test_no_mapping_at_all(self, value: Any) -> None:
        """What is no mapping and no Struct is refused in words."""
        with pytest.raises(InvalidRecord, match="a mapping or a Struct, not"):
            property_values(value)

    @pytest.mark.parametrize(
        "kind", [OrderedDict, UserDict, ChainMap, MappingProxyType, lambda values: ChainMap({}, values)]
    )
    @pytest.mark.parametrize("values", [{"a": "b"}, {"a": 5, "b": None}])
    def test_every_mapping_travels(self, kind: Any, values: dict[str, Any]) -> None:
        """Any mapping, not only a dict, goes out as the JSON object it is."""
        given_: Mapping[str, Any] = kind(values)
        expected = {name: "" if value is None else str(value) for name, value in values.items()}
        assert json.loads(encode({"properties": property_values(given_)})) == {"properties": expected}

    def test_subclasses_of_plain_types_travel_as_their_value(self) -> None:
        """Values of str, int and float subclasses (numpy's among them) go out as what they are."""
        sent = json.loads(encode(property_values({"w": Word("x"), "n": Number(3), "f": Ratio(1.5)})))
        assert sent == {"w": "x", "n": "3", "f": "1.5"}
        assert json.loads(encode(property_values({"w": Word("x")}))) == {"w": "x"}

    def test_unset_is_left_out(self) -> None:
        """UNSET in a mapping means the same as in a Struct."""
        assert property_values({"a": msgspec.UNSET, "b": "x"}) == {"b": "x"}

    @given(
        st.dictionaries(
            st.text(max_size=5),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=5)
            | st.datetimes(timezones=st.none() | st.timezones())
            | st.dates()
            | st.binary(max_size=3)
            | st.lists(st.none() | st.text(max_size=3) | st.integers(), max_size=3),
            max_size=4,
        )
    )
    @example({"n": 10**5000})
    @example({"s": "\ud800"})
    def test_sent_as_json_or_refused_as_ours(self, properties: dict[str, Any]) -> None:
        """Whatever a record holds, it becomes a JSON object of strings, as HubSpot's schema has it, or is refused; a
        value is the empty string, which clears, only where it was empty."""
        try:
            body = encode(property_values(properties))
        except InvalidRecord:
            return
        sent = json.loads(body)
        assert sent.keys() == properties.keys()
        assert [name for name, value in sent.items() if not isinstance(value, str)] == []
        assert [
            name for name, value in sent.items() if value == "" and properties[name] not in (None, "", [], [""])
        ] == []


class TestMeetingProperties:
    def test_only_what_was_given(self) -> None:
        """Fields left UNSET are not sent; None and the empty string go out as what clears."""
        assert property_values(MeetingProperties(hs_meeting_title=None, hs_meeting_body="")) == {
            "hs_meeting_title": "",
            "hs_meeting_body": "",
        }

    def test_own_properties_by_subclass(self) -> None:
        """A subclass's fields go out beside the documented ones, under the names they are encoded by."""
        start = datetime(2026, 11, 23, 9, tzinfo=UTC)
        assert property_values(OurMeeting(hs_timestamp=start, booking_ref="b-1", seats=3)) == {
            "hs_timestamp": "2026-11-23T09:00:00.000Z",
            "booking_ref": "b-1",
            "number_of_seats": "3",
        }

    def test_lists_are_joined(self) -> None:
        """Tuples travel joined by semicolons."""
        assert property_values(MeetingProperties(hs_attachment_ids=("1", "2"))) == {"hs_attachment_ids": "1;2"}

    def test_names_are_hubspots(self) -> None:
        """Every field is spelled as HubSpot spells the property."""
        names = MeetingProperties.__struct_encode_fields__
        assert [name for name in names if not name.startswith(("hs_", "hubspot_"))] == []

    def test_typos_are_errors(self) -> None:
        """A property that does not exist can not be set."""
        with pytest.raises(TypeError):
            MeetingProperties(hs_meeting_titel="x")  # type: ignore[call-arg]


class TestAssociations:
    @pytest.mark.parametrize(
        ("maker", "type_id"), [(to_contact, 200), (to_company, 188), (to_deal, 212), (to_ticket, 226)]
    )
    def test_makers(self, maker: Any, type_id: int) -> None:
        """Each maker links by HubSpot's default type, with the id as a string."""
        expected = Association(ObjectId("101"), (AssociationType("HUBSPOT_DEFINED", type_id),))
        assert maker(101) == maker("101") == expected
        assert json.loads(encode(maker(101))) == {
            "to": {"id": "101"},
            "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}],
        }

    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            "x",
            "-1",
            "1.5",
            " 1",
            "1\n",
            "١٢",
            "²",
            -1,
            True,
            None,
            1.0,
            b"1",
            pytest.param(10**5000, id="huge"),
            "1" * 21,
        ],
    )
    def test_only_ids(self, wrong: Any) -> None:
        """What is no record id is refused, in words, and short ones."""
        with pytest.raises(InvalidRecord, match="a contact id is a number") as caught:
            to_contact(wrong)
        assert len(str(caught.value)) < 150


def read(kind: Any, value: Any) -> Any:
    return msgspec.json.Decoder(kind).decode(json.dumps(value))


class TestReceived:
    def test_a_whole_meeting(self) -> None:
        """Every documented member arrives, in Python's form."""
        meeting: Meeting = read(
            Meeting,
            {
                "id": "501",
                "properties": {"hs_meeting_title": None, "hs_object_id": "501"},
                "createdAt": "2026-11-01T10:00:00Z",
                "updatedAt": "2026-11-02T10:00:00.123Z",
                "archived": True,
                "archivedAt": "2026-11-03T10:00:00.000Z",
                "associations": {"contacts": {"results": [{"id": "101", "type": "meeting_event_to_contact"}]}},
                "propertiesWithHistory": {
                    "hs_meeting_title": [
                        {
                            "value": "x",
                            "timestamp": "2026-11-01T10:00:00Z",
                            "sourceType": "CRM_UI",
                            "sourceId": "userId:28604240",
                            "updatedByUserId": 28604240,
                        }
                    ]
                },
                "objectWriteTraceId": "t-1",
                "url": "https://app.hubspot.com/x",
                "warnings": [{"category": "C", "message": "m", "context": {"k": "v"}}],
                "somethingNew": {"deep": [1, 2]},
            },
        )
        assert meeting.created_at == datetime(2026, 11, 1, 10, tzinfo=UTC)
        assert meeting.updated_at == datetime(2026, 11, 2, 10, 0, 0, 123_000, tzinfo=UTC)
        assert meeting.archived
        assert meeting.archived_at is not None
        assert meeting.associations is not None
        assert meeting.associations["contacts"].results[0].type == "meeting_event_to_contact"
        assert meeting.properties_with_history is not None
        assert meeting.properties_with_history["hs_meeting_title"][0].updated_by_user_id == 28604240
        assert meeting.object_write_trace_id == "t-1"
        assert meeting.warnings[0].message == "m"

    @pytest.mark.parametrize("kind", [Meeting[models.PlainProperties], UpsertedMeeting[models.PlainProperties]])
    def test_a_million_meetings_are_nothing_to_the_garbage_collector(self, kind: Any) -> None:
        """Who keeps all meetings of an export does not pay for having them looked at again and again."""
        meeting = msgspec.json.decode(b'{"id":"1","properties":{"a":"b"}}', type=kind)
        assert not gc.is_tracked(meeting)
        assert not gc.is_tracked(meeting.properties)

    def test_the_least_meeting(self) -> None:
        """An id is all that a meeting must have."""
        meeting: Meeting = read(Meeting, {"id": "1"})
        assert (meeting.properties, meeting.warnings, meeting.associations) == ({}, (), None)

    @pytest.mark.parametrize("notice", [{"context": None}, {"message": None}, {"context": {"a": ["b"]}}, {}])
    def test_an_odd_notice_spoils_no_record(self, notice: dict[str, Any]) -> None:
        """The form of a warning never makes the meeting beside it unreadable."""
        assert read(Meeting, {"id": "1", "warnings": [notice]}).id == "1"

    @pytest.mark.parametrize("broken", [{}, {"id": None}, {"id": 5}, [], "x", None, 1])
    def test_without_an_id_it_is_no_meeting(self, broken: Any) -> None:
        """An answer that does not say which meeting is refused."""
        with pytest.raises(msgspec.ValidationError):
            read(Meeting, broken)

    @pytest.mark.parametrize(
        ("value", "after"),
        [
            ({"results": []}, None),
            ({"results": [], "paging": None}, None),
            ({"results": [], "paging": {}}, None),
            ({"results": [], "paging": {"next": None}}, None),
            ({"results": [], "paging": {"next": {"after": "502", "link": "https://evil.example/"}}}, "502"),
        ],
    )
    def test_the_cursor(self, value: Any, after: str | None) -> None:
        """`page.after` is the next cursor, or None on the last page, however HubSpot says so."""
        assert read(Page[Meeting], value).after == after

    @pytest.mark.parametrize(
        "entry",
        [
            {},
            {"status": "error", "category": "VALIDATION_ERROR", "message": "no", "context": {"ids": ["1"]}},
            {"status": 400, "message": None, "context": None, "errors": None, "subCategory": {"a": 1}},
            {"subCategory": "crm.x", "links": {}, "context": {"objectWriteTraceId": ["1"]}, "errors": [{"in": "x"}]},
            {"context": ["odd"], "errors": "odd", "id": 7},
        ],
    )
    def test_an_odd_error_spoils_no_result(self, entry: dict[str, Any]) -> None:
        """The form of a batch error never makes the results beside it unreadable."""
        answer: BatchResponse[Meeting] = read(
            BatchResponse[Meeting], {"status": "COMPLETE", "results": [{"id": "1"}], "errors": [entry], "numErrors": 1}
        )
        assert [meeting.id for meeting in answer.results] == ["1"]
        assert len(answer.errors) == 1

    @pytest.mark.parametrize(
        "broken", [{}, {"status": "COMPLETE"}, {"status": "COMPLETE", "results": None}, {"results": {}}, [], None, "x"]
    )
    def test_no_envelope_no_answer(self, broken: Any) -> None:
        """What is not the batch envelope is refused, and not read as an empty one."""
        with pytest.raises(msgspec.ValidationError):
            read(BatchResponse[Meeting], broken)

    def test_upserted(self) -> None:
        """`new` tells created from updated, and None that HubSpot did not say."""
        for new in (True, False, None):
            value = {"id": "1"} | ({} if new is None else {"new": new})
            assert read(UpsertedMeeting, value).new is new

    def test_every_public_name_is_exported(self) -> None:
        """`__all__` names things that exist."""
        assert [name for name in models.__all__ if not hasattr(models, name)] == []
