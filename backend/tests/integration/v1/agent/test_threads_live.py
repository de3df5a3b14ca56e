"""Threads from the outside: listed, found, renamed, and deleted with everything that belongs to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import redis
from sqlalchemy import event, func, select
from structlog.testing import capture_logs
from tests.support.stack import OpenStack, Reply, Stack, Web, eventually

from core.agentscope.events.queries.runs import RunReader
from core.agentscope.events.redis_bus import stream_key
from core.database import create_engine
from core.identity import Principal
from models import AgentRun

TABLES = (
    "agent_chat_session",
    "agent_chat_message",
    "agent_run",
    "agent_run_event",
    "agent_interrupt",
    "agent_state",
    "agent_state_part",
)


@pytest.fixture
async def user(stack: Stack) -> str:
    """A user without any thread."""
    return stack.new_id("user")


@pytest.fixture
async def own(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """A stack of the test's own: nobody else's rows are in its tables."""
    async with open_stack() as stack:
        yield stack


async def listed(stack: Stack, user: str, **params: Any) -> dict[str, Any]:
    reply = await stack.request("GET", "/threads", user=user, params=params)
    assert reply.status == 200, reply.body
    return reply.json


async def found(stack: Stack, user: str, words: str) -> list[str]:
    return [item["threadId"] for item in (await listed(stack, user, q=words))["threads"]]


async def count_rows(stack: Stack) -> dict[str, int]:
    rows: dict[str, int] = {}
    for table in TABLES:
        statement = select(func.count().label("rows")).select_from(AgentRun.metadata.tables[table])
        rows[table] = (await stack.fetch(str(statement)))[0]["rows"]
    return rows


# --- the list ----------------------------------------------------------------------


async def test_an_item_says_what_a_list_has_to_show(stack: Stack, user: str) -> None:
    reply = await stack.stream_run("hello there", user=user, thread="said-hello")

    (item,) = (await listed(stack, user))["threads"]
    history = await stack.history("said-hello", user=user)
    assert item == {
        "threadId": "said-hello",
        "agentId": "default",
        "title": "hello there",
        "createdAt": item["createdAt"],
        "updatedAt": item["updatedAt"],
        "messageCount": len(history["messages"]),
        "activeRun": None,
        "pendingInterrupts": 0,
        "usage": history["usage"],
    }
    assert item["usage"]["outputTokens"] > 0
    assert datetime.fromisoformat(item["createdAt"]) < datetime.fromisoformat(item["updatedAt"])
    one = await stack.request("GET", "/threads/said-hello", user=user)
    assert (one.status, one.json) == (200, item)
    assert reply.end["type"] == "RUN_FINISHED"


async def test_a_live_run_and_an_open_question_are_shown(stack: Stack, web: Web, user: str) -> None:
    async with stack.open_run("slowly", user=user, thread="live") as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        (item,) = (await listed(stack, user))["threads"]
        assert item["activeRun"]["status"] == "running"
        assert item["activeRun"]["eventsUrl"].startswith("/api/v1/agent/events?threadId=live")
        await stack.cancel("live", item["activeRun"]["runId"], user=user)
        await stream.to_end()
    await stack.stream_run(f"fetch {web.url}/asked", user=user, thread="parked")

    parked, live = (await listed(stack, user))["threads"]
    assert (parked["threadId"], parked["pendingInterrupts"], parked["activeRun"]) == ("parked", 1, None)
    assert (live["threadId"], live["pendingInterrupts"], live["activeRun"]) == ("live", 0, None)


async def test_pages_go_from_the_newest_activity_to_the_oldest_without_gap_or_repeat(
    stack: Stack, user: str
) -> None:
    names = [stack.new_id("paged") for _ in range(5)]
    for name in names:
        await stack.stream_run("hello", user=user, thread=name)
    await stack.stream_run("hello again", user=user, thread=names[1])
    order = [names[1], names[4], names[3], names[2], names[0]]

    pages: list[list[str]] = []
    before: dict[str, str] = {}
    while True:
        page = await listed(stack, user, limit=2, **before)
        pages.append([item["threadId"] for item in page["threads"]])
        if page["nextBefore"] is None:
            break
        before = {"before": page["nextBefore"]}

    assert pages == [order[:2], order[2:4], order[4:]]
    assert (await listed(stack, user, limit=5))["nextBefore"] is None


async def test_a_user_without_threads_has_an_empty_list(stack: Stack, user: str) -> None:
    await stack.stream_run("hello", thread=stack.new_id("thread"))

    assert await listed(stack, user) == {"threads": [], "nextBefore": None}


@pytest.mark.parametrize("place", ["x", "AAAA", "MTIzNDU2", "OTk5OTk5OTk5OTk5OTk5OTk5LjE=", "é"])
async def test_a_place_that_no_page_gave_is_refused(stack: Stack, place: str) -> None:
    reply = await stack.request("GET", "/threads", params={"before": place})

    (error,) = reply.problem(422, "invalid-request")["errors"]
    assert error["pointer"] == "/query/before"


async def test_the_runs_of_a_thread_are_listed_with_what_they_used(stack: Stack, user: str) -> None:
    thread = stack.new_id("thread")
    for text in ("hello", "hello again"):
        await stack.stream_run(text, user=user, thread=thread)
    second, first = [row["run_id"] for row in reversed(await stack.runs(thread))]

    page = (await stack.request("GET", f"/threads/{thread}/runs", user=user, params={"limit": 1})).json
    rest = await stack.request(
        "GET", f"/threads/{thread}/runs", user=user, params={"before": page["nextBefore"]}
    )

    runs = page["runs"] + rest.json["runs"]
    assert runs == [await stack.run_status(thread, run, user=user) for run in (second, first)]
    assert all(run["usage"]["outputTokens"] > 0 and run["totalMs"] > 0 for run in runs)
    assert rest.json["nextBefore"] is None
    foreign = await stack.request("GET", f"/threads/{thread}/runs", user=stack.new_id("eve"))
    foreign.problem(404, "not-found")


async def test_a_list_of_many_runs_takes_no_more_statements_than_one_of_few(stack: Stack, user: str) -> None:
    thread = stack.new_id("thread")
    for _ in range(4):
        await stack.stream_run("hello", user=user, thread=thread)
    engine = create_engine(stack.settings.database, application_name="test")
    sent: list[str] = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *of: sent.append(of[2]))
    reader, counts = RunReader(engine), list[int]()
    for limit in (1, 4):
        sent.clear()
        page = await reader.list_runs(Principal("default", user), thread, limit=limit, before=None)
        assert [run.status for run in page.runs] == ["succeeded"] * limit
        counts.append(len(sent))
    await engine.dispose()
    assert counts[0] == counts[1]


# --- search ------------------------------------------------------------------------


async def test_words_are_found_in_titles_and_in_messages_of_both_sides(stack: Stack, user: str) -> None:
    first, second, third = (stack.new_id("searched") for _ in range(3))
    await stack.stream_run("A trip to Lisbon, in spring", user=user, thread=first)
    await stack.stream_run("calculate 6*7", user=user, thread=second)
    await stack.stream_run("hello", user=user, thread=third)
    renamed = await stack.request("PATCH", f"/threads/{third}", user=user, json={"title": "Café Ärmel"})
    assert renamed.status == 200

    for words, expected in {
        "lisbon": [first],
        "LISB": [first],
        "spring trip": [first],
        "trip li": [first],
        "li trip": [],
        "isbon": [],
        "calculator says": [second],
        "café ärm": [third],
        "CAFÉ": [third],
        "hello": [third],
        "trip calculator": [],
        "!? -": [],
        "'; DROP TABLE x; --": [],
        "a & !b | (c:*)": [],
        "": [third, second, first],
    }.items():
        assert await found(stack, user, words) == expected, words


async def test_words_of_scripts_without_spaces_are_found_anywhere(stack: Stack, user: str) -> None:
    thread = stack.new_id("searched")
    await stack.stream_run("这是一个测试句子 with iPhone手机", user=user, thread=thread)

    for words, expected in {
        "测试": [thread],
        "测": [thread],
        "手机 with": [thread],
        "试测": [],
        "测试 rum": [],
    }.items():
        assert await found(stack, user, words) == expected, words


async def test_paths_and_hyphenated_words_are_found_by_their_parts(stack: Stack, user: str) -> None:
    thread = stack.new_id("thread")
    await stack.stream_run("see https://docs.example.org/how-to/start_here", user=user, thread=thread)

    for words in ("example", "docs.example.org", "how-to", "start", "start_here"):
        assert await found(stack, user, words) == [thread], words


async def test_text_parts_are_found_and_what_is_beside_them_is_not(stack: Stack, user: str) -> None:
    thread = stack.new_id("thread")
    parts = [
        {"type": "text", "text": "look at this armadillo"},
        {"type": "image", "source": {"type": "data", "value": "aWd1YW5h", "mimeType": "image/png"}},
    ]
    message = {"id": stack.new_id("message"), "role": "user", "content": parts}
    reply = await stack.stream_run(user=user, thread=thread, messages=[message])
    assert reply.end["type"] == "RUN_FINISHED"

    assert await found(stack, user, "armadillo") == [thread]
    assert await found(stack, user, "aWd1YW5h") == []
    assert await found(stack, user, "png") == []


async def test_only_the_callers_own_messages_are_found(stack: Stack, user: str) -> None:
    theirs, mine = stack.new_id("thread"), stack.new_id("thread")
    await stack.stream_run("the secret zebra", thread=theirs)
    assert await found(stack, user, "zebra") == []
    await stack.stream_run("my own zebra", user=user, thread=mine)

    assert await found(stack, user, "zebra") == [mine]


async def test_found_threads_are_paged_like_all_others(stack: Stack, user: str) -> None:
    names = [stack.new_id("thread") for _ in range(3)]
    for name in names:
        await stack.stream_run("the walrus and the carpenter", user=user, thread=name)
    await stack.stream_run("nothing of the kind", user=user, thread=stack.new_id("thread"))

    first = await listed(stack, user, q="walrus", limit=2)
    rest = await listed(stack, user, q="walrus", limit=2, before=first["nextBefore"])

    assert [item["threadId"] for item in (*first["threads"], *rest["threads"])] == names[::-1]
    assert rest["nextBefore"] is None


@pytest.mark.parametrize(
    "text",
    ["a-" * 60_000, "é " * 40_000, "<" * 120_000, " ".join(chr(0x4E00 + place) * 3 for place in range(9000))],
    ids=["hyphens", "short words", "tags", "many words"],
)
async def test_no_text_keeps_a_message_from_being_stored(stack: Stack, user: str, text: str) -> None:
    reply = await stack.stream_run(text, user=user, thread=stack.new_id("thread"))

    assert reply.end["type"] == "RUN_FINISHED"


# --- one thread --------------------------------------------------------------------


async def test_a_title_is_changed_and_the_thread_keeps_its_place(stack: Stack, user: str) -> None:
    older, newer = stack.new_id("thread"), stack.new_id("thread")
    await stack.stream_run("hello", user=user, thread=older)
    await stack.stream_run("hello", user=user, thread=newer)
    before = (await stack.request("GET", f"/threads/{older}", user=user)).json

    reply = await stack.request("PATCH", f"/threads/{older}", user=user, json={"title": "  Plans  "})

    assert reply.json == before | {"title": "Plans"}
    assert [item["threadId"] for item in (await listed(stack, user))["threads"]] == [newer, older]
    assert (await stack.history(older, user=user))["title"] == "Plans"
    await stack.stream_run("another message", user=user, thread=older)
    assert (await stack.history(older, user=user))["title"] == "Plans"


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "   "}, {"title": "x" * 201}, {"title": 7}])
async def test_a_title_that_is_none_is_refused(stack: Stack, user: str, body: dict[str, Any]) -> None:
    thread = stack.new_id("thread")
    await stack.stream_run("hello", user=user, thread=thread)

    reply = await stack.request("PATCH", f"/threads/{thread}", user=user, json=body)

    assert [error["pointer"] for error in reply.problem(422, "invalid-request")["errors"]] == ["/title"]
    longest = await stack.request("PATCH", f"/threads/{thread}", user=user, json={"title": "x" * 200})
    assert longest.status == 200


async def test_a_foreign_thread_looks_absent(stack: Stack) -> None:
    thread = stack.new_id("thread")
    await stack.stream_run("hello", thread=thread)
    before = await stack.history(thread)

    def ask(method: str, thread: str) -> Any:
        headers = {"X-Request-Id": "the-same-request"}
        body: dict[str, Any] = {"json": {"title": "Mine"}} if method == "PATCH" else {}
        return stack.request(method, f"/threads/{thread}", user="eve", headers=headers, **body)

    for method in ("GET", "PATCH", "DELETE"):
        foreign, absent = await ask(method, thread), await ask(method, "absent")
        foreign.problem(404, "not-found")
        assert foreign.body.replace(thread.encode(), b"absent") == absent.body
        assert set(foreign.headers) == set(absent.headers)
    assert await stack.history(thread) == before


# --- deleting ----------------------------------------------------------------------


async def test_everything_that_belongs_to_a_thread_goes_and_nothing_else(own: Stack, web: Web) -> None:
    kept = await own.stream_run("calculate 6*7", thread="kept")
    history = await own.history("kept")
    rows = await count_rows(own)
    await own.stream_run("calculate 6*7 and then calculate 1+1", thread="deleted")
    await own.stream_run(f"fetch {web.url}/never", thread="deleted")
    assert all(
        more > less for more, less in zip((await count_rows(own)).values(), rows.values(), strict=True)
    )
    (session,) = await own.fetch("SELECT id FROM agent_chat_session WHERE thread_id = 'deleted'")

    reply = await own.request("DELETE", "/threads/deleted")

    assert (reply.status, reply.body) == (204, b"")
    assert await count_rows(own) == rows
    assert await own.history("kept") == history
    assert (await own.read_events("kept", kept.events[0]["runId"])).raw == kept.raw
    assert tail(own, session["id"]) == 0
    for path in ("/history?threadId=deleted", "/events?threadId=deleted", "/threads/deleted"):
        (await own.request("GET", path)).problem(404, "not-found")
    (await own.request("DELETE", "/threads/deleted")).problem(404, "not-found")
    assert [item["threadId"] for item in (await listed(own, "ada"))["threads"]] == ["kept"]


async def test_what_the_user_asked_to_remember_stays(own: Stack) -> None:
    parked = await own.stream_run("remember that I like tea", thread="told")
    (interrupt,) = parked.interrupts
    await own.resume(
        "told", [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    )

    await own.request("DELETE", "/threads/told")

    assert "tea" in (await own.stream_run("what do you remember?", thread="asked")).text


async def test_the_ids_of_a_deleted_thread_are_free_again(own: Stack) -> None:
    body = own.run_body("my name is Ada", thread="again", run="the-run")
    await own.stream_run(body=body)
    await own.request("DELETE", "/threads/again")

    reply = await own.stream_run(body=body)

    assert reply.cursors[0] == "1-1"
    assert len((await own.history("again"))["messages"]) == 2
    assert tail(own, (await own.fetch("SELECT id FROM agent_chat_session"))[0]["id"]) > 0


async def test_a_live_run_ends_as_cancelled_for_all_who_follow_it(own: Stack) -> None:
    body = own.run_body("slowly", thread="live")
    with capture_logs() as logs:
        async with (
            own.open_run(body=body) as starter,
            own.open_events("live", body["runId"]) as follower,
            own.open_events("live") as thread_follower,
        ):
            for stream in (starter, follower, thread_follower):
                await stream.until("TEXT_MESSAGE_CONTENT")

            assert (await own.request("DELETE", "/threads/live")).status == 204

            for stream in (starter, follower, thread_follower):
                events = await stream.to_end()
                assert events[-1]["type"] == "RUN_FINISHED"
                assert events[-1]["outcome"] == {"type": "cancelled"}
                assert stream.frames == starter.frames
        worker = own.workers[0].worker

        async def idle() -> bool:
            return worker.executor.free == own.settings.worker.concurrency

        await eventually(idle)
    assert await count_rows(own) == dict.fromkeys(TABLES, 0)
    assert [entry for entry in logs if entry["log_level"] in ("error", "critical")] == []
    assert (await own.stream_run("hello", thread="live")).end["type"] == "RUN_FINISHED"


async def test_runs_that_wait_go_with_the_thread(own: Stack) -> None:
    waits = own.run_body("hello", thread="busy", forwardedProps={"onBusy": "enqueue"})
    async with own.open_run("slowly", thread="busy") as live:
        await live.until("TEXT_MESSAGE_CONTENT")
        assert (await own.post_run(body=waits)).json["status"] == "waiting"
        async with own.open_events("busy", waits["runId"]) as waiting:
            assert (await own.request("DELETE", "/threads/busy")).status == 204
            assert (await live.to_end())[-1]["outcome"] == {"type": "cancelled"}
            ends = [event["type"] for event in await waiting.to_end()]

    assert ends in ([], ["RUN_STARTED", "RUN_FINISHED"])
    assert await count_rows(own) == dict.fromkeys(TABLES, 0)


async def test_a_queued_run_goes_with_the_thread(open_stack: OpenStack) -> None:
    async with open_stack(workers=0) as stack:
        async with stack.open_run("hello", thread="queued") as stream:
            assert (await stack.request("DELETE", "/threads/queued")).status == 204
            assert [event["type"] for event in await stream.to_end()] == ["RUN_STARTED", "RUN_FINISHED"]
        assert await count_rows(stack) == dict.fromkeys(TABLES, 0)


async def test_a_thread_is_deleted_and_used_at_once_and_both_get_an_answer(own: Stack) -> None:
    await own.stream_run("hello", thread="raced")

    async def use() -> Reply:
        return await own.stream_run("hello again", thread="raced")

    async def remove() -> Reply:
        return await own.request("DELETE", "/threads/raced")

    replies = await asyncio.gather(*(call() for _ in range(8) for call in (use, remove)))

    assert {reply.status for reply in replies} <= {200, 204, 404, 409}
    streams = [reply for reply in replies if reply.status == 200]
    # Deleted before its reader came to read: then there is nothing. Otherwise all of it.
    assert {reply.end["type"] for reply in streams if reply.frames} <= {"RUN_FINISHED"}
    assert 204 in {reply.status for reply in replies}
    orphans = await own.fetch("SELECT count(*) FROM agent_run WHERE ended_at IS NULL")
    assert orphans[0]["count"] == 0


def tail(stack: Stack, session_id: int) -> int:
    """Return how many entries the live tail of a thread has."""
    settings = stack.settings.redis
    with redis.Redis.from_url(settings.url.get_secret_value()) as client:
        entries: Any = client.xlen(stream_key(settings, session_id))
        return int(entries)
