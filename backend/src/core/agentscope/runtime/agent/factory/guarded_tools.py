"""Tools of a user's toolkit as the worker can call them: none blocks the event loop, leaks a secret or floods a thread.

``guarded(tool, guard)`` returns a tool of the same class with the same attributes. Schema, permissions and rules are
the user's own. Only the call has a guard around it:

1. A plain function runs in a thread.
2. The model reads the text of a ``ToolError``, of an ``AgentOrientedException`` of AgentScope, and of no other exception.
3. A result is valid text, and cut to the most that a tool may return. Attachments count in base64; one that has no room
   is replaced by a line that names it. A generator runs to its end all the same: what it does may come after what it
   says. The run's deadline bounds it.
4. A generator that a tool returns is closed at once when it is left, in the task that ran it. What it yields is shown as
   progress while it comes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import cache, partial
from typing import Any

import structlog
from agentscope.exception import AgentOrientedException
from agentscope.message import Base64Source, DataBlock, TextBlock, ToolResultState
from agentscope.tool import FunctionTool, ToolBase, ToolChunk
from pydantic_core import to_jsonable_python

from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.tool_progress import CallProgress
from core.agentscope.runtime.agent.toolkit import current_tool_call, tool_chunk
from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.foreign_results import attachment_line, unwrapped
from core.agentscope.tools.off_the_loop import off_the_loop, stepped
from core.agentscope.tools.result_text import fit_text, result_text
from core.agentscope.tools.shown_pieces import ShownPieces
from core.crash_points import crash_point
from core.errors import AgentBackendError, LeaseLost, StoreUnavailable
from core.text import clean_json

log = structlog.get_logger(__name__)

FAILED = "The tool failed."
_BAD_ENDS = (ToolResultState.ERROR, ToolResultState.INTERRUPTED)


class ToolGuard:
    """What the guarded tools of a run share.

    Args:
        max_result_bytes: Of the text and the attachments of a result.
        emit: Takes what generators yield while they run, as progress of their calls.
    """

    def __init__(self, max_result_bytes: int, emit: Emit | None = None) -> None:
        self._max_result_bytes = max_result_bytes
        self._emit = emit

    async def stream(self, name: str, call: Callable[[], Any]) -> AsyncGenerator[ToolChunk, None]:
        """Yield the chunks of a call; its failure is the last of them."""
        left = self._max_result_bytes
        dropped = 0
        progress = None if self._emit is None else CallProgress(current_tool_call(), self._emit)
        crash_point("tool-before")
        try:
            async with aclosing(_chunks(call, progress)) as chunks:
                async for chunk in chunks:
                    crash_point("tool-after")
                    room = left
                    if left <= 0 and chunk.state not in _BAD_ENDS:
                        dropped += 1
                    else:
                        fitted, left = _fitted(chunk, room)
                        yield fitted
                    if left == room:
                        # A generator that never waits would keep the loop, and no deadline would come.
                        await asyncio.sleep(0)
            if dropped:
                log.warning(
                    "tool_result_cut", tool=name, tool_call_id=current_tool_call(), dropped_chunks=dropped
                )
        except ToolError as exc:
            yield self._failed(exc.message)
        except AgentOrientedException as exc:
            yield self._failed(str(exc))
        except (LeaseLost, StoreUnavailable):
            raise
        except AgentBackendError as exc:
            # Of a model that the tool asked. Its details are made for users.
            yield self._failed(exc.detail)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling() > 0:
                raise
            # This task was not cancelled; the tool awaited something that was.
            log.exception("tool_failed", tool=name, tool_call_id=current_tool_call())
            yield self._failed(FAILED)
        except (Exception, SystemExit):
            log.exception("tool_failed", tool=name, tool_call_id=current_tool_call())
            yield self._failed(FAILED)
        finally:
            if progress is not None:
                progress.close()

    def _failed(self, text: str) -> ToolChunk:
        return tool_chunk("error", fit_text(text, self._max_result_bytes))


class Guarded:
    """Marks a guarded tool."""


def guarded(tool: ToolBase, guard: ToolGuard) -> ToolBase:
    """Return the tool with the guard around its calls. The given tool is not changed. External tools stay as they are."""
    if tool.is_external_tool:
        return tool
    kind = type(tool).__mro__[1] if isinstance(tool, Guarded) else type(tool)
    same = object.__new__(_guarded_kind(kind))
    object.__setattr__(same, "__dict__", tool.__dict__)
    object.__setattr__(same, "_tool_guard", guard)
    return same


@cache
def _guarded_kind(kind: type[ToolBase]) -> type[ToolBase]:
    async def call(self: Any, *args: Any, **arguments: Any) -> AsyncGenerator[ToolChunk, None]:
        return self._tool_guard.stream(self.name, partial(kind.__call__, self, *args, **arguments))

    members: dict[str, Any] = {
        "__slots__": ("_tool_guard",),
        "__module__": kind.__module__,
        "__call__": call,
    }
    if issubclass(kind, FunctionTool):
        members["_func"] = property(lambda self: off_the_loop(self.__dict__["_func"]))
    make: Any = type(kind)
    return make(kind.__name__, (kind, Guarded), members)


async def _chunks(call: Callable[[], Any], progress: CallProgress | None) -> AsyncGenerator[ToolChunk, None]:
    made = call()
    if inspect.isawaitable(made):
        made = await made
    if inspect.isgenerator(made):
        made = stepped(made)
    shown = None if progress is None else ShownPieces(lambda text: progress.report(text, None, None))
    if isinstance(made, AsyncGenerator):
        async with aclosing(made):
            async for piece in made:
                yield await _shown(piece, shown)
    elif isinstance(made, AsyncIterator):
        async for piece in made:
            yield await _shown(piece, shown)
    else:
        yield _chunk(made)


async def _shown(piece: Any, shown: ShownPieces | None) -> ToolChunk:
    chunk = _chunk(piece)
    if shown is not None:
        await shown.take(unwrapped(chunk))
    return chunk


def _chunk(value: Any) -> ToolChunk:
    return value if isinstance(value, ToolChunk) else ToolChunk(content=[TextBlock(text=result_text(value))])


def _fitted(chunk: ToolChunk, left: int) -> tuple[ToolChunk, int]:
    """Return the chunk with as much as there is room for, and the room that is left then."""
    content: list[Any] = []
    for given in chunk.content:
        block = given
        if isinstance(block, DataBlock) and _size(block) > left:
            block = TextBlock(text=attachment_line(block))
        size = _size(block)
        if isinstance(block, TextBlock):
            block = block.model_copy(update={"text": fit_text(block.text, max(left, 0))})
        content.append(block)
        left -= size
        if left <= 0:
            break
    state = chunk.state
    if left <= 0 and state not in _BAD_ENDS:
        state = ToolResultState.SUCCESS
    return chunk.model_copy(
        update={"content": content, "state": state, "metadata": _storable(chunk.metadata)}
    ), left


def _size(block: TextBlock | DataBlock) -> int:
    """Return the bytes that a block takes in the conversation."""
    if isinstance(block, DataBlock):
        source = block.source
        return len(source.data) if isinstance(source, Base64Source) else len(str(source.url))
    return len(block.text) if block.text.isascii() else len(block.text.encode("utf-8", "surrogatepass"))


def _storable(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata in a form that a checkpoint can hold."""
    return clean_json(to_jsonable_python(metadata, fallback=str)) if metadata else metadata
