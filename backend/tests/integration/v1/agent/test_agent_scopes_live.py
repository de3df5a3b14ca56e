"""A credential that is limited to an agent: everything of the others looks absent, on every route."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.named_requests import (
    ABSENT,
    CREATES,
    LISTS,
    TRIED_ALONE,
    WITHOUT_IDS,
    Ids,
    comparable,
    named_requests,
)
from tests.support.stack import BASE, SECRET, OpenStack, Stack, eventually

from v1.agent.route_access import ACCESS

SECRETS = b"a canary in a file"


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Two agents: support, the default, and sales."""
    folder, files = tmp_path_factory.mktemp("agents"), tmp_path_factory.mktemp("files")
    (folder / "support.toml").write_text(
        'name = "Support"\ndescription = "Helps."\ndefault = true\n[[tools]]\nname = "remember"\npermission = "ask"\n'
    )
    (folder / "sales.toml").write_text('name = "Sales"\ndescription = "Sells."\n')
    async with open_stack(profile_path=folder, files={"url": files.as_uri()}) as opened:
        yield opened


@pytest.fixture
async def limited(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """Ada, with a credential for sales alone."""
    async with client_of(stack, "run read admin agent:sales") as client:
        yield client


def client_of(stack: Stack, scope: str) -> httpx.AsyncClient:
    now = int(time.time())
    token = jwt.encode(
        {"sub": "ada", "iat": now, "exp": now + 3600, "scope": scope}, SECRET, algorithm="HS256"
    )
    return httpx.AsyncClient(
        base_url=stack.apis[0].url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=HUNG_SECONDS,
        trust_env=False,
    )


async def a_thread(stack: Stack, agent: str, *, content: bytes | None = None) -> Ids:
    """Make a thread of an agent; with a file that a message names, and with support's open question."""
    thread, run = stack.new_id("thread"), stack.new_id("run")
    text: Any = "remember that the canary sings" if agent == "support" else "hello, canary"
    file = ""
    if content is not None:
        sent = await stack.request("POST", "/files", files={"file": ("a.txt", content, "text/plain")})
        file = sent.json["fileId"]
        text = [
            {"type": "text", "text": text},
            {"type": "document", "source": {"type": "file", "value": file, "mimeType": "text/plain"}},
        ]
    body = stack.run_body(thread=thread, run=run, forwardedProps={"agentId": agent})
    body["messages"] = [{"id": f"said-{run}", "role": "user", "content": text}]
    reply = await stack.stream_run(body=body)
    interrupt = reply.interrupts[0]["id"] if agent == "support" else "none"
    return Ids(thread, run, f"said-{run}", interrupt, file or "0" * 64, "0" * 12, "ada")


async def test_what_belongs_to_another_agent_looks_absent_on_every_route(
    stack: Stack, limited: httpx.AsyncClient
) -> None:
    hidden = await a_thread(stack, "support", content=SECRETS)
    before = await stack.history(hidden.thread)
    seen = set()

    for absent, named in zip(
        named_requests(ABSENT, agent="sales"), named_requests(hidden, agent="sales"), strict=True
    ):
        access = ACCESS[named.route]
        seen.add(named.route)
        found = await named.send(limited)
        if access.by_agent == "none":
            assert found.status_code == 403, named
        elif named.route in CREATES or named.route[1].endswith("/resume"):
            # There it is, so it cannot be made anew: the agent of the thread is not there for the caller.
            assert (found.status_code, found.json()["code"]) == (404, "agent-unknown"), named
        else:
            expected = await absent.send(limited)
            assert comparable(found, hidden) == comparable(expected, ABSENT), named
        if named.route in LISTS:
            assert not any(id_ in found.text for id_ in (hidden.thread, hidden.run, hidden.file)), named
        assert "sings" not in found.text, named

    assert seen | WITHOUT_IDS | TRIED_ALONE == ACCESS.keys()
    assert await stack.history(hidden.thread) == before
    assert (await stack.request("GET", f"/files/{hidden.file}")).body == SECRETS
    assert (await stack.run_status(hidden.thread, hidden.run))["status"] == "interrupted"


async def test_what_belongs_to_its_agent_is_there(stack: Stack, limited: httpx.AsyncClient) -> None:
    own = await a_thread(stack, "sales", content=b"a price list")
    both = {"threadId": own.thread}

    threads = (await limited.get(f"{BASE}/threads")).json()["threads"]
    assert {thread["agentId"] for thread in threads} == {"sales"}
    assert own.thread in [thread["threadId"] for thread in threads]
    assert own.file in [file["fileId"] for file in (await limited.get(f"{BASE}/files")).json()["files"]]
    assert (await limited.get(f"{BASE}/files/{own.file}")).content == b"a price list"
    assert (await limited.get(f"{BASE}/history", params=both)).json()["messages"]
    assert (await limited.get(f"{BASE}/runs/{own.run}", params=both)).status_code == 200
    assert (await limited.get(f"{BASE}/threads/{own.thread}/runs")).json()["runs"]
    assert (await limited.get(f"{BASE}/events", params=both | {"runId": own.run})).status_code == 200
    assert (await limited.post(f"{BASE}/runs/{own.run}/cancel", json=both)).status_code == 409
    assert (await limited.patch(f"{BASE}/threads/{own.thread}", json={"title": "Mine"})).status_code == 200
    used = (await limited.get(f"{BASE}/usage", params={"groupBy": "thread"})).json()
    assert used["totals"]["calls"] == sum(row["calls"] for row in used["rows"])
    assert {row["threadId"] for row in used["rows"]} <= {thread["threadId"] for thread in threads}
    ticket = await limited.post(f"{BASE}/events/ticket", json=both | {"runId": own.run})
    async with httpx.AsyncClient(base_url=stack.apis[0].url, trust_env=False) as nobody:
        assert b"RUN_FINISHED" in (await nobody.get(ticket.json()["eventsUrl"])).content
    assert (await limited.delete(f"{BASE}/threads/{own.thread}")).status_code == 204


@pytest.mark.parametrize("switch", [True, False])
@pytest.mark.parametrize("path", ["/runs", "/agents/sales/runs"])
async def test_a_thread_of_another_agent_is_not_taken_over(
    stack: Stack, limited: httpx.AsyncClient, path: str, *, switch: bool
) -> None:
    hidden = await a_thread(stack, "support")
    body = stack.run_body("hello", thread=hidden.thread)
    body["forwardedProps"] = {"agentId": "sales"} | ({"switchAgent": True} if switch else {})

    told = await limited.post(f"{BASE}{path}", json=body)

    assert (told.status_code, told.json()["code"]) == (404, "agent-unknown")
    assert told.json()["agentIds"] == ["sales"]
    assert (await stack.request("GET", f"/threads/{hidden.thread}")).json["agentId"] == "support"


async def test_a_repeat_of_a_request_in_such_a_thread_is_absent(
    stack: Stack, limited: httpx.AsyncClient
) -> None:
    body = stack.run_body("hello", thread=stack.new_id("thread"), forwardedProps={"agentId": "support"})
    assert (await stack.post_run(body=body)).status == 202
    assert (await stack.post_run(body=body)).status == 202

    told = await limited.post(f"{BASE}/runs", json=body)

    assert told.status_code == 404
    await stack.ended(body["threadId"])


async def test_an_upload_is_there_until_a_message_of_another_agent_names_it(
    stack: Stack, limited: httpx.AsyncClient
) -> None:
    content = b"the same bytes"
    sent = await limited.post(f"{BASE}/files", files={"file": ("a.txt", content, "text/plain")})
    file = sent.json()["fileId"]
    assert (await limited.get(f"{BASE}/files/{file}")).status_code == 200
    other = await a_thread(stack, "support", content=content)
    assert other.file == file
    assert (await limited.get(f"{BASE}/files/{file}")).status_code == 404
    body = stack.run_body(thread=stack.new_id("thread"), forwardedProps={"agentId": "sales"})
    source = {"type": "file", "value": file, "mimeType": "text/plain"}
    body["messages"] = [{"id": "m", "role": "user", "content": [{"type": "document", "source": source}]}]

    # Not by its id: whoever knows the bytes sends them.
    refused = await limited.post(f"{BASE}/runs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "file-unknown")
    assert (
        await limited.post(f"{BASE}/files", files={"file": ("a.txt", content, "text/plain")})
    ).status_code == 200
    assert (await limited.post(f"{BASE}/runs", json=body)).status_code == 202
    await stack.ended(body["threadId"])
    assert (await limited.get(f"{BASE}/files/{file}")).content == content


async def test_a_question_in_a_thread_that_went_on_with_another_agent_is_absent_for_the_agent_that_asked(
    stack: Stack,
) -> None:
    thread = stack.new_id("thread")
    # Without a worker, so that the second run waits behind the first, and then behind its question.
    await stack.stop_worker(stack.workers[0])
    for words, props in (
        ("remember that the canary sings", {"agentId": "support"}),
        ("hello", {"agentId": "sales", "switchAgent": True}),
    ):
        sent = await stack.post_run(words, thread=thread, forwardedProps={"onBusy": "enqueue"} | props)
        assert sent.status == 202
    await stack.start_worker()

    async def asks() -> bool:
        return (await stack.runs(thread))[0]["status"] == "interrupted"

    await eventually(asks)
    history = await stack.request("GET", f"/history?threadId={thread}")
    (interrupt,) = history.json["pendingInterrupts"]
    answer = [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    async with client_of(stack, "run read agent:support") as limited:
        assert (await limited.get(f"{BASE}/threads/{thread}")).status_code == 404
        told = await limited.post(f"{BASE}/resume", json=stack.run_body(thread=thread, resume=answer))

    assert (told.status_code, told.json()["code"]) == (404, "agent-unknown")
    assert (await stack.resume(thread, answer)).end["outcome"] == {"type": "success"}
    await stack.ended(thread)
