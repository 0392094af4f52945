"""K15, K18, K23, K24: what the package is made of, and what it does when it is imported."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import hubspot_meetings_async
from hubspot_meetings_async import MeetingsClient

ROOT = Path(hubspot_meetings_async.__file__).parent
PROJECT = ROOT.parent
SOURCES = sorted(ROOT.rglob("*.py"))
IDS = [path.relative_to(ROOT).as_posix() for path in SOURCES]

FORBIDDEN_IMPORTS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "subprocess", "telnetlib",
                     "ftplib", "xml", "xmlrpc", "code", "codeop", "imp", "runpy"}  # fmt: skip
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "load_module", "mktemp",
                   "_create_unverified_context", "wrap_socket"}  # fmt: skip
FORBIDDEN_OPTIONS = {
    ("shell", True),
    ("verify", False),
    ("verify_ssl", False),
    ("ssl", False),
    ("check_hostname", False),
}


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_nothing_dangerous_is_used(path: Path) -> None:
    """No pickle, eval, shell, unverified TLS; no `assert`, which -O takes away."""
    wrong: list[str] = []
    for node in nodes(path):
        match node:
            # The command line starts an emulator of its own, without a shell.
            case ast.Import(names=[ast.alias(name="subprocess")]) if "cli" in path.parts:
                pass
            case ast.Import(names=names):
                wrong += [alias.name for alias in names if alias.name.split(".")[0] in FORBIDDEN_IMPORTS]
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in FORBIDDEN_IMPORTS:
                wrong.append(module)
            case ast.Call(func=func, keywords=keywords):
                name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
                qualified = (
                    isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "re"
                )
                wrong += [name] if name in FORBIDDEN_CALLS and not qualified else []
                for word in keywords:
                    if isinstance(word.value, ast.Constant) and (word.arg, word.value.value) in FORBIDDEN_OPTIONS:
                        wrong.append(f"{word.arg}={word.value.value!r}")
            case ast.Attribute(attr="CERT_NONE" | "CERT_OPTIONAL"):
                wrong.append("CERT_NONE")
            case ast.Assert():
                wrong.append(f"assert in line {node.lineno}")
            case _:
                pass
    assert wrong == []


def test_ruffs_security_rules_are_on() -> None:
    """The lint that runs in `make check` has them for the package, whole."""
    lint = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S") and not rule.startswith("SIM")] == ["S311"]
    assert [
        files for files, rules in lint["per-file-ignores"].items() if "hubspot" in files and "S" in str(rules)
    ] == []


def test_dependencies_are_safe_to_face_a_server() -> None:
    """aiohttp from the version on that closes the known holes in cookies, decompression and header parsing."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    (aiohttp,) = [line for line in project["dependencies"] if line.startswith("aiohttp")]
    found = re.fullmatch(r"aiohttp>=(\d+)\.(\d+)\.(\d+)", aiohttp)
    assert found is not None
    assert tuple(map(int, found.groups())) >= (3, 14, 1)


def run(code: str, *flags: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *flags, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SMOKE = """
import asyncio
from hubspot_meetings_async import *
from hubspot_meetings_async.emulator import Emulator

async def main():
    async with Emulator(limit=None) as emulator:
        emulator.portal.add_property("ref", unique=True)
        async with MeetingsClient("token", base_url=emulator.url) as hubspot:
            try:
                await hubspot.meetings.get("../../contacts/1")
            except InvalidRecord as error:
                print("refused", type(error).__name__)
            emulator.faults.fail_next(503)
            report = await hubspot.bulk.upsert(({"ref": str(n)} for n in range(250)), id_property="ref")
            print(report.created, report.rejected, report.ambiguous)
            try:
                await hubspot.meetings.update(1, {"a": object()})
            except InvalidRecord as error:
                print("refused", type(error).__name__)
        for wrong in ({"token": ""}, {"token": "a\\n"}, {"token": "t", "base_url": "http://example.com"}):
            try:
                MeetingsClient(**wrong)
            except ConfigurationError:
                print("no")

asyncio.run(main())
"""


@pytest.mark.parametrize("flags", [(), ("-O",), ("-OO",)], ids=["plain", "O", "OO"])
def test_checks_hold_without_asserts(flags: tuple[str, ...]) -> None:
    """`python -O` takes away no check."""
    assert run(SMOKE, *flags).split("\n") == [
        "refused InvalidRecord",
        "250 0 0",
        "refused InvalidRecord",
        *["no"] * 3,
        "",
    ]


def test_import_touches_neither_network_nor_disk() -> None:
    """Under an audit hook: importing the package and making a client opens no socket, starts no process, writes no
    file."""
    run(
        "import sys\n"
        "import asyncio, ssl, logging, urllib.request, msgspec, anyio\n"
        "from anyio._backends import _asyncio\n"
        "def hook(event, args):\n"
        "    if event.startswith(('socket.', 'subprocess.', 'os.system', 'os.exec', 'os.fork', 'os.posix_spawn')):\n"
        "        raise SystemExit(f'{event} {args}')\n"
        "    if event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+'):\n"
        "        raise SystemExit(f'writes {args}')\n"
        "sys.addaudithook(hook)\n"
        "sys.dont_write_bytecode = True\n"
        "import hubspot_meetings_async as h\n"
        "h.MeetingsClient('token')\n"
        "h.MeetingsClient(auth=h.OAuth('id', 'secret', 'refresh'))\n"
    )


def test_the_audit_hook_sees_sockets() -> None:
    """So that the test above can fail."""
    with pytest.raises(AssertionError, match=r"socket\."):
        run(
            "import sys, socket\n"
            "def hook(event, args):\n"
            "    if event.startswith('socket.'): raise SystemExit(event)\n"
            "sys.addaudithook(hook)\n"
            "socket.socket()\n"
        )


def test_keys_in_the_environment_are_mentioned() -> None:
    """Who sets SSLKEYLOGFILE leaks TLS keys: the client's docstring says so."""
    assert "SSLKEYLOGFILE" in (MeetingsClient.__doc__ or "")
