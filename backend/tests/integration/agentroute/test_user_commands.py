"""``agentroute erase``, ``export-user`` and ``import-user`` against a database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.support.loggers import loggers_kept
from typer.testing import CliRunner, Result

from agentroute.cli import app


@pytest.fixture(autouse=True)
def database(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AGENT_DATABASE__URL", database_url)
    monkeypatch.setenv("AGENT_REDIS__URL", redis_url)
    monkeypatch.setenv("AGENT_IDENTITY__MODE", "local")
    with loggers_kept():
        yield database_url


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def rows(url: str, statement: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_a_user_goes_out_comes_in_elsewhere_and_is_erased(database: str, tmp_path: Path) -> None:
    rows(
        database,
        "INSERT INTO agent_memory (tenant_id, user_id, text, idempotency_key) VALUES ('t', 'ada', 'Tea.', 'k')",
    )
    file = tmp_path / "ada.ndjson"

    written = command("export-user", str(file), "--tenant", "t", "--user", "ada")
    assert (written.exit_code, written.stdout) == (0, f"{file} has {file.stat().st_size} bytes.\n"), (
        written.output
    )
    # Everything of somebody: nobody else on the machine may read it.
    assert file.stat().st_mode & 0o777 == 0o600
    again = command("export-user", str(file), "--tenant", "t", "--user", "ada")
    assert (again.exit_code, "cannot be written" in again.stderr) == (1, True)

    loaded = command("import-user", str(file), "--tenant", "t", "--user", "eve")
    assert (loaded.exit_code, loaded.stdout) == (0, "t/eve has now: 1 x memory.\n"), loaded.output
    refused = command("import-user", str(file), "--tenant", "t", "--user", "eve")
    assert (refused.exit_code, "has data already, in: agent_memory" in refused.stderr) == (1, True)

    erased = command("erase", "--tenant", "t", "--user", "ada", "--yes", "--json")
    assert (erased.exit_code, json.loads(erased.stdout)["state"]) == (0, "erased"), erased.output
    left = rows(database, "SELECT user_id, text FROM agent_memory")
    assert [tuple(row) for row in left] == [("eve", "Tea.")]


@pytest.mark.parametrize("name", ["--user", "--tenant"])
def test_an_empty_name_is_nobody(database: str, tmp_path: Path, name: str) -> None:
    file = tmp_path / "export.ndjson"
    file.touch()
    empty = ["--user", "ada", name, ""]
    for result in (
        command("erase", *empty, "--yes"),
        command("export-user", str(tmp_path / "new.ndjson"), *empty),
        command("import-user", str(file), *empty),
    ):
        assert (result.exit_code, "names nobody" in result.stderr) == (2, True), result.output
    assert rows(database, "SELECT FROM agent_erasure") == []
    assert not (tmp_path / "new.ndjson").exists()
