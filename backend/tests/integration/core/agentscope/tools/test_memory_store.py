from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import func, insert, select

from core.agentscope.tools import memory_store
from core.agentscope.tools.memory_store import (
    InMemoryMemoryStore,
    MemoryFull,
    MemoryStore,
    PostgresMemoryStore,
)
from core.config import DatabaseSettings
from core.database import create_engine, create_session_factory
from core.identity import Principal
from models.agent_memory import AgentMemory

ANN = Principal("tenant", "ann")
BOB = Principal("tenant", "bob")
ELSEWHERE = Principal("other", "ann")


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MemoryStore]:
    if request.param == "memory":
        yield InMemoryMemoryStore()
        return
    url: str = request.getfixturevalue("database_url")
    engine = create_engine(DatabaseSettings(url=SecretStr(url)), application_name="test")
    yield PostgresMemoryStore(create_session_factory(engine))
    await engine.dispose()


async def texts(store: MemoryStore, principal: Principal, query: str = "", limit: int = 50) -> list[str]:
    return [memory.text for memory in await store.list(principal, query=query, limit=limit)]


async def test_newest_comes_first_up_to_the_limit(store: MemoryStore) -> None:
    for number in range(5):
        assert await store.add(ANN, f"fact {number}", idempotency_key=f"r:{number}")

    assert await texts(store, ANN) == ["fact 4", "fact 3", "fact 2", "fact 1", "fact 0"]
    assert await texts(store, ANN, limit=2) == ["fact 4", "fact 3"]


async def test_memory_carries_its_time(store: MemoryStore) -> None:
    await store.add(ANN, "now", idempotency_key="r:1")

    [memory] = await store.list(ANN, limit=1)

    assert abs(datetime.now(UTC) - memory.created_at) < timedelta(minutes=1)


async def test_same_key_stores_once(store: MemoryStore) -> None:
    assert await store.add(ANN, "first", idempotency_key="r:1")
    assert not await store.add(ANN, "second", idempotency_key="r:1")

    assert await texts(store, ANN) == ["first"]


async def test_same_key_at_the_same_time_stores_once(store: MemoryStore) -> None:
    added = await asyncio.gather(*(store.add(ANN, "once", idempotency_key="r:1") for _ in range(8)))

    assert sorted(added) == [False] * 7 + [True]
    assert await texts(store, ANN) == ["once"]


async def test_owners_do_not_see_or_hinder_each_other(store: MemoryStore) -> None:
    # Run ids may come from clients, so the same key can come from all three.
    for principal in (ANN, BOB, ELSEWHERE):
        assert await store.add(principal, principal.tenant_id + principal.user_id, idempotency_key="r:1")

    assert await texts(store, ANN) == ["tenantann"]
    assert await texts(store, BOB) == ["tenantbob"]
    assert await texts(store, ELSEWHERE) == ["otherann"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["100% süß", "Straße in KÖLN", "likes_tea\nand milk"]),
        ("tea", ["likes_tea\nand milk"]),
        ("MILK Likes", ["likes_tea\nand milk"]),
        ("milk köln", []),
        ("köln", ["Straße in KÖLN"]),
        ("STRASSE", ["Straße in KÖLN"]),
        ("SÜSS", ["100% süß"]),
        ("0%", ["100% süß"]),
        ("1%s", []),
        ("likes.tea", []),
        ("s_t", ["likes_tea\nand milk"]),
        ("e_t", []),
        ("\\", []),
        ("\x00", []),
        ("\ud800", []),
    ],
)
async def test_query_is_words_in_any_case_and_no_pattern(
    store: MemoryStore, query: str, found: list[str]
) -> None:
    for number, text in enumerate(["likes_tea\nand milk", "Straße in KÖLN", "100% süß"]):
        await store.add(ANN, text, idempotency_key=str(number))

    assert await texts(store, ANN, query) == found


async def test_text_that_cannot_be_stored_is_cleaned(store: MemoryStore) -> None:
    await store.add(ANN, "a\x00b\ud800c 🙂", idempotency_key="r:\x00\ud800")

    assert await texts(store, ANN) == ["a\ufffdb\ufffdc 🙂"]


async def test_full_memory_refuses_all_but_repeats_and_other_users(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_store, "MAX_MEMORIES", 3)
    added = await asyncio.gather(
        *(store.add(ANN, str(number), idempotency_key=str(number)) for number in range(8)),
        return_exceptions=True,
    )

    assert added.count(True) == 3
    assert sum(isinstance(result, MemoryFull) for result in added) == 5
    assert not await store.add(ANN, "again", idempotency_key=str(added.index(True)))
    assert await store.add(BOB, "mine", idempotency_key="1")
    assert len(await texts(store, ANN)) == 3


async def test_full_thousand_is_searched_to_its_oldest(database_url: str) -> None:
    engine = create_engine(DatabaseSettings(url=SecretStr(database_url)), application_name="test")
    factory = create_session_factory(engine)
    rows = [
        {"tenant_id": ANN.tenant_id, "user_id": ANN.user_id, "text": f"fact {n}", "idempotency_key": f"k{n}"}
        for n in range(memory_store.MAX_MEMORIES)
    ]
    async with factory.begin() as session:
        await session.execute(insert(AgentMemory), rows)
    store = PostgresMemoryStore(factory)

    assert (
        await texts(store, ANN, "fact 0")
        == [f"fact {n}" for n in reversed(range(1000)) if "0" in str(n)][:50]
    )
    with pytest.raises(MemoryFull):
        await store.add(ANN, "one more", idempotency_key="new")
    async with factory() as session:
        assert await session.scalar(select(func.count()).select_from(AgentMemory)) == 1000
    await engine.dispose()
