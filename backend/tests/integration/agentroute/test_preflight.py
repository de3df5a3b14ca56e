"""Preflight checks and doctor against real servers."""

from __future__ import annotations

import asyncpg
import pytest
import redis
from sqlalchemy.engine import make_url

from agentroute import migrations
from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_valkey import LocalValkey
from agentroute.preflight import check_migrations, check_postgres
from agentroute.redis_check import check_redis
from agentroute.schema_state import schema
from core.config import Settings


def _settings(database_url: str = "", redis_url: str = "") -> Settings:
    return Settings.model_validate({"database": {"url": database_url}, "redis": {"url": redis_url}})


def _renamed(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


async def test_good_servers_pass(database_url: str, redis_url: str) -> None:
    settings = _settings(database_url, redis_url)
    results = [await check(settings) for check in (check_postgres, check_migrations, check_redis)]

    assert [(result.ok, result.fix) for result in results] == [(True, "")] * 3


async def test_an_empty_database_needs_migrations(blank_database_url: str) -> None:
    result = await check_migrations(_settings(blank_database_url))

    assert not result.ok
    assert result.found.startswith("none applied; this version needs ")
    assert result.fix == "Run `agentroute migrate`."


@pytest.mark.parametrize(
    ("oldest", "ok", "found", "fix"),
    [
        ("0001", True, "at 9999, newer than this version and compatible with it", ""),
        (
            "9998",
            False,
            "at 9999, which this version (at {head}) cannot use (schema-incompatible)",
            "Start the version that migrated the database, or a newer one.",
        ),
    ],
)
async def test_a_newer_schema_is_good_if_it_is_compatible(
    blank_database_url: str, oldest: str, ok: bool, found: str, fix: str
) -> None:
    await migrations.upgrade(blank_database_url)
    connection = await asyncpg.connect(blank_database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999', compatible_from = $1", oldest)
    await connection.close()

    result = await check_migrations(_settings(blank_database_url))

    assert (result.ok, result.found, result.fix) == (ok, found.format(head=schema().revision), fix)


async def test_a_database_that_does_not_exist_is_named(postgres_url: str) -> None:
    result = await check_postgres(_settings(_renamed(postgres_url, "missing")))

    assert not result.ok
    assert result.found.endswith("the database does not exist")


async def test_a_wrong_database_password_is_named(local_postgres: LocalPostgres) -> None:
    url = local_postgres.start()

    result = await check_postgres(_settings(url.replace(local_postgres._password(), "hush")))

    assert result.found == f"127.0.0.1:{local_postgres.port} refuses the user or the password"


@pytest.mark.parametrize(
    ("password", "found"), [("", "asks for a password"), (":hush@", "refuses the password")]
)
async def test_a_redis_password_is_asked_for(local_valkey: LocalValkey, password: str, found: str) -> None:
    local_valkey.start()

    result = await check_redis(_settings(redis_url=f"redis://{password}127.0.0.1:{local_valkey.port}/0"))

    assert result.found == f"127.0.0.1:{local_valkey.port} {found}"
    assert "hush" not in result.line


async def test_a_redis_that_may_forget_hints_is_refused(local_valkey: LocalValkey) -> None:
    url = local_valkey.start()
    with redis.Redis.from_url(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")

    result = await check_redis(_settings(redis_url=url))

    assert not result.ok
    assert "maxmemory-policy allkeys-lru" in result.found
    assert "noeviction" in result.fix
