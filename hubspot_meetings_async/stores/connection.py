"""A connection to a PostgreSQL server that is made again when it is lost.

This module knows asyncpg, addresses, and which errors pass. It must not know tables. No message of it holds a password.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import anyio

from ..errors import ConfigurationError, StoreError, printable
from .tables import quoted

__all__ = ["Connection"]

T = TypeVar("T")

_CONNECT_S: Final = 15.0
_COMMAND_S: Final = 60.0
"""A server that says nothing for so long is taken for lost."""

_READABLE: Final = re.compile(
    r"([^@:/]*(:[^@/]*)?@)?(\[[0-9a-fA-F:.]+\]|[^@:\[\],]*)(:[0-9]+)?(,(\[[0-9a-fA-F:.]+\]|[^@:\[\],]*)(:[0-9]+)?)*"
)
"""`user:password@host:port`, or several hosts: what asyncpg reads as we do."""

_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0


class Connection:
    """A connection by an address, `postgresql://…`; `?schema=` in it names the schema to work in.

    `str()` is the address without its password. Raises: ConfigurationError for an address that is none, and without
    the extra `postgres`.
    """

    def __init__(self, url: str, *, patience_s: float) -> None:
        self._asyncpg = _asyncpg()
        parts = _split(url)
        asked = parse_qsl(parts.query, keep_blank_values=True)
        self._schema = dict(asked).get("schema") or None
        self._dsn = parts._replace(query=urlencode([pair for pair in asked if pair[0] != "schema"])).geturl()
        self._name = _name(parts, dict(asked))
        self._patience_s = patience_s
        self._connection: Any = None

    def __str__(self) -> str:
        return self._name

    async def open(self) -> None:
        """Connect, and make the schema if it is not there. Raises: StoreError at once if that fails."""
        try:
            await self._connected()
        except ConfigurationError:
            self._let_go()
            raise
        except (*self._passing, self._asyncpg.PostgresError, ValueError) as error:
            self._let_go()
            raise StoreError(f"{self} can not be used: {self._told(error)}") from None

    async def close(self) -> None:
        """Say good-bye, within some seconds."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with anyio.CancelScope(shield=True):
                with contextlib.suppress(*self._passing):
                    await connection.close(timeout=5)

    async def surely(self, work: Callable[[Any, bool], Awaitable[T]]) -> T:
        """Do `work(connection, again)`, and do it again on a new connection when the old one is lost.

        `again` says that an earlier try may have been carried out, or not. Raises: StoreError.
        """
        errors = self._asyncpg.exceptions
        again, pause_s = False, _PAUSE_S
        give_up_at = None
        while True:
            try:
                return await work(await self._connected(), again)
            except (*self._passing, errors.PostgresError, errors.InterfaceError) as error:
                lost = self._connection is not None and self._connection.is_closed()
                self._let_go()
                if not lost and not isinstance(error, self._passing):
                    raise StoreError(f"{self} refused: {self._told(error)}; mend the cause and pull again") from error
                now = anyio.current_time()
                give_up_at = give_up_at or now + self._patience_s
                if now + pause_s > give_up_at:
                    raise StoreError(
                        f"the connection to {self} was lost ({self._told(error)}), and could not be made again; "
                        "nothing is lost: pull again when the server is back"
                    ) from error
                await anyio.sleep(pause_s)
                again, pause_s = True, min(2 * pause_s, _LONGEST_PAUSE_S)

    @property
    def _passing(self) -> tuple[type[Exception], ...]:
        """What passes, or is worth another try: connections lost, servers that restart, transactions that collided."""
        errors = self._asyncpg.exceptions
        return (
            OSError,
            TimeoutError,
            errors.PostgresConnectionError,
            errors.OperatorInterventionError,
            errors.TooManyConnectionsError,
            errors.TransactionRollbackError,
            # Between the server's last word on a connection and its end, asyncpg says so.
            errors.InternalClientError,
        )

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            connection = await self._asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_S,
                command_timeout=_COMMAND_S,
                server_settings={"application_name": "hubspot-meetings"},
            )
            try:
                await self._enter_schema(connection)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
        return self._connection

    async def _enter_schema(self, connection: Any) -> None:
        schema = self._schema or await connection.fetchval("SELECT current_schema()")
        if schema is None:
            raise ConfigurationError(f"{self} has no schema to make tables in; name one: ?schema=hubspot")
        if not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema):
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        # Nothing of another schema is ever meant, whatever the user's search path says.
        await connection.execute(f"SET search_path TO {quoted(schema)}")
        # Statements are planned once, while the tables are new and small. All of ours are short and go by a key.
        await connection.execute("SET enable_seqscan TO off; SET jit TO off")

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _told(self, error: BaseException) -> str:
        if isinstance(error, ValueError):
            return "its address can not be read"
        if isinstance(error, TimeoutError):
            return "no answer in time"
        # The server's details quote rows, and those are people's.
        words = getattr(error, "message", None) if isinstance(error, self._asyncpg.PostgresError) else str(error)
        return printable(words or type(error).__name__)


def _split(url: str) -> SplitResult:
    parts = _parts(url)
    if parts is None or not _READABLE.fullmatch(parts.netloc) or "@" in parts.path + parts.query or parts.fragment:
        # Python's own words would show a part of the address, and that can be the password.
        raise ConfigurationError(
            "the address of the PostgreSQL database can not be read; in a password, @ is written as %40, : as %3A, "
            "/ as %2F, # as %23 and ? as %3F"
        )
    if parts.scheme not in ("postgresql", "postgres"):
        raise ConfigurationError("the address of a PostgreSQL database begins with postgresql://")
    return parts


def _parts(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _name(parts: SplitResult, asked: dict[str, str]) -> str:
    """The address without what nobody needs to see."""
    auth, at, host = parts.netloc.rpartition("@")
    schema = f"?schema={asked['schema']}" if asked.get("schema") else ""
    return printable(f"postgresql://{auth.partition(':')[0]}{at}{host or asked.get('host', '')}{parts.path}{schema}")


def _asyncpg() -> Any:
    try:
        # It has no types.
        import asyncpg  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise ConfigurationError(
            f"PostgreSQL needs a package ({error.name} is missing): pip install 'hubspot-meetings-async[postgres]'"
        ) from None
    return asyncpg
