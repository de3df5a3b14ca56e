"""The migrated database holds the statuses that the product knows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import get_args

import asyncpg
import pytest
from tests.support.scratch_databases import ScratchDatabases

from core.agentscope.events import interrupt_status
from core.agentscope.events.event_types import TERMINAL_TYPES
from core.agentscope.events.run_status import ENDED, LIVE, UNENDED
from core.agentscope.schemas.agent_runtime import RunStatus

CONSTRAINT = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1"
INDEX = "SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = to_regclass($1)"


@pytest.fixture(scope="module")
async def database(databases: ScratchDatabases) -> AsyncIterator[asyncpg.Connection]:
    with databases.migrated() as url:
        connection = await asyncpg.connect(url)
        yield connection
        await connection.close()


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        (CONSTRAINT, "ck_agent_run_status", get_args(RunStatus)),
        (CONSTRAINT, "ck_agent_run_ended", ENDED),
        (INDEX, "uq_agent_run_live", LIVE),
        (INDEX, "ix_agent_run_unended", UNENDED),
        (INDEX, "ix_agent_run_owner_unended", UNENDED),
        (CONSTRAINT, "ck_agent_interrupt_status", interrupt_status.ALL),
        (INDEX, "ix_agent_interrupt_open", [interrupt_status.OPEN]),
        (INDEX, "uq_agent_run_event_terminal", TERMINAL_TYPES),
    ],
)
async def test_the_database_names_the_same_words(
    database: asyncpg.Connection, query: str, name: str, words: Iterable[str]
) -> None:
    assert set(re.findall(r"'(\w+)'", str(await database.fetchval(query, name)))) == set(words)
