"""Requests that nobody thought of: each is answered as the API document tells, and no run is stuck afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.fuzzing import Fuzz
from tests.support.stack import OpenStack, Stack, eventually

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")


@pytest.fixture(scope="module")
async def fuzzed(open_stack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with open_stack(
        # A stream without a run is open until its maximum age.
        stream={"max_age_seconds": 0.2},
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


async def no_run_is_stuck(stack: Stack) -> None:
    async def ended() -> bool:
        rows = await stack.fetch(
            "select count(*) as live from agent_run where status in ('waiting', 'queued', 'running')"
        )
        return rows[0]["live"] == 0

    await eventually(ended)
