"""Which records have which words: for queries, and for conditions on single words of a text.

Knows words and ids. Must not know filters or requests. An index comes into being when a search first asks for it, and
follows the writes from then on; it costs less than one KiB for a meeting.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from .records import Record

__all__ = ["WordIndex", "Words"]

Words = Callable[[Record], Iterable[str]]
"""The words of a record, each as often as it likes."""
_LAST = "\U0010ffff"
_KEPT_ANSWERS = 4


class WordIndex:
    """The records by their words.

    Args:
        words: what counts as a word of a record.
    """

    def __init__(self, words: Words) -> None:
        self._words_of = words
        self._ids: dict[str, array[int]] = {}
        # The lists of `_ids` that a record stands in.
        self._lists: dict[int, tuple[array[int], ...]] = {}
        # In order, but for those at the end that came since somebody last asked; words nobody has any more stay.
        self._vocabulary: list[str] = []
        self._in_order = True
        self._answers: dict[tuple[str, ...], set[int]] = {}

    def fill(self, records: Iterator[Record]) -> None:
        """Take in all records."""
        for record in records:
            self._note(record)

    def follow(self, changed: dict[int, Record | None]) -> None:
        """Take in what became of some records; None is gone."""
        self._answers.clear()
        for id_, record in changed.items():
            for ids in self._lists.pop(id_, ()):
                del ids[bisect_left(ids, id_)]
            if record is not None:
                self._note(record)

    def having(self, patterns: Sequence[str]) -> set[int]:
        """The records that have for each pattern a word like it, `*` standing for any characters. Not to be changed."""
        asked = tuple(patterns)
        answer = self._answers.get(asked)
        if answer is None:
            if len(self._answers) >= _KEPT_ANSWERS:
                self._answers.clear()
            answers = [set[int]().union(*(self._ids[word] for word in self._like(pattern))) for pattern in asked]
            answer = self._answers[asked] = answers[0].intersection(*answers[1:])
        return answer

    def _like(self, pattern: str) -> Iterable[str]:
        start, star, rest = pattern.partition("*")
        if not star:
            return [pattern] if pattern in self._ids else []
        words = self._from(start)
        if not rest:
            return words
        literal = re.sub(r"[\[?]", lambda sign: f"[{sign[0]}]", pattern)
        return (word for word in words if fnmatchcase(word, literal))

    def _from(self, start: str) -> list[str]:
        """The words with this beginning."""
        if not self._in_order:
            self._vocabulary.sort()
            self._in_order = True
        vocabulary = self._vocabulary
        return vocabulary[bisect_left(vocabulary, start) : bisect_left(vocabulary, start + _LAST)]

    def _note(self, record: Record) -> None:
        lists = tuple(self._list(word) for word in set(self._words_of(record)))
        if lists:
            self._lists[record.id] = lists
        for ids in lists:
            if not ids or record.id > ids[-1]:
                ids.append(record.id)
            else:
                insort(ids, record.id)

    def _list(self, word: str) -> array[int]:
        ids = self._ids.get(word)
        if ids is None:
            ids = self._ids[word] = array("q")
            self._vocabulary.append(word)
            self._in_order = False
        return ids
