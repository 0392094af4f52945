"""The house: floors are kept, rooms know only what they may, and importing the package costs little."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import hubspot_meetings_async

PACKAGE = "hubspot_meetings_async"
ROOT = Path(hubspot_meetings_async.__file__).parent

ICAL = ("bulk.ical_events", "bulk.ical_lines", "bulk.ical_series", "bulk.ical_zones")
"""How calendar files are read."""

FLOORS: list[tuple[str, ...]] = [
    ("errors",),
    ("secret", "settings"),
    ("models", "moments", "versions"),
    ("wire",),
    ("calling.retry", "telemetry", "calling.alarms", "calling.deadlines"),
    ("entries",),
    ("lots",),
    ("inputs", "associations.inputs", "scheduler.booking", "scheduler.slots"),
    ("associations.runs", "properties.checks"),
    ("bulk.batches", "bulk.handover", "bulk.late", "bulk.matching"),
    ("bulk.pulling", "bulk.glance"),
    ("auth.sources", "transport", "limiter", "auth.endpoints", "calling.breaker"),
    (
        "account",
        "properties.resource",
        "associations.v3",
        "search",
        "auth.oauth",
        "scheduler.calendar",
        "scheduler.resource",
    ),
    ("meetings.lookup", "contacts"),
    ("meetings.certainty", "meetings.listing", "meetings.batches"),
    ("meetings.resource", "associations.resource"),
    ("bulk.outcomes",),
    ("bulk.settling", "bulk.pieces", "bulk.operation", "bulk.events", "bulk.forming"),
    ("bulk.columns", "bulk.csv_rows", "bulk.ical", "bulk.lines", "bulk.sources", *ICAL),
    ("calling.attempts", "calling.attempt_watch"),
    ("calling.caller", "bulk.journal"),
    ("bulk.account", "bulk.resuming", "bulk.verifying"),
    ("bulk.intake",),
    ("bulk.carrier",),
    ("bulk.engine", "micro_batch"),
    ("bulk.doors", "sync"),
    ("client",),
    ("calendars",),
    ("stores",),
    ("cli", "integrations", "pytest_plugin"),
]
"""From the ground up: a room imports rooms of lower floors only. Rooms of one floor do not know each other."""

HOUSES = ("associations", "auth", "bulk", "calling", "meetings", "properties", "scheduler")
"""Packages whose modules have floors of their own; the package itself holds nothing."""

FREE = ("version",)
"""Without a floor: it imports nothing, and everybody may import it."""
TOWER = "emulator"
BESIDE = ("cli", "pytest_plugin")
"""They may look into the tower: what they start is an emulator."""
HTTP_ROOMS = ("transport", TOWER)
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "core", "manager", "misc"}

SOURCES = sorted(ROOT.rglob("*.py"))
IDS = [path.relative_to(ROOT).as_posix() for path in SOURCES]


def module_of(path: Path) -> str:
    """The dotted name under the package; a package's `__init__` is the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every absolute module name a file imports, wherever: at the top, in functions, under TYPE_CHECKING."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = path.relative_to(ROOT.parent).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (origin, node.module)))
            # `from . import x` may name modules.
            yield from (f"{name}.{alias.name}" if is_module(f"{name}.{alias.name}") else name for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("import_module", "__import__"):
                yield "an import that no test can read"


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def floor_of(module: str) -> int | None:
    """The floor of a module of the package, by its longest prefix; None for the package itself and free rooms."""
    for floor, rooms in enumerate(FLOORS):
        if any(module == room or module.startswith(f"{room}.") for room in rooms):
            return floor
    return None


def room_of(module: str) -> str:
    """The room a module belongs to."""
    rooms = [*(room for floor in FLOORS for room in floor), *FREE, TOWER]
    return next((room for room in rooms if module == room or module.startswith(f"{room}.")), module)


def own(path: Path) -> list[str]:
    """Modules of the package that a file imports, without the package's name."""
    return [name.removeprefix(PACKAGE).removeprefix(".") for name in imports(path) if name.split(".")[0] == PACKAGE]


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
class TestFloors:
    def test_every_module_has_a_floor(self, path: Path) -> None:
        """A new module is given its floor here before it is imported by others."""
        module = module_of(path)
        room = room_of(module)
        assert module in ("", *HOUSES) or room in (TOWER, *FREE) or floor_of(module) is not None

    def test_imports_go_down_only(self, path: Path) -> None:
        """A room imports lower floors and itself, nothing of its own floor or above: not lazily, not for types only."""
        module = module_of(path)
        floor = floor_of(module)
        if floor is None:
            # The shop window and empty packages; the tower and free rooms have tests of their own.
            assert module in ("", *HOUSES) or room_of(module) in (TOWER, *FREE)
            return
        room = room_of(module)
        wrong = []
        for name in own(path):
            target = floor_of(name)
            if room_of(name) == room or room_of(name) in FREE or (room in BESIDE and room_of(name) == TOWER):
                continue
            # The command line is the library's user: it may look through the shop window.
            if name == "" and module.startswith("cli"):
                continue
            if target is None or target > floor or (target == floor and not siblings(room, room_of(name))):
                wrong.append(name or PACKAGE)
        assert wrong == []

    def test_the_emulator_stands_apart(self, path: Path) -> None:
        """The emulator imports nothing of the library, and only the command line imports the emulator."""
        module = module_of(path)
        if room_of(module) == TOWER:
            assert [name for name in own(path) if room_of(name) != TOWER] == []
        elif room_of(module) not in BESIDE:
            assert [name for name in own(path) if room_of(name) == TOWER] == []

    def test_aiohttp_is_the_transports(self, path: Path) -> None:
        """Only the transport and the emulator know aiohttp or yarl."""
        if room_of(module_of(path)) not in HTTP_ROOMS:
            assert [name for name in imports(path) if name.split(".")[0] in ("aiohttp", "yarl", "multidict")] == []

    def test_extras_are_the_command_lines(self, path: Path) -> None:
        """Packages of extras are imported by nothing that is installed without them."""
        if room_of(module_of(path)) != "cli":
            assert [name for name in imports(path) if name.split(".")[0] in ("typer", "rich", "uvloop", "click")] == []

    def test_integrations_know_the_client_only(self, path: Path) -> None:
        """Bridges stand on what every user has; frameworks are known to their bridges alone."""
        if room_of(module_of(path)) == "integrations":
            known = {"client", "errors", "models", "secret", "settings", "telemetry", "version", "integrations"}
            known |= {"bulk.engine", "bulk.events", "bulk.outcomes", "bulk.sources", "limiter"}
            assert {room_of(name) for name in own(path)} <= known
        else:
            frameworks = ("fastapi", "starlette", "opentelemetry", "redis", "distributed")
            assert [name for name in imports(path) if name.split(".")[0] in frameworks] == []

    def test_no_hidden_imports(self, path: Path) -> None:
        """No module is imported by a name that is made up at run time."""
        assert "an import that no test can read" not in imports(path)

    def test_no_orphans(self, path: Path) -> None:
        """No task is started outside a task group."""
        calls = [
            node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name))
        ]
        assert {"create_task", "ensure_future", "gather"} & set(calls) == set()

    def test_modules_have_names_that_say_something(self, path: Path) -> None:
        """No module is named after nothing."""
        assert set(module_of(path).split(".")) & EMPTY_NAMES == set()

    def test_modules_say_what_they_must_not_know(self, path: Path) -> None:
        """Every module begins with a docstring."""
        assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def siblings(room: str, other: str) -> bool:
    """The modules that read files together are one room in several modules."""
    return {room, other} <= {"bulk.columns", "bulk.csv_rows", "bulk.ical", "bulk.lines", "bulk.sources", *ICAL}


PURE = ("errors", "models", "wire", "retry", "entries", "lots", "inputs", "bulk.batches")


@pytest.mark.parametrize("room", PURE)
def test_the_ground_floors_are_pure(room: str) -> None:
    """F0 and F1 hold no coroutine but the `Call` protocol's, and import neither asyncio nor clocks nor sockets."""
    forbidden = {"asyncio", "anyio", "time", "socket", "ssl", "os", "logging", "threading", "secrets"}
    for path in SOURCES:
        if room_of(module_of(path)) != room:
            continue
        assert {name.split(".")[0] for name in imports(path)} & forbidden == set()
        tree = ast.parse(path.read_text("utf-8"))
        coroutines = [node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
        assert coroutines == (["__call__"] if room == "wire" else [])


def test_tests_of_the_ground_floors_need_no_loop() -> None:
    """Their tests have no `async` either."""
    for name in ("errors", "models", "wire", "retry"):
        tree = ast.parse((Path(__file__).parent / f"test_{name}.py").read_text("utf-8"))
        assert [node for node in ast.walk(tree) if isinstance(node, (ast.AsyncFunctionDef, ast.Await))] == []


class TestPublicNames:
    @pytest.mark.parametrize("name", hubspot_meetings_async.__all__)
    def test_every_public_name_is_explained(self, name: str) -> None:
        """Everything in `__all__` exists; classes and functions have docstrings, and so have their public methods."""
        thing = getattr(hubspot_meetings_async, name)
        if not inspect.isclass(thing) and not inspect.isfunction(thing):
            return
        assert inspect.getdoc(thing)
        if inspect.isclass(thing) and thing.__module__.startswith(PACKAGE):
            methods = {key: value for key, value in vars(thing).items() if not key.startswith("_")}
            silent = [
                key
                for key, value in methods.items()
                if (inspect.isfunction(value) or isinstance(value, (property, classmethod)))
                and not inspect.getdoc(value)
            ]
            assert silent == []

    def test_all_is_sorted_and_whole(self) -> None:
        """`__all__` names each thing once, and everything the package's front page imports by name."""
        tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
        imported = {alias.asname or alias.name for n in tree.body if isinstance(n, ast.ImportFrom) for alias in n.names}
        assert set(hubspot_meetings_async.__all__) == imported
        assert len(hubspot_meetings_async.__all__) == len(imported)

    def test_the_shop_window_has_no_logic(self) -> None:
        """`__init__` holds a docstring, imports and `__all__`."""
        tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
        assert {type(node) for node in tree.body} <= {ast.Expr, ast.ImportFrom, ast.Assign}

    def test_every_modules_all_is_true(self) -> None:
        """Each module's `__all__` names things it has."""
        for info in pkgutil.walk_packages([str(ROOT)], f"{PACKAGE}."):
            if info.name.endswith("__main__"):
                continue
            module = importlib.import_module(info.name)
            assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestImportCost:
    def test_nothing_heavy_is_imported(self) -> None:
        """Importing the package and making a client imports neither aiohttp nor the extras."""
        loaded = run_python(
            "import sys, hubspot_meetings_async as h\n"
            "h.MeetingsClient('token')\n"
            "heavy = ['aiohttp', 'yarl', 'typer', 'rich', 'uvloop', 'sqlite3', 'fastapi', 'opentelemetry', 'redis']\n"
            "heavy += [h.__name__ + '.emulator', h.__name__ + '.cli']\n"
            "print([name for name in heavy if name in sys.modules])"
        )
        assert loaded.strip() == "[]"

    def test_no_network_at_import(self) -> None:
        """Importing the package opens no socket and starts no thread."""
        run_python(
            "import socket, threading\n"
            "def no(*a, **k): raise AssertionError('opened a socket')\n"
            "socket.socket.connect = socket.getaddrinfo = no\n"
            "import hubspot_meetings_async\n"
            "assert threading.active_count() == 1"
        )

    def test_no_logging_is_configured(self) -> None:
        """Importing the package leaves logging as it was."""
        run_python(
            "import logging\n"
            "import hubspot_meetings_async as h; h.MeetingsClient('token')\n"
            "assert not logging.getLogger().handlers and logging.getLogger().level == logging.WARNING"
        )
