"""Several agents in one deployment, over the whole service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.stack import OpenStack, Reply, Stack, eventually

SUM = "calculate 6*7"
_TOOL = '[[tools]]\nname = "{}"\npermission = "{}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two agents: support for everybody, and sales, which has the tools, for Ada and Eve."""
    (tmp_path / "support.toml").write_text('name = "Support"\ndescription = "Helps."\ndefault = true\n')
    (tmp_path / "sales.toml").write_text(
        'name = "Sales"\ndescription = "Sells."\ngreeting = "Hi"\nsuggestions = ["Buy tea"]\naccess = ["claim:sub=ada", "claim:sub=eve"]\n'
        + _TOOL.format("calculate", "allow")
        + _TOOL.format("remember", "ask")
    )
    return tmp_path


@pytest.fixture
async def stack(open_stack: OpenStack, folder: Path) -> AsyncIterator[Stack]:
    async with open_stack(profile_path=folder) as opened:
        yield opened


async def run(stack: Stack, thread: str, text: str = SUM, *, path: str = "/runs", **options: Any) -> Reply:
    user = options.pop("user", "ada")
    body = stack.run_body(text, thread=thread, forwardedProps=options)
    return await stack.stream_run(body=body, path=path, user=user)


def calculates(reply: Reply) -> bool:
    """Tell whether the agent of a run is the one with tools."""
    assert reply.end["outcome"] == {"type": "success"}
    return "TOOL_CALL_START" in reply.types


async def agents_of(stack: Stack, thread: str, user: str = "ada") -> tuple[str, str, list[str]]:
    """Return the agent of a thread as history and the list tell it, and those of its runs, oldest first."""
    history = await stack.request("GET", f"/history?threadId={thread}", user=user)
    one = await stack.request("GET", f"/threads/{thread}", user=user)
    runs = await stack.request("GET", f"/threads/{thread}/runs", user=user)
    return (
        history.json["agentId"],
        one.json["agentId"],
        [item["agentId"] for item in reversed(runs.json["runs"])],
    )


async def test_a_thread_keeps_its_agent_until_a_run_switches(stack: Stack) -> None:
    thread = stack.new_id("thread")
    assert calculates(await run(stack, thread, path="/agents/sales/runs"))
    assert calculates(await run(stack, thread))
    assert calculates(await run(stack, thread, agentId="sales"))

    other = await run(stack, thread, path="/agents/support/runs")
    assert (other.status, other.json["code"], other.json["agentId"]) == (409, "agent-fixed", "sales")
    assert await agents_of(stack, thread) == ("sales", "sales", ["sales"] * 3)

    assert not calculates(await run(stack, thread, path="/agents/support/runs", switchAgent=True))
    assert not calculates(await run(stack, thread, agentId="support"))
    assert await agents_of(stack, thread) == ("support", "support", ["sales"] * 3 + ["support"] * 2)
    # The other agent knows the conversation.
    (history,) = [await stack.request("GET", f"/history?threadId={thread}")]
    assert [message["role"] for message in history.json["messages"]].count("user") == 5


async def test_a_thread_without_a_name_has_the_default_agent(stack: Stack) -> None:
    thread = stack.new_id("thread")
    assert not calculates(await run(stack, thread))

    assert await agents_of(stack, thread) == ("support", "support", ["support"])
    (listed,) = (await stack.request("GET", "/threads")).json["threads"]
    assert listed["agentId"] == "support"


async def test_threads_and_usage_are_listed_by_agent(stack: Stack) -> None:
    threads = [stack.new_id("thread") for _ in range(3)]
    for thread, agent in zip(threads, ("support", "sales", "sales"), strict=True):
        await run(stack, thread, agentId=agent)

    async def listed(query: str) -> list[str]:
        page = (await stack.request("GET", f"/threads?{query}")).json
        return [item["threadId"] for item in page["threads"]]

    first = (await stack.request("GET", "/threads?agentId=sales&limit=1")).json
    words = SUM.replace("*", " ")

    assert await listed("agentId=support") == threads[:1]
    assert [item["threadId"] for item in first["threads"]] == threads[2:]
    assert await listed(f"agentId=sales&limit=1&before={first['nextBefore']}") == [threads[1]]
    assert await listed(f"agentId=support&q={words}") == threads[:1]
    assert await listed("agentId=nobody") == []
    assert (await stack.request("GET", "/threads?agentId=")).status == 422

    async def used(query: str) -> tuple[int, list[str]]:
        usage = (await stack.request("GET", f"/usage?groupBy=thread{query}")).json
        return usage["totals"]["calls"], sorted(row["threadId"] for row in usage["rows"])

    # Only sales has a tool, after which its model is asked again.
    assert await used("") == (5, sorted(threads))
    assert await used("&agentId=sales") == (4, sorted(threads[1:]))
    assert await used("&agentId=support") == (1, threads[:1])
    assert await used("&agentId=nobody") == (0, [])
    for group_by in ("day", "model"):
        usage = (await stack.request("GET", f"/usage?groupBy={group_by}&agentId=sales")).json
        assert [row["calls"] for row in usage["rows"]] == [4]
        assert usage["transcriptions"]["totals"]["calls"] == 0


async def test_a_request_is_the_same_at_both_addresses_and_another_with_another_agent(stack: Stack) -> None:
    body = stack.run_body(SUM, forwardedProps={"agentId": "sales"})
    first = await stack.stream_run(body=body)
    bare = body | {"forwardedProps": {}}

    assert (await stack.stream_run(body=bare, path="/agents/sales/runs")).body == first.body
    for path in ("/runs", "/agents/support/runs"):
        assert (await stack.stream_run(body=bare, path=path)).json["code"] == "idempotency-mismatch"
    disagree = await stack.stream_run(body=body, path="/agents/support/runs")
    assert (disagree.status, disagree.json["code"]) == (422, "invalid-request")
    assert disagree.json["errors"][0]["pointer"] == "/forwardedProps/agentId"


async def test_runs_that_wait_have_the_agents_they_were_accepted_with(stack: Stack) -> None:
    thread = stack.new_id("thread")
    # Without a worker, so that the first run is live until the others wait.
    await stack.stop_worker(stack.workers[0])
    props = [{"agentId": "sales"}, {}, {"agentId": "support", "switchAgent": True}, {}]
    accepted = [
        await stack.post_run(text, thread=thread, forwardedProps={"onBusy": "enqueue"} | each)
        for text, each in zip(["remember that I like tea", SUM, SUM, SUM], props, strict=True)
    ]
    assert [reply.json["status"] for reply in accepted] == ["queued", *["waiting"] * 3]
    await stack.start_worker()

    async def asks() -> bool:
        return (await stack.runs(thread))[0]["status"] == "interrupted"

    await eventually(asks)
    interrupts = (await stack.request("GET", f"/history?threadId={thread}")).json["pendingInterrupts"]
    answer = [{"interruptId": interrupts[0]["id"], "status": "resolved", "payload": {"approved": True}}]
    # The thread has switched meanwhile; the answer still goes to the agent that asked.
    assert (await stack.resume(thread, answer)).end["outcome"] == {"type": "success"}
    await stack.ended(thread)

    _, now, of_runs = await agents_of(stack, thread)
    assert (now, of_runs) == ("support", ["sales", "sales", "support", "support", "sales"])


async def test_an_answer_goes_to_the_agent_that_asked(stack: Stack) -> None:
    thread = stack.new_id("thread")
    asked = await run(stack, thread, "remember that I like tea", agentId="sales")
    (interrupt,) = asked.end["outcome"]["interrupts"]
    answer = [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    body = stack.run_body(thread=thread, resume=answer)

    switching = body | {"forwardedProps": {"switchAgent": True}}
    refused = await stack.stream_run(body=switching, path="/agents/support/resume")
    assert (refused.status, refused.json["code"]) == (409, "agent-fixed")
    answered = await stack.stream_run(body=body, path="/agents/sales/resume")
    assert "Remembered." in [event.get("content") for event in answered.events]


async def test_an_agent_that_a_user_may_not_use_looks_absent(stack: Stack) -> None:
    ids = {
        user: [item["id"] for item in (await stack.request("GET", "/agents", user=user)).json["agents"]]
        for user in ("ada", "bob")
    }
    assert ids == {"ada": ["sales", "support"], "bob": ["support"]}
    (sales, _) = (await stack.request("GET", "/agents")).json["agents"]
    assert (sales["name"], sales["greeting"], sales["default"]) == ("Sales", "Hi", False)
    assert sales["suggestions"] == ["Buy tea"]
    assert [(tool["name"], tool["permission"]) for tool in sales["tools"]] == [
        ("calculate", "allow"),
        ("remember", "ask"),
    ]
    assert sales["capabilities"]["identity"]["name"] == "Sales"
    assert sales["runsUrl"] == "/api/v1/agent/agents/sales/runs"
    default = (await stack.request("GET", "/capabilities", user="bob")).json
    assert default["identity"]["name"] == "Support"

    told: list[Any] = []
    for agent in ("sales", "no-such"):
        thread = stack.new_id("thread")
        for path, options in (("/runs", {"agentId": agent}), (f"/agents/{agent}/runs", {})):
            refused = await run(stack, thread, path=path, user="bob", **options)
            told.append({**refused.json, "instance": "", "requestId": ""})
        for method, path in (("GET", "capabilities"), ("POST", "events")):
            refused = await stack.request(
                method,
                f"/agents/{agent}/{path}",
                user="bob",
                json={"threadId": thread} if method == "POST" else None,
            )
            assert (refused.status, refused.json["code"]) == (404, "agent-unknown")
    assert told == [told[0]] * 4
    assert (told[0]["status"], told[0]["code"], told[0]["agentIds"]) == (404, "agent-unknown", ["support"])


async def test_a_stock_client_connects_at_the_address_of_its_agent(stack: Stack) -> None:
    thread = stack.new_id("thread")
    await run(stack, thread, path="/agents/sales/runs")

    replies = [
        await stack.request("POST", path, json={"threadId": thread, "runId": "x", "protocolVersion": "1.0"})
        for path in ("/agents/sales/events", "/events")
    ]
    # The events are made for the stream, so their times differ.
    assert replies[0].types == replies[1].types
    assert replies[0].types[-1] == "RUN_FINISHED"


async def test_an_agent_that_is_taken_away_ends_its_runs_clearly_and_its_threads_stay_readable(
    open_stack: OpenStack, folder: Path
) -> None:
    async with open_stack(profile_path=folder, workers=0) as stack:
        late, unnamed = stack.new_id("thread"), stack.new_id("thread")
        accepted = [
            await stack.post_run(SUM, thread=thread, forwardedProps={"agentId": "sales"})
            for thread in (late, unnamed)
        ]
        worker = await stack.start_worker()
        await stack.ended(late)
        await stack.ended(unnamed)
        await stack.stop_worker(worker)
        assert [reply.status for reply in accepted] == [202, 202]

        # A process of the version before names no agent: the run gets that of its thread.
        again = await stack.post_run(SUM, thread=unnamed)
        await stack.fetch("UPDATE agent_run SET agent_id = NULL WHERE run_id = $1", again.json["runId"])
        worker = await stack.start_worker()
        await stack.ended(unnamed)
        await stack.stop_worker(worker)
        types = [row["type"] for row in await stack.log(unnamed, 2)]
        assert "TOOL_CALL_START" in types

        # Taken away before the run begins.
        last = await stack.post_run(SUM, thread=late)
        (folder / "sales.toml").unlink()
        await stack.start_worker()
        (_, ended) = await stack.ended(late)
        assert (ended["status"], ended["error_code"]) == ("failed", "agent-missing")
        assert (await stack.read_events(late, last.json["runId"])).types == ["RUN_STARTED", "RUN_ERROR"]

        api = await stack.start_api()
        refused = await stack.post_run(SUM, thread=late, api=api)
        assert (refused.status, refused.json["code"]) == (404, "agent-unknown")
        assert refused.json["agentIds"] == ["support"]
        history = await stack.request("GET", f"/history?threadId={late}", api=api)
        assert (history.json["agentId"], len(history.json["messages"]) > 2) == ("sales", True)
        switched = stack.run_body(
            SUM, thread=late, forwardedProps={"agentId": "support", "switchAgent": True}
        )
        assert not calculates(await stack.stream_run(body=switched, api=api))


_FACTORY = """
from agentscope.agent import Agent

def make(run):
    return Agent("own", run.system_prompt, run.model, toolkit=run.toolkit(), state=run.state)
"""


async def test_a_thread_switches_between_a_profile_s_agent_and_one_of_own_code(
    open_stack: OpenStack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "agents_live_own.py").write_text(_FACTORY)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "own.toml").write_text(
        'name = "Own"\ndescription = "d"\n[agent]\nfactory = "agents_live_own:make"\n'
    )
    async with open_stack(profile_path=folder) as stack:
        thread = stack.new_id("thread")
        await run(stack, thread, "my name is Ada", agentId="own")
        assert calculates(await run(stack, thread, agentId="sales", switchAgent=True))
        asked = await run(stack, thread, "what is my name", agentId="own", switchAgent=True)

        assert "Your name is Ada" in asked.text
        assert await agents_of(stack, thread) == ("own", "own", ["own", "sales", "own"])
