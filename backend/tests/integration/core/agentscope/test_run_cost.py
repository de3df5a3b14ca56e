"""What every run costs: nothing is built twice in a process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import agentscope.tool._utils
import asyncpg
import docstring_parser
import pytest
from asyncpg.prepared_stmt import PreparedStatement
from pydantic.json_schema import GenerateJsonSchema
from sqlalchemy.sql.compiler import SQLCompiler
from tests.support.limits import HUNG_SECONDS
from tests.support.stack import OpenStack, Stack, bundled_profile, eventually

from core.agentscope.events import hub

QUESTION = "think about it, then calculate 6*7"
"""A run with an intent, a tool and an answer."""

MOST_STATEMENTS = 7
"""Of one run: it is accepted, looked for, claimed and given its memory; a model call begins and ends; the run ends.
The first run of a thread has no memory."""


class Built:
    """What is built while a test watches."""

    def __init__(self) -> None:
        self.schemas: list[str] = []
        self.docstrings: list[str] = []
        self.statements: Counter[tuple[int, str]] = Counter()
        """SQL texts by the engine that compiled them."""


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Built:
    """Count JSON schemas, parsed docstrings and compiled statements, of the API and the worker."""
    found = Built()
    generate, compile_ = GenerateJsonSchema.generate, SQLCompiler.__init__

    def generated(self: GenerateJsonSchema, schema: Any, *args: Any, **options: Any) -> Any:
        result = generate(self, schema, *args, **options)
        found.schemas.append(str(result)[:200])
        return result

    def compiled(self: Any, dialect: Any, statement: Any, *args: Any, **options: Any) -> None:
        compile_(self, dialect, statement, *args, **options)
        found.statements[id(dialect), self.string] += 1

    def parsed(text: str) -> Any:
        found.docstrings.append(text)
        return docstring_parser.parse(text)

    monkeypatch.setattr(agentscope.tool._utils, "parse", parsed)
    monkeypatch.setattr(GenerateJsonSchema, "generate", generated)
    monkeypatch.setattr(SQLCompiler, "__init__", compiled)
    return found


@pytest.fixture
async def with_intent(open_stack: OpenStack, tmp_path: Path) -> AsyncIterator[Stack]:
    """A service whose agent has all stages."""
    profile = tmp_path / "agent.toml"
    profile.write_text(bundled_profile().replace('intent = "off"', 'intent = "model"'))
    async with open_stack(profile_path=profile) as stack:
        yield stack


async def test_a_second_run_builds_no_json_schema_parses_no_docstring_and_compiles_no_sql(
    with_intent: Stack, built: Built
) -> None:
    first = await with_intent.stream_run(QUESTION)
    assert "42" in first.text
    before = set(built.statements)
    built.schemas.clear()
    built.docstrings.clear()
    built.statements.clear()
    second = await with_intent.stream_run(QUESTION)
    assert second.text == first.text
    assert built.schemas == built.docstrings == []
    # A background loop may compile a statement of its own for the first time meanwhile: that is no repetition.
    assert [text for engine, text in built.statements if (engine, text) in before] == []


@pytest.fixture
async def sent(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Yield the statements that a test's runs send, BEGIN and COMMIT too; what background loops send is left out."""
    found: list[str] = []
    # The writer of events is among the loops: appends are counted by flushes, not by runs.
    loop, loops = asyncio.get_running_loop(), asyncio.all_tasks()

    def made(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        # SQLAlchemy gives a connection back in a task of its own.
        if asyncio.current_task(loop) in loops and work.__qualname__ == "AsyncConnection.close":
            loops.add(task)
        return task

    loop.set_task_factory(made)

    def note(query: str) -> None:
        task = asyncio.current_task()
        # The heartbeat has a thread and a loop of its own.
        if task is not None and task not in loops and task.get_loop() is loop:
            found.append(" ".join(query.split()))

    run, execute = asyncpg.Connection._execute, asyncpg.Connection.execute
    prepared: Any = vars(PreparedStatement)["_PreparedStatement__bind_execute"]

    async def noted_run(self: Any, query: str, *args: Any, **options: Any) -> Any:
        note(query)
        return await run(self, query, *args, **options)

    async def noted_execute(self: Any, query: str, *args: Any, **options: Any) -> Any:
        if not args:
            note(query)
        return await execute(self, query, *args, **options)

    async def noted_prepared(self: Any, *args: Any, **options: Any) -> Any:
        note(self._query)
        return await prepared(self, *args, **options)

    monkeypatch.setattr(asyncpg.Connection, "_execute", noted_run)
    monkeypatch.setattr(asyncpg.Connection, "execute", noted_execute)
    monkeypatch.setattr(PreparedStatement, "_PreparedStatement__bind_execute", noted_prepared)
    # A stream that is not subscribed in time asks Postgres: on a busy machine, that would be one more statement.
    monkeypatch.setattr(hub, "SUBSCRIBE_WAIT_SECONDS", HUNG_SECONDS)
    yield found
    loop.set_task_factory(None)


@pytest.mark.parametrize("thread", [None, "again"], ids=["in a new thread", "in the same thread"])
async def test_a_simple_run_takes_few_statements(stack: Stack, sent: list[str], thread: str | None) -> None:
    most = MOST_STATEMENTS - (thread is None)
    # Otherwise a client that does not send the conversation is given it.
    shown = {"messagesSnapshot": "never"}
    await stack.stream_run("hello", thread=thread, forwardedProps=shown)

    async def worker_is_idle() -> bool:
        return not stack.workers[0].worker.executor._tasks

    counted: list[list[str]] = []
    for _ in range(3):
        sent.clear()
        reply = await stack.stream_run("hello", thread=thread, forwardedProps=shown)
        assert reply.end["outcome"] == {"type": "success"}
        # What a run does after its end is part of its cost.
        await eventually(worker_is_idle)
        counted.append(list(sent))
    # Now and then a connection is opened meanwhile, which asks for what it has to know.
    fewest = min(counted, key=len)
    assert len(fewest) <= most, fewest
