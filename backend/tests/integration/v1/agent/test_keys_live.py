"""API keys and stream tickets over two processes: what they open, and when their streams end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.stack import BASE, Api, EventStream, OpenStack, Stack, eventually

from core.api_keys import keyring
from core.api_keys.keeper import KeyKeeper
from core.api_keys.key_store import KeyStore
from core.database import create_engine
from v1.agent import credential_watch
from v1.agent.open_streams import REVOKED, TAKEN_OVER

ACCEPT = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        # The looks come often; the thirty seconds of the memory pass when a test says so.
        patch.setattr(credential_watch, "LOOK_SECONDS", 0.05)
        async with open_stack(apis=2) as stack:
            yield stack


@pytest.fixture(scope="module")
async def admin(stack: Stack) -> dict[str, str]:
    """The first admin's key, as the command line makes it."""
    engine = create_engine(stack.settings.database, application_name="test")
    issued = await KeyKeeper(KeyStore(engine)).create(
        tenant_id="default", user_id="ops", by="cli:ops", scopes=["admin"]
    )
    await engine.dispose()
    return bearer(issued.key)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def new_key(stack: Stack, admin: dict[str, str], **body: Any) -> dict[str, Any]:
    made = await stack.request("POST", "/keys", headers=admin, json={"userId": "ada", **body})
    assert made.status == 201, made.body
    return made.json


@asynccontextmanager
async def opened(api: Api, url: str, headers: dict[str, str] | None = None) -> AsyncIterator[EventStream]:
    """Open a stream as a client without a token does."""
    async with (
        httpx.AsyncClient(timeout=HUNG_SECONDS, trust_env=False) as client,
        client.stream("GET", url, headers={**ACCEPT, **(headers or {})}) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield EventStream(response)


async def last_words(stream: EventStream) -> bytes:
    """Read a stream to its end; returns its last two blocks."""
    body = stream.body + b"".join([chunk async for chunk in stream._chunks])
    return b"\n\n".join(body.split(b"\n\n")[-3:])


async def test_a_key_acts_as_its_user_until_it_is_revoked_everywhere(
    stack: Stack, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = stack.apis
    key = await new_key(stack, admin, name="Every night")
    headers = bearer(key["key"])
    thread = stack.new_id("thread")
    body = stack.run_body("hello", thread=thread)
    run = await stack.request("POST", "/runs", user="eve", api=there, json=body, headers=headers | ACCEPT)
    assert run.end["type"] == "RUN_FINISHED"
    # The user of the key has the thread; the user of the connection's own token has not.
    assert (await stack.history(thread, user="ada"))["messages"]
    (await stack.request("GET", f"/threads/{thread}", user="eve")).problem(404, "not-found")
    # A key without the scope is no admin.
    (await stack.request("GET", "/keys", headers=headers)).problem(403, "forbidden")

    events = f"{BASE}/events?threadId={thread}"
    async with (
        opened(here, here.url + events, headers) as first,
        opened(there, there.url + events, headers) as second,
        stack.open_events(thread, api=there) as other,
    ):
        for stream in (first, second, other):
            await stream.until("RUN_FINISHED")
        revoked = await stack.request("DELETE", f"/keys/{key['keyId']}", headers=admin, api=here)
        assert (revoked.json["state"], revoked.json["revokedBy"][:4]) == ("revoked", "key:")

        refused = await stack.request("GET", "/threads", headers=headers, api=here)
        assert "revoked" in refused.problem(401, "unauthenticated")["detail"]
        assert await last_words(first) == REVOKED
        # The other process remembers the key, for thirty seconds.
        assert (await stack.request("GET", "/threads", headers=headers, api=there)).status == 200
        monkeypatch.setattr(keyring, "REMEMBERED_SECONDS", 0.0)
        (await stack.request("GET", "/threads", headers=headers, api=there)).problem(401, "unauthenticated")
        assert await last_words(second) == REVOKED
        # Nothing happened to the streams of others.
        again = await stack.stream_run("hello again", thread=thread)
        await other.until("RUN_FINISHED", runId=again.events[0]["runId"])


async def test_admins_see_keys_and_never_a_secret(stack: Stack, admin: dict[str, str]) -> None:
    key = await new_key(
        stack, admin, userId="lister", scopes=["read", "agent:default"], expiresInDays="never"
    )
    await stack.request("GET", "/threads", headers=bearer(key["key"]))
    rotated = await stack.request(
        "POST", f"/keys/{key['keyId']}/rotate", headers=admin, json={"overlapSeconds": 60}
    )
    assert rotated.status == 200
    for secret in (key["key"], rotated.json["key"]):
        assert (await stack.request("GET", "/threads", headers=bearer(secret))).status == 200

    listed = await stack.request("GET", "/keys", headers=admin, params={"userId": "lister", "limit": 1})
    (item,) = listed.json["keys"]
    assert (item["keyId"], item["state"], listed.json["nextBefore"]) == (key["keyId"], "live", None)
    assert item["createdBy"].startswith("key:")
    assert "expiresAt" not in item
    assert b"ar_" not in listed.body
    first = await stack.request("GET", "/keys", headers=admin, params={"limit": 1})
    second = await stack.request(
        "GET", "/keys", headers=admin, params={"limit": 1, "before": first.json["nextBefore"]}
    )
    assert first.json["keys"] != second.json["keys"]
    (await stack.request("DELETE", "/keys/nosuchkey123", headers=admin)).problem(404, "not-found")


async def test_a_ticket_opens_one_stream_again_and_again_and_nothing_else(
    stack: Stack, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = stack.apis
    thread = stack.new_id("thread")
    run = await stack.stream_run("hello", thread=thread)
    made = await stack.request("POST", "/events/ticket", json={"threadId": thread})
    url, ticket = made.json["eventsUrl"], made.json["ticket"]
    assert (made.status, made.json["firstUseSeconds"], made.json["lastsSeconds"]) == (201, 30, 900)

    async with opened(here, here.url + url) as first:
        await first.until("RUN_FINISHED")
        # As an EventSource comes back: the same URL, with the last id; at another process, from the next event on.
        async with opened(there, there.url + url, {"Last-Event-ID": run.cursors[-2]}) as second:
            assert (await second.next()).id == run.cursors[-1]  # pyright: ignore[reportOptionalMemberAccess]
            assert await last_words(first) == TAKEN_OVER
            again = await stack.stream_run("hello again", thread=thread)
            await second.until("RUN_FINISHED", runId=again.events[0]["runId"])

    other = stack.new_id("thread")
    await stack.stream_run("hello", thread=other)
    async with httpx.AsyncClient(base_url=here.url + BASE, trust_env=False, timeout=HUNG_SECONDS) as nobody:
        for path in (
            f"/events?threadId={other}",
            f"/events?threadId={thread}&runId={run.events[0]['runId']}",
        ):
            refused = await nobody.get(f"{path}&ticket={ticket}")
            assert (refused.status_code, refused.json()["code"]) == (401, "ticket-invalid")
            assert "invalid_token" in refused.headers["WWW-Authenticate"]
        assert (await nobody.get(f"/history?threadId={thread}&ticket={ticket}")).status_code == 401
    (await stack.request("POST", "/events/ticket", user="eve", json={"threadId": thread})).problem(
        404, "not-found"
    )

    # One that a key has asked for ends with the key.
    key = await new_key(stack, admin)
    made = await stack.request(
        "POST", "/events/ticket", headers=bearer(key["key"]), json={"threadId": thread}
    )
    async with opened(there, there.url + made.json["eventsUrl"]) as stream:
        await stream.until("RUN_FINISHED")
        await stack.request("DELETE", f"/keys/{key['keyId']}", headers=admin, api=here)
        monkeypatch.setattr(keyring, "REMEMBERED_SECONDS", 0.0)
        assert await last_words(stream) == REVOKED
    async with httpx.AsyncClient(trust_env=False, timeout=HUNG_SECONDS) as nobody:
        refused = await nobody.get(there.url + made.json["eventsUrl"])
        assert refused.json()["code"] == "ticket-invalid"


async def test_the_last_use_of_a_key_is_written_when_a_process_ends(
    stack: Stack, admin: dict[str, str]
) -> None:
    key = await new_key(stack, admin)
    api = await stack.start_api()
    await stack.request("GET", "/threads", headers=bearer(key["key"]), api=api)
    await stack.stop_api(api)

    async def written() -> Any:
        rows = await stack.fetch("SELECT last_used_at FROM agent_api_key WHERE key_id = $1", key["keyId"])
        return rows[0]["last_used_at"]

    assert await eventually(written)
