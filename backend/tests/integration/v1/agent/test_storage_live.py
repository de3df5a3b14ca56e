"""Limits of what users and tenants store, at the whole service: who is full is told, and deleting makes room."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.stack import OpenStack

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(range(250)) * 8


async def test_who_has_stored_too_much_starts_nothing_until_something_is_deleted(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    limits = {"user_stored_bytes": len(PNG) + 1000}
    async with open_stack(files={"url": tmp_path.as_uri()}, limits=limits) as stack:
        body = stack.run_body("hello", thread="t-1", run="r-1")
        first = await stack.post_run(body=body)
        await stack.ended("t-1")
        # Too large together with what is stored, whatever the length that was declared.
        refused = await stack.request("POST", "/files", files={"file": ("a.png", PNG + bytes(1000))})
        assert refused.problem(413, "storage-quota-exceeded")["maxBytes"] == limits["user_stored_bytes"]
        stored = await stack.request("POST", "/files", files={"file": ("a.png", PNG)})
        assert stored.status == 201
        await stack.post_run("x" * 1000, thread="t-2", run="r-2")
        await stack.ended("t-2")

        for reply in (
            await stack.post_run("hello", thread="t-1"),
            await stack.post_run("hello", thread="new"),
            await stack.request("POST", "/files", files={"file": ("b.png", PNG + b"b")}),
        ):
            problem = reply.problem(413, "storage-quota-exceeded")
            assert (problem["retryable"], problem["usedBytes"] > 2000) == (False, True)
        assert await stack.fetch("SELECT FROM agent_chat_session WHERE thread_id = 'new'") == []
        # What is stored is read and repeated as ever, and others have room.
        assert (await stack.post_run(body=body)).json["taskId"] == first.json["taskId"]
        assert (await stack.request("GET", "/threads")).status == 200
        told = (await stack.request("GET", "/usage")).json["stored"]
        assert told == {"bytes": problem["usedBytes"], "limitBytes": limits["user_stored_bytes"]}
        assert (await stack.post_run("hello", user="eve")).status == 202

        assert (await stack.request("DELETE", "/threads/t-2")).status == 204
        assert (await stack.post_run("hello", thread="t-1", run="r-3")).status == 202
        await stack.ended("t-1")
        assert await stack.fetch("SELECT * FROM agent_stored_drift()") == []


@pytest.mark.parametrize("most", [0, 50])
async def test_the_users_of_a_tenant_share_its_room(open_stack: OpenStack, most: int) -> None:
    limits = {"user_stored_bytes": 0, "tenant_stored_bytes": most}
    async with open_stack(workers=0, limits=limits) as stack:
        assert (await stack.post_run("x" * 100, user="ada")).status == 202

        reply = await stack.post_run("hello", user="eve")

        if most:
            assert "organisation has" in reply.problem(413, "storage-quota-exceeded")["detail"]
        else:
            assert reply.status == 202
