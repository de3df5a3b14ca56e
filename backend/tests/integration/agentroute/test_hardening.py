"""docs/how-to/hardening.md is true: a service does everything with the rights that the page gives, and has no others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError
from tests.support import audio
from tests.support.doc_blocks import Block, blocks
from tests.support.ports import reserved_port
from tests.support.stack import OpenStack, Stack, eventually
from tests.support.whole_service import do_everything, sections_for_everything

from agentroute import migrations
from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_valkey import LocalValkey
from agentroute.redis_check import check_redis
from agentroute.settings_errors import load_settings
from agentroute.start_checks import SERVE_CHECKS, WORKER_CHECKS, first_failure
from core.config import RedisSettings, Settings

PAGE = "docs/how-to/hardening.md"
PASSWORD = "a-password-of-the-reader"


def of_language(language: str, has: str = "") -> list[Block]:
    return [block for block in blocks(PAGE) if block.language == language and has in block.text]


def filled_in(text: str) -> str:
    return text.replace("…", PASSWORD)


def with_user(url: str, user: str, password: str = PASSWORD) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))


async def run_sql(url: str, text: str) -> None:
    """Run statements one by one: some of them may be in no transaction."""
    connection = await asyncpg.connect(url)
    try:
        for statement in filter(str.strip, text.split(";")):
            await connection.execute(statement)
    finally:
        await connection.close()


async def add_user(redis: Redis, text: str) -> None:
    """Carry out an ``ACL SETUSER`` of the page."""
    await redis.execute_command(*filled_in(text).split())


@dataclass
class Guarded:
    """Servers with the users of the page."""

    owner: str
    runtime: str
    redis: str
    admin: Redis


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    quick = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "io_method": "sync"}
    with ExitStack() as servers:
        postgres = servers.enter_context(
            LocalPostgres(folder / "postgres", port=reserved_port(), settings=quick)
        )
        valkey = servers.enter_context(LocalValkey(folder / "valkey", port=reserved_port()))
        superuser, there = postgres.url, postgres.url.rpartition("/")[0] + "/postgres"
        # The bundled server brings a database of this name.
        await run_sql(there, "DROP DATABASE agentroute")
        create, grant, take, read = (filled_in(block.text) for block in of_language("sql"))
        await run_sql(there, create)
        await run_sql(superuser, grant)
        owner = with_user(superuser, "agentroute_owner")
        await migrations.upgrade(owner)
        await run_sql(owner, take)
        await run_sql(superuser, read)
        async with Redis.from_url(valkey.url) as first:
            user, off = (block.text for block in of_language("text", "ACL SETUSER"))
            await add_user(first, user)
            # Before the user without a name is switched off: somebody has to look afterwards.
            await add_user(first, "ACL SETUSER admin on >… ~* &* +@all")
            await add_user(first, off)
        async with Redis.from_url(with_user(valkey.url, "admin")) as admin:
            yield Guarded(
                owner,
                with_user(superuser, "agentroute_runtime"),
                with_user(valkey.url, "agentroute"),
                admin,
            )


async def use_redis_in_every_way(stack: Stack, admin: Redis) -> None:
    """Do what needs Redis, beside what every run does: a ticket, a cancel, a recording, a rate, a deleted thread, an erased user."""

    async def looked() -> bool:
        return "cmdstat_hget" in await admin.info("commandstats")

    thread = stack.new_id("thread")
    body = stack.run_body("count slowly to 500", thread=thread)
    async with stack.open_run(body=body) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        assert (await stack.cancel(thread, body["runId"])).status in {200, 202}
        await stream.to_end()
    ticket = (await stack.request("POST", "/events/ticket", json={"threadId": thread})).json["ticket"]
    params = {"threadId": thread, "ticket": ticket}
    client = stack.apis[0].client("nobody")
    async with client.stream("GET", "/events", params=params, headers={"Authorization": ""}) as answer:
        assert answer.status_code == 200, await answer.aread()
        keeper = stack.apis[0].app.state.container.keys
        made = await keeper.create(tenant_id="default", user_id="robot", by="cli")
        # Has the process look at the credentials of its streams now, not within the minute.
        await keeper.revoke("default", made.known.key_id, by="cli")
        await eventually(looked)
    for _ in range(2):
        sound = {"file": ("a.wav", audio.wav())}
        heard = await stack.request("POST", "/transcribe", files=sound, headers={"Idempotency-Key": "k"})
        assert heard.status == 200, heard.body
    assert (await stack.request("DELETE", f"/threads/{thread}")).status == 204
    assert (await stack.request("DELETE", "/me", user="leaving")).status == 200


async def test_a_service_does_everything_with_these_rights(
    guarded: Guarded, open_stack: OpenStack, tmp_path: Path
) -> None:
    await guarded.admin.acl_log_reset()
    await guarded.admin.config_resetstat()
    async with open_stack(
        database_url=guarded.runtime,
        redis_url=guarded.redis,
        # The prefix that the page names.
        redis={"key_prefix": RedisSettings().key_prefix},
        **sections_for_everything(tmp_path),
    ) as stack:
        await do_everything(stack)
        await use_redis_in_every_way(stack, guarded.admin)
        assert (await check_redis(stack.settings)).ok
        assert await first_failure(stack.settings, WORKER_CHECKS) is None
        assert await first_failure(stack.settings, SERVE_CHECKS) is None
        reached = (await stack.apis[0].client("ada").get(f"{stack.apis[0].url}/readyz")).json()

    assert reached["checks"] == {"postgres": "ok", "migrations": "ok", "redis": "ok"}
    assert reached["workers"] == {"live": 1}
    # Redis lets a loss pass everywhere, so what it refused is asked of itself.
    assert await guarded.admin.acl_log() == []
    (text,) = (block.text for block in of_language("text", "-@all"))
    given = {word[1:] for word in text.split() if word.startswith("+")}
    used: Mapping[str, Any] = await guarded.admin.info("commandstats")
    assert given - {name.removeprefix("cmdstat_") for name in used} == set(), "rights that nothing needs"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE agent_run ADD COLUMN mine int",
        "DROP TABLE agent_memory",
        "TRUNCATE agent_memory",
        "CREATE INDEX ON agent_run (status)",
        "CREATE OR REPLACE FUNCTION agent_message_search() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
        "INSERT INTO alembic_version VALUES ('0001')",
        "SET ROLE agentroute_owner",
        "COPY agent_run TO PROGRAM 'cat'",
        "SELECT pg_read_file('postgresql.conf')",
        "CREATE ROLE mine",
        "ALTER ROLE agentroute_runtime SUPERUSER",
    ],
)
async def test_the_role_of_the_service_can_do_nothing_else(guarded: Guarded, statement: str) -> None:
    connection = await asyncpg.connect(guarded.runtime)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_role_of_the_service_reads_and_writes_rows_alone(guarded: Guarded) -> None:
    connection = await asyncpg.connect(guarded.owner)
    try:
        rows = await connection.fetch("""
            SELECT table_name, string_agg(privilege_type, ' ' ORDER BY privilege_type)
            FROM information_schema.role_table_grants WHERE grantee = 'agentroute_runtime' GROUP BY table_name
        """)
        tables = {
            row[0]
            for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }
    finally:
        await connection.close()

    given = dict(map(tuple, rows))
    assert given.pop("alembic_version") == "SELECT"
    assert given == dict.fromkeys(tables - {"alembic_version"}, "DELETE INSERT SELECT UPDATE")


async def test_a_wrong_password_opens_nothing(guarded: Guarded) -> None:
    stranger = with_user(guarded.owner, "agentroute_runtime", "another-password")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stranger)


@pytest.mark.parametrize(
    "command",
    [
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SCAN", "0"),
        ("EVAL", "return 1", "0"),
        ("SCRIPT", "FLUSH"),
        ("OBJECT", "ENCODING", "agentroute:hints"),
        ("SHUTDOWN",),
        ("REPLICAOF", "127.0.0.1", "1"),
        ("MONITOR",),
        ("CLIENT", "LIST"),
        ("GET", "another:key"),
        ("SET", "another:key", "value"),
        ("PUBLISH", "another:channel", "value"),
        ("SUBSCRIBE", "another:channel"),
        ("PSUBSCRIBE", "*"),
        ("XADD", "agentroute2:hints", "*", "a", "b"),
    ],
    ids=" ".join,
)
async def test_the_user_of_the_service_can_do_nothing_else_in_redis(
    guarded: Guarded, command: tuple[str, ...]
) -> None:
    async with Redis.from_url(guarded.redis) as redis:
        with pytest.raises(NoPermissionError):
            await redis.execute_command(*command)


async def test_a_script_has_no_more_rights_than_its_caller(guarded: Guarded) -> None:
    async with Redis.from_url(guarded.redis) as redis:
        sha = await redis.script_load("return redis.call('GET', 'another:key')")
        with pytest.raises(ResponseError, match="No permissions to access a key"):
            await redis.evalsha(sha, 0)


def test_the_variables_of_the_page_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in (*of_language("ini", "AGENT_SERVER__"), *of_language("ini", "AGENT_RATES__")):
        for line in block.text.splitlines():
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value)

    settings = load_settings()

    assert settings.server.admin_only == ("docs", "readyz")
    assert settings.rates.user_streams < Settings.model_fields["rates"].default.user_streams
