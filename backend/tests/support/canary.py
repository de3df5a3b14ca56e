"""Looks for a text in every store of a deployment: all tables, all keys of Redis, all files, all lines of the log."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from core.config import Settings

_TABLES = """
SELECT c.table_name::text FROM information_schema.tables AS c
WHERE c.table_schema = 'public' AND c.table_type = 'BASE TABLE' ORDER BY 1
"""


async def tables(url: str) -> list[str]:
    """Return every table of a database."""
    connection = await asyncpg.connect(url)
    try:
        return [row["table_name"] for row in await connection.fetch(_TABLES)]
    finally:
        await connection.close()


async def found(text: str, settings: Settings, folder: Path, log: io.StringIO) -> dict[str, int]:
    """Return how often a text is in each store, by the name of the table, the kind of key, or what else it is.

    Args:
        text: In ASCII. It is looked for as it is and as the bytes of a bytea.
        settings: Where Postgres and Redis are.
        folder: With the files.
        log: What was logged.
    """
    counts: dict[str, int] = {}
    url = settings.database.url.get_secret_value()
    connection = await asyncpg.connect(url)
    try:
        for table in await tables(url):
            dump = io.BytesIO()
            await connection.copy_from_table(table, output=dump)
            counts[table] = _count(text, dump.getvalue())
    finally:
        await connection.close()
    redis = Redis.from_url(settings.redis.url.get_secret_value())
    async with redis:
        async for key in redis.scan_iter(match=f"{settings.redis.key_prefix}:*"):
            kind = key.decode().removeprefix(settings.redis.key_prefix).split(":")[1]
            value = b"".join([part async for part in _parts(redis, key)])
            counts[f"redis {kind}"] = counts.get(f"redis {kind}", 0) + _count(text, key + b"\n" + value)
    counts["folder"] = sum(_count(text, content) for content in _files(folder))
    counts["log"] = _count(text, log.getvalue().encode())
    return {name: count for name, count in counts.items() if count}


def _files(folder: Path) -> list[bytes]:
    """Return the path and the bytes of everything below a folder."""
    return [str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")]


def _count(text: str, dump: bytes) -> int:
    return dump.count(text.encode()) + dump.count(text.encode().hex().encode())


async def _parts(redis: Any, key: bytes) -> AsyncIterator[bytes]:
    """Yield everything that is in a key of any type."""
    reads: dict[bytes, Callable[[], Any]] = {
        b"string": lambda: redis.get(key),
        b"hash": lambda: redis.hgetall(key),
        b"list": lambda: redis.lrange(key, 0, -1),
        b"set": lambda: redis.smembers(key),
        b"zset": lambda: redis.zrange(key, 0, -1),
        b"stream": lambda: redis.xrange(key),
    }
    # A type that is not here fails the test, instead of hiding something.
    kind = await redis.type(key)
    if kind != b"none":
        yield repr(await reads[kind]()).encode()
