"""A primary behind Sentinels: a failover in mid-answer is a short delay, and everything that uses Redis goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.doc_blocks import ROOT
from tests.support.redis_in_use import counting_stack, ends_exact, reads_until, uses_redis_in_every_way
from tests.support.redis_servers import PASSWORD, SERVICE, Watched, watched_servers
from tests.support.stack import DemoModel, OpenStack

from agentroute.redis_check import check_redis
from core.config import Settings
from core.metrics.catalogue import REDIS_FAILOVERS


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder: Path = tmp_path_factory.mktemp("watched")
    with watched_servers(folder) as watched:
        yield watched


async def found(**redis: Any) -> str:
    return (await check_redis(Settings.model_validate({"redis": redis}))).line


async def test_the_check_names_the_primary_and_says_whether_it_can_be_replaced(watched: Watched) -> None:
    line = await found(**watched.settings)

    assert f"primary 127.0.0.1:{watched.primary().port} of {SERVICE}, 1 replica, 3 of 3 Sentinels" in line
    assert "a failover is possible" in line


async def test_a_user_of_the_sentinels_needs_the_rights_of_the_page(watched: Watched) -> None:
    (rights,) = re.findall(r"`(\+ping \+sentinel[^`]*)`", (ROOT / "docs/how-to/hardening.md").read_text())
    for sentinel in watched.sentinels:
        sentinel.says("ACL", "SETUSER", "watcher", "on", ">hush", "-@all", *rights.split())
    credentials = {"sentinel_username": "watcher", "sentinel_password": "hush"}

    assert "a failover is possible" in await found(**watched.settings | credentials)


async def test_the_check_says_what_is_wrong(watched: Watched) -> None:
    url = watched.url
    assert "AGENT_REDIS__SENTINEL_PASSWORD" in await found(url=url)
    assert "AGENT_REDIS__SENTINEL_PASSWORD" in await found(url=url, sentinel_password="wrong")
    unknown = watched.settings | {"url": url.replace(SERVICE, "other")}
    assert f"know no service 'other'. Correct AGENT_REDIS__URL. They know: {SERVICE}." in await found(
        **unknown
    )
    wrong = watched.settings | {"url": url.replace(PASSWORD, "hush")}
    assert "refuses the password" in await found(**wrong)
    nobody = watched.settings | {"url": f"redis+sentinel://127.0.0.1:1,127.0.0.1:2/{SERVICE}"}
    assert "no Sentinel of 127.0.0.1:1, 127.0.0.1:2 answers" in await found(**nobody)
    replica = next(server for server in watched.servers if server is not watched.primary())
    assert "is a replica" in await found(url=f"redis://:{PASSWORD}@127.0.0.1:{replica.port}/0")
    watching = watched.sentinels[0]
    assert "is a Sentinel" in await found(url=f"redis://:{watching.password}@127.0.0.1:{watching.port}/0")
    assert "is no Redis Cluster" in await found(url=f"redis+cluster://:{PASSWORD}@127.0.0.1:{replica.port}")


async def test_an_answer_goes_on_over_the_death_of_the_primary(
    watched: Watched, open_stack: OpenStack, demo: DemoModel
) -> None:
    failovers = REDIS_FAILOVERS.read()[()]
    async with counting_stack(open_stack, demo, watched.settings) as (stack, model):
        prefix, thread = stack.settings.redis.key_prefix, stack.new_id("thread")
        old = watched.primary()
        bell = f"{prefix}:bell:*"

        async def rings_elsewhere() -> bool:
            new = await asyncio.to_thread(watched.primary)
            # The hub of the API, and the listener of the worker, are at the new primary.
            return (
                new is not old and bool(new.says("PUBSUB", "CHANNELS", bell)) and hears_cancels(new, prefix)
            )

        async with stack.open_run("count", thread=thread) as stream:
            await stream.until("TEXT_MESSAGE_CONTENT")
            await reads_until(stream, lambda: rings(old, bell))
            old.kill()
            await reads_until(stream, rings_elsewhere)
            model.stop.set()
            await ends_exact(stack, thread, stream)
        assert REDIS_FAILOVERS.read()[()] > failovers

        new = watched.primary()
        before = hints_read(new, prefix)
        assert (await stack.stream_run("again")).end["type"] == "RUN_FINISHED"
        assert hints_read(new, prefix) > before
        ready = (await stack.apis[0].client("ada").get(f"{stack.apis[0].url}/readyz")).json()
        assert ready["checks"]["redis"] == "ok"
        model.stop.clear()
        await uses_redis_in_every_way(stack)
    assert "no failover is possible" in await found(**watched.settings)


async def rings(server: Any, bell: str) -> bool:
    return bool(server.says("PUBSUB", "CHANNELS", bell))


def hears_cancels(server: Any, prefix: str) -> bool:
    return server.says("PUBSUB", "NUMSUB", f"{prefix}:cancel")[1] == 1


def hints_read(server: Any, prefix: str) -> int:
    (group,) = server.client.xinfo_groups(f"{prefix}:hints")
    return int(group["entries-read"] or 0)
