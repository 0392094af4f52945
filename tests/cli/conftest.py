"""A shell with the commands that answer a question."""

from __future__ import annotations

import pytest

from .shell import Shell


@pytest.fixture
def shell(hubspot_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell whose environment names this test's account."""
    return Shell(monkeypatch)
