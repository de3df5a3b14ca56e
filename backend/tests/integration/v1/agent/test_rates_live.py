"""Rates at the whole service: what counts as uploaded, and what a repeat of a request costs."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.support.stack import OpenStack, Reply, Stack

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(range(250)) * 8
LARGE = PNG * 4
INLINE_BYTES = 3000
"""Data above this size becomes a file: ``LARGE``, not ``PNG``."""


def body(*contents: bytes) -> dict[str, Any]:
    name = uuid.uuid4().hex
    parts = [
        {
            "type": "image",
            "source": {
                "type": "data",
                "value": base64.b64encode(content).decode(),
                "mimeType": "image/png",
            },
        }
        for content in contents
    ]
    message = {"id": f"m-{name}", "role": "user", "content": [{"type": "text", "text": "hi"}, *parts]}
    return {"threadId": f"t-{name}", "runId": f"r-{name}", "messages": [message]}


async def send(stack: Stack, body: dict[str, Any]) -> Reply:
    return await stack.request("POST", "/runs", json=body)


@pytest.mark.parametrize("with_files", [False, True])
async def test_inline_data_of_messages_counts_as_uploaded(
    open_stack: OpenStack, tmp_path: Path, with_files: bool
) -> None:
    files = {"url": tmp_path.as_uri(), "inline_bytes": INLINE_BYTES} if with_files else {}
    size = len(PNG) + len(LARGE)
    rates = {"user_upload_bytes_per_hour": size + 100}
    async with open_stack(workers=0, rates=rates, files=files) as stack:
        first = body(PNG, LARGE)
        assert (await send(stack, first)).status == 202
        # A repeat brings nothing new.
        assert (await send(stack, first)).status == 202
        # There was something left: what goes beyond it is a debt.
        second = body(PNG)
        assert (await send(stack, second)).status == 202

        refused = await send(stack, body(PNG))
        assert "uploaded" in refused.problem(429, "rate-limited")["detail"]
        assert (await send(stack, body(LARGE))).status == 429
        # What is stored is told, and what has no data is accepted.
        assert (await send(stack, second)).json["runId"] == second["runId"]
        assert (await send(stack, body())).status == 202
        assert (await stack.request("POST", "/files", files={"file": ("a.png", PNG)})).status == 429


async def test_a_repeat_is_answered_from_what_is_stored_while_no_run_may_be_started(
    open_stack: OpenStack,
) -> None:
    async with open_stack(workers=0, rates={"user_runs_per_minute": 1}) as stack:
        first = body()
        accepted = await send(stack, first)
        assert accepted.status == 202

        for _ in range(3):
            assert (await send(stack, first)).json == accepted.json
        assert (await send(stack, body())).status == 429
        (row,) = await stack.fetch("SELECT count(*) AS runs FROM agent_run")
        assert row["runs"] == 1


async def test_data_that_was_stored_counts_although_its_run_is_refused(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    files = {"url": tmp_path.as_uri(), "inline_bytes": INLINE_BYTES}
    rates = {"user_upload_bytes_per_hour": len(LARGE)}
    async with open_stack(workers=0, rates=rates, files=files) as stack:
        unknown = body(LARGE)
        absent = {"type": "image", "source": {"type": "file", "value": "0" * 64}}
        unknown["messages"][0]["content"].append(absent)
        (await send(stack, unknown)).problem(422, "file-unknown")

        (await stack.request("POST", "/files", files={"file": ("a.png", PNG)})).problem(429, "rate-limited")


async def test_a_run_that_is_refused_before_anything_is_stored_counts_for_nothing(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    files = {"url": tmp_path.as_uri(), "inline_bytes": INLINE_BYTES}
    rates = {"user_upload_bytes_per_hour": len(LARGE)}
    async with open_stack(workers=0, rates=rates, files=files, limits={"max_runs_per_user": 1}) as stack:
        assert (await send(stack, body())).status == 202
        refused = await send(stack, body(LARGE))
        assert "unfinished runs" in refused.problem(429, "rate-limited")["detail"]
        assert (await stack.request("POST", "/files", files={"file": ("a.png", PNG)})).status == 201
