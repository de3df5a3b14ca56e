"""Reads from a real streaming replica: at any lag, and whatever happens to it, nobody is answered otherwise than before.

The first API process reads from the replica where it can, the second one has none. Both have to say the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from tests.faults.proxy import fault_proxy
from tests.support.doc_blocks import blocks
from tests.support.limits import HUNG_SECONDS
from tests.support.pgbouncer import PgBouncer
from tests.support.replica import ReplicatedPostgres, replicated
from tests.support.stack import Api, OpenStack, Reply, Stack, eventually

from agentroute.log_partitioning import partition_log
from agentroute.replica_check import check_replica
from core.config import Settings
from core.database import create_engine
from core.errors import StoreUnavailable
from core.identity import Principal
from core.metrics.catalogue import REPLICA_READS
from core.replica.reasons import NotFromReplica
from core.replica.replica import Read, Replica
from core.user_data import export as export_module
from core.user_data.export import Exporter

pytestmark = pytest.mark.slow

ADA = Principal("default", "ada")
LONG = "long"


@pytest.fixture(scope="module")
async def servers(server_dir: Path) -> AsyncIterator[ReplicatedPostgres]:
    async with replicated(server_dir / "reads") as servers:
        yield servers


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, servers: ReplicatedPostgres) -> AsyncIterator[Stack]:
    """A service with a thread of some length, whose first API process has a replica."""
    database = {"replica_url": servers.replica.url, "replica_timeout_seconds": HUNG_SECONDS}
    async with open_stack(
        database_url=servers.primary.url,
        database=database,
        # A page has few events, so that a short log has many pages.
        stream={"page_events": 7},
    ) as stack:
        await stack.start_api(database={"replica_url": ""})
        await stack.stream_run("tell me a story about the sea", thread=LONG)
        await stack.stream_run("and another one", thread=LONG)
        await stack.ended(LONG)
        yield stack


def replica_of(api: Api) -> Replica:
    return api.app.state.container.exports._replica


@pytest.fixture
async def replica(stack: Stack, servers: ReplicatedPostgres) -> Replica:
    """The replica as the first process sees it, in use."""
    replica = replica_of(stack.apis[0])
    await in_use(replica)
    return replica


async def in_use(replica: Replica) -> None:
    """Wait until a look finds that the replica has all that the primary has."""

    async def used() -> bool:
        await replica.look()
        return replica.state is None

    await eventually(used)


def answers(read: Read) -> Counter[str]:
    return Counter({by: int(n) for (kind, by), n in REPLICA_READS.read().items() if kind == read})


async def from_replica(read: Read, request: Callable[[], Awaitable[Any]]) -> Any:
    """Return an answer that came from the replica: on a busy machine it may be a moment behind."""

    async def answered() -> list[Any]:
        before = answers(read)["replica"]
        found = await request()
        return [found] if answers(read)["replica"] > before else []

    return (await eventually(answered))[0]


async def why_not(read: Callable[[], Awaitable[None]]) -> str:
    """Return why a read was not made at the replica."""
    try:
        await read()
    except NotFromReplica as exc:
        return exc.reason
    return ""


@asynccontextmanager
async def held_back(servers: ReplicatedPostgres) -> AsyncIterator[None]:
    """Let the replica replay nothing meanwhile."""
    await servers.on(servers.replica, "SELECT pg_wal_replay_pause()")
    await servers._until(servers.replica, "SELECT pg_get_wal_replay_pause_state() = 'paused' AS done")
    try:
        yield
    finally:
        await servers.on(servers.replica, "SELECT pg_wal_replay_resume()")


# --- what everybody sees -----------------------------------------------------------


async def _export(stack: Stack, user: str, api: Api) -> list[Any]:
    lines = (await stack.request("GET", "/export", user=user, api=api)).body.splitlines()
    manifest = {**orjson.loads(lines[0]), "exportedAt": None}
    return [manifest, *lines[1:-1]]


async def _get(stack: Stack, path: str, user: str, api: Api, **params: Any) -> tuple[int, Any]:
    reply = await stack.request("GET", path, user=user, api=api, params=params)
    answer = reply.json
    for changing in ("requestId", "instance", "from", "to"):
        answer.pop(changing, None)
    return reply.status, answer


async def seen(stack: Stack, api: Api, threads: list[tuple[str, str]]) -> dict[str, Any]:
    """Return all that users see of their threads at an API process."""
    found: dict[str, Any] = {}
    for user in sorted({user for user, _ in threads}):
        for words in ("story", "renamed"):
            found[f"{user} {words}"] = await _get(stack, "/threads", user, api, q=words)
        found[f"{user} usage"] = await _get(stack, "/usage", user, api, groupBy="thread")
        found[f"{user} export"] = await _export(stack, user, api)
    for user, thread in threads:
        found[thread] = status, history = await _get(stack, "/history", user, api, threadId=thread, limit=3)
        if status == 200 and history["nextBefore"]:
            page = await _get(
                stack, "/history", user, api, threadId=thread, limit=3, before=history["nextBefore"]
            )
            found[f"{thread} before"] = page
    return found


async def same_for_both(stack: Stack, threads: list[tuple[str, str]]) -> dict[str, Any]:
    """Check that both processes say the same; returns what they say."""
    with_replica, without = [await seen(stack, api, threads) for api in stack.apis]
    assert with_replica == without
    return without


async def test_what_the_replica_answers_is_what_the_primary_answers(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    api = stack.apis[0]
    reads: dict[Read, Callable[[], Awaitable[Any]]] = {
        "history": lambda: _get(stack, "/history", "ada", api, threadId=LONG, limit=3),
        "search": lambda: _get(stack, "/threads", "ada", api, q="sea"),
        "usage": lambda: _get(stack, "/usage", "ada", api, groupBy="model"),
        "export": lambda: _export(stack, "ada", api),
    }
    other = stack.apis[1]
    expected = {
        "history": await _get(stack, "/history", "ada", other, threadId=LONG, limit=3),
        "search": await _get(stack, "/threads", "ada", other, q="sea"),
        "usage": await _get(stack, "/usage", "ada", other, groupBy="model"),
        "export": await _export(stack, "ada", other),
    }
    for read, request in reads.items():
        assert await from_replica(read, request) == expected[read]
    # What is not there is an answer, too.
    absent = await from_replica(
        "history", lambda: _get(stack, "/history", "ada", api, threadId="no-such-thread")
    )
    assert (absent[0], absent[1]["code"]) == (404, "not-found")
    await in_use(replica)
    assert replica.lag_seconds == 0
    # Where nobody may write, nobody does.
    async with replica.snapshot("usage") as connection:
        assert await connection.scalar(text("SHOW transaction_read_only")) == "on"
        assert await connection.scalar(text("SHOW statement_timeout")) != "0"
        [row] = await servers.on(
            servers.replica,
            "SELECT count(*) AS open FROM pg_stat_activity WHERE application_name = 'agentroute-replica'",
        )
        assert row["open"] > 0


async def _all_events(stack: Stack, api: Api, thread: str) -> dict[str, Reply]:
    """Return the stream from each cursor of a thread's runs to the end of its run."""
    found: dict[str, Reply] = {}
    for run in await stack.runs(thread):
        rows = await stack.log(thread, run["ordinal"])
        for row in rows[::11]:
            cursor = f"{run['ordinal']}-{row['seq']}"
            found[cursor] = await stack.read_events(thread, run["run_id"], cursor, api=api)
    return found


async def test_from_every_cursor_the_same_bytes_follow_at_any_lag(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    expected = {
        cursor: reply.raw for cursor, reply in (await _all_events(stack, stack.apis[1], LONG)).items()
    }
    before = answers("events")["replica"]
    assert {c: r.raw for c, r in (await _all_events(stack, stack.apis[0], LONG)).items()} == expected
    assert answers("events")["replica"] > before

    async with held_back(servers):
        # A run of which the replica has nothing, behind one that it has.
        await stack.stream_run("and a last one", thread=LONG)
        await stack.ended(LONG)
        await replica.look()
        assert replica.state == "behind"
        assert replica.lag_seconds
        before = answers("events")["replica"]
        expected = {c: r.raw for c, r in (await _all_events(stack, stack.apis[1], LONG)).items()}
        assert {c: r.raw for c, r in (await _all_events(stack, stack.apis[0], LONG)).items()} == expected
        # It still answers of what it has.
        assert answers("events")["replica"] > before
        # A reader of the whole thread goes over from one to the other.
        last = (await stack.log(LONG))[-1]
        async with stack.open_events(LONG, cursor="1-1", api=stack.apis[0]) as stream:
            while not stream.frames or stream.frames[-1].id != f"{last['ordinal']}-{last['seq']}":
                assert await stream.next() is not None
        rows = (await stack.log(LONG))[1:]
        assert [(frame.id, frame.data.decode()) for frame in stream.frames] == [
            (f"{row['ordinal']}-{row['seq']}", row["payload"]) for row in rows
        ]


async def test_at_any_lag_nobody_sees_what_was_and_everybody_sees_what_is(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    threads = [("ada", LONG), ("ada", "gone"), ("ada", "talk"), ("bob", "bobs"), ("ada", "new")]
    for user, thread in threads[1:4]:
        await stack.stream_run("hello, a story", thread=thread, user=user)
        await stack.ended(thread)

    async def say(thread: str) -> None:
        body = stack.run_body("hello again", thread=thread)
        accepted = await stack.post_run(body=body, api=stack.apis[1])
        assert accepted.status == 202
        # Whoever was answered reads it, at any process and at once: the run is there, or over.
        history = await stack.history(thread, api=stack.apis[0])
        assert f"user-{body['runId']}" in [message["id"] for message in history["messages"]]
        await stack.ended(thread)

    async def delete() -> None:
        assert (await stack.request("DELETE", "/threads/gone", api=stack.apis[1])).status == 204

    async def rename() -> None:
        title = {"title": "renamed"}
        await stack.request("PATCH", "/threads/talk", json=title, api=stack.apis[1])

    async def erase() -> None:
        reply = await stack.request("DELETE", "/me", user="bob", api=stack.apis[1])
        assert reply.status in {200, 202}

    async def erased() -> bool:
        # No process refuses the user any more.
        return {(await _get(stack, "/threads", "bob", api))[0] for api in stack.apis} == {200}

    now: dict[str, Any] = {}
    async with held_back(servers):
        for step in (lambda: say("talk"), rename, lambda: say("new"), delete, erase):
            await step()
            if step is erase:
                await eventually(erased)
            now = await same_for_both(stack, threads)
        # The replica still has all of it.
        [old] = await servers.on(
            servers.replica,
            """SELECT count(*) FILTER (WHERE thread_id = 'gone') AS gone,
                count(*) FILTER (WHERE user_id = 'bob') AS bobs FROM agent_chat_session""",
        )
        assert (old["gone"], old["bobs"]) == (1, 1)
        assert now["gone"][0] == now["bobs"][0] == 404
        assert now["bob story"][1]["threads"] == []
        assert [line["type"] for line in map(_line, now["bob export"])] == ["manifest"]
        for user, thread in (("ada", "gone"), ("bob", "bobs")):
            refused = await stack.read_events(thread, cursor="1-0", user=user)
            refused.problem(404, "not-found")
    await in_use(replica)
    assert await same_for_both(stack, threads) == now


async def test_whoever_was_answered_reads_at_least_that_at_once_at_another_process(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    # Nothing is held back here: the replica is as far behind as it is.
    threads = ("one", "two", "three")
    for thread in threads:
        await stack.stream_run("hello", thread=thread)
    enough = answers("history")["replica"] + 30

    async def write_and_read(thread: str) -> None:
        said = 0
        while answers("history")["replica"] < enough:
            said += 1
            title = {"title": f"title {said}"}
            renamed = await stack.request("PATCH", f"/threads/{thread}", json=title, api=stack.apis[1])
            assert renamed.status == 200
            assert (await stack.history(thread, api=stack.apis[0]))["title"] == f"title {said}"

    async with asyncio.timeout(HUNG_SECONDS):
        await asyncio.gather(*map(write_and_read, threads))


def _line(line: Any) -> Any:
    return line if isinstance(line, dict) else orjson.loads(line)


async def test_a_log_that_is_read_while_its_thread_is_deleted_ends(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    await stack.stream_run("tell me a story", thread="read")
    [run] = await stack.ended("read")
    await in_use(replica)
    store = stack.apis[0].app.state.container.events._store
    thread = await store.find_thread(ADA, "read")
    asked = {"after": type(thread.head)(1, 0), "limit": 7, "max_bytes": 1 << 20, "upto": thread.head}
    assert len(await store.replica_page(thread.session_id, **asked)) == 7
    async with held_back(servers):
        # Retention has marked the run, and deleted nothing yet.
        await stack.fetch("UPDATE agent_chat_session SET pruned_ordinal = 1 WHERE thread_id = 'read'")
        assert await store.replica_page(thread.session_id, **asked) == []
        await stack.fetch("UPDATE agent_chat_session SET pruned_ordinal = 0 WHERE thread_id = 'read'")
        assert len(await store.replica_page(thread.session_id, **asked)) == 7
        assert (await stack.request("DELETE", "/threads/read")).status == 204
        assert await store.replica_page(thread.session_id, **asked) == []
    assert run["last_seq"] > 7


async def test_a_thread_with_a_live_run_is_answered_by_the_primary(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    body = stack.run_body("slowly", thread="live")
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")

        async def asked() -> bool:
            before = answers("history")["live"]
            history = await stack.history("live")
            assert history["activeRun"]["runId"] == body["runId"]
            return answers("history")["live"] > before

        await eventually(asked)
        await stack.cancel("live", body["runId"])
        await stream.to_end()


# --- what may happen to a replica ---------------------------------------------------


async def test_a_transaction_that_stays_open_keeps_nobody_from_the_replica(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    writer = await asyncpg.connect(servers.primary.url)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("UPDATE agent_chat_session SET title = title WHERE thread_id = 'no-such-thread'")
    # It has a number, and is not over.
    await writer.execute("SELECT pg_current_xact_id()")
    await stack.fetch("CREATE TABLE IF NOT EXISTS of_another_test (n int)")
    try:
        await in_use(replica)
        history = await from_replica(
            "history", lambda: _get(stack, "/history", "ada", stack.apis[0], threadId=LONG)
        )
        assert history == await _get(stack, "/history", "ada", stack.apis[1], threadId=LONG)
    finally:
        await transaction.rollback()
        await writer.close()


async def test_a_replica_of_another_history_or_schema_is_not_asked(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    other = stack.apis[1]
    expected = await _get(stack, "/history", "ada", other, threadId=LONG)
    cursor = f"{(await stack.runs(LONG))[0]['ordinal']}-0"
    run = (await stack.runs(LONG))[0]["run_id"]
    events = (await stack.read_events(LONG, run, cursor, api=other)).raw
    for change, back, reason in (
        (
            "UPDATE alembic_version SET version_num = version_num || 'x'",
            "UPDATE alembic_version SET version_num = rtrim(version_num, 'x')",
            "other-schema",
        ),
        (
            "UPDATE agent_epoch SET place = 'elsewhere/00000009'",
            "UPDATE agent_epoch SET place = agent_place()",
            "untold",
        ),
        ("UPDATE agent_epoch SET epoch = epoch + 1", "", "other-history"),
    ):
        async with held_back(servers):
            await stack.fetch(change)
            await replica.look()
            assert replica.state == reason
            before = answers("events")
            assert await _get(stack, "/history", "ada", stack.apis[0], threadId=LONG) == expected
            if reason != "untold":
                # A run that begins an epoch notices the place by itself.
                assert (await stack.read_events(LONG, run, cursor)).raw == events
            assert answers("events")["replica"] == before["replica"]
            if back:
                await stack.fetch(back)
        await in_use(replica)
    assert await from_replica("history", lambda: _get(stack, "/history", "ada", stack.apis[0], threadId=LONG))


async def test_replaying_that_goes_before_a_read_sends_it_to_the_primary(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    await servers.on(servers.replica, "ALTER SYSTEM SET max_standby_streaming_delay = 0")
    await servers.on(servers.replica, "SELECT pg_reload_conf()")
    await stack.fetch("CREATE TABLE of_a_test AS SELECT n FROM generate_series(1, 1000) AS n")
    await in_use(replica)

    async def read() -> None:
        async with replica.snapshot("usage") as connection:
            assert await connection.scalar(text("SELECT count(*) FROM of_a_test")) == 1000
            await stack.fetch("DELETE FROM of_a_test")
            await stack.fetch("VACUUM of_a_test")
            await servers.caught_up()
            await connection.scalar(text("SELECT count(*) FROM of_a_test"))

    # Cancelled in a statement, or ended between two.
    assert await why_not(read) in {"conflict", "unavailable"}
    await servers.on(servers.replica, "ALTER SYSTEM RESET max_standby_streaming_delay")
    await servers.on(servers.replica, "SELECT pg_reload_conf()")
    assert (await _get(stack, "/usage", "ada", stack.apis[0]))[0] == 200


async def test_a_read_that_the_replica_refuses_is_made_at_the_primary(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    for wrong, reason in (("SELECT no_such_column", "refused"), ("DELETE FROM agent_memory", "unavailable")):
        await in_use(replica)

        async def read(sql: str = wrong) -> None:
            async with replica.snapshot("usage") as connection:
                await connection.execute(text(sql))

        assert await why_not(read) == reason
        # It rests, and the next read does not try.
        assert await why_not(read) == "resting"


async def test_a_replica_that_is_away_is_looked_at_less_and_less_often(
    stack: Stack, servers: ReplicatedPostgres
) -> None:
    database = stack.settings.database
    nowhere = database.model_copy(update={"replica_url": SecretStr("postgresql://nobody@127.0.0.1:1/x")})
    primary = create_engine(database, application_name="test")
    own = create_engine(nowhere.replica, application_name="test")
    away = Replica(primary, own, clock=lambda: 0.0)
    rests: list[float] = []
    for _ in range(12):
        await away.look()
        assert away.state == "unavailable"
        assert away.lag_seconds is None
        rests.append(away._rests_until)
    await own.dispose()
    assert 1 <= rests[0] <= 3
    assert all(15 <= rest <= 45 for rest in rests[5:])
    assert len(set(rests)) == len(rests), "all processes would look together"
    # That the primary is away says nothing about the replica.
    lost = Replica(own, own, clock=lambda: 0.0)
    await lost.look()
    assert lost.state == "resting"
    await own.dispose()
    await primary.dispose()


async def test_through_pgbouncer_it_is_the_same(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica, server_dir: Path
) -> None:
    async with PgBouncer(server_dir / "pgr", servers.replica.url, pool_size=2) as pooler:
        url = pooler.url(servers.replica.url)
        api = await stack.start_api(database={"replica_url": url})
        try:
            await in_use(replica_of(api))
            expected = await _get(stack, "/history", "ada", stack.apis[1], threadId=LONG)

            async def at_once() -> list[Any]:
                asked = (_get(stack, "/history", "ada", api, threadId=LONG) for _ in range(20))
                return await asyncio.gather(*asked)

            assert await from_replica("history", at_once) == [expected] * 20
            run = (await stack.runs(LONG))[0]
            before = answers("events")["replica"]
            through = await stack.read_events(LONG, run["run_id"], "1-0", api=api)
            assert through.raw == (await stack.read_events(LONG, run["run_id"], "1-0", api=stack.apis[1])).raw
            assert answers("events")["replica"] > before
        finally:
            await stack.stop_api(api)


async def test_a_role_that_may_only_read_is_enough(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    [grants] = [
        block.text for block in blocks("docs/how-to/hardening.md") if "ROLE agentroute_reader" in block.text
    ]
    for statement in ("CREATE ROLE agentroute_owner", *filter(str.strip, grants.split(";"))):
        await stack.fetch(statement)
    reader = servers.replica.url.replace("//postgres@", "//agentroute_reader@")
    api = await stack.start_api(database={"replica_url": reader})
    try:
        await in_use(replica_of(api))
        run = (await stack.runs(LONG))[0]
        reads: dict[Read, Callable[[], Awaitable[Any]]] = {
            "history": lambda: _get(stack, "/history", "ada", api, threadId=LONG),
            "search": lambda: _get(stack, "/threads", "ada", api, q="sea"),
            "usage": lambda: _get(stack, "/usage", "ada", api),
            "export": lambda: _export(stack, "ada", api),
            "events": lambda: stack.read_events(LONG, run["run_id"], "1-0", api=api),
        }
        for read, request in reads.items():
            await from_replica(read, request)
    finally:
        await stack.stop_api(api)
    connection = await asyncpg.connect(servers.primary.url.replace("//postgres@", "//agentroute_reader@"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DELETE FROM agent_memory")
    await connection.close()


async def test_a_replica_that_goes_silent_holds_up_a_read_for_a_moment_alone(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    async with fault_proxy(servers.replica.url.partition("host=")[2].partition("&")[0], 5432) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/agentroute"
        api = await stack.start_api(database={"replica_url": url, "replica_timeout_seconds": 1})
        try:
            silent = replica_of(api)
            await in_use(silent)
            proxy.swallow()
            assert (await _get(stack, "/history", "ada", api, threadId=LONG))[0] == 200
            assert silent.state in {"unavailable", "slow"}
            assert (await _get(stack, "/history", "ada", api, threadId=LONG))[0] == 200
            await proxy.heal()
            await in_use(silent)
        finally:
            await stack.stop_api(api)


# --- an export that loses its replica ------------------------------------------------


def _lines(body: bytes) -> list[Any]:
    first, *rest = body.splitlines()
    return [{**orjson.loads(first), "exportedAt": None}, *rest[:-1]]


async def _lost(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, after: int, meanwhile: Callable[[], Awaitable[Any]]
) -> Exporter:
    """Return an exporter whose replica fails behind some lines."""
    exporter: Exporter = stack.apis[0].app.state.container.exports
    rows = export_module._all_rows
    calls = 0

    async def failing(*arguments: Any) -> AsyncIterator[bytes]:
        nonlocal calls
        calls += 1
        async with aclosing(rows(*arguments)) as lines:
            told = 0
            async for line in lines:
                if calls == 1 and told == after:
                    await meanwhile()
                    raise NotFromReplica("conflict")
                told += 1
                yield line

    monkeypatch.setattr(export_module, "_all_rows", failing)
    return exporter


async def _nothing() -> None:
    pass


async def _renamed(stack: Stack) -> None:
    await stack.fetch("UPDATE agent_chat_session SET title = title || '!' WHERE thread_id = 'long'")


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 30], ids=["every line is sent", "nothing is sent before"])
async def test_an_export_goes_on_at_the_primary_where_the_replica_left_it(
    stack: Stack, replica: Replica, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(export_module, "CHUNK_BYTES", chunk_bytes)
    whole = await _export(stack, "ada", stack.apis[1])
    for after in (1, 5, len(whole) - 1):
        with monkeypatch.context() as patch:
            exporter = await _lost(stack, patch, after, _nothing)
            assert _lines(b"".join([chunk async for chunk in exporter.export(ADA)])) == whole


async def test_an_export_whose_data_changes_meanwhile_begins_anew_or_is_cut_off(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        exporter = await _lost(stack, patch, 5, lambda: _renamed(stack))
        body = b"".join([chunk async for chunk in exporter.export(ADA)])
    assert _lines(body) == await _export(stack, "ada", stack.apis[1])

    await in_use(replica)
    with monkeypatch.context() as patch:
        patch.setattr(export_module, "CHUNK_BYTES", 1)
        exporter = await _lost(stack, patch, 5, lambda: _renamed(stack))
        sent = list[bytes]()

        async def read() -> None:
            async for chunk in exporter.export(ADA):
                sent.append(chunk)

        with pytest.raises(StoreUnavailable, match="changed"):
            await read()
    assert len(sent) == 5
    assert b'"type":"end"' not in b"".join(sent)


async def test_a_log_in_parts_is_read_from_the_replica_too(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    await partition_log(stack.settings.database)
    await stack.stream_run("a run in a part", thread=LONG)
    await in_use(replica)
    before = answers("events")["replica"]
    expected = {c: r.raw for c, r in (await _all_events(stack, stack.apis[1], LONG)).items()}
    assert {c: r.raw for c, r in (await _all_events(stack, stack.apis[0], LONG)).items()} == expected
    assert answers("events")["replica"] > before


# --- the end of a replica: the last tests, which leave none ---------------------------


async def _found(stack: Stack, **database: Any) -> list[tuple[bool, str]]:
    settings = stack.settings.model_dump()
    settings["database"] |= database
    return [(result.ok, result.found) for result in await check_replica(Settings.model_validate(settings))]


async def test_doctor_says_what_is_wrong_with_a_replica(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    assert await _found(stack, replica_url="") == []

    async def looked() -> bool:
        return await _found(stack) == [(True, "has all that the primary has")]

    await eventually(looked)
    [(ok, found)] = await _found(stack, replica_url=servers.primary.url)
    assert (ok, found) == (False, "the unix socket is no replica: it takes writes itself")
    [(ok, found)] = await _found(stack, replica_url="postgresql://nobody@127.0.0.1:1/nowhere")
    assert (ok, found) == (False, "127.0.0.1:1 does not answer")
    async with held_back(servers):
        await stack.fetch("UPDATE agent_epoch SET since = clock_timestamp()")
        [(ok, found)] = await _found(stack)
        assert ok
        assert "behind" in found
        await stack.fetch("UPDATE agent_epoch SET epoch = epoch + 1")
        [(ok, found)] = await _found(stack)
        assert not ok
        assert "another history" in found


async def test_a_replica_that_is_killed_in_the_middle_of_a_read_costs_nobody_an_answer(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:
    expected = await _get(stack, "/history", "ada", stack.apis[1], threadId=LONG)

    async def read() -> None:
        async with replica.snapshot("history") as connection:
            servers.replica.kill()
            await connection.execute(text("SELECT 1"))

    assert await why_not(read) == "unavailable"
    assert await _get(stack, "/history", "ada", stack.apis[0], threadId=LONG) == expected
    ready = await stack.apis[0].client("ada").get(f"{stack.apis[0].url}/readyz")
    assert ready.status_code == 200
    servers.replica.start()
    await in_use(replica)

    # A reader that is far behind, whose pages came from a server that is gone now.
    run = (await stack.runs(LONG))[0]
    events = (await stack.read_events(LONG, run["run_id"], "1-0", api=stack.apis[1])).raw
    before = answers("events")
    servers.replica.kill()
    assert (await stack.read_events(LONG, run["run_id"], "1-0", api=stack.apis[0])).raw == events
    assert answers("events")["replica"] == before["replica"]
    assert replica.state == "unavailable"
    servers.replica.start()
    await in_use(replica)
    assert (
        await from_replica("history", lambda: _get(stack, "/history", "ada", stack.apis[0], threadId=LONG))
        == expected
    )


async def test_a_replica_that_is_promoted_is_left_alone(
    stack: Stack, servers: ReplicatedPostgres, replica: Replica
) -> None:

    async def read() -> None:
        # Its connections live on over the promotion.
        async with replica.snapshot("history"):
            await servers.on(servers.replica, "SELECT pg_promote(true)")
        async with replica.snapshot("history"):
            pass

    assert await why_not(read) == "promoted"
    await servers.on(servers.replica, "UPDATE agent_chat_session SET title = 'of another history'")
    await replica.look()
    assert replica.state == "promoted"
    for api in stack.apis:
        assert (await _get(stack, "/history", "ada", api, threadId=LONG))[1]["title"] != "of another history"
