"""The reference is whole: every public name is in it, once. (`make docs` builds the site strictly.)"""

from __future__ import annotations

import importlib
import re
from collections import Counter

import pytest

from .pages import DOCS

PUBLIC = (
    "hubspot_meetings_async",
    "hubspot_meetings_async.calendars",
    "hubspot_meetings_async.emulator",
    "hubspot_meetings_async.integrations.dask",
    "hubspot_meetings_async.integrations.fastapi",
    "hubspot_meetings_async.integrations.otel",
    "hubspot_meetings_async.integrations.redis",
    "hubspot_meetings_async.integrations.webhooks",
    "hubspot_meetings_async.models",
    "hubspot_meetings_async.stores",
    "hubspot_meetings_async.sync",
)
_DIRECTIVE = re.compile(r"^\.\. public:: (\S+)\n((?:   .*\n|\n)*)", re.MULTILINE)
_OPTION = re.compile(r"^   :(\w+): ?(.*)$", re.MULTILINE)


def documented() -> Counter[tuple[str, str]]:
    """Names by module, as `docs/_ext/public_names.py` chooses them."""
    found: Counter[tuple[str, str]] = Counter()
    for page in (DOCS / "reference").glob("*.rst"):
        for module, body in _DIRECTIVE.findall(page.read_text("utf-8") + "\n"):
            options = dict(_OPTION.findall(body))
            names = _OPTION.sub("", body).split() or [
                name
                for name in names_of(module)
                if ("from" not in options or name in names_of(options["from"]))
                and ("beside" not in options or name not in names_of(options["beside"]))
                and name not in options.get("without", "").split()
            ]
            found.update((module, name) for name in names)
    return found


def names_of(module: str) -> list[str]:
    names: list[str] = list(importlib.import_module(module).__all__)
    return names


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    """Under its own module, or, of a Struct, where the package itself has it."""
    there = {name for where, name in documented() if where in (module, "hubspot_meetings_async")}
    assert [name for name in names_of(module) if name not in there and name != "__version__"] == []


def test_no_name_is_there_twice() -> None:
    assert [name for name, number in documented().items() if number > 1] == []
