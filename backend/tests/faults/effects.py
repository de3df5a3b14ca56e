"""Tools with a side effect that can be counted: each call is a durable line in a file."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import orjson
import structlog

from agentroute.tools import ToolContext, tool

LOG_VARIABLE = "FAULTS_TOOL_LOG"


@tool(permission="allow", name="effect", timeout_seconds=10)
def effect(note: str, context: ToolContext) -> str:
    """Do something that cannot be undone.

    Args:
        note: What it is about.
    """
    return record(note, context.run_id, context.tool_call_id)


@tool(permission="ask", name="approved_effect", timeout_seconds=10)
def approved_effect(note: str, context: ToolContext) -> str:
    """Do something that cannot be undone, with the user's approval.

    Args:
        note: What it is about.
    """
    return record(note, context.run_id, context.tool_call_id)


@tool(permission="allow", name="block", timeout_seconds=10)
async def block(note: str, context: ToolContext) -> str:
    """Wait for ever without `await`: the event loop of the worker hangs, and so does everything in it.

    Args:
        note: What it is about.
    """
    record(note, context.run_id, context.tool_call_id)
    threading.Event().wait()
    return "never"


def charged(note: str) -> str:
    """Have the effect for code that knows nothing of runs: which one it is for, the worker's log context says."""
    from core.agentscope.runtime.agent.toolkit import current_tool_call

    return record(note, structlog.contextvars.get_contextvars()["run_id"], current_tool_call())


def record(note: str, run_id: str, tool_call_id: str) -> str:
    """Have the effect: add a line to the file, durably."""
    line = {
        "run_id": run_id,
        "tool_call_id": tool_call_id,
        "key": f"{run_id}:{tool_call_id}",
        "note": note,
        "t": time.time(),
        "pid": os.getpid(),
    }
    descriptor = os.open(Path(os.environ[LOG_VARIABLE]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, orjson.dumps(line) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return f"done: {note}"
