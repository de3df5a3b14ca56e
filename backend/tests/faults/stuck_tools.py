"""Tools that go wrong, each in its own way, for the questions why a run is stuck."""

from __future__ import annotations

import asyncio

from tests.faults.effects import record

from agentroute.tools import ToolContext, tool

PROFILE = """name = "Faults"
default = true
description = "Has tools that go wrong."

[limits]
max_iterations = 6
"""
_TOOL = """
[[tools]]
import = "{place}"
permission = "{permission}"
"""
_PLACES = {
    "tests.faults.effects:approved_effect": "ask",
    "tests.faults.effects:block": "allow",
    "tests.faults.stuck_tools:hang": "allow",
    "tests.faults.stuck_tools:raising": "allow",
    "tests.faults.stuck_tools:flood": "allow",
}


def profile() -> str:
    """Return a profile with all of them."""
    return PROFILE + "".join(
        _TOOL.format(place=place, permission=permission) for place, permission in _PLACES.items()
    )


@tool(permission="allow", name="hang", timeout_seconds=600)
async def hang(note: str, context: ToolContext) -> str:
    """Wait for ever, and let others work.

    Args:
        note: What it is about.
    """
    record(note, context.run_id, context.tool_call_id)
    await asyncio.Event().wait()
    return "never"


@tool(permission="allow", name="raising", timeout_seconds=10)
async def raising(note: str) -> str:
    """Fail.

    Args:
        note: What it is about.
    """
    raise RuntimeError(note)


@tool(permission="allow", name="flood", timeout_seconds=10)
async def flood(note: str) -> str:
    """Return more than anybody takes, and what no database stores.

    Args:
        note: What it is about.
    """
    return f"{note}\x00\ud800" * 200_000
