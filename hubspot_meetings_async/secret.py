"""A string that does not show itself.

This module knows how values get printed, dumped and copied. It must not know what is secret, or why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any, AnyStr, cast, final

from msgspec import Struct, structs

__all__ = ["Hiding", "Secret", "hidden"]


_SHORTEST = 16
_MOST_SHOWN = 16
"""Where a message was cut in the midst of a secret, its beginning may show; no more of it than this."""


@final
class Secret:
    """A string that no repr, str, format, log line, traceback or pickle shows. `reveal()` gives it out."""

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        # A closure instead of an attribute: tools that dump objects with their slots find nothing to print.
        def reveal() -> str:
            return value

        self._reveal = reveal

    def reveal(self) -> str:
        """The string itself; hand it on, do not keep it."""
        return self._reveal()

    def out_of(self, text: AnyStr) -> AnyStr:
        """`text` with `***` wherever the string stands in it, or its beginning.

        One that is shorter than any of HubSpot's (`"token"`, for the emulator) is left: it may be a word of the text.
        """
        if len(self._reveal()) < _SHORTEST:
            return text
        for part in (self._reveal(), self._reveal()[:_MOST_SHOWN]):
            match text:
                case bytes():
                    text = text.replace(part.encode(), b"***")
                case str():
                    text = text.replace(part, "***")
        return text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled; give the other process its own token")


def hidden(value: Any, secrets: Iterable[Secret]) -> Any:
    """`value` with `***` for each of the secrets, in its strings and in those of tuples, mappings and Structs in it."""
    match value:
        case str():
            return reduce(_without, secrets, value)
        case bytes():
            return reduce(_without, secrets, value)
        case tuple():
            return tuple(hidden(each, secrets) for each in cast("tuple[object, ...]", value))
        case dict():
            return {
                hidden(name, secrets): hidden(each, secrets)
                for name, each in cast("dict[object, object]", value).items()
            }
        case Struct():
            return structs.replace(value, **hidden(structs.asdict(value), secrets))
        case _:
            return value


def _without(text: AnyStr, secret: Secret) -> AnyStr:
    return secret.out_of(text)


class Hiding(Mapping[str, str]):
    """Headers without the secrets, whoever reads or prints them."""

    __slots__ = ("_headers", "_secrets")

    def __init__(self, headers: Mapping[str, str], secrets: Iterable[Secret]) -> None:
        self._headers = headers
        self._secrets = secrets

    def __getitem__(self, name: str) -> str:
        return str(hidden(self._headers[name], self._secrets))

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"
