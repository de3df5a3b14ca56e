"""Runs a runner in a task of its own, and takes what it yields to the pipeline, in order.

A runner goes on only when everything it has yielded was emitted. So whatever is behind the ``yield`` of a tool call acts
after the call is durable, and a runner that yields without end fills no memory.

Only the task of the runner is ever cancelled, never the one that emits. A runner that ignores the cancellation is named
in the log and left behind: what it yields then goes nowhere. See docs/adr/0044.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from agentscope.event import ReplyEndEvent, RequireUserConfirmEvent, ToolResultEndEvent

from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.runner import events as public
from core.agentscope.runtime.agent.runner.own_voice import YieldRefused
from core.agentscope.runtime.agent.runner.yields import RunnerTranslator
from core.agentscope.runtime.agent.shared_state import RunState
from core.agentscope.runtime.agent.toolkit import ToolGate
from core.agentscope.runtime.stop_signal import RunStopped, StopSignal, cancel_until_done
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import ToolCallEnded, ToolResult
from core.agentscope.tools.errors import ToolError

log = structlog.get_logger(__name__)

_SAFE_POINTS = (ToolResultEndEvent, RequireUserConfirmEvent, ReplyEndEvent, public.ToolResult)
"""After these the conversation is whole: it is worth a checkpoint."""


class RunnerParked(BaseException):
    """Ends a runner whose tool call waits for the user. Not an ``Exception``: the user's code must not catch it."""


class RunnerPump:
    """The way of one runner's yields.

    Args:
        translator: Translates them.
        shared: The state that the application shares.
        emit: Takes each event.
        save: Called at safe points.
        gate: What tools wait at.
        stop: Says when to stop.
        reference: Names the runner in the log.
    """

    def __init__(
        self,
        translator: RunnerTranslator,
        shared: RunState,
        *,
        emit: Emit,
        save: Callable[[], None],
        gate: ToolGate,
        stop: StopSignal,
        reference: str,
    ) -> None:
        self._translator = translator
        self._shared = shared
        self._emit = emit
        self._save = save
        self._gate = gate
        self._stop = stop
        self._reference = reference
        self._queue: asyncio.Queue[tuple[Sequence[InternalRuntimeEvent], asyncio.Future[None]] | None] = (
            asyncio.Queue()
        )
        self._over = False

    async def drive(self, yields: AsyncGenerator[Any, None]) -> None:
        """Run the runner to its end, and emit what it says.

        Raises:
            RunStopped: The run was told to stop; everything that was yielded before is emitted first.
            YieldRefused: The runner yielded something that cannot be shown.
            Exception: What the runner raised.
        """
        producer = asyncio.create_task(self._produce(yields))
        cancellers: list[asyncio.Task[None]] = []

        def cancel() -> None:
            cancellers.append(asyncio.create_task(self._cancel_until_done(producer)))

        undo = self._stop.on_set(cancel)
        try:
            while (item := await self._queue.get()) is not None:
                events, taken = item
                for event in events:
                    await self._show(event)
                if not taken.done():
                    taken.set_result(None)
            if producer.done() or not self._stop.is_set:
                await asyncio.wait({producer})
            if self._stop.is_set:
                raise RunStopped
            if producer.cancelled():
                raise RuntimeError("the runner was cancelled by nobody")
            if (error := producer.exception()) is not None and not isinstance(error, RunnerParked):
                raise error
        finally:
            self._over = True
            undo()
            if not producer.done() and not cancellers:
                # The pipeline failed: nothing more is written, and the runner must not go on.
                producer.cancel()
            producer.add_done_callback(_forget)

    async def pass_on(self, events: Sequence[InternalRuntimeEvent]) -> None:
        """Return when the events are emitted, in the order of the calls.

        Raises:
            asyncio.CancelledError: The run is over.
        """
        if self._over:
            raise asyncio.CancelledError
        if not events:
            return
        taken = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((events, taken))
        await taken

    async def _produce(self, yields: AsyncGenerator[Any, None]) -> None:
        cut = True
        try:
            async with aclosing(yields):
                async for given in yields:
                    if self._stop.is_set or self._over:
                        raise asyncio.CancelledError
                    await self._take(given)
            cut = False
        except RunnerParked:
            cut = False
            raise
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as exc:
            # They would end the worker.
            raise RuntimeError(f"the runner raised {type(exc).__name__}") from exc
        finally:
            if not self._over:
                self._queue.put_nowait(
                    (self._translator.end(cut=cut), asyncio.get_running_loop().create_future())
                )
            self._queue.put_nowait(None)

    async def _take(self, given: Any) -> None:
        if isinstance(given, public.StatePatch | public.StateSnapshot):
            await self._change_state(given)
            return
        await self.pass_on(self._translator.translate(given))
        if isinstance(given, _SAFE_POINTS):
            self._save()

    async def _change_state(self, given: public.StatePatch | public.StateSnapshot) -> None:
        try:
            if isinstance(given, public.StateSnapshot):
                await self._shared.replace(given.value)
            else:
                await self._shared.patch([dict(each) for each in given.operations])
        except ToolError as exc:
            raise YieldRefused(f"{type(given).__name__}: {exc}") from exc
        except (TypeError, ValueError, KeyError) as exc:
            # Of what the author made, so its words are for the log.
            raise YieldRefused(f"{type(given).__name__} cannot be applied") from exc
        self._translator.shared_changed()

    async def _show(self, event: InternalRuntimeEvent) -> None:
        if isinstance(event, ToolResult):
            event = event.model_copy(update={"duration_ms": self._gate.duration_ms(event.tool_call_id)})
        await self._emit(event)
        if isinstance(event, ToolCallEnded):
            self._gate.open(event.tool_call_id)

    async def _cancel_until_done(self, producer: asyncio.Task[None]) -> None:
        if not await cancel_until_done(producer):
            log.error("runner_ignored_cancel", runner=self._reference)
            self._queue.put_nowait(
                (self._translator.end(cut=True), asyncio.get_running_loop().create_future())
            )
            self._over = True
            self._queue.put_nowait(None)


def _forget(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        _ = task.exception()
