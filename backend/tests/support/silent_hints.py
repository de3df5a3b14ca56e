"""Hints and a bus that reach nobody: a test decides itself who does what, and when."""

from __future__ import annotations

from core.agentscope.runtime.hints import HintSender


class Unheard(HintSender):
    """Hints that nobody gets."""

    async def send(self, run_pk: int, task_id: str) -> bool:
        return False

    async def cancel(self, run_pk: int) -> None: ...


class Unseen:
    """A bus that shows nothing."""

    def publish(self, batches: object) -> None: ...
