"""``agentroute storage recount`` against a database: finds a wrong count, names it, corrects it."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from agentroute.cli import app


@pytest.fixture(autouse=True)
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AGENT_DATABASE__URL", database_url)
    return database_url


def recount(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["storage", "recount", *arguments])


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_a_wrong_count_is_named_and_corrected(database: str) -> None:
    execute(
        database,
        "INSERT INTO agent_memory (tenant_id, user_id, text, idempotency_key) VALUES ('t', 'ada', 'Tea.', 'k')",
    )
    assert (recount().exit_code, recount().stdout) == (0, "Every count is right.\n")

    execute(database, "UPDATE agent_stored_change SET bytes = 5")
    found = recount()
    assert found.exit_code == 1
    assert found.stdout == "t/ada: counted 5 bytes, stored 4 bytes\n1 counts are wrong: use --repair.\n"
    assert json.loads(recount("--json").stdout) == [
        {"tenantId": "t", "userId": "ada", "countedBytes": 5, "storedBytes": 4}
    ]

    repaired = recount("--repair")
    assert (repaired.exit_code, "corrected" in repaired.stdout) == (0, True)
    assert (recount("--json").exit_code, recount("--json").stdout) == (0, "[]\n")


def test_without_a_database_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DATABASE__URL", "postgresql://nobody@127.0.0.1:1/none")

    result = recount()

    assert (result.exit_code, result.stderr.startswith("error: ")) == (1, True)
