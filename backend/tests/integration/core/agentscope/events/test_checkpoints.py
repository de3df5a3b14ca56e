"""Checkpoints in Postgres: what is loaded is what was saved, each part is there once, and nothing stays for nobody."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agentscope.message import (
    AssistantMsg,
    Base64Source,
    DataBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    ToolResultState,
    UserMsg,
)
from agentscope.state import AgentState
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from tests.support.scratch_databases import ScratchDatabases
from tests.support.stack import Stack

from core.agentscope.events.checkpoints import Checkpoint, save_checkpoint, save_last_checkpoint
from core.agentscope.events.owned_run import OwnedRun
from core.agentscope.events.retention import forget_runs
from core.agentscope.events.state_parts import FORM, PartsMaker
from core.agentscope.runtime.agent.open_tool_calls import checkpoint_of
from core.agentscope.runtime.agent.stored_state import in_parts, stored_message
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME, ThreadMemory, load_memory
from core.agentscope.runtime.work.checkpoint_saver import CheckpointSaver
from core.config import DatabaseSettings
from core.database import create_engine

_STATE_TABLES = ("agent_state", "agent_state_part")
_BEGIN = """
INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, task_id, idempotency_key, request_hash, input, status,
    ordinal, next_hint_at, queue_deadline_at, lease_until)
VALUES (:session, 't', 'u', :name, '', :name, '', '{"a": 1}', 'running', :ordinal, now(), now(), now()) RETURNING id
"""
_WHOLE = """
INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state)
VALUES (:run, :session, :ordinal, '2', :state)
"""


class Thread:
    """A thread whose runs a test begins and ends, and what must be found of them."""

    def __init__(self, engine: AsyncEngine, session_id: int) -> None:
        self.engine = engine
        self.session_id = session_id
        self.ordinal = 0
        self.saved: dict[int, str] = {}
        """The states of the runs that count, as JSON."""

    async def run(self) -> OwnedRun:
        self.ordinal += 1
        name = f"run-{self.session_id}-{self.ordinal}"
        run_pk = await self.one(_BEGIN, session=self.session_id, name=name, ordinal=self.ordinal)
        return OwnedRun(run_pk, self.session_id, self.ordinal, 0, 0)

    async def loaded(self) -> ThreadMemory:
        """Return what a run after the last one begins with."""
        run = OwnedRun(0, self.session_id, self.ordinal + 1, 0, 0)
        return await load_memory(self.engine, run, [])

    async def end(self, run: OwnedRun, checkpoint: Checkpoint | None = None) -> None:
        """End a run as its worker does, with its last state, or as the reaper does."""
        ended = text(
            "UPDATE agent_run SET status = 'succeeded', ended_at = now(), lease_until = NULL WHERE id = :run"
        )
        async with self.engine.begin() as connection:
            await connection.execute(ended, {"run": run.run_pk})
            if checkpoint is not None:
                await save_last_checkpoint(connection, run, checkpoint)

    async def one(self, statement: str, **values: Any) -> Any:
        async with self.engine.begin() as connection:
            result = await connection.execute(text(statement), values)
            return result.scalar_one_or_none() if result.returns_rows else None

    async def unnamed(self) -> set[str]:
        """Return the parts that no state of the thread leads to."""
        async with self.engine.begin() as connection:
            parts = await connection.execute(text("SELECT digest, children FROM agent_state_part"))
            children: dict[bytes, bytes] = {row.digest: row.children for row in parts}
            roots = (await connection.execute(text("SELECT roots FROM agent_state"))).scalars()
            named = [digest for each in roots for digest in _digests(each)]
        reached: set[bytes] = set()
        while named:
            if (digest := named.pop()) not in reached:
                reached.add(digest)
                named += _digests(children[digest])
        return {digest.hex() for digest in children.keys() - reached}


def _digests(joined: bytes) -> list[bytes]:
    return [joined[at : at + 16] for at in range(0, len(joined), 16)]


@pytest.fixture
async def thread(databases: ScratchDatabases) -> AsyncIterator[Thread]:
    """A thread in a database of its own."""
    with databases.migrated() as url:
        engine = create_engine(
            DatabaseSettings.model_validate({"url": url}), application_name="agentroute-test"
        )
        opened = Thread(engine, 0)
        opened.session_id = await opened.one(
            "INSERT INTO agent_chat_session (tenant_id, user_id, thread_id) VALUES ('t', 'u', 'c') RETURNING id"
        )
        yield opened
        await engine.dispose()


def user(words: str, image: bytes = b"") -> Any:
    blocks: list[Any] = [TextBlock(text=words)]
    if image:
        source = Base64Source(data=base64.b64encode(image).decode(), media_type="image/png")
        blocks.append(DataBlock(source=source))
    return UserMsg(name="user", content=blocks)


async def turn(
    thread: Thread, dice: random.Random, state: AgentState, saver: CheckpointSaver, run: OwnedRun
) -> None:
    """A run: a question, calls with a checkpoint after each, perhaps a compaction, an answer, and the end."""
    # An image of a few, so that it comes again.
    image = random.Random(dice.randrange(3)).randbytes(2000) if dice.random() < 0.3 else b""
    state.context.append(user(f"question {run.ordinal}", image))
    state.reply_id = f"reply-{run.ordinal}"
    for number in range(dice.randrange(4)):
        call = ToolCallBlock(id=f"c-{run.ordinal}-{number}", name="see", input='{"a": 1}')
        output = "result " * dice.choice([1, 400])
        result = ToolResultBlock(id=call.id, name="see", output=output, state=ToolResultState.SUCCESS)
        state.append_context(AGENT_NAME, [call, result])
        await saver._save(checkpoint_of(state, "2"))
    if dice.random() < 0.15:
        state.summary = f"summary until {run.ordinal} " * 100
        state.context = state.context[-dice.randrange(1, 4) :]
    if dice.random() < 0.1 and len(state.context) > 2:
        # What a middleware may do: a message in the middle is another now.
        state.context[1].metadata["seen"] = run.ordinal
    state.append_context(AGENT_NAME, [TextBlock(text=f"answer {run.ordinal}")])
    await thread.end(run, saver.difference(checkpoint_of(state, "2")))
    thread.saved[run.ordinal] = state.model_dump_json()


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_loaded_is_what_was_saved(thread: Thread, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(30):
        memory = await thread.loaded()
        newest = max(thread.saved, default=None)
        assert not memory.rebuilt
        if newest is None:
            assert memory.state is None
        else:
            assert memory.state is not None
            assert memory.state.model_dump_json() == thread.saved[newest]
        run = await thread.run()
        state = memory.state or AgentState(session_id="c")
        saver = CheckpointSaver(thread.engine, run)
        saver.begin(memory.stored_parts)
        match dice.choices(["turn", "lost", "again", "older worker", "retention"], [10, 1, 3, 1, 2])[0]:
            case "lost":
                # Its worker died after a checkpoint, before the end.
                state.context.append(user("lost"))
                await saver._save(checkpoint_of(state, "2"))
                thread.saved[run.ordinal] = state.model_dump_json()
                await thread.end(run)
            case "again" if newest is not None:
                # This run and the ones from there on are replaced: the next begins with a state before.
                first = dice.choice([*thread.saved])
                await thread.one(
                    "UPDATE agent_run SET replaced_by_ordinal = :by WHERE ordinal BETWEEN :first AND :by - 1",
                    first=first,
                    by=run.ordinal,
                )
                thread.saved = {ordinal: text for ordinal, text in thread.saved.items() if ordinal < first}
                await thread.end(run)
            case "older worker":
                state.context.append(user("told an older worker"))
                whole = thread.saved[run.ordinal] = state.model_dump_json()
                await thread.one(
                    _WHOLE, run=run.run_pk, session=run.session_id, ordinal=run.ordinal, state=whole
                )
                await thread.end(run)
            case "retention":
                await thread.end(run)
                old = run.ordinal - dice.randrange(1, 6)
                await thread.one(
                    "UPDATE agent_run SET ended_at = now() - interval '31 days' WHERE ordinal <= :old",
                    old=old,
                )
                await forget_runs(thread.engine, days=30, rows=1000)
                kept = max((ordinal for ordinal in thread.saved if ordinal <= old), default=0)
                thread.saved = {ordinal: text for ordinal, text in thread.saved.items() if ordinal >= kept}
            case _:
                await turn(thread, dice, state, saver, run)
    # What only the deleted states were made of goes with the next ones that are deleted.
    await thread.one("UPDATE agent_run SET ended_at = now() - interval '31 days', input = '{\"a\": 1}'")
    await forget_runs(thread.engine, days=30, rows=1000)
    assert await thread.unnamed() == set()
    loaded = (await thread.loaded()).state
    assert (None if loaded is None else loaded.model_dump_json()) == (
        thread.saved[max(thread.saved)] if thread.saved else None
    )


async def test_a_run_leaves_nothing_of_its_checkpoints_but_the_last(thread: Thread) -> None:
    state, run = AgentState(session_id="c"), await thread.run()
    saver = CheckpointSaver(thread.engine, run)
    sizes: list[int] = []
    for number in range(20):
        result = ToolResultBlock(id=f"c-{number}", name="see", output=f"{number}" * 4000)
        state.append_context(AGENT_NAME, [ToolCallBlock(id=result.id, name="see", input="{}"), result])
        made = saver.difference(checkpoint_of(state, "2"))
        new = {key: part for key, part in made.state.parts.items() if key not in made.stored}
        sizes.append(sum(len(part.body or "") for part in new.values()))
        await saver._save(checkpoint_of(state, "2"))

    assert await thread.unnamed() == set()
    # A result is written with the checkpoint that is the first to have it; of those before it, a few words are.
    assert sizes[-1] - sizes[0] < 20 * 700
    assert await thread.one("SELECT count(*) FROM agent_state_part WHERE body LIKE '{%'") == 1


async def test_a_thread_of_a_thousand_turns_stores_its_messages_once_and_little_more(thread: Thread) -> None:
    pixels = random.Random(1)
    images = {turn: pixels.randbytes(20_000) for turn in range(50, 1000, 100)}
    messages: list[Any] = []
    texts: list[str] = []
    state, stored = AgentState(session_id="c"), frozenset[bytes]()
    for number in range(1000):
        run = await thread.run()
        asked = user(f"What is the price of article {number}?", images.get(number, b""))
        said = AssistantMsg(name=AGENT_NAME, content=f"Article {number} costs {number} euros.")
        messages += [asked, said]
        texts += [stored_message(asked), stored_message(said)]
        state.reply_id = said.id
        made = PartsMaker().state(in_parts(state).head, texts)
        await thread.end(run, Checkpoint("2", made, stored=stored))
        stored = frozenset(made.parts)

    told = await thread.loaded()
    assert told.state is not None
    assert told.state.context == messages
    size = 0
    for table in _STATE_TABLES:
        await thread.one(f"ANALYZE {table}")
        size += await thread.one(f"SELECT pg_total_relation_size('{table}')")
    own = sum(len(message.model_dump_json()) for message in messages)
    assert (size - own) / 1000 <= 1024


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("agent_state", f"form = {FORM + 1}"),
        ("agent_state_part", """body = replace(body, '"role"', '"part"')"""),
        ("agent_state_part", "body = '{no JSON'"),
        ("agent_state", """head = '{"session_id": 7}'"""),
        ("agent_state_part", "digest = digest || 'gone'"),
    ],
    ids=[
        "a form to come",
        "messages of another version",
        "broken",
        "a head of another version",
        "parts are gone",
    ],
)
async def test_a_state_that_cannot_be_read_is_made_anew_from_history(
    stack: Stack, table: str, change: str
) -> None:
    thread = stack.new_id("thread")
    await stack.stream_run("my name is Grace", thread=thread)
    await stack.stream_run("hello", thread=thread)
    await stack.fetch(
        f"""UPDATE {table} SET {change}
        WHERE session_id = (SELECT id FROM agent_chat_session WHERE thread_id = $1)""",  # noqa: S608
        thread,
    )

    with capture_logs() as logs:
        reply = await stack.stream_run("what is my name?", thread=thread)

    assert "Your name is Grace" in reply.text
    (line,) = [line for line in logs if line["event"] == "checkpoint_unreadable"]
    assert {"written_by", "read_by", "form", "ordinal", "error"} <= line.keys()
    (told,) = [event for event in reply.of("CUSTOM") if event["name"] == "agentroute.memory-rebuilt"]
    assert told["value"] == {"messages": 4}
    again = await stack.stream_run("what is my name?", thread=thread)
    assert "Your name is Grace" in again.text
    assert [event for event in again.of("CUSTOM") if event["name"] == "agentroute.memory-rebuilt"] == []


async def test_a_state_of_another_version_that_can_be_read_is_read(thread: Thread) -> None:
    state, run = AgentState(session_id="c", summary="s"), await thread.run()
    await thread.end(run, Checkpoint("1.0 of another", checkpoint_of(state, "").state))

    memory = await thread.loaded()

    assert (memory.state, memory.rebuilt) == (state, False)


async def test_a_lost_worker_writes_no_part(thread: Thread) -> None:
    run = await thread.run()
    await thread.one("UPDATE agent_run SET attempt = 1")
    made = PartsMaker().state("{}", ['{"a": 1}'])

    await thread.end(run, Checkpoint("2", made))

    assert (
        await thread.one(
            "SELECT (SELECT count(*) FROM agent_state) + (SELECT count(*) FROM agent_state_part)"
        )
        == 0
    )


async def test_a_checkpoint_that_comes_after_its_run_was_ended_takes_nothing_from_the_next_run(
    thread: Thread,
) -> None:
    state, stalled = AgentState(session_id="c"), await thread.run()
    saver = CheckpointSaver(thread.engine, stalled)
    await tool_call(state, saver, "c-1")
    kept = state.model_dump_json()
    # The reaper ends the run of a worker that is stalled, and the next run begins with what was saved.
    await thread.end(stalled)
    following = await thread.run()
    memory = await thread.loaded()
    assert memory.state is not None
    assert memory.state.model_dump_json() == kept
    next_saver = CheckpointSaver(thread.engine, following)
    next_saver.begin(memory.stored_parts)

    await tool_call(state, saver, "c-2")
    await thread.end(following, next_saver.difference(checkpoint_of(memory.state, "2")))

    loaded = await thread.loaded()
    assert not loaded.rebuilt
    assert loaded.state is not None
    assert loaded.state.model_dump_json() == kept


async def test_parts_are_not_swept_while_a_run_may_name_them_again(thread: Thread) -> None:
    image = random.Random(1).randbytes(2000)
    for context in ([user("look", image)], [user("what was it?")]):
        run = await thread.run()
        state = AgentState(session_id="c", context=context)
        await thread.end(run, checkpoint_of(state, "2"))
    await thread.one("UPDATE agent_run SET ended_at = now() - interval '31 days'")
    live, memory = await thread.run(), await thread.loaded()
    assert memory.state is not None
    memory.state.context.append(user("look again", image))
    saver = CheckpointSaver(thread.engine, live)
    saver.begin(memory.stored_parts)

    async with thread.engine.begin() as connection:
        # It finds the image of the first run in place. Nobody else sees that it names the image, until the commit.
        await save_checkpoint(connection, live, saver.difference(checkpoint_of(memory.state, "2")))
        assert await forget_runs(thread.engine, days=30, rows=1000) == 2

    assert await thread.one("SELECT array_agg(ordinal ORDER BY ordinal) FROM agent_state") == [2, 3]
    assert await thread.unnamed(), "the first message of the thread waits for the next sweep"
    loaded = await thread.loaded()
    assert (loaded.state, loaded.rebuilt) == (memory.state, False)
    await thread.end(live, saver.difference(checkpoint_of(memory.state, "2")))
    await thread.one("UPDATE agent_run SET ended_at = now() - interval '31 days'")
    await thread.end(await thread.run())
    await forget_runs(thread.engine, days=30, rows=1000)
    assert await thread.unnamed() == set()
    assert (await thread.loaded()).state == memory.state


async def tool_call(state: AgentState, saver: CheckpointSaver, call_id: str) -> None:
    """Let the last message grow by a call and its result, and save it."""
    result = ToolResultBlock(id=call_id, name="see", output="seen", state=ToolResultState.SUCCESS)
    state.append_context(AGENT_NAME, [ToolCallBlock(id=call_id, name="see", input="{}"), result])
    await saver._save(checkpoint_of(state, "2"))
