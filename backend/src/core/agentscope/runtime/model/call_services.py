"""What the model calls of one run share: the connection, the prices, the budget, the ledger and the time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from core.agentscope.events.ledger.calls_ahead import CallsAhead
from core.agentscope.runtime.model.call_budget import CallBudget
from core.agentscope.runtime.model.file_contents import LoadFiles
from core.agentscope.runtime.model.prices import PriceTable
from core.agentscope.runtime.model.quirks import QuirkBook
from core.agentscope.schemas.internal_events import ModelRetrying
from core.config import ModelSettings

Announce = Callable[[ModelRetrying], Awaitable[None]]
"""Takes the news of a retry; returns once the user can see it."""


@dataclass(frozen=True, slots=True)
class CallServices:
    """Handed to every chat model of a run. A worker process keeps one without ``budget`` and ``calls_ahead``.

    Args:
        client: From ``create_model_client`` with the same settings. The models do not close it.
        settings: Endpoint, timeouts and retries.
        prices: Prices a call when the provider reports no cost.
        budget: Asked before each try. Without a budget nothing is limited.
        calls_ahead: Writes each call into the ledger before it is sent. Without it, a call is in the ledger
            only once it has ended.
        announce: Takes the news of each retry, before its wait: the run's ``emit``. Without it, nobody is told.
        files: Reads the files that messages name, when a request leaves. Without it, notes stand for them.
        quirks: What the process has learnt of its endpoints.
        clock: Returns monotonic seconds.
        sleep: Waits between tries, in seconds.
        dice: Returns random numbers in [0, 1), for the jitter of retries.
    """

    client: httpx.AsyncClient
    settings: ModelSettings
    prices: PriceTable
    budget: CallBudget | None = None
    calls_ahead: CallsAhead | None = None
    announce: Announce | None = None
    files: LoadFiles | None = None
    quirks: QuirkBook = field(default_factory=QuirkBook)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    dice: Callable[[], float] = random.random
