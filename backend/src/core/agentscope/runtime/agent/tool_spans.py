"""Records each call of a tool as a span. See docs/adr/0059."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from agentscope.message import ToolCallBlock, ToolResultState

from core.tracing import conventions as name
from core.tracing.contents import said
from core.tracing.tracer import Tracer, Value, current_context, tracer


def traced_call(call: ToolCallBlock, chunks: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """Return what a tool returns; its time becomes a span where spans are recorded."""
    used = tracer()
    return chunks if used is None else _recorded(used, call, chunks)


async def _recorded(
    used: Tracer, call: ToolCallBlock, chunks: AsyncIterator[Any]
) -> AsyncGenerator[Any, None]:
    values: dict[str, Value | None] = {
        name.OPERATION: name.EXECUTE_TOOL,
        name.TOOL_NAME: call.name,
        name.TOOL_CALL_ID: call.id,
        name.TOOL_TYPE: "function",
        name.TOOL_ARGUMENTS: said(call.input) if used.contents else None,
    }
    span = used.start(f"{name.EXECUTE_TOOL} {call.name}", values, parent=current_context())
    failed, texts = "cancelled", list[str]()
    try:
        async for chunk in chunks:
            state = getattr(chunk, "state", None)
            failed = str(ToolResultState(state)) if state in _BAD else ""
            texts = [str(text) for block in chunk.content if (text := getattr(block, "text", None))]
            yield chunk
    except Exception as exc:
        failed = type(exc).__name__
        raise
    finally:
        # The last thing that a tool returns is all of its answer.
        if used.contents:
            span.set({name.TOOL_RESULT: said("".join(texts))})
        if failed:
            span.fail(failed)
        span.end()


_BAD = {ToolResultState.ERROR, ToolResultState.INTERRUPTED, ToolResultState.DENIED}
