"""A database of the last release: what this version says of it, and that its conversations go on.

``RECORD_ANEW=1`` fills and writes down a database at this version's revision; see ``tests/recorded/README.md``.
"""

from __future__ import annotations

import os
from typing import Any

import asyncpg
import pytest
from agentscope.state import AgentState
from tests.support.release_dump import LIMITS, WORKER, Release, answers, dump, load, record, releases
from tests.support.scripted_endpoint import S, ScriptedEndpoint, refusal, said, stream
from tests.support.stack import OpenStack, Stack, eventually
from tests.support.stuck_conversations import LEFT, WANTS, illegal, lacks_reasoning

from agentroute import migrations
from agentroute.schema_state import schema

RELEASES = pytest.mark.parametrize("release", releases(), ids=lambda release: release.revision)


ADDED = frozenset({"agentId", "stored"})
"""Members that answers have got since the recorded releases."""


if "RECORD_ANEW" in os.environ:

    async def test_a_database_of_this_version_is_recorded(open_stack: OpenStack, database_url: str) -> None:
        async with open_stack(database_url=database_url, limits=LIMITS, worker=WORKER) as stack:
            await record(stack, database_url, str(schema().revision))


async def migrated(url: str, release: Release) -> None:
    """Make a blank database one of a release, and bring it to this version."""
    await migrations.upgrade(url, release.revision)
    await load(url, release.statements)
    await migrations.upgrade(url)


@RELEASES
async def test_what_a_release_stored_is_told_as_that_release_told_it(
    release: Release, open_stack: OpenStack, blank_database_url: str
) -> None:
    await migrated(blank_database_url, release)

    # No worker: it would go on with what was under way.
    async with open_stack(workers=0, database_url=blank_database_url, limits=LIMITS) as stack:
        told = await answers(stack, release.questions)

    for question, now, before in zip(release.questions, told, release.answers, strict=True):
        assert _without(now, ADDED) == before, question


def _without(answer: Any, names: frozenset[str]) -> Any:
    if isinstance(answer, dict):
        return {name: _without(value, names) for name, value in answer.items() if name not in names}
    return [_without(item, names) for item in answer] if isinstance(answer, list) else answer


@RELEASES
async def test_down_again_every_row_is_as_it_was(release: Release, blank_database_url: str) -> None:
    await migrated(blank_database_url, release)
    await migrations.downgrade(blank_database_url, release.revision)

    assert "\n".join([*await dump(blank_database_url), ""]) == release.statements

    await migrations.upgrade(blank_database_url)
    assert await migrations.current(blank_database_url) == schema().revision


@RELEASES
async def test_its_conversations_go_on(
    release: Release, open_stack: OpenStack, blank_database_url: str
) -> None:
    await migrated(blank_database_url, release)
    await _as_if_just_now(blank_database_url)
    async with open_stack(database_url=blank_database_url, limits=LIMITS) as stack:
        await _goes_on(stack)


async def _as_if_just_now(url: str) -> None:
    """Move the ends of terms: the questions are still open, and the worker that held a lease is gone."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE agent_interrupt SET expires_at = now() + interval '1 day'")
        await connection.execute("UPDATE agent_run SET queue_deadline_at = now() + interval '1 day'")
        await connection.execute(
            "UPDATE agent_run SET lease_until = now(), deadline_at = now() + interval '1 day' WHERE status = 'running'"
        )
    finally:
        await connection.close()


async def _goes_on(stack: Stack) -> None:
    answer = await stack.stream_run("what is my name?", thread="chat", run="new-1")
    assert "Your name is Grace" in answer.text
    assert answer.cursors[0] == "4-1"
    roles = [message["role"] for message in (await stack.history("chat"))["messages"]]
    assert roles == ["user", "assistant"] * 3

    [question] = (await stack.history("open"))["pendingInterrupts"]
    approval = {"interruptId": question["id"], "status": "resolved", "payload": {"approved": True}}
    resumed = await stack.resume("open", [approval], run="new-2")
    assert [event["content"] for event in resumed.of("TOOL_CALL_RESULT")] == ["Remembered."]

    call = (await stack.history("client-tool"))["messages"][-1]["toolCalls"][0]["id"]
    colour = {"id": "colour", "role": "tool", "toolCallId": call, "content": "blue"}
    assert "blue" in (await stack.stream_run(thread="client-tool", run="new-3", messages=[colour])).text

    # The worker is gone; what waited behind its run has its turn, and what was queued is found.
    assert [run["status"] for run in await stack.ended("live")] == ["failed", "succeeded"]
    assert [run["status"] for run in await stack.ended("queued")] == ["succeeded"]

    async def settled() -> bool:
        return not await stack.fetch("SELECT 1 FROM user_budget_reservation")

    await eventually(settled)


async def test_a_thread_that_the_release_left_stuck_goes_on(
    open_stack: OpenStack, blank_database_url: str
) -> None:
    await migrated(blank_database_url, releases()[-1])
    await _as_if_just_now(blank_database_url)
    context = [message for messages in LEFT.values() for message in messages]
    connection = await asyncpg.connect(blank_database_url)
    try:
        state = AgentState(session_id="chat", context=context).model_dump_json()
        changed = await connection.execute(
            """UPDATE agent_checkpoint SET state = $1 WHERE session_id =
            (SELECT id FROM agent_chat_session WHERE thread_id = 'chat' AND user_id = 'ada')""",
            state,
        )
        assert changed != "UPDATE 0"
    finally:
        await connection.close()
    endpoint = ScriptedEndpoint(otherwise=stream(said("I go on."), S)).when(illegal, refusal(400, "illegal"))
    endpoint.when(lacks_reasoning, refusal(400, WANTS))

    async with (
        endpoint.serving() as base_url,
        open_stack(database_url=blank_database_url, limits=LIMITS, model={"base_url": base_url}) as stack,
    ):
        for run in ("new-1", "new-2"):
            answer = await stack.stream_run("and now?", thread="chat", run=run)
            assert answer.end["type"] == "RUN_FINISHED"
            assert answer.text == "I go on."
    # The runs that were queued in the recorded database ask the same endpoint.
    own = [body for body in endpoint.bodies if "and now?" in str(body["messages"])]
    assert len(own) == 2 + 1, "one lesson, and a call a run"
