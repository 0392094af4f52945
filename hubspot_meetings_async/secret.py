"""A string that does not show itself.

This module knows how values get printed, dumped and copied. It must not know what is secret, or why.
"""

from __future__ import annotations

from typing import final

__all__ = ["Secret"]


_SHORTEST = 16


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

    def out_of(self, text: bytes) -> bytes:
        """`text` with `***` wherever the string stands in it.

        One that is shorter than any of HubSpot's (`"token"`, for the emulator) is left: it may be a word of the text.
        """
        if len(self._reveal()) < _SHORTEST:
            return text
        return text.replace(self._reveal().encode(), b"***")

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled; give the other process its own token")
