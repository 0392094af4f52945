"""Tokens: which are taken, and that nothing shows them."""

import copy
import json
import logging
import pickle
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async.auth.sources import Secret, StaticToken
from hubspot_meetings_async.errors import ConfigurationError

CANARY = "pat-na1-c4n4ry-0000"


class TestSecret:
    def test_only_reveal_gives_it_out(self) -> None:
        """repr, str, format, logging and dumps of the object show stars; reveal() shows the string."""
        secret = Secret(CANARY)
        shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s" % secret, f"{[secret]}"]  # noqa: UP031
        record = logging.LogRecord("x", logging.INFO, "f", 1, "token %s %r", (secret, secret), None)
        shown += [record.getMessage(), str(dir(secret)), str(getattr(secret, "__dict__", {}))]
        shown += [repr(getattr(secret, name)) for name in Secret.__slots__]
        assert [text for text in shown if CANARY in text] == []
        assert secret.reveal() == CANARY

    def test_it_does_not_leave_the_process(self) -> None:
        """Pickle, copies and JSON refuse it."""
        secret = Secret(CANARY)
        for leave in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
            with pytest.raises(TypeError) as caught:
                leave(secret)
            assert CANARY not in str(caught.value)

    def test_tracebacks_with_locals(self) -> None:
        """A traceback that shows local variables shows stars."""

        def fail(secret: Secret) -> None:
            raise RuntimeError("boom")

        with pytest.raises(RuntimeError) as caught:
            fail(Secret(CANARY))
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert "Secret(***)" in shown
        assert shown.count(CANARY) == 0


class TestStaticToken:
    async def test_one_token_for_ever(self) -> None:
        """It gives the same token each time, and has no successor for a rejected one."""
        auth = StaticToken(CANARY)
        assert (await auth.token()).reveal() == CANARY
        assert (await auth.renew(await auth.token())) is False

    def test_a_secret_is_taken(self) -> None:
        """A token may come wrapped already."""
        assert CANARY not in repr(StaticToken(Secret(CANARY)))

    @pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t", "\x00", "é", "\u200b", "\x7f", "　"])
    @pytest.mark.parametrize("place", ["{0}{1}", "{1}{0}", "pat-{1}{0}"])
    @pytest.mark.parametrize("wrap", [str, Secret])
    def test_hidden_characters(self, end: str, place: str, wrap: Any) -> None:
        """Line ends, spaces and non-ASCII anywhere are refused with advice, and the token is not repeated."""
        with pytest.raises(ConfigurationError, match="copy it again") as caught:
            StaticToken(wrap(place.format(CANARY, end)))
        assert CANARY not in f"{caught.value!r} {caught.value} {vars(caught.value)}"
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("empty", ["", Secret("")])
    def test_empty(self, empty: Any) -> None:
        """An empty token says what to pass."""
        with pytest.raises(ConfigurationError, match="private app"):
            StaticToken(empty)

    @pytest.mark.parametrize("wrong", [None, 5, CANARY.encode(), [CANARY], {"token": CANARY}])
    def test_no_string(self, wrong: Any) -> None:
        """What is no string is refused by its type, without its value."""
        with pytest.raises(ConfigurationError, match="must be a string") as caught:
            StaticToken(wrong)
        assert CANARY not in str(caught.value)

    @given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
    def test_visible_ascii_is_taken(self, token: str) -> None:
        """Every token of visible ASCII characters is taken as it is."""
        assert StaticToken(token)._token.reveal() == token
