"""Databases for tests: each migrated and empty, ready in milliseconds.

The migrations run once, into a template. A test gets a copy of it, or one that
an earlier test used and that was emptied since: copying costs a tenth of a
second, emptying a tenth of that.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy.engine import make_url
from tests.support.limits import HUNG_SECONDS

from agentroute import migrations

T = TypeVar("T")

# What a test may have changed besides rows: the oids of all relations, columns and functions it can see.
_SCHEMA = """
    SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
        SELECT 'c' || c.oid || a.attname || a.atttypid || a.attnotnull AS part
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'k' || oid || conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'p' || oid || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ) AS parts
"""
# Only tables with rows: to truncate one costs some milliseconds, empty or not.
_EMPTY = """
    DO $$
    DECLARE name text; used boolean; filled text[] := '{}';
    BEGIN
        FOR name IN
            SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
            WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        LOOP
            EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO used;
            IF used THEN filled := filled || name; END IF;
        END LOOP;
        IF filled <> '{}' THEN
            EXECUTE 'TRUNCATE ' || array_to_string(filled, ', ') || ' RESTART IDENTITY CASCADE';
        END IF;
    END $$
"""
_DISCONNECT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class ScratchDatabases:
    """Databases on one server, for one caller at a time; a context manager that drops them all.

    Synchronous, so that fixtures of sync and async tests can use it; its
    connections live on the event loop of a thread of its own.
    """

    def __init__(self, server_url: str) -> None:
        """Describe the server; nothing happens before the context is entered.

        Args:
            server_url: ``postgresql://`` URL whose user may create databases.
        """
        self._url = make_url(server_url).set(drivername="postgresql")
        self._prefix = f"scratch_{secrets.token_hex(4)}"
        self._made: list[str] = []
        self._clean: list[str] = []
        self._template: str | None = None
        self._schemas: dict[str, str] = {}
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            for name in reversed(self._made):
                self._admin(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Lend a database at the newest revision, without rows; yields its URL.

        Connections still open at the end are cut.
        """
        name = self._clean.pop() if self._clean else self._copy()
        try:
            yield self._url_of(name)
        finally:
            self._give_back(name)

    @contextmanager
    def blank(self) -> Iterator[str]:
        """Lend a database without any table; yields its URL."""
        name = self._create()
        try:
            yield self._url_of(name)
        finally:
            self._drop(name)

    def call(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run an async function to its end, off the caller's thread.

        Raises:
            RuntimeError: The context has not been entered.
        """
        if self._portal is None:
            raise RuntimeError("enter the context of ScratchDatabases first")
        return self._portal.call(function, *arguments)

    def _copy(self) -> str:
        if self._template is None:
            self._template = self._create()
            self.call(migrations.upgrade, self._url_of(self._template))
        name = self._create(template=self._template)
        self._schemas[name] = self.call(_schema, self._url_of(name))
        return name

    def _give_back(self, name: str) -> None:
        if self.call(_empty, self._url_of(name), self._schemas[name]):
            self._clean.append(name)
        else:
            self._drop(name)

    def _create(self, template: str = "template1") -> str:
        name = f"{self._prefix}_{len(self._made)}"
        self._admin(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        self._made.append(name)
        return name

    def _drop(self, name: str) -> None:
        self._admin(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _url_of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _admin(self, statement: str) -> None:
        self.call(_execute, self._url_of(self._url.database or "postgres"), statement)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=HUNG_SECONDS)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _schema(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=HUNG_SECONDS)
    try:
        return await connection.fetchval(_SCHEMA)
    finally:
        await connection.close()


async def _empty(url: str, schema: str) -> bool:
    """Cut every other connection and remove all rows; False when the schema is no longer the one given."""
    connection = await asyncpg.connect(url, timeout=HUNG_SECONDS)
    try:
        await connection.execute(_DISCONNECT)
        if await connection.fetchval(_SCHEMA) != schema:
            return False
        await connection.execute(_EMPTY)
        return True
    finally:
        await connection.close()
