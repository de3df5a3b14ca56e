"""The loop of a worker that delivers messages. Leases in the outbox keep workers apart.

One worker looks each second, and tells those with the same lanes that they need not (docs/adr/0063). If it has no place
left in a lane, or what it tries fails, or it has died, the others look, too.

A lane has a few places of its own in each worker, so an endpoint that answers slowly delays its own messages only. A
lane that asks for a pause (``Retry-After``) is left alone by this worker for as long.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from typing import Protocol

import structlog

from core.crash_points import crash_point
from core.metrics.catalogue import WEBHOOK_TRIES
from core.outage import report_failure
from core.webhooks.outbox import Claimed, Failure, Outbox
from core.webhooks.sender import WebhookSender
from core.webhooks.targets import WebhookTargets

log = structlog.get_logger(__name__)

LANE_PLACES = 4
"""Messages of one lane that a worker sends at once."""
LOOK_SECONDS = 1.0
_LONGEST_REST_SECONDS = 300.0
FORGET_SECONDS = 600.0
FORGET_ROWS = 1000
_CLOSE_SECONDS = 3.0
_UNREADABLE = "its address cannot be read any more"


class Turns(Protocol):
    """The turns of a worker (``runtime/work/chores.py``). A chore has a name and a period in seconds."""

    def wait_seconds(self, name: str, seconds: float) -> float:
        """Return in how many seconds this worker looks; 0 if now."""
        ...

    async def take(self, name: str, seconds: float) -> bool:
        """Take the turn of a chore, if it is due."""
        ...

    def did(self, name: str, seconds: float, *, alone: bool) -> None:
        """Note that this worker does a chore now, and tell the others, if it does it ``alone``."""
        ...


class WebhookDeliverer:
    """One worker's share of the deliveries.

    Args:
        outbox: The messages.
        targets: Where they go.
        sender: Sends them.
        turns: So that one worker looks, and deletes what is old.
        retention_days: How long messages are kept.
    """

    def __init__(
        self,
        outbox: Outbox,
        targets: WebhookTargets,
        sender: WebhookSender,
        turns: Turns,
        *,
        retention_days: int,
    ) -> None:
        self._outbox = outbox
        self._targets = targets
        self._sender = sender
        self._turns = turns
        self._days = retention_days
        # Who has other lanes is not spoken to: their messages would wait.
        lanes = hashlib.sha256("\n".join(sorted(targets.lanes)).encode()).hexdigest()
        self._turn = f"deliver-{lanes[:12]}"
        self._failing = False
        self._busy: Counter[str] = Counter()
        self._rests: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._closing = False
        self._forget_at = 0.0

    async def run(self) -> None:
        """Deliver until closed."""
        has_place = False
        while not self._closing:
            try:
                await self.tend_in_turn(at_once=has_place)
                await self._forget()
            except Exception as exc:  # noqa: BLE001  top of a background loop
                report_failure("webhooks_failed", exc)
            has_place = await self._pause()

    async def close(self) -> None:
        """Begin nothing more; what is being sent has a moment to end. The rest is sent by others after its lease."""
        self._closing = True
        self._look.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()

    async def tend_in_turn(self, *, at_once: bool = False) -> None:
        """Begin to send what is due, unless another worker does and this one need not do it ``at_once``."""
        lanes = len(self._targets.lanes)
        if not lanes or not (at_once or self._turns.wait_seconds(self._turn, LOOK_SECONDS) <= 0):
            return
        await self.tend()
        # Alone as long as every lane has room: then nothing that is due was left.
        is_alone = len(self._rooms()) == lanes and not self._failing
        self._failing = False
        self._turns.did(self._turn, LOOK_SECONDS, alone=is_alone)

    async def tend(self) -> int:
        """Begin to send what is due; returns how many messages."""
        if not (rooms := self._rooms()):
            return 0
        claimed = await self._outbox.claim(rooms)
        for message in claimed:
            self._busy[message.lane] += 1
            task = asyncio.create_task(self._deliver(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claimed)

    async def idle(self) -> None:
        """Wait until nothing is being sent. For tests."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _rooms(self) -> dict[str, int]:
        now = time.monotonic()
        return {
            lane: room
            for lane in self._targets.lanes
            if (room := LANE_PLACES - self._busy[lane]) > 0 and self._rests.get(lane, 0.0) <= now
        }

    async def _deliver(self, message: Claimed) -> None:
        try:
            crash_point("webhook-claimed")
            failure = await self._try(message)
            crash_point("webhook-sent")
            if failure is None:
                await self._outbox.delivered(message)
            else:
                await self._outbox.failed(message, failure)
            crash_point("webhook-noted")
            self._tell(message, failure)
        except Exception as exc:  # noqa: BLE001  the lease ends, and the message is sent again
            report_failure("webhook_not_noted", exc, webhook=message.message_id, lane=message.lane)
        finally:
            self._busy[message.lane] -= 1
            if self._busy[message.lane] == LANE_PLACES - 1:
                # There may be more of a lane that had no place left.
                self._look.set()

    async def _try(self, message: Claimed) -> Failure | None:
        target = self._targets.target(message)
        if target is None:
            return Failure(_UNREADABLE)
        return await self._sender.send(target, message.message_id, self._targets.body(message))

    def _tell(self, message: Claimed, failure: Failure | None) -> None:
        WEBHOOK_TRIES.add("delivered" if failure is None else "gone" if failure.gone else "failed")
        if failure is None:
            self._rests.pop(message.lane, None)
            return
        # It may be this worker that is cut off.
        self._failing = True
        if failure.retry_after_seconds is not None:
            rest = min(failure.retry_after_seconds, _LONGEST_REST_SECONDS)
            self._rests[message.lane] = time.monotonic() + rest
        level = log.error if failure.gone else log.warning
        level(
            "webhook_endpoint_gone" if failure.gone else "webhook_try_failed",
            webhook=message.message_id,
            lane=message.lane,
            run_id=message.run["run_id"],
            tries=message.failures + 1,
            error=failure.error,
        )

    async def _forget(self) -> None:
        if time.monotonic() < self._forget_at:
            return
        self._forget_at = time.monotonic() + FORGET_SECONDS
        if await self._turns.take("webhooks", FORGET_SECONDS):
            while await self._outbox.forget(days=self._days, rows=FORGET_ROWS) == FORGET_ROWS:
                pass

    async def _pause(self) -> bool:
        """Wait for the next look; returns whether a lane that was full has a place again."""
        try:
            async with asyncio.timeout(self._turns.wait_seconds(self._turn, LOOK_SECONDS) or LOOK_SECONDS):
                await self._look.wait()
        except TimeoutError:
            return False
        self._look.clear()
        return True
