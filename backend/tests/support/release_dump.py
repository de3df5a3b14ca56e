"""A database of the last release: filled by the whole service, dumped as SQL, with what the service said of it.

See ``tests/recorded/README.md``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import Table
from tests.support import audio
from tests.support.stack import Reply, Stack, eventually

from models import AgentRun

RELEASES = Path(__file__).parents[1] / "recorded" / "releases"
LIMITS = {"user_tokens_per_day": 10_000_000}
WORKER = {"concurrency": 1}
"""One run at a time, so that a run stays queued behind one of another thread."""
USERS = ("ada", "bill")
# Whose turn a chore is, and which epoch of which server it is, is no data.
_TABLES: list[Table] = [
    table for table in AgentRun.metadata.sorted_tables if table.name not in {"agent_chore", "agent_epoch"}
]
_ENDED = ("succeeded", "interrupted", "cancelled", "failed")
_COLOUR = {
    "name": "choose_colour",
    "description": "Lets the user choose a colour.",
    "parameters": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
}


class Question(NamedTuple):
    """What was asked of the API, and by whom."""

    user: str
    path: str
    params: dict[str, str]


# --- the database ------------------------------------------------------------------------


async def dump(url: str) -> list[str]:
    """Return the rows of a database as INSERT statements, without the columns that a trigger writes."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return [statement for table in _TABLES for statement in await _inserts(connection, table)]
    finally:
        await connection.close()


async def _inserts(connection: asyncpg.Connection, table: Table) -> list[str]:
    columns = await connection.fetch(
        """SELECT column_name FROM information_schema.columns
        WHERE table_name = $1 AND data_type <> 'tsvector' ORDER BY column_name""",
        table.name,
    )
    if not columns:
        # Younger than this schema.
        return []
    names = ", ".join(row["column_name"] for row in columns)
    values = " || ', ' || ".join(f"quote_nullable({row['column_name']}::text)" for row in columns)
    key = ", ".join(column.name for column in table.primary_key)
    rows = await connection.fetch(f"SELECT {values} AS line FROM {table.name} ORDER BY {key}")  # noqa: S608  names of our tables
    return [
        f"INSERT INTO {table.name} ({names}) OVERRIDING SYSTEM VALUE VALUES ({row['line']});"  # noqa: S608  as above
        for row in rows
    ]


async def load(url: str, statements: str) -> None:
    """Run a dump; what is inserted later gets new ids."""
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        async with connection.transaction():
            await connection.execute(statements)
            for table in _TABLES:
                is_there = await connection.fetchval("SELECT to_regclass($1)", table.name)
                if is_there is not None and "id" in table.columns:
                    await connection.execute(
                        f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name}"  # noqa: S608  names of our tables
                    )
    finally:
        await connection.close()


# --- what the service says of it -----------------------------------------------------------


async def questions(stack: Stack) -> list[Question]:
    """Return everything that can be asked about the threads of all users."""
    now = datetime.now(UTC)
    period = {"from": (now - timedelta(days=2)).isoformat(), "to": (now + timedelta(days=2)).isoformat()}
    asked = [
        Question(user, path, params)
        for user in USERS
        for path, params in (
            ("/threads", {}),
            ("/threads", {"q": "tea"}),
            *(("/usage", {**period, "groupBy": group}) for group in ("day", "model", "thread")),
        )
    ]
    threads = await stack.fetch("SELECT user_id, thread_id FROM agent_chat_session ORDER BY id")
    asked += [
        Question(row["user_id"], "/history", {"threadId": row["thread_id"], "limit": "200"})
        for row in threads
    ]
    runs = await stack.fetch(
        """SELECT r.user_id, s.thread_id, r.run_id, r.status FROM agent_run AS r
        JOIN agent_chat_session AS s ON s.id = r.session_id ORDER BY r.id"""
    )
    for row in runs:
        thread = {"threadId": row["thread_id"]}
        asked.append(Question(row["user_id"], f"/runs/{row['run_id']}", thread))
        if row["status"] in _ENDED:
            asked.append(Question(row["user_id"], "/events", {**thread, "runId": row["run_id"]}))
    return asked


async def answers(stack: Stack, asked: list[Question]) -> list[Any]:
    """Return what the API says: JSON, or the very text of an event stream's frames."""
    return [_said(await _ask(stack, question)) for question in asked]


async def _ask(stack: Stack, question: Question) -> Reply:
    headers = {"Accept": "text/event-stream"} if question.path == "/events" else {}
    params = question.params | ({"cursor": "0-0"} if question.path == "/events" else {})
    return await stack.request("GET", question.path, user=question.user, params=params, headers=headers)


def _said(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    return reply.raw.decode() if reply.frames else reply.json


class Release(NamedTuple):
    """A recorded database, and what the service of its time said of it."""

    revision: str
    statements: str
    questions: list[Question]
    answers: list[Any]


def releases() -> list[Release]:
    """Return every recorded release."""
    return [_read(path) for path in sorted(RELEASES.glob("*.sql"))]


def _read(path: Path) -> Release:
    said = json.loads(path.with_suffix(".json").read_text())
    asked = [Question(*entry["question"]) for entry in said]
    return Release(path.stem, path.read_text(), asked, [entry["answer"] for entry in said])


async def record(stack: Stack, url: str, revision: str) -> None:
    """Fill a database, and write it down with what the service says of it."""
    async with filled(stack):
        asked = await questions(stack)
        said = await answers(stack, asked)
        statements = await dump(url)
    RELEASES.mkdir(parents=True, exist_ok=True)
    (RELEASES / f"{revision}.sql").write_text("\n".join([*statements, ""]))
    lines = [
        json.dumps({"question": question, "answer": answer})
        for question, answer in zip(asked, said, strict=True)
    ]
    (RELEASES / f"{revision}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


# --- how a database is filled ----------------------------------------------------------------


@asynccontextmanager
async def filled(stack: Stack) -> AsyncIterator[None]:
    """Fill the tables; while the context is open one run is at its model, one waits behind it, one is queued."""
    await _ended_runs(stack)
    await _questions_and_client_tools(stack)
    await _another_user(stack)
    live = stack.run_body("fail hang", thread="live", run="live-1")
    async with stack.open_run(body=live):
        await _hangs(stack, 1)
        enqueue = {"onBusy": "enqueue"}
        await stack.post_run("hello", thread="live", run="live-2", state={"v": 2}, forwardedProps=enqueue)
        await stack.post_run("hello", thread="queued", run="queued-1")
        found = await stack.fetch("SELECT DISTINCT status FROM agent_run")
        assert {row["status"] for row in found} == {"waiting", "queued", "running", *_ENDED}
        assert await stack.fetch("SELECT 1 FROM agent_model_call WHERE outcome = 'lost'")
        assert await stack.fetch("SELECT 1 FROM user_budget_reservation")
        yield
        await stack.cancel("live", "live-1")


async def _hangs(stack: Stack, runs: int) -> None:
    """Wait until so many runs are at a model that does not answer: their calls are in the ledger as placeholders."""

    async def written() -> bool:
        found = await stack.fetch("SELECT count(*) AS calls FROM agent_model_call WHERE outcome = 'lost'")
        return found[0]["calls"] == runs

    await eventually(written)


async def _ended_runs(stack: Stack) -> None:
    await stack.stream_run("hello", thread="chat", run="chat-1")
    await stack.stream_run("my name is Ada", thread="chat", run="chat-2")
    again = [{"id": "edited", "role": "user", "content": "my name is Grace"}]
    replaces = {"regenerateFrom": "user-chat-2"}
    await stack.stream_run(thread="chat", run="chat-3", messages=again, forwardedProps=replaces)
    await stack.stream_run("think about it and calculate 6*7", thread="tools", run="tools-1")
    for number, way in enumerate(("503", "mid"), start=1):
        await stack.stream_run(f"fail {way}", thread="failed", run=f"failed-{number}")
    patch = '{"operations": [{"op": "add", "path": "/colour", "value": "blue"}]}'
    await stack.stream_run(
        f"call the tool update_state with {patch}", thread="state", run="state-1", state={"n": 1}
    )
    earlier = [
        {"id": "e-1", "role": "user", "content": "I like tea"},
        {"id": "e-2", "role": "assistant", "content": "So do I."},
        {"id": "e-3", "role": "user", "content": [{"type": "text", "text": "really?"}]},
    ]
    await stack.stream_run(thread="imported", run="imported-1", messages=earlier)
    cancelled = stack.run_body("fail hang", thread="cancelled", run="cancelled-1")
    async with stack.open_run(body=cancelled) as stream:
        await _hangs(stack, 1)
        await stack.cancel("cancelled", "cancelled-1")
        await stream.to_end()
    await stack.stream_run("hello", thread="deleted", run="deleted-1")
    await stack.request("DELETE", "/threads/deleted")
    speech = {"file": ("speech", audio.flac())}
    await stack.request("POST", "/transcribe", files=speech, headers={"Idempotency-Key": "speech-1"})


async def _questions_and_client_tools(stack: Stack) -> None:
    parked = await stack.stream_run("remember that I like tea", thread="approved", run="approved-1")
    await stack.resume("approved", _decided(parked, True), run="approved-2")
    parked = await stack.stream_run("remember that I like rum", thread="declined", run="declined-1")
    await stack.resume("declined", _decided(parked, False), run="declined-1")
    await stack.stream_run("remember that I like milk", thread="open", run="open-1")
    await stack.stream_run("remember that I like beer", thread="withdrawn", run="withdrawn-1")
    await stack.cancel("withdrawn", "withdrawn-1")
    asks = 'call the tool choose_colour with {"prompt": "Which?"}'
    await stack.stream_run(asks, thread="client-tool", run="client-tool-1", tools=[_COLOUR])
    enqueue = {"onBusy": "enqueue"}
    first = stack.run_body("fail hang", thread="behind", run="behind-1")
    async with stack.open_run(body=first) as stream:
        await _hangs(stack, 1)
        asking = "remember that I like water"
        await stack.post_run(asking, thread="behind", run="behind-2", forwardedProps=enqueue)
        await stack.post_run("hello", thread="behind", run="behind-3", forwardedProps=enqueue)
        await stack.cancel("behind", "behind-1")
        await stream.to_end()
    # To its end: then it asks, and the run behind it waits for the answer.
    await stack.read_events("behind", "behind-2")


def _decided(parked: Reply, approved: bool) -> list[dict[str, Any]]:
    return [
        {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": approved}}
        for interrupt in parked.interrupts
    ]


async def _another_user(stack: Stack) -> None:
    older = stack.run_body("hello", thread="chat", run="chat-1", protocolVersion=None)
    await stack.stream_run(body=older, user="bill")
    await stack.request("PATCH", "/threads/chat", user="bill", json={"title": "Bill's"})
