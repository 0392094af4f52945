"""Ids that try to be something else: another path, a query, a header line, a number that is none."""

from __future__ import annotations

__all__ = ["BENIGN", "HOSTILE"]

BENIGN = "987654321"

HOSTILE: tuple[object, ...] = (
    "../../contacts/1", "..", ".", "", "1?archived=true", "1#f", "%2e%2e", "%2F", "%252e%252e%252f", "1/../2",
    "../1", "..;/1", "./1", "/", "//", "//evil.example/1", "https://evil.example/1", "/1", "1/", "1//2", "1/2",
    "..\\..\\contacts\\1", "\\\\evil.example\\1", "1\\2", "1\r\nX-Evil: 1", "1\n", "\r\n\r\nGET /evil HTTP/1.1", "1\t2",
    "1\x00", "\x00", "\x7f", "\x1b[2J", " ", " 1", "1 ", "\u00a01", "１", "١٢٣", "１２３", "²", "Ⅷ",
    "\u202e1", "1\u202e", "\ufeff1", "\u200b", "．．", "／", "+1", "-1", "1.0", "1e5", "0x1", "1_000", "NaN", "null",
    "me", "1;2", "1,2", "1:2", "1@2", "1&archived=true", "1=2", "*", "~", "%", "%zz", "%00", "{id}", "${1}", "<b>1</b>",
    "'; DROP TABLE", "9" * 21, "9" * 100_000, "a" * 100_000, "\ud800", "1\udfff", "é", "e\u0301", "💣",
    b"1", bytearray(b"1"), True, False, None, -1, 1.0, 1e30, float("nan"), 10**20, 10**5000, 1j,
    [1], ["1"], (1,), {1}, {"id": 1}, object(), Ellipsis, range(1), "\u0661/..", ".\u2024", "%c0%ae%c0%ae", "%u002e",
)  # fmt: skip
"""None of them is 1 to 20 digits."""
