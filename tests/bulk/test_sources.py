"""Files become records; what can not be read is named with its line, and the rest goes on."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async.bulk.sources import Broken, Columns, Format, Source, records
from hubspot_meetings_async.errors import ConfigurationError
from hubspot_meetings_async.inputs import Record
from hubspot_meetings_async.models import to_company, to_contact


def read(
    content: str | bytes, format: Format | None = None, *, warnings: list[str] | None = None, **settings: Any
) -> list[Record | Broken]:
    raw = content if isinstance(content, bytes) else content.encode()
    encoding = settings.pop("encoding", "utf-8")
    columns = Columns(**settings) if settings else None
    heard: list[str] = [] if warnings is None else warnings
    stream = io.BufferedReader(io.BytesIO(raw))
    with Source(stream, format=format, columns=columns, encoding=encoding, on_warning=heard.append) as source:
        return list(source)


def good(items: Iterable[Record | Broken]) -> list[tuple[int, Any]]:
    return [(item.ref, item.properties) for item in items if isinstance(item, Record)]


def bad(items: Iterable[Record | Broken]) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in items if isinstance(item, Broken)]


class TestJsonl:
    def test_a_flat_object_is_the_properties(self) -> None:
        items = read('{"hs_meeting_title": "Kick-off", "seats": 3, "done": true, "notes": null}\n')
        assert good(items) == [(1, {"hs_meeting_title": "Kick-off", "seats": 3, "done": True, "notes": None})]

    def test_an_id_beside_the_properties_is_the_id(self) -> None:
        (item,) = read('{"id": "501", "hs_meeting_title": "x"}')
        assert isinstance(item, Record)
        assert (item.id, item.properties) == ("501", {"hs_meeting_title": "x"})

    def test_hubspots_own_input_shape(self) -> None:
        association = {
            "to": {"id": 101},
            "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}],
        }
        value = {
            "id": 7,
            "properties": {"a": "1"},
            "associations": [association],
            "objectWriteTraceId": "t",
        }
        (item,) = read(json.dumps(value))
        assert item == Record(
            id=7, properties={"a": "1"}, associations=(to_contact(101),), object_write_trace_id="t", ref=1
        )

    def test_a_line_of_a_rejects_file_is_pushed_again(self) -> None:
        reject = {"line": 12, "outcome": "rejected", "reason": "…", "correlation_id": None}
        items = read(
            json.dumps(reject | {"record": {"properties": {"a": "mended"}}})
            + "\n"
            + json.dumps(reject | {"record": {"a": "flat"}})
            + "\n"
            + json.dumps(reject | {"record": None, "text": "{broken"})
            + "\n"
        )
        assert good(items) == [(1, {"a": "mended"}), (2, {"a": "flat"})]
        assert [line for line, _ in bad(items)] == [3]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ('{"a": "1"', "truncated"),
            ("{'a': 1}", "malformed"),
            ("[1, 2]", "got `array`"),
            ('"text"', "got `str`"),
            ("null", "got `null`"),
            ('{"a": NaN}', "malformed"),
            ('{"a": 1} {"b": 2}', "trailing"),
            ('{"a": 1e999}', "out of range"),
            ('{"a": {"b": 1}}', "is an object"),
            ('{"id": [1]}', "an id is"),
            ('{"id": true, "properties": {}}', "an id is"),
            ('{"properties": {}, "titel": "x"}', "beside 'properties' there is titel"),
            ('{"properties": {}, "associations": [{"to": 1}]}', "associations are not"),
            ('{"properties": {}, "associations": {"contacts": []}}', "associations are not"),
            ('{"properties": {}, "objectWriteTraceId": 3}', "not as HubSpot"),
            ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "recursion"),
            ('{"a": "\\ud800"}', "not one JSON object"),
        ],
    )
    def test_a_broken_line_is_named_and_the_rest_goes_on(self, text: str, reason: str) -> None:
        items = read(f'{{"a": "before"}}\n{text}\n{{"a": "after"}}\n', "jsonl")
        assert good(items) == [(1, {"a": "before"}), (3, {"a": "after"})]
        ((line, said),) = bad(items)
        assert line == 2
        assert reason in said
        assert [item.text for item in items if isinstance(item, Broken)] == [text]

    def test_a_line_of_other_bytes_is_broken_and_shown(self) -> None:
        items = read(b'{"a": "1"}\n{"a": "M\xfcnchen"}\n{"a": "3"}\n')
        assert [line for line, _ in good(items)] == [1, 3]
        (broken,) = [item for item in items if isinstance(item, Broken)]
        assert broken.text == '{"a": "M\\xfcnchen"}'
        assert "byte 0xfc at position 9" in broken.reason

    def test_bom_crlf_blank_lines_and_no_newline_at_the_end(self) -> None:
        items = read(b'\xef\xbb\xbf\r\n{"a": "1"}\r\n   \r\n\r\n{"a": "2"}')
        assert good(items) == [(2, {"a": "1"}), (5, {"a": "2"})]
        assert not bad(items)

    def test_an_empty_file_holds_nothing(self) -> None:
        assert read("", "jsonl") == []
        assert read("\n \n", "jsonl") == []

    def test_a_line_without_end_is_broken_not_read_into_memory(self) -> None:
        items = read(b'{"a": "' + b"x" * (9 * 2**20) + b'"}\n{"a": "2"}\n')
        assert good(items) == [(2, {"a": "2"})]
        ((line, reason),) = bad(items)
        assert (line, reason) == (1, "the line is longer than 8 MiB")

    def test_settings_for_csv_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="for CSV"):
            read('{"a": "1"}', "jsonl", timezone="UTC")

    @given(st.lists(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}\Z").filter(lambda n: n != "id"), st.text())))
    def test_any_text_comes_through(self, rows: list[dict[str, str]]) -> None:
        for escaped in (True, False):
            lines = [json.dumps(row, ensure_ascii=escaped) for row in rows]
            if not escaped and any(0xD800 <= ord(c) < 0xE000 for line in lines for c in line):
                continue
            items = read("\n".join(lines), "jsonl")
            assert [properties for _, properties in good(items)] == rows

    @given(st.binary(max_size=400))
    def test_any_bytes_give_records_or_broken_lines(self, content: bytes) -> None:
        """Every line that is not blank ends in exactly one item, whatever it holds."""
        try:
            items = read(content, "jsonl")
        except ConfigurationError:
            assert content.startswith((b"\xff\xfe", b"\xfe\xff"))
            return
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        filled = [n for n, line in enumerate(lines, 1) if line.decode("utf-8", "backslashreplace").strip()]
        assert [item.ref if isinstance(item, Record) else item.line for item in items] == filled


OUTLOOK = (
    '"Subject","Start Date","Start Time","End Date","End Time","Location","Description"\r\n'
    '"Kick-off","5/14/2026","2:30:00 PM","5/14/2026","3:30:00 PM","Room 5","Agenda:\r\n- one, two"\r\n'
    '"Lunch","12/1/2026","12:00:00 PM","12/1/2026","12:30:00 AM","",""\r\n'
)
CALENDAR = {
    "Subject": "hs_meeting_title",
    "Start Date+Start Time": "hs_meeting_start_time",
    "End Date+End Time": "hs_meeting_end_time",
    "Location": "hs_meeting_location",
    "Description": "hs_meeting_body",
}


class TestCsv:
    def test_columns_named_like_properties_are_those(self) -> None:
        items = read("id,hs_meeting_title,booking_ref\n12,Kick-off,b-1\n")
        (item,) = items
        assert isinstance(item, Record)
        assert (item.id, item.properties) == ("12", {"hs_meeting_title": "Kick-off", "booking_ref": "b-1"})

    def test_a_calendar_export(self) -> None:
        """Two columns make one time, local times become UTC, empty cells are left out, line numbers count lines."""
        warnings: list[str] = []
        items = read(OUTLOOK, "csv", warnings=warnings, mapped=CALENDAR, timezone="Europe/Berlin")
        assert good(items) == [
            (
                2,
                {
                    "hs_meeting_title": "Kick-off",
                    "hs_meeting_start_time": "2026-05-14T12:30:00.000Z",
                    "hs_meeting_end_time": "2026-05-14T13:30:00.000Z",
                    "hs_meeting_location": "Room 5",
                    "hs_meeting_body": "Agenda:\r\n- one, two",
                    "hs_timestamp": "2026-05-14T12:30:00.000Z",
                },
            ),
            (
                4,
                {
                    "hs_meeting_title": "Lunch",
                    "hs_meeting_start_time": "2026-12-01T11:00:00.000Z",
                    "hs_meeting_end_time": "2026-11-30T23:30:00.000Z",
                    "hs_timestamp": "2026-12-01T11:00:00.000Z",
                },
            ),
        ]
        assert len(warnings) == 1
        assert "month first" in warnings[0]

    def test_columns_that_are_no_properties_are_named_once(self) -> None:
        warnings: list[str] = []
        items = read("hs_meeting_title,All day event,,Private\na,b,c,d\ne,f,g,h\n", warnings=warnings)
        assert good(items) == [(2, {"hs_meeting_title": "a"}), (3, {"hs_meeting_title": "e"})]
        assert warnings == [
            "columns that are no properties and are left out: All day event, (column 3 has no name), Private"
        ]

    def test_a_column_can_be_left_out(self) -> None:
        assert good(read("hs_meeting_title,notes\na,b\n", mapped={"notes": ""})) == [(2, {"hs_meeting_title": "a"})]

    def test_a_column_with_a_plus_in_its_name(self) -> None:
        items = read("Name+1,b\nx,y\n", mapped={"Name+1": "hs_meeting_title"})
        assert good(items) == [(2, {"hs_meeting_title": "x", "b": "y"})]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_the_delimiter_follows_from_the_header(self, delimiter: str) -> None:
        content = f'a{delimiter}"b,;"{delimiter}c\n1{delimiter}2{delimiter}3\n'
        assert good(read(content, "csv")) == [(2, {"a": "1", "c": "3"})]

    def test_bom_and_blank_rows(self) -> None:
        items = read(b"\xef\xbb\xbf\r\na,b\r\n\r\n1,2\r\n,\r\n3,4")
        assert good(items) == [(4, {"a": "1", "b": "2"}), (6, {"a": "3", "b": "4"})]

    def test_contacts_and_companies(self) -> None:
        items = read("a,People,Firm\nx,101; 102;,7\ny,,\n", associated={"contact": "People", "company": "Firm"})
        assert [item.associations for item in items if isinstance(item, Record)] == [
            (to_contact(101), to_contact(102), to_company(7)),
            (),
        ]

    def test_an_id_that_is_none_breaks_its_row_only(self) -> None:
        items = read("a,People\nx,bob@example.com\ny,5\n", associated={"contact": "People"})
        assert bad(items) == [(2, "a contact id is a number, not 'bob@example.com'")]
        assert good(items) == [(3, {"a": "y"})]

    def test_an_empty_file_holds_nothing(self) -> None:
        assert read("", "csv") == []
        assert read("\n\r\n", "csv") == []
        assert read("a,b\n", "csv") == []

    def test_a_file_in_another_encoding(self) -> None:
        content = "a,b\nMünchen,1\nx,2\n".encode("cp1252")
        items = read(content)
        assert good(items) == [(3, {"a": "x", "b": "2"})]
        assert "byte 0xfc at position 2 is no utf-8" in bad(items)[0][1]
        assert good(read(content, encoding="cp1252"))[0] == (2, {"a": "München", "b": "1"})

    @pytest.mark.parametrize("encoding", ["utf-16", "nonsense", "base64"])
    def test_an_encoding_that_can_not_be_used(self, encoding: str) -> None:
        with pytest.raises(ConfigurationError):
            read("a\n1\n", encoding=encoding)

    def test_utf_16_is_refused_with_advice(self) -> None:
        with pytest.raises(ConfigurationError, match="save it as UTF-8"):
            read("a\tb\n1\t2\n".encode("utf-16"), "csv")

    @pytest.mark.parametrize(
        ("header", "settings", "reason"),
        [
            ("Kick-off,5/14/2026", {}, "no column of the header is a property: Kick-off, 5/14/2026"),
            ("a,a", {}, "more than one column of the file gives a"),
            ("a,Subject", {"mapped": {"Subject": "a"}}, "more than one column of the file gives a"),
            ("a,Subject,Subject", {"mapped": {"Subject": "b"}}, "is there 2 times"),
            ("a,b", {"mapped": {"Subject": "c"}}, "the column 'Subject' is not there; the file has: a, b"),
            ("a,b", {"mapped": {"Start Date+a": "c"}}, "the column 'Start Date' is not there"),
            ("a,b", {"associated": {"contact": "People"}}, "the column 'People' is not there"),
            ('a,"b', {}, r"the header \(line 1\) can not be read"),
            ("a\rb\r1", {}, r"the header \(line 1\) can not be read"),
        ],
    )
    def test_a_header_that_makes_no_sense(self, header: str, settings: dict[str, Any], reason: str) -> None:
        """The call fails at once, before anything is sent."""
        with pytest.raises(ConfigurationError, match=reason):
            read(f"{header}\n1,2\n", "csv", **settings)

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"mapped": {"Subject": "No Property"}}, "'No Property' is no property name"),
            ({"associated": {"cat": "a"}}, "'cat' can not be associated"),
            ({"timezone": "Europe/Berlni"}, "no time zone 'Europe/Berlni'"),
            ({"timezone": "../etc/passwd"}, "no time zone"),
            ({"timezone": ""}, "no time zone"),
        ],
    )
    def test_a_setting_that_makes_no_sense(self, settings: dict[str, Any], reason: str) -> None:
        with pytest.raises(ConfigurationError, match=reason):
            Columns(**settings)

    @given(
        st.lists(
            st.tuples(*[st.text(st.characters(exclude_categories=["Cs"])) for _ in range(3)]).filter(
                lambda row: any(cell.strip() for cell in row)
            )
        ),
        # With "\n" and minimal quotes csv leaves a carriage return bare, which nobody can tell from a line end.
        st.sampled_from([("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]),
    )
    def test_any_text_comes_through(self, rows: list[tuple[str, ...]], way: tuple[str, Any]) -> None:
        """What csv writes is read back; a row's line is where it begins."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator=way[0], quoting=way[1])
        writer.writerow("abc")
        starts: list[int] = []
        for row in rows:
            starts.append(file.getvalue().count("\n") + 1)
            writer.writerow(row)
        expected = [{name: cell for name, cell in zip("abc", row, strict=True) if cell.strip()} for row in rows]
        assert good(read(file.getvalue(), "csv")) == list(zip(starts, expected, strict=True))

    @given(st.text(alphabet='ab,"\n\r', max_size=60))
    def test_any_text_gives_records_or_broken_rows(self, content: str) -> None:
        """No line is lost, whatever the quotes do: each is in one record, in one broken row, or blank."""
        stream = io.BufferedReader(io.BytesIO(("a,b\n" + content).encode()))
        with Source(stream, format="csv") as source:
            items = list(source)
            assert source.rows == len(items)
            starts = [item.ref if isinstance(item, Record) else item.line for item in items]
            assert starts == sorted(set(starts))
            assert source.line == ("a,b\n" + content).removesuffix("\n").count("\n") + 1

        def letters(text: str) -> int:
            return text.count("a") + text.count("b")

        kept = sum(letters(value) for _, properties in good(items) for value in properties.values())
        broken = sum(letters(item.text) for item in items if isinstance(item, Broken))
        assert kept + broken == letters(content)


class TestBrokenRows:
    def test_a_row_with_another_number_of_cells(self) -> None:
        items = read("a,b\n1,2\n3\n4,5,6\n7,8\n")
        assert bad(items) == [(3, "the row has 1 cells, the header 2"), (4, "the row has 3 cells, the header 2")]
        assert [line for line, _ in good(items)] == [2, 5]

    def test_text_after_a_closing_quote(self) -> None:
        items = read('a,b\n1,"x"y\n2,z\n')
        assert [line for line, _ in bad(items)] == [2]
        assert good(items) == [(3, {"a": "2", "b": "z"})]

    def test_an_unclosed_quote_takes_only_its_own_line(self) -> None:
        """Up to the end of the file."""
        items = read('a,b\n1,x\n2,"y\n3,z\n4,w\n\n')
        assert bad(items) == [(3, "a quote is opened here and not closed")]
        assert [line for line, _ in good(items)] == [2, 4, 5]

    def test_an_unclosed_quote_before_a_quoted_row(self) -> None:
        items = read('a,b\n2,"y\n3,z\n4,"w"\n5,"v\nv"\n')
        assert bad(items) == [(2, "a quote is opened here and not closed")]
        assert good(items) == [(3, {"a": "3", "b": "z"}), (4, {"a": "4", "b": "w"}), (5, {"a": "5", "b": "v\nv"})]

    def test_an_unclosed_quote_in_a_long_file(self) -> None:
        """csv gives up after 131,072 characters; the rows it swallowed by then are read again."""
        rows = "".join(f"{n},value {n}\n" for n in range(20_000))
        items = read('a,b\n0,"y\n' + rows)
        assert bad(items) == [(2, "a quote is opened here and not closed")]
        assert len(good(items)) == 20_000

    def test_an_unclosed_quote_in_the_last_line(self) -> None:
        items = read('a,b\n1,x\n2,"y\n')
        assert bad(items) == [(3, "a quote is opened here and not closed")]

    def test_a_letter_with_quotes_of_its_own_is_not_taken_for_rows(self) -> None:
        """Lines of a text that happen to have the right number of commas must not become meetings."""
        items = read('a,b\n1,"Dear Bob, hello\nyou said "yes", thanks\nsee you, Al"\n2,x\n')
        assert good(items) == [(5, {"a": "2", "b": "x"})]
        assert [line for line, _ in bad(items)] == [2, 4]

    def test_a_cell_beyond_the_limit(self) -> None:
        items = read('a,b\n1,"' + "x\n" * 100_000 + 'y",\n2,z\n')
        assert [line for line, _ in bad(items)] == [2]
        assert good(items)[-1][1] == {"a": "2", "b": "z"}

    def test_a_line_without_end(self) -> None:
        items = read(b"a,b\n1," + b"x" * (9 * 2**20) + b"\n2,z\n")
        assert bad(items) == [(2, "the line is longer than 8 MiB")]
        assert good(items) == [(3, {"a": "2", "b": "z"})]


class TestTimes:
    def utc(self, text: str, **settings: Any) -> str:
        (item,) = read(f'hs_meeting_start_time\n"{text}"\n', **settings)
        assert isinstance(item, Record), item.reason
        properties: Any = item.properties
        assert properties["hs_timestamp"] == properties["hs_meeting_start_time"]
        return str(properties["hs_timestamp"])

    def reason(self, text: str, **settings: Any) -> str:
        (item,) = read(f'hs_meeting_start_time\n"{text}"\n', **settings)
        assert isinstance(item, Broken), item
        return item.reason

    @pytest.mark.parametrize(
        "text",
        [
            "2026-05-14T12:30:00Z",
            "2026-05-14T14:30:00+02:00",
            "1778761800000",
            "2026-05-14T14:30",
            "2026-05-14 14:30:00",
            "2026-5-14 2:30 PM",
            "05/14/2026 14:30",
            "5/14/2026 2:30:00 PM",
            "5/14/2026, 2:30 p.m.",
            "14.05.2026 14:30",
            " 14.5.2026 14:30 ",
        ],
    )
    def test_ways_to_write_a_moment(self, text: str) -> None:
        assert self.utc(text, timezone="Europe/Berlin") == "2026-05-14T12:30:00.000Z"

    def test_a_date_alone_is_midnight(self) -> None:
        assert self.utc("14.05.2026", timezone="Europe/Berlin") == "2026-05-13T22:00:00.000Z"

    def test_noon_and_midnight(self) -> None:
        assert self.utc("5/14/2026 12:00 AM", timezone="UTC") == "2026-05-14T00:00:00.000Z"
        assert self.utc("5/14/2026 12:00 PM", timezone="UTC") == "2026-05-14T12:00:00.000Z"

    def test_a_format_of_ones_own(self) -> None:
        assert self.utc("14/05/26 1430", timezone="UTC", date_format="%d/%m/%y %H%M") == "2026-05-14T14:30:00.000Z"
        assert "does not match" in self.reason("2026-05-14", timezone="UTC", date_format="%d/%m/%y")

    def test_a_local_time_needs_a_zone(self) -> None:
        assert "--timezone" in self.reason("2026-05-14 14:30")

    def test_a_time_that_comes_twice_is_the_first(self) -> None:
        assert self.utc("2026-10-25 02:30", timezone="Europe/Berlin") == "2026-10-25T00:30:00.000Z"

    def test_a_time_that_never_comes_breaks_its_row(self) -> None:
        assert "does not exist in Europe/Berlin" in self.reason("2026-03-29 02:30", timezone="Europe/Berlin")

    @pytest.mark.parametrize(
        "text",
        ["soon", "31.02.2026", "13/13/2026", "5/14/2026 13:30 PM", "5/14/26", "0001-01-01", "99.99.9999", "14:30"],
    )
    def test_what_is_no_moment(self, text: str) -> None:
        assert "hs_meeting_start_time" in self.reason(text, timezone="Europe/Berlin")

    def test_other_columns_are_left_as_they_are(self) -> None:
        assert good(read("renewal\n5/14/2026\n")) == [(2, {"renewal": "5/14/2026"})]

    @given(st.integers(631_152_000_000, 3_786_912_000_000), st.sampled_from(["Europe/Berlin", "Asia/Tokyo"]))
    def test_any_moment_is_kept(self, milliseconds: int, zone: str) -> None:
        """The instant survives, to the millisecond, through every spelling that says its offset."""
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        local = instant.astimezone(ZoneInfo(zone))
        for text in (str(milliseconds), instant.isoformat(), local.isoformat()):
            assert datetime.fromisoformat(self.utc(text, timezone=zone)) == instant


class TestFiles:
    def test_the_name_tells_the_format(self, tmp_path: Path) -> None:
        for name, content in {
            "a.jsonl": '{"x": "1"}\n',
            "a.NDJSON": '{"x": "1"}\n',
            "a.csv": "x\n1\n",
            "a.tsv": "x\n1\n",
            "plain": '  {"x": "1"}\n',
            "table": "x\n1\n",
        }.items():
            (tmp_path / name).write_text(content)
            with Source(tmp_path / name) as source:
                assert [properties for _, properties in good(source)] == [{"x": "1"}]

    def test_gzip(self, tmp_path: Path) -> None:
        for name, content in {"a.jsonl.gz": '{"x": "1"}\n', "a.csv.gz": "x\n1\n", "a.gz": "x\n1\n"}.items():
            (tmp_path / name).write_bytes(gzip.compress(content.encode()))
            with Source(tmp_path / name) as source:
                assert [properties for _, properties in good(source)] == [{"x": "1"}]

    def test_a_torn_gzip_says_how_far_it_went(self, tmp_path: Path) -> None:
        content = "".join(json.dumps({"x": str(n * 7919 % 10_007)}) + "\n" for n in range(50_000))
        (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content.encode())[:-9000])
        with Source(tmp_path / "a.jsonl.gz") as source, pytest.raises(OSError, match=r"can not be read after line \d+"):
            list(source)
        assert source.rows > 1000

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Source(tmp_path / "none.jsonl")

    def test_it_is_read_only_as_far_as_asked(self) -> None:
        class Endless(io.RawIOBase):
            reads = 0

            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                self.reads += 1
                line = b'{"x": "1"}\n'
                buffer[: len(line)] = line
                return len(line)

        endless = Endless()
        source = Source(io.BufferedReader(endless), format="jsonl")
        items = iter(source)
        for _ in range(10):
            next(items)
        assert endless.reads <= 10
        assert source.rows == 10

    def test_broken_rows_go_to_the_callback(self) -> None:
        broken: list[Broken] = []
        kept = list(records(read('{"a": "1"}\nnope\n{"a": "2"}\n', "jsonl"), broken.append))
        assert [record.ref for record in kept] == [1, 3]
        assert [item.line for item in broken] == [2]
