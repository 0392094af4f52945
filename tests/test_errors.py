"""The error tree: what each error carries, how it reads, and that it travels between processes."""

import copy
import pickle
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import hubspot_meetings_async
from hubspot_meetings_async import errors
from hubspot_meetings_async.errors import (
    AccountingError,
    AmbiguousWriteError,
    CircuitOpen,
    ConfigurationError,
    DailyLimitExceeded,
    DeadlineExceeded,
    ErrorDetail,
    Forbidden,
    HubSpotError,
    HubSpotUnavailable,
    InvalidRecord,
    NotFound,
    RateLimited,
    RequestRejected,
    TransportFailed,
    UnexpectedResponse,
    WebhookRefused,
)

EXTRA: dict[type[HubSpotError], dict[str, Any]] = {
    TransportFailed: {"sent": True, "fatal": True, "timeout": True},
    DeadlineExceeded: {"sent": False},
    CircuitOpen: {"retry_in_s": 2.5},
    RateLimited: {"policy": "DAILY", "retry_after_s": 1.5},
    DailyLimitExceeded: {"policy": "DAILY"},
    HubSpotUnavailable: {"retry_after_s": 3.0, "correlation_id": "c-1"},
    AmbiguousWriteError: {"why": "reset"},
    WebhookRefused: {"why": "forged"},
}
NAMES = [name for name in errors.__all__ if name != "ErrorDetail"]
KINDS: list[type[HubSpotError]] = [getattr(errors, name) for name in NAMES]
texts = st.text(st.characters(), max_size=700) | st.text("\r\n\x1b\u202e\ud800x", max_size=700)


def details() -> tuple[ErrorDetail, ...]:
    return (
        ErrorDetail(message="no", code="INVALID_OPTION", property_name="a", context={"propertyName": ("a",)}),
        ErrorDetail(property_name="b"),
        ErrorDetail(property_name="a"),
        ErrorDetail(),
    )


class TestTree:
    def test_one_root(self) -> None:
        """Every error of the package is a HubSpotError, and the package exports all of them."""
        exported: list[type] = [getattr(errors, name) for name in NAMES]
        assert [kind for kind in exported if not issubclass(kind, HubSpotError)] == []
        assert set(errors.__all__) <= set(hubspot_meetings_async.__all__)

    def test_wrong_arguments_are_value_errors(self) -> None:
        """Bad settings and bad records can be caught as the ValueError that Python programmers expect."""
        assert issubclass(ConfigurationError, ValueError)
        assert issubclass(InvalidRecord, ValueError)

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_tree_at_the_top_of_the_file_is_true(self, kind: type[HubSpotError]) -> None:
        """The drawing names every error, under its parent."""
        lines = (errors.__doc__ or "").splitlines()
        depth_of = {}
        parents: dict[str, str] = {}
        stack: list[str] = []
        for line in lines:
            name = line.lstrip(" │├└─").partition(" ")[0]
            if name in errors.__all__:
                depth = (len(line) - len(line.lstrip(" │├└─"))) // 4
                depth_of[name] = depth
                stack[depth - 1 :] = [name]
                parents[name] = stack[-2] if len(stack) > 1 else "Exception"
        parent = next(base for base in kind.__mro__[1:] if issubclass(base, Exception))
        assert parents[kind.__name__] == parent.__name__


class TestMessage:
    @given(text=texts)
    @example("x" * 1_000_000)
    @example("\x1b[2J" * 250_000)
    def test_any_text_becomes_one_short_harmless_line(self, text: str) -> None:
        """Whatever a server writes, str, repr and args hold one printable line of at most 500 characters of it."""
        error = RequestRejected(text, method="GET", path="/p", status=400)
        for shown in (str(error), repr(error), *error.args, error.message):
            assert shown.isprintable()
            assert len(shown) <= 500 + len(" [GET /p → 400]RequestRejected('')") + 500  # repr doubles backslashes

    def test_a_short_printable_text_stays_as_it_is(self) -> None:
        """Nothing is lost of an ordinary message, in any script."""
        assert str(RequestRejected("Título „déjà vu“ 会议 ✓")) == "Título „déjà vu“ 会议 ✓"

    def test_the_cut_is_marked(self) -> None:
        """A message that was shortened ends in an ellipsis."""
        assert str(HubSpotError("x" * 501)) == "x" * 499 + "…"
        assert str(HubSpotError("x" * 500)) == "x" * 500

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({}, "no"),
            ({"status": 404}, "no"),
            ({"method": "GET", "path": "/m/1"}, "no [GET /m/1]"),
            ({"method": "GET", "path": "/m/1", "status": 404, "attempt": 1}, "no [GET /m/1 → 404]"),
            ({"method": "GET", "path": "/m/1", "status": 503, "attempt": 3}, "no [GET /m/1 → 503, attempt 3]"),
            ({"method": "GET", "path": "/m/1", "attempt": 2}, "no [GET /m/1, attempt 2]"),
        ],
    )
    def test_str_says_where(self, where: dict[str, Any], expected: str) -> None:
        """str() ends with the request, the status and the attempt, as far as they are known."""
        assert str(HubSpotError("no", **where)) == expected

    def test_at_fills_in_once(self) -> None:
        """The first place that is filled in stays; the error itself comes back."""
        error = HubSpotError("no")
        assert error.at(method="GET", path="/a", attempt=2) is error
        error.at(method="POST", path="/b", attempt=3)
        assert (error.method, error.path, error.attempt) == ("GET", "/a", 2)


class TestTravel:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])  # noqa: S301
    def test_round_trip(self, kind: type[HubSpotError], travel: Any) -> None:
        """Every error comes out of pickle and copy with its type, its words and all its attributes."""
        extra = dict(EXTRA.get(kind, {}))
        if issubclass(kind, RequestRejected):
            extra |= {"category": "C", "correlation_id": "c", "details": details(), "context": {"ids": ("1",)}}
        error = kind("no", method="GET", path="/m", status=400, attempt=2, **extra)
        again = travel(error)
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)

    @given(text=texts, status=st.integers() | st.none(), attempt=st.integers() | st.none())
    def test_any_values_travel(self, text: str, status: int | None, attempt: int | None) -> None:
        """Pickling depends on no particular values."""
        error = HubSpotUnavailable(text, status=status, attempt=attempt, method="GET", path=text)
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert vars(again) == vars(error)


class TestContext:
    def test_property_names_in_order_each_once(self) -> None:
        """`property_names` lists what HubSpot named, without repeats and without entries that name nothing."""
        assert RequestRejected("no", details=details()).property_names == ("a", "b")
        assert RequestRejected("no").property_names == ()

    def test_scopes(self) -> None:
        """`Forbidden.scopes` are the scopes HubSpot asked for, each once."""
        one = ErrorDetail(context={"requiredGranularScopes": ("read", "write")})
        two = ErrorDetail(context={"requiredGranularScopes": ("write",)})
        assert Forbidden("no", details=(one, two)).scopes == ("read", "write")

    def test_nothing_given_is_empty_not_missing(self) -> None:
        """A bare error can be asked for everything."""
        error = NotFound("no")
        assert (error.category, error.correlation_id, error.details, dict(error.context)) == (None, None, (), {})

    @pytest.mark.parametrize("kind", [AccountingError, UnexpectedResponse, ConfigurationError])
    def test_no_keyword_is_swallowed(self, kind: type[HubSpotError]) -> None:
        """A misspelt keyword is a TypeError, not silence."""
        with pytest.raises(TypeError):
            kind("no", statsu=1)  # type: ignore[call-arg]
