"""The pages of the site as they are tested: their blocks, in the order of the page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent.parent
DOCS: Final = ROOT / "docs"

OF_OTHER_TESTS: Final = ("testing.md",)
"""Pages whose blocks are test files of their own kind."""

_BLOCK = re.compile(r"^```(\{code-block\} )?([a-z]+)\n((?::caption: [^\n]*\n)?)\n?(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```(?!\{toctree\})(\S.*)$", re.MULTILINE)


class Block(NamedTuple):
    """A block of a page: its language, the file it is, and its text."""

    language: str
    name: str | None
    text: str


class Command(NamedTuple):
    """A command of a console block, and the lines that the page shows below it."""

    words: list[str]
    line: str
    shown: list[str]


def pages() -> list[Path]:
    """Every page whose blocks are tested here."""
    found = sorted(path for path in DOCS.rglob("*.md") if path.name not in OF_OTHER_TESTS)
    return [path for path in found if "```" in path.read_text("utf-8")]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page; every fence of it is one of them."""
    text = page.read_text("utf-8")
    found = [
        Block(match[2], match[3].removeprefix(":caption: ").strip() or None, match[4])
        for match in _BLOCK.finditer(text)
    ]
    assert len(found) == len(_FENCE.findall(text)), f"{page.name} has fences that are not read as blocks"
    return found


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        whole = re.match(r"(?:.*\\\n)*.*", part)
        assert whole is not None
        line = whole[0].replace("\\\n", " ")
        shown = [one for one in part[whole.end() :].splitlines() if one.strip()]
        yield Command(shlex.split(line, comments=True), line, shown)


def missing(shown: list[str], written: str) -> list[str]:
    """Which of the lines that a page shows were not written, in order; `…` stands for anything, spaces for spaces."""
    rest = [" ".join(line.split()) for line in written.splitlines()]
    for line in shown:
        if line.strip() == "…":
            continue
        pattern = ".*".join(map(re.escape, " ".join(line.split()).split("…")))
        place = next((place for place, one in enumerate(rest) if re.fullmatch(pattern, one)), None)
        if place is None:
            return [line]
        del rest[: place + 1]
    return []
