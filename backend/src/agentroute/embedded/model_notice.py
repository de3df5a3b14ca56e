"""Says whether the user's own model answers, as soon as that is known: the start does not wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from core.config import Settings


def tell_of_model(settings: Settings, say: Callable[[str], None]) -> threading.Thread:
    """Ask the model's endpoint in a thread of its own, and say what it is, or why every run would fail.

    A model that does not answer is a warning, not the end of the start: it may be back later. The thread ends with the
    process.
    """

    def tell() -> None:
        # Here, not above: the import takes a second.
        from agentroute.preflight import check_model

        result = asyncio.run(check_model(settings))
        say(f"{result.name}: {result.found}" if result.ok else f"warning: {result.line}")

    thread = threading.Thread(target=tell, name="model-notice", daemon=True)
    thread.start()
    return thread
