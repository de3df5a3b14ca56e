from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
from tests.support.limits import HUNG_SECONDS

from core.agentscope.tools import blocking
from core.agentscope.tools.blocking import run_in_thread
from core.agentscope.tools.errors import ToolError

request: ContextVar[str] = ContextVar("request", default="none")


async def test_function_sees_the_caller_s_context_variables() -> None:
    request.set("mine")

    assert await run_in_thread(request.get) == "mine"


async def test_threads_do_not_hold_up_the_end_of_the_process() -> None:
    assert await run_in_thread(lambda: threading.current_thread().daemon)


async def test_hung_functions_cannot_take_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = threading.BoundedSemaphore(1)
    monkeypatch.setattr(blocking, "_slots", slots)
    released = threading.Event()
    hung = asyncio.create_task(run_in_thread(released.wait))
    await asyncio.sleep(0)
    hung.cancel()
    await asyncio.wait([hung])

    with pytest.raises(ToolError, match="try again later"):
        await run_in_thread(lambda: "no room")

    released.set()
    # The slot comes back when the thread is done, although nobody waits for it.
    assert await asyncio.to_thread(slots.acquire, timeout=HUNG_SECONDS)


async def test_slot_comes_back_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "_slots", threading.BoundedSemaphore(1))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await run_in_thread(lambda: 1 / 0)
