"""A worker that is told to stop while it starts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentroute import worker
from core.config import Settings


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_a_start_that_hangs(monkeypatch: pytest.MonkeyPatch, by: signal.Signals) -> None:
    log: list[str] = []
    never: Any = None

    async def no_failure(*_args: Any, **_more: Any) -> None: ...

    @asynccontextmanager
    async def hangs(_settings: Settings, **_more: Any) -> AsyncGenerator[worker.Worker, None]:
        log.append("begun")
        os.kill(os.getpid(), by)
        try:
            await asyncio.Event().wait()
        finally:
            log.append("closed")
        yield never

    monkeypatch.setattr(worker, "first_failure", no_failure)
    monkeypatch.setattr(worker, "open_worker", hangs)

    assert asyncio.run(worker._main(Settings(), "", 0.0, lambda: log.append("ready"))) == 0
    assert log == ["begun", "closed"]
