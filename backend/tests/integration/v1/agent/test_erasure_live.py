"""A user is erased: a word that stands in every store is found in none of them afterwards."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from tests.support import audio
from tests.support.canary import found, tables
from tests.support.limits import HUNG_SECONDS
from tests.support.loggers import loggers_kept
from tests.support.stack import OpenStack, Reply, Stack, eventually
from tests.support.whole_service import HOOK_HEADERS, sections_for_everything

from core.agentscope.tools.memory_store import PostgresMemoryStore
from core.config import Settings
from core.connections.store import ConnectionStore
from core.database import create_session_factory
from core.erased_users import is_refused
from core.identity import Principal
from core.log import configure_logging
from core.stored_bytes import add_up
from core.user_data.desk import ErasureDesk
from core.user_data.tables import OF_NOBODY, all_tables

CANARY = "canaryx7q"
USER = f"ada-{CANARY}"
PRINCIPAL = Principal("default", USER)
# Where it has to stand before: a store that is not here, nobody looks at.
STORES = {
    "agent_api_key",
    "agent_chat_message",
    "agent_chat_session",
    "agent_checkpoint",
    "agent_connection",
    "agent_file",
    "agent_interrupt",
    "agent_memory",
    "agent_model_call",
    "agent_oauth_login",
    "agent_run",
    "agent_run_event",
    "agent_run_webhook",
    "agent_schedule",
    "agent_schedule_fire",
    "agent_state_part",
    "agent_stored_user",
    "agent_transcription",
    "user_budget",
    "user_budget_reservation",
    "redis thread",
    "redis ticket",
    "folder",
}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that the processes of the test log, as it would stand in their files."""
    lines = io.StringIO()
    with loggers_kept():
        configure_logging(Settings(), stream=lines)
        yield lines


@pytest.fixture
async def stack(open_stack: OpenStack, tmp_path: Path, log: io.StringIO) -> AsyncIterator[Stack]:
    async with open_stack(**sections_for_everything(tmp_path)) as stack:
        yield stack


async def ask(stack: Stack, method: str, path: str, **options: Any) -> Reply:
    return await stack.request(method, path, user=USER, **options)


async def run(stack: Stack, text: str, thread: str, **members: Any) -> Reply:
    return await stack.stream_run(text, thread=thread, user=USER, **members)


async def plant(stack: Stack) -> None:
    """Put the canary into every store that knows anything of a user."""
    container = stack.apis[0].app.state.container
    uploaded = await ask(stack, "POST", "/files", files={"file": (f"{CANARY}.txt", CANARY.encode())})
    part = {"type": "document", "source": {"type": "file", "value": uploaded.json["fileId"]}}
    message = {"id": f"m-{CANARY}", "role": "user", "content": [part, {"type": "text", "text": CANARY}]}
    await run(stack, "", "files", messages=[message], state={"secret": CANARY})
    # One that a message names, and that is deleted.
    gone = (await ask(stack, "POST", "/files", files={"file": ("a.txt", b"gone")})).json["fileId"]
    part = {"type": "document", "source": {"type": "file", "value": gone}}
    await run(stack, "", "files", messages=[{"id": "m-gone", "role": "user", "content": [part]}])
    await ask(stack, "DELETE", f"/files/{gone}")
    await ask(stack, "PATCH", "/threads/files", json={"title": CANARY})
    await run(stack, f'call the tool calculate with {{"expression": "{CANARY}"}}', "tools")
    asked = await run(stack, f"remember that {CANARY}", "memory")
    answers = [
        {
            "interruptId": each["id"],
            "status": "resolved",
            "payload": {"approved": True, "input": {"text": CANARY}},
        }
        for each in asked.interrupts
    ]
    resumed = await stack.resume("memory", answers, user=USER)
    assert resumed.end["outcome"] == {"type": "success"}, resumed.end
    # One that stays open, one that runs, and one that waits.
    await run(stack, f"remember that {CANARY} stays open", "open")
    body = stack.run_body(f"count slowly to 5000 {CANARY}", thread="live")
    await stack.post_run(body=body, user=USER)
    await stack.post_run(f"hello {CANARY}", thread="queued", user=USER, headers=HOOK_HEADERS)
    async with stack.open_events("live", user=USER) as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
    sound = {"file": (f"{CANARY}.wav", audio.wav())}
    heard = await ask(stack, "POST", "/transcribe", files=sound, headers={"Idempotency-Key": CANARY})
    assert heard.status == 200, heard.body
    await ask(stack, "POST", "/events/ticket", json={"threadId": "live"})
    await container.keys.create(tenant_id="default", user_id=USER, by=f"user:{USER}", name=CANARY)
    await container.keys.create(tenant_id="default", user_id="other", by=f"user:{USER}")
    store: ConnectionStore = container.connections.store
    await store.save(PRINCIPAL, f"mail-{CANARY}", "", "user-token", CANARY)
    await store.save(PRINCIPAL, f"login-{CANARY}", "", "oauth", "{}", renewable=True)
    every = {"type": "interval", "everySeconds": 86_400}
    made = await ask(
        stack, "POST", "/schedules", json={"scheduleId": CANARY, "trigger": every, "message": CANARY}
    )
    assert made.status == 201, made.body
    # A fire of a thread.
    await stack.fetch(
        """INSERT INTO agent_schedule_fire (schedule_pk, fire_key, fire_at, state, give_up_at, settled_at, thread_id)
        SELECT id, 'k', now(), 'failed', now(), now(), $1 FROM agent_schedule WHERE schedule_id = $1""",
        CANARY,
    )
    await _rows_of_older_versions(stack)
    await add_up(store._engine)


async def _rows_of_older_versions(stack: Stack) -> None:
    """What the service of today does not write, or only for a moment."""
    await stack.fetch(
        """INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state)
        SELECT id, session_id, ordinal, 'x', $1 FROM agent_run WHERE user_id = $2 AND ordinal IS NOT NULL LIMIT 1""",
        CANARY,
        USER,
    )
    await stack.fetch(
        """INSERT INTO agent_oauth_login (tenant_id, user_id, server, resource, link_hash, return_url, expires_at)
        VALUES ('default', $2, 's', '', '\\x00', $1, now() + interval '1 hour')""",
        CANARY,
        USER,
    )
    await stack.fetch(
        """INSERT INTO user_budget_reservation (call_id, run_pk, tenant_id, user_id, day, tokens, cost, expires_at)
        VALUES ($1, 0, 'default', $2, now()::date, 1, 0, now() + interval '1 hour')""",
        CANARY,
        USER,
    )
    await stack.fetch(
        """INSERT INTO agent_chore (name, next_at)
        SELECT format('prune %s 1', id), now() FROM agent_chat_session WHERE user_id = $1 LIMIT 1""",
        USER,
    )


def without_key_lines(log: io.StringIO) -> io.StringIO:
    """Leave out the lines that say who made a key for whom: the log keeps them, and the receipt says so."""
    lines = [line for line in log.getvalue().splitlines() if '"message": "api_key_created"' not in line]
    assert any('"message": "run_ended"' in line for line in lines), "nothing was logged"
    assert [line for line in lines if CANARY in line] == []
    return io.StringIO("\n".join(lines))


async def test_a_word_in_every_store_is_found_in_none_of_them_afterwards(
    stack: Stack, tmp_path: Path, log: io.StringIO
) -> None:
    await stack.stream_run("hello", thread="of-another", user="bill")
    await plant(stack)
    before = await found(CANARY, stack.settings, tmp_path, log)
    assert STORES - before.keys() == set(), before

    reply = await ask(stack, "DELETE", "/me")

    assert (reply.status, reply.json["state"]) == (200, "erased"), reply.body
    assert await found(CANARY, stack.settings, tmp_path, without_key_lines(log)) == {}
    removed = {line["store"]: line["removed"] + line["kept"] for line in reply.json["stores"]}
    assert {name for name, count in removed.items() if not count} <= {
        *(f"postgres: {table}" for table in OF_NOBODY),
        "postgres: agent_stored_change",
        "postgres: agent_webhook_endpoint",
        "redis: rates",
        "authorization servers: logins withdrawn",
        "logs",
    }, removed
    # Others have what they had, and sums are right.
    assert [row["thread_id"] for row in await stack.fetch("SELECT thread_id FROM agent_chat_session")] == [
        "of-another"
    ]
    assert await stack.fetch("SELECT * FROM agent_stored_drift()") == []
    kept = await stack.fetch("SELECT user_id, sum(input_tokens) AS used FROM agent_model_call GROUP BY 1")
    assert {row["user_id"] for row in kept if row["used"]} == {"", "bill"}
    # The user comes back as a new one.
    again = await run(stack, "hello", "files")
    assert again.end["outcome"] == {"type": "success"}
    assert [thread["threadId"] for thread in (await ask(stack, "GET", "/threads")).json["threads"]] == [
        "files"
    ]


async def test_every_table_has_its_place_in_an_erasure(stack: Stack) -> None:
    found_tables = set(await tables(stack.settings.database.url.get_secret_value()))
    named = set(all_tables())
    parts = await stack.fetch("SELECT inhrelid::regclass::text AS name FROM pg_inherits")

    assert found_tables - {row["name"] for row in parts} == named, (
        "add the table to core/user_data/tables.py: what becomes of it when a user is erased?"
    )
    columns = await stack.fetch(
        """SELECT DISTINCT table_name::text AS name FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name IN ('user_id', 'session_id', 'run_pk', 'file_id')"""
    )
    of_users = {row["name"] for row in columns} - {row["name"] for row in parts}
    assert of_users & (OF_NOBODY.keys() - {"agent_erasure"}) == set()


# --- in the middle ---


class _Stopped(BaseException):
    """Stands for the death of a process."""


@pytest.mark.parametrize("step", ["_erase_files", "_erase_threads", "_erase_connections", "finish"])
async def test_an_erasure_that_died_in_the_middle_goes_on_and_its_receipt_is_complete(
    stack: Stack, tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await run(stack, f"hello {CANARY}", "one")
    await run(stack, f"hello {CANARY}", "two")
    await ask(stack, "POST", "/files", files={"file": ("a.txt", CANARY.encode())})
    messages = len(await stack.fetch("SELECT FROM agent_chat_message"))
    desk: ErasureDesk = stack.apis[0].app.state.container.erasures
    eraser = desk._eraser
    target = eraser.erasures if step == "finish" else eraser

    async def die(*_: object) -> None:
        raise _Stopped

    with monkeypatch.context() as patched:
        patched.setattr(target, step, die)
        begun = await eraser.begin(PRINCIPAL, "owner")
        with pytest.raises(_Stopped):
            await eraser.complete(begun)
        # What was let in before writes nothing any more, and a run that is gone remembers nothing.
        store: ConnectionStore = stack.apis[0].app.state.container.connections.store
        with pytest.raises(DBAPIError) as refused:
            await store.save(PRINCIPAL, "mail", "", "user-token", CANARY)
        notes = PostgresMemoryStore(create_session_factory(eraser.erasures.engine))
        assert not await notes.add(PRINCIPAL, CANARY, idempotency_key="run-of-before:call")
        assert is_refused(refused.value)

    reply = await ask(stack, "DELETE", "/me")

    assert (reply.status, reply.json["erasureId"]) == (200, begun.erasure_id), reply.body
    removed = {line["store"]: line["removed"] for line in reply.json["stores"]}
    assert removed["postgres: agent_chat_message"] == messages
    assert removed["postgres: agent_chat_session"] == 2
    assert removed["file store: files"] == 1
    assert await found(CANARY, stack.settings, tmp_path, log) == {}


async def test_whoever_is_being_erased_is_told_so_and_the_service_ends_it_by_itself(
    open_stack: OpenStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stack(apis=2, **sections_for_everything(tmp_path)) as stack:
        await run(stack, "hello", "one")
        blocked = asyncio.Event()
        desks: list[ErasureDesk] = [api.app.state.container.erasures for api in stack.apis]
        for desk in desks:
            monkeypatch.setattr(desk._eraser._redis, "erase", _when(blocked, desk._eraser._redis.erase))
        erasing = asyncio.create_task(ask(stack, "DELETE", "/me"))

        async def other_knows() -> bool:
            reply = await ask(stack, "GET", "/threads", api=stack.apis[1])
            return reply.status == 409

        await eventually(other_knows)
        for api in stack.apis:
            for reply in (
                await ask(stack, "GET", "/threads", api=api),
                await run(stack, "hello", "new", api=api),
                await ask(stack, "POST", "/files", api=api, files={"file": ("a", b"a")}),
            ):
                problem = reply.problem(409, "erasure-under-way")
                assert (problem["retryable"], reply.headers["retry-after"]) == (True, "5")
        assert (await stack.request("GET", "/threads", user="bill")).status == 200
        # The process that was asked goes away. The other one ends it.
        desks[0]._tasks.copy().popitem()[1].cancel()
        blocked.set()

        async def over() -> bool:
            return not await stack.fetch("SELECT FROM agent_erasure WHERE finished_at IS NULL")

        await eventually(over)
        erasing.cancel()
        await eventually(lambda: _is(200, ask(stack, "GET", "/threads", api=stack.apis[1])))
        # Nothing new: the same receipt. Something new, within a day: not again, but an operator may.
        first = await ask(stack, "DELETE", "/me", api=stack.apis[1])
        assert first.json["state"] == "erased"
        local = Principal("default", USER, trusted=True)
        (same, _) = await desks[1].erase(local, "owner", within_seconds=0)
        assert same.erasure_id == first.json["erasureId"]
        await run(stack, "hello", "again", api=stack.apis[1])
        refused = await ask(stack, "DELETE", "/me", api=stack.apis[1])
        assert "within a day" in refused.problem(429, "rate-limited")["detail"]
        # The one user of local mode is the operator.
        (again, _) = await desks[1].erase(local, "owner", within_seconds=HUNG_SECONDS)
        assert (again.erasure_id == same.erasure_id, again.finished_at is None) == (False, False)


def _when(open_: asyncio.Event, call: Any) -> Any:
    async def waiting(principal: Principal) -> dict[str, int]:
        await open_.wait()
        return await call(principal)

    return waiting


async def _is(status: int, reply: Any) -> bool:
    return (await reply).status == status
