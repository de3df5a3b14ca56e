"""What a process knows of itself now, for those who look from another thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.metrics.instruments import Gauge

Reading = Callable[[], float | Mapping[str, float]]
"""Returns a number, or one for each value of the gauge's label. Called from any thread: it only looks."""


@dataclass(frozen=True, slots=True)
class LiveReadings:
    """The loop that a process lives in, and the gauges that it knows."""

    loop: asyncio.AbstractEventLoop
    gauges: Mapping[Gauge, Reading]
