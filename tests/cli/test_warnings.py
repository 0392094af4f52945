"""What the library warns of reaches whoever sits at the terminal."""

from __future__ import annotations

from pathlib import Path

from .accounts import account, jsonl
from .command import run


async def test_a_journal_that_others_can_open(tmp_path: Path) -> None:
    """A library says such things to its logger; the command says them to people."""
    (tmp_path / "m.jsonl").write_text(jsonl(1, 2))
    async with account() as hubspot:
        journal = tmp_path / "open.journal"
        journal.touch()
        journal.chmod(0o644)
        push = ("push", "m.jsonl", "--journal", journal.name, "--key-property", "booking_ref")
        done = await run(*push, "--base-url", hubspot.url, cwd=tmp_path)
    assert "open.journal can be opened by other users of this machine (mode 0644)" in done.err
    assert done.code == 0
