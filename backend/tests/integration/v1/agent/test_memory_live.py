"""Users see what agents were asked to remember for them, and delete it."""

from __future__ import annotations

from tests.support.stack import Stack

from agentroute.client import AsyncAgentRouteClient
from core.agentscope.tools.memory_store import PostgresMemoryStore
from core.database import create_session_factory
from core.identity import Principal


async def remembered(stack: Stack, user: str, *texts: str) -> None:
    engine = stack.apis[0].app.state.container.exports.engine
    store = PostgresMemoryStore(create_session_factory(engine))
    for number, text in enumerate(texts):
        assert await store.add(Principal("default", user), text, idempotency_key=f"r:{number}")


async def test_notes_are_listed_in_pages_and_deleted_one_by_one_or_all(stack: Stack) -> None:
    await remembered(stack, "ada", "tea", "coffee", "milk")
    await remembered(stack, "eve", "wine")

    first = (await stack.request("GET", "/memory", params={"limit": "2"})).json
    rest = (await stack.request("GET", "/memory", params={"limit": "2", "before": first["nextBefore"]})).json

    assert [each["text"] for each in first["memories"] + rest["memories"]] == ["milk", "coffee", "tea"]
    assert rest["nextBefore"] is None
    path = f"/memory/{first['memories'][0]['memoryId']}"
    (await stack.request("DELETE", path, user="eve")).problem(404, "not-found")
    assert (await stack.request("DELETE", path)).status == 204
    (await stack.request("DELETE", path)).problem(404, "not-found")
    (await stack.request("DELETE", "/memory/nonsense")).problem(404, "not-found")
    (await stack.request("GET", "/memory", params={"before": "nonsense"})).problem(422, "invalid-request")
    assert (await stack.request("DELETE", "/memory")).status == 204
    assert (await stack.request("GET", "/memory")).json == {"memories": [], "nextBefore": None}
    assert len((await stack.request("GET", "/memory", user="eve")).json["memories"]) == 1
    assert await stack.fetch("SELECT * FROM agent_stored_drift()") == []


async def test_the_python_client_lists_and_deletes_notes(stack: Stack) -> None:
    await remembered(stack, "zoe", "tea", "coffee")
    token = stack.apis[0].client("zoe").headers["authorization"].removeprefix("Bearer ")
    async with AsyncAgentRouteClient(stack.apis[0].url, token=token) as client:
        page = await client.memories(limit=1)
        assert (page.memories[0].text, page.next_before is not None) == ("coffee", True)
        await client.delete_memory(page.memories[0].memory_id)
        assert [note.text for note in (await client.memories()).memories] == ["tea"]
        await client.delete_memories()
        assert (await client.memories()).memories == ()
