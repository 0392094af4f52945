"""`RedisQuota` on a real redis-server: its keys, its errors, what the script answers, and real processes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import redis as redis_py
from redis.asyncio import Redis

from benchmarks.limiter_sim import Window, World, together, uniform
from benchmarks.redis_server import RedisServer
from benchmarks.shared_quota import Scenario, run
from hubspot_meetings_async import ConfigurationError, MeetingsClient
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.integrations.redis import RedisQuota, RedisSlots
from hubspot_meetings_async.limiter import PROFESSIONAL, Lane, QuotaGate
from hubspot_meetings_async.limiter.store import Ended, Granted, Kept, Message, StoreAway, Wanted

TOKEN = "pat-na1-11111111-2222-3333-4444-555555555555"


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client of the server, which forgets everything first."""
    async with Redis.from_url(redis_server.url) as connected:
        await connected.flushall()
        yield connected


class Process:
    """What a process says to the store, a word at a time. Rests and leases are fractions of a second."""

    def __init__(self, redis: Redis, name: str, *, limit: int = 3, **changes: Any) -> None:
        self.store = RedisSlots(cast("Any", redis), "test", timeout_s=5.0)
        self.name = name
        self.epoch = ""
        self.said: dict[str, Any] = {
            "window_us": 300_000, "rest_us": 300_000, "lease_us": 500_000, "limit": limit, "limit_known": False,
        } | changes  # fmt: skip

    async def say(self, **more: Any) -> Granted:
        heard = await self.store.exchange(Message(process=self.name, epoch=self.epoch, **(self.said | more)))
        if heard.unknown:
            self.epoch = heard.epoch
        return heard

    async def ask(self, name: str, lane: Lane = Lane.INTERACTIVE, **more: Any) -> Granted:
        wanted = Wanted(
            id=name, lane=lane.value,
            **{"more": False, "bulk_slots": 1, "reserve": 0, "pace_us": 1, "burst": 1, "most_owed": 1} | more,
        )  # fmt: skip
        heard = await self.say(wanted=wanted, kept=None if self.epoch else [])
        self.epoch = heard.epoch
        return heard

    async def end(self, name: str, how: str = "passed", lane: Lane = Lane.INTERACTIVE, **more: Any) -> Granted:
        return await self.say(ended=[Ended(id=name, lane=lane.value, how=how, **more)])

    async def until_granted(self, name: str) -> Granted:
        for _ in range(100):
            heard = await self.ask(name)
            if heard.granted:
                return heard
            await asyncio.sleep(heard.wait_us / 1e6)
        raise AssertionError("never granted")


class TestScript:
    async def test_no_more_than_the_limit(self, client: Redis) -> None:
        """Slots of all processes count together; who gets none is told when to ask again."""
        one, two = Process(client, "one"), Process(client, "two")
        granted = [await one.ask("a"), await two.ask("b"), await one.ask("c")]
        assert [heard.granted for heard in granted] == [True, True, True]
        assert [heard.in_use for heard in granted] == [1, 2, 3]
        refused = await two.ask("d")
        assert (refused.granted, refused.in_use, refused.processes) == (False, 3, 2)
        assert 0 < refused.wait_us <= 250_000

    async def test_free_a_window_after_the_answer(self, client: Redis) -> None:
        """A slot comes free `rest_us` after its stamp, not before."""
        one = Process(client, "one", limit=1)
        await one.ask("a")
        ended_at = (await one.end("a", age_us=100_000)).at
        again = await one.until_granted("b")
        assert again.at + again.wait_us >= ended_at - 100_000 + 300_000

    async def test_a_silent_process_frees_its_slots(self, client: Redis) -> None:
        """A slot of which nothing is heard counts as stamped when its lease ends."""
        gone, other = Process(client, "gone", limit=1), Process(client, "other", limit=1)
        first = await gone.ask("a")
        again = await other.until_granted("b")
        assert again.at + again.wait_us >= first.at + 500_000 + 300_000

    async def test_unused_is_free_at_once(self, client: Redis) -> None:
        """A slot whose call never left is free for others."""
        one = Process(client, "one", limit=1)
        await one.ask("a")
        await one.end("a", "unused")
        assert (await one.ask("b")).granted

    async def test_a_slot_soon_free_is_given_ahead(self, client: Redis) -> None:
        """A moment before a slot comes free somebody gets it, with the time to wait; and nobody else does."""
        one = Process(client, "one", limit=1, rest_us=10_000_000, window_us=10_000_000)
        await one.ask("a")
        await one.end("a", age_us=9_992_000)
        heard = await one.ask("b")
        assert heard.granted
        assert 0 < heard.wait_us <= 8_000
        assert not (await one.ask("c")).granted

    async def test_another_memory(self, client: Redis) -> None:
        """A server that lost its memory says so, and is told which slots are in use before it gives any."""
        one = Process(client, "one", limit=2)
        before = await one.ask("a")
        await client.flushall()
        lost = await one.ask("b")
        assert lost.unknown
        assert not lost.granted
        assert lost.epoch not in ("", before.epoch)
        heard = await one.say(kept=[Kept("a", 0, 400_000), Kept("z", 1, 400_000)])
        assert (heard.in_use, heard.epoch) == (2, lost.epoch)
        assert 0 < heard.young_us <= 2_000_000
        assert not (await one.ask("b")).granted

    async def test_limit_from_headers(self, client: Redis) -> None:
        """A limit that one process was told holds for those that only guess."""
        told, guessing = Process(client, "told", limit=2, limit_known=True), Process(client, "guessing", limit=100)
        await told.ask("a")
        assert (await guessing.ask("b")).limit == 2
        assert not (await guessing.ask("c")).granted

    async def test_bulk_leaves_the_next_to_who_waits(self, client: Redis) -> None:
        """An interactive call that waits anywhere gets the next slot, unless bulk has less than its share."""
        one, two = Process(client, "one", limit=4), Process(client, "two", limit=4)
        for name in "abc":
            assert (await one.ask(name, Lane.BULK)).granted
        await one.ask("d")
        assert not (await two.ask("e")).granted
        await one.end("a", "unused", Lane.BULK)
        assert not (await one.ask("f", Lane.BULK)).granted
        assert (await two.ask("e")).granted

    async def test_bulk_share(self, client: Redis) -> None:
        """With its share of slots bulk goes before interactive calls that have theirs."""
        one, two = Process(client, "one", limit=4), Process(client, "two", limit=4)
        for name in "abcd":
            assert (await one.ask(name)).granted
        assert not (await two.ask("e", Lane.BULK, bulk_slots=2)).granted
        await one.end("a", "unused")
        assert not (await one.ask("f", bulk_slots=2)).granted
        assert (await two.ask("e", Lane.BULK, bulk_slots=2)).granted

    async def test_reserve(self, client: Redis) -> None:
        """Bulk leaves slots free for interactive calls."""
        one = Process(client, "one", limit=3)
        assert (await one.ask("a", Lane.BULK, reserve=1)).granted
        assert (await one.ask("b", Lane.BULK, reserve=1)).granted
        assert not (await one.ask("c", Lane.BULK, reserve=1)).granted
        assert (await one.ask("d")).granted

    async def test_pace(self, client: Redis) -> None:
        """Bulk calls of all processes keep one pace, after a burst."""
        one, two = Process(client, "one", limit=100), Process(client, "two", limit=100)
        pace = {"pace_us": 10_000_000, "burst": 3}
        granted = [(await process.ask(f"{n}", Lane.BULK, **pace)).granted for n, process in enumerate([one, two] * 2)]
        assert granted == [True, True, True, False]

    async def test_one_pause_and_one_probe(self, client: Redis) -> None:
        """After a 429 nobody gets a slot, then one does, and its passing opens the gate."""
        one, two = Process(client, "one", limit=100), Process(client, "two", limit=100)
        first = await one.ask("a")
        shut = await one.end("a", "refused", granted_at=first.at)
        assert 0 < shut.paused_us <= 250_000
        assert not (await two.ask("b")).granted
        probe = await one.until_granted("c")
        assert not (await two.ask("b")).granted
        await one.end("c", granted_at=probe.at)
        assert (await two.ask("b")).granted

    async def test_retry_after(self, client: Redis) -> None:
        """What a refusal asks for is granted, when it is longer."""
        one = Process(client, "one")
        first = await one.ask("a")
        shut = await one.end("a", "refused", granted_at=first.at, retry_after_us=30_000_000)
        assert 29_000_000 < shut.paused_us <= 30_000_000

    async def test_refused_probe_waits_longer(self, client: Redis) -> None:
        """Each refused probe doubles the pause, up to a window."""
        one, pauses = Process(client, "one", limit=100), list[int]()
        for name in "abc":
            granted = await one.until_granted(name)
            pauses.append((await one.end(name, "refused", granted_at=granted.at)).paused_us)
        assert pauses == pytest.approx([250_000, 300_000, 300_000], abs=1000)

    async def test_hold(self, client: Redis) -> None:
        """A count of HubSpot's above all slots that can be in it is somebody else's use, and left to them."""
        one = Process(client, "one", limit=10)
        await one.ask("-")
        await client.hset("{test}:state", "born", "0")  # a young memory can not tell
        first = await one.ask("a")
        heard = await one.end("a", granted_at=first.at, count=8)
        assert heard.hold == 6
        granted = [(await one.ask(name)).granted for name in "bcd"]
        assert granted == [True, True, False]


class TestKeys:
    async def test_one_hash_tag_and_no_trace(self, client: Redis) -> None:
        """All keys have one hash tag, expire by themselves, and name the account and the app, not the token."""
        async with RedisQuota(cast("Any", client), account="4711", app="sync") as quota:
            async with quota.slot(Lane.BULK) as slot:
                slot.written()
                slot.answered({})
            async with quota.search.slot(Lane.INTERACTIVE):
                pass
            keys = [str(key, "ascii") for key in cast("list[bytes]", await client.keys())]
            prefixes = {"{hubspot:4711:sync:ten_secondly_rolling}", "{hubspot:4711:secondly}"}
            assert {key.rpartition(":")[0] for key in keys} == prefixes
            for key in keys:
                assert 0 < await client.pttl(key) <= 120_000

    async def test_apps_share_searches_only(self, client: Redis) -> None:
        """Two apps in one account have a quota each, and one of searches; another account has its own."""
        options: dict[str, Any] = {"limits": PROFESSIONAL}
        async with (
            RedisQuota(cast("Any", client), account="1", app="a", **options) as a,
            RedisQuota(cast("Any", client), account="1", app="b", **options) as b,
        ):
            for gate in (a, b, a.search, b.search):
                async with gate.slot(Lane.INTERACTIVE) as slot:
                    slot.written()
                    slot.answered({})
            assert [gate.stats().processes for gate in (a, b, a.search)] == [1, 1, 1]
            assert b.search.stats().processes == 2


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"redis": "localhost:6379"}, "redis://localhost:6379/0"),
            ({"redis": redis_py.Redis()}, "a client of redis.asyncio"),
            ({"account": ""}, "account must be"),
            ({"account": "a b"}, "account must be"),
            ({"account": "a{b}"}, "account must be"),
            ({"account": TOKEN}, "looks like a token"),
            ({"account": 4711}, "account must be"),
            ({"app": TOKEN}, "app looks like a token"),
            ({"timeout_s": 0}, "timeout_s"),
            ({"processes": 0}, "processes"),
            ({"bulk_share": 1.0}, "bulk_share"),
        ],
    )
    def test_wrong_values(self, arguments: dict[str, Any], says: str) -> None:
        """A wrong value is refused at once, in words that say what to give; a token is not repeated."""
        with pytest.raises(ConfigurationError, match=says) as caught:
            RedisQuota(**({"redis": "redis://localhost", "account": "1"} | arguments))
        assert TOKEN not in str(caught.value)

    def test_limits_are_the_quotas(self) -> None:
        """The client takes `limits` or a limiter, and says which of the two has them."""
        with pytest.raises(ConfigurationError, match="not both"):
            MeetingsClient(
                TOKEN, limits=PROFESSIONAL, limiter=RedisQuota("redis://localhost", account="1", limits=PROFESSIONAL)
            )

    def test_repr_has_no_password(self) -> None:
        """Its repr names the account and no address."""
        quota = RedisQuota("redis://:pass-word@localhost", account="4711", limits=PROFESSIONAL)
        assert repr(quota).startswith("<RedisQuota 4711 ")
        assert "pass-word" not in repr(quota)


class TestRefusals:
    async def test_wrong_password(self, redis_server: RedisServer, client: Redis) -> None:
        """A server that refuses the client from the start is a mistake to mend, and told on the first call."""
        url = redis_server.url.replace("//", "//somebody:pass-word@")
        async with RedisQuota(url, account="1") as quota:
            with pytest.raises(ConfigurationError, match="Redis refuses this client") as caught:
                async with quota.slot(Lane.BULK):
                    pass
        assert "pass-word" not in str(caught.value)
        assert quota.stats().in_use == 0

    async def test_missing_rights(self, redis_server: RedisServer, client: Redis) -> None:
        """So is a user that may not run scripts; the error names what it needs."""
        await client.acl_setuser("weak", enabled=True, nopass=True, keys=["*"], commands=["+ping", "+client", "+hello"])
        url = redis_server.url.replace("//", "//weak:any@")
        async with RedisQuota(url, account="1") as quota:
            with pytest.raises(ConfigurationError, match=r"may run EVAL and EVALSHA on \{hubspot:1:app"):
                async with quota.slot(Lane.BULK):
                    pass

    async def test_no_answer(self) -> None:
        """A server that takes connections and says nothing is away after `timeout_s`; the call goes on."""

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, RedisQuota(f"redis://127.0.0.1:{port}", account="1", timeout_s=0.05) as quota:
            async with quota.slot(Lane.INTERACTIVE) as slot:
                slot.written()
            assert quota.stats().store_away

    async def test_scripts_forgotten(self, client: Redis) -> None:
        """A server that forgot the script is sent it again."""
        one = Process(client, "one")
        await one.ask("a")
        await client.script_flush()
        assert (await one.ask("b")).granted

    async def test_any_failure_is_temporary(self, client: Redis) -> None:
        """What else goes wrong, a full memory or a replica without a master, is no reason to stop calling."""
        await client.set("{test}:interactive", "not a sorted set")
        with pytest.raises(StoreAway, match="WRONGTYPE"):
            await Process(client, "one").ask("a")


class TestClient:
    async def test_in_a_client(self, client: Redis) -> None:
        """A client takes it as its limiter, for searches too, and calls go through."""
        async with (
            Emulator() as emulator,
            RedisQuota(cast("Any", client), account="1") as quota,
            MeetingsClient("token", base_url=emulator.url, limiter=quota) as hubspot,
        ):
            await asyncio.gather(*(hubspot.meetings.create({"hs_meeting_title": f"{n}"}) for n in range(20)))
            async for _ in hubspot.meetings.search():
                pass
            assert quota.stats().granted_interactive == 21
            assert quota.search.stats().granted_interactive == 1
            assert hubspot.quota.processes == 1
        assert await client.ping()

    async def test_own_connections_are_closed(self, redis_server: RedisServer) -> None:
        """Connections to an address are the quota's, and closed with it; calls after that know no Redis."""
        async with RedisQuota(redis_server.url, account="own") as quota, quota.slot(Lane.BULK):
            assert quota._own is not None
        pool = quota._own.connection_pool
        assert not any(connection.is_connected for connection in pool._available_connections)


class TestRealTime:
    async def test_stopped_and_started_again(self, redis_server: RedisServer) -> None:
        """Three gates on one second of fifty calls: Redis goes, comes back empty, and next to nothing is refused."""
        server, rng = Window(50, 1.0), random.Random(1)
        forward = uniform(1, 20)
        clients = [Redis.from_url(redis_server.url) for _ in range(3)]
        gates = [
            QuotaGate(limit=50, window_s=1.0, store=RedisSlots(cast("Any", client), "real", timeout_s=1.0))
            for client in clients
        ]
        worlds = [World(gate, server, rng, forward) for gate in gates]
        loop = asyncio.get_running_loop()
        began_at = loop.time()

        async def outage() -> None:
            await asyncio.sleep(1.0)
            redis_server.stop()
            await asyncio.sleep(0.8)
            assert all(gate.stats().store_away for gate in gates)
            redis_server.start()

        until = began_at + 3.5
        await together(3.5, outage(), *(world.worker(Lane.BULK, until) for world in worlds for _ in range(4)))
        assert not any(gate.stats().store_away for gate in gates)
        for client in clients:
            await client.aclose()
        assert len(server.refused) <= 0.04 * len(server.accepted)
        assert len(server.accepted) >= 0.8 * 3.5 * 50

    def test_four_processes(self) -> None:
        """Four processes with clocks apart use a window together, and none is refused."""
        if not RedisServer.installed():
            pytest.skip("redis-server is not on the path")
        outcome = run(
            Scenario("small", seconds=2.5, limit=40, window_s=1.0, jitter_ms=(1.0, 15.0), workers=4, skew_s=0.5)
        )
        window = outcome.window
        # A machine that stands still for a second may cost one; without the sharing there would be a hundred.
        assert len(window.refused) <= 1
        assert window.fullest_window() <= 41
        assert len(window.accepted) >= 0.8 * 40 * (max(window.accepted) - min(window.accepted))
        assert outcome.errors == 0

    @pytest.mark.soak
    @pytest.mark.parametrize("away", [None, (25.0, 15.0)], ids=["there", "away"])
    def test_four_processes_for_minutes(self, away: tuple[float, float] | None) -> None:
        """The goal itself: 190 calls in ten seconds, four processes, clocks half a second apart."""
        outcome = run(Scenario("real", seconds=90.0, skew_s=0.5, away=away))
        assert outcome.errors == 0
        if away is None:
            assert not outcome.window.refused
            assert outcome.window.use_steady(since=30) >= 0.997 * outcome.most_possible
        else:
            assert outcome.refused_percent <= 1.0
            assert outcome.use_away_percent() >= 90.0
