"""A worker whose intake of hints ends gives up: it would live on and begin no run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs
from tests.support.limits import HUNG_SECONDS

from agentroute import worker as worker_module
from agentroute.worker import Worker
from core.config import IdentitySettings, Settings


class Drained:
    """An executor without runs."""

    running = 0

    async def drain(self, _seconds: float) -> None:
        pass


@asynccontextmanager
async def opened(_settings: Settings, **_options: Any) -> AsyncIterator[Worker]:
    yield Worker(cast("Any", Drained()), cast("Any", None))


async def passes(_settings: Settings, _checks: object, **_options: Any) -> None:
    pass


@pytest.mark.parametrize("error", [None, ValueError("no such queue")], ids=["in order", "by a fault"])
async def test_an_unforeseen_end_of_the_intake_is_told_and_ends_the_process(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ends(*_arguments: object) -> None:
        if error is not None:
            raise error

    signals: list[object] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", lambda *call: signals.append(call))
    monkeypatch.setattr(worker_module, "first_failure", passes)
    monkeypatch.setattr(worker_module, "open_worker", opened)
    monkeypatch.setattr(worker_module, "_listen", ends)
    with capture_logs() as lines:
        async with asyncio.timeout(HUNG_SECONDS):
            assert await run_main() == 1

    (told,) = [line for line in lines if line["event"] == "background_loop_ended"]
    assert (told["log_level"], told["loop"], told["exc_info"]) == ("critical", "hints", error)


async def test_the_end_of_the_intake_at_a_drain_is_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    stop: list[Callable[[], None]] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", lambda _name, call: stop.append(call))

    async def ends_at_drain(_worker: Worker, _settings: Settings, finish: asyncio.Event) -> None:
        stop[0]()
        await finish.wait()

    monkeypatch.setattr(worker_module, "first_failure", passes)
    monkeypatch.setattr(worker_module, "open_worker", opened)
    monkeypatch.setattr(worker_module, "_listen", ends_at_drain)
    with capture_logs() as lines:
        async with asyncio.timeout(HUNG_SECONDS):
            assert await run_main() == 0

    assert "background_loop_ended" not in [line["event"] for line in lines]


async def test_a_worker_with_runs_that_hang_leaves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    async def ends(*_arguments: object) -> None:
        return None

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", lambda *_call: None)
    monkeypatch.setattr(worker_module, "first_failure", passes)
    monkeypatch.setattr(worker_module, "open_worker", opened)
    monkeypatch.setattr(worker_module, "_listen", ends)
    monkeypatch.setattr(worker_module, "leave", left.append)
    monkeypatch.setattr(Drained, "running", 2)
    with capture_logs() as lines:
        assert await run_main() == 1

    assert left == [70]
    (told,) = [line for line in lines if line["event"] == "worker_leaves_hung_runs"]
    assert (told["log_level"], told["runs"]) == ("critical", 2)


async def run_main() -> int:
    settings = Settings(identity=IdentitySettings(mode="local"))
    return await worker_module._main(settings, "", 0.0, None)
