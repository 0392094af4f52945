"""A redis-server for the tests that need one."""

from collections.abc import Iterator

import pytest

from benchmarks.redis_server import RedisServer


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of this module's own, empty at first."""
    if not RedisServer.installed():
        pytest.skip("redis-server is not on the path")
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
