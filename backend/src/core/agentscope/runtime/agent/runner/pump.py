"""Runs a runner in a task of its own, and takes what it yields to the pipeline, in order.

A runner goes on only when everything it has yielded was emitted. So whatever is behind the ``yield`` of a tool call acts
after the call is durable, and a runner that yields without end fills no memory.

Only the task of the runner is ever cancelled, never the one that emits. A runner that ignores the cancellation is named
in the log and left behind: what it yields then goes nowhere. What the runner has started beside itself ends with it. See
docs/adr/0044.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from agentscope.event import ReplyEndEvent, RequireUserConfirmEvent, ToolResultEndEvent

from core.agentscope.runtime import stop_signal
from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.runner import events as public
from core.agentscope.runtime.agent.runner.own_voice import YieldRefused
from core.agentscope.runtime.agent.runner.side_work import RunnerOver, SideWork
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
        side: What the runner has started beside itself.
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
        side: SideWork,
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
        self._side = side
        self._over = False
        self._cut = True
        self._abandoned = False
        self._refused: YieldRefused | None = None
        self._closers: list[asyncio.Task[None]] = []

    async def drive(
        self, yields: AsyncGenerator[Any, None], *, before_end: Callable[[BaseException | None], None]
    ) -> None:
        """Run the runner to its end, and emit what it says.

        Args:
            yields: Of the runner.
            before_end: Called when nothing is at work any more, and before everything that is open is closed; with what
                the runner raised.

        Raises:
            RunStopped: The run was told to stop; everything that was yielded before is emitted first.
            YieldRefused: The runner yielded something that cannot be shown.
            Exception: What the runner raised.
        """
        self._gate.admit()
        producer = asyncio.create_task(self._produce(yields))
        producer.add_done_callback(_forget)

        def cancel() -> None:
            self._closers.append(asyncio.create_task(self._cancel_until_done(producer)))

        undo = self._stop.on_set(cancel)
        try:
            await self._emit_all()
            if not self._abandoned:
                await asyncio.wait({producer})
            ending = asyncio.create_task(self._end_side_work(producer))
            await self._emit_all()
            await ending
            before_end(_error_of(producer))
            for event in self._translator.end(cut=self._cut and not self._side.parked):
                await self._show(event)
        finally:
            self._over = True
            undo()
            self._gate.close()
            # If the pipeline failed, nothing more is written, and the runner must not go on.
            self._side.cancel()
            if not producer.done() and not self._closers:
                producer.cancel()
            self._let_nobody_wait()
        if self._stop.is_set:
            raise RunStopped
        self._raise_error_of(producer)

    def _raise_error_of(self, producer: asyncio.Task[None]) -> None:
        if self._refused is not None:
            raise self._refused
        error = _error_of(producer)
        if self._side.parked:
            if isinstance(error, Exception):
                # It is in the way of the end of the runner, which is called again.
                log.warning("runner_failed_while_it_waits", runner=self._reference, exc_info=error)
            return
        if producer.cancelled():
            raise RuntimeError("the runner was cancelled by nobody")
        if error is not None:
            raise error

    async def _emit_all(self) -> None:
        """Emit what is passed on, until the mark of the end."""
        while (item := await self._queue.get()) is not None:
            events, taken = item
            for event in events:
                await self._show(event)
            if not taken.done():
                taken.set_result(None)

    async def _end_side_work(self, producer: asyncio.Task[None]) -> None:
        try:
            await self._side.end(producer)
        finally:
            self._over = True
            self._gate.close()
            self._queue.put_nowait(None)

    def _let_nobody_wait(self) -> None:
        while not self._queue.empty():
            if (item := self._queue.get_nowait()) is not None:
                item[1].cancel()

    async def pass_on(self, events: Sequence[InternalRuntimeEvent]) -> None:
        """Return when the events are emitted, in the order of the calls.

        Raises:
            RunnerOver: The run is over.
        """
        if self._over:
            raise RunnerOver
        if not events:
            return
        taken = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((events, taken))
        await taken

    async def _produce(self, yields: AsyncGenerator[Any, None]) -> None:
        try:
            async with aclosing(yields):
                async for given in yields:
                    if self._stop.is_set or self._over:
                        raise RunnerOver
                    try:
                        await self._take(given)
                    except YieldRefused as exc:
                        self._refused = exc
                        producer = asyncio.current_task()
                        assert producer is not None  # noqa: S101  this is a coroutine
                        self._closers.append(asyncio.create_task(self._close_in_time(producer)))
                        raise
            self._cut = False
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as exc:
            if self._side.parked:
                # The mark of a call that waits, perhaps in a group.
                return
            # It would end the worker, or the run without a word.
            raise RuntimeError(f"the runner raised {type(exc).__name__}") from exc
        finally:
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

    async def _close_in_time(self, producer: asyncio.Task[None]) -> None:
        """Let the runner clean up behind a yield that was refused, and not for longer than behind a stop."""
        await asyncio.wait({producer}, timeout=stop_signal.CANCEL_AGAIN_SECONDS)
        if not producer.done():
            await self._cancel_until_done(producer)

    async def _cancel_until_done(self, producer: asyncio.Task[None]) -> None:
        if not await cancel_until_done(producer) and not self._abandoned:
            log.error("runner_ignored_cancel", runner=self._reference)
            self._abandoned = True
            self._over = True
            self._queue.put_nowait(None)


def _forget(task: asyncio.Task[None]) -> None:
    _ = _error_of(task)


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    """Return what a task raised; of one that was cancelled, or left behind, nothing is known."""
    return task.exception() if task.done() and not task.cancelled() else None
