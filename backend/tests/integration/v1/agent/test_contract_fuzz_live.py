"""Requests that nobody thought of: each is answered as the API document tells, and no run is stuck afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fuzzing import FORM_TYPE, Fuzz, cursors, documented, few, forms, seldom_collecting, tokens
from tests.support.limits import HUNG_SECONDS
from tests.support.stack import BASE, OpenStack, Stack, eventually

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")


@pytest.fixture(scope="module")
async def fuzzed(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with open_stack(
        # A stream without a run is open until its maximum age.
        stream={"max_age_seconds": 0.1},
        limits={"max_runs_per_user": 10_000},
        files={"url": tmp_path_factory.mktemp("files").as_uri()},
    ) as stack:
        yield stack


def fuzz_of(stack: Stack) -> Fuzz:
    api = stack.apis[0]
    return Fuzz(api.app.openapi(), api.url, dict(api.client("ada").headers))


async def test_every_answer_is_one_that_the_document_tells(fuzzed: Stack) -> None:
    fuzz = fuzz_of(fuzzed)

    def everything() -> dict[str, Any]:
        found = {operation.label: fuzz.faults_of(operation) for operation in fuzz.operations()}
        return {label: faults for label, faults in found.items() if faults}

    with seldom_collecting():
        found = await asyncio.to_thread(everything)
    assert not found, "\n".join(f"{label}: {faults}" for label, faults in found.items())
    await no_run_is_stuck(fuzzed)


async def test_what_an_answer_names_can_be_used(fuzzed: Stack) -> None:
    """A run that was accepted is followed, read, cancelled and found in its thread, in any order."""
    fuzz = fuzz_of(fuzzed)
    found = await asyncio.to_thread(fuzz.faults_of_links)
    assert not found, found
    # A cancel that comes after the end of its run is a conflict.
    assert {status for _, status in fuzz.answers} <= {200, 202, 204, 409}
    await no_run_is_stuck(fuzzed)


@pytest.mark.parametrize("path", ["/files", "/transcribe"])
async def test_a_form_with_anything_in_it_is_read_or_refused(path: str, fuzzed: Stack) -> None:
    def send_all(client: httpx.Client) -> None:
        @few()
        @given(body=forms)
        def send(body: bytes) -> None:
            answer = client.post(path, content=body, headers={"Content-Type": FORM_TYPE})
            documented(answer, {200, 201, 413, 415, 422, 429})

        send()

    await in_thread(fuzzed, send_all)


async def test_a_cursor_of_any_text_is_read_or_refused(fuzzed: Stack) -> None:
    # Not by its stream, which the shortest maximum age may end before the first event.
    run = (await fuzzed.stream_run("hello", accept="application/json")).json
    place = {"threadId": run["threadId"], "runId": run["runId"]}

    def send_all(client: httpx.Client) -> None:
        @few()
        @given(cursor=cursors, header=cursors, connect=st.booleans())
        def send(cursor: str, header: str, connect: bool) -> None:
            params = place | {"cursor": cursor, "connect": str(connect).lower()}
            answer = client.get(
                "/events", params=params, headers={b"Last-Event-ID": header.encode("utf-8", "replace")}
            )
            documented(answer, {200, 204, 400, 410, 422})

        send()

    await in_thread(fuzzed, send_all)


async def test_a_token_that_nobody_signed_opens_nothing(fuzzed: Stack) -> None:
    def send_all(client: httpx.Client) -> None:
        @few()
        @given(token=tokens)
        def send(token: str) -> None:
            documented(client.get("/threads", headers={"Authorization": f"Bearer {token}"}), {401})

        send()

    await in_thread(fuzzed, send_all)


async def in_thread(stack: Stack, send_all: Callable[[httpx.Client], None]) -> None:
    api = stack.apis[0]
    with httpx.Client(
        base_url=api.url + BASE, headers=api.client("ada").headers, timeout=HUNG_SECONDS, trust_env=False
    ) as client:
        await asyncio.to_thread(send_all, client)


async def no_run_is_stuck(stack: Stack) -> None:
    async def ended() -> bool:
        rows = await stack.fetch(
            "select count(*) as live from agent_run where status in ('waiting', 'queued', 'running')"
        )
        return rows[0]["live"] == 0

    await eventually(ended)
