"""The state of a thread that the agent and the application edit together (AG-UI shared state).

A run emits the whole state once, at its start, and every later change as a patch. So a client that sees only this run
can follow.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import jsonpatch
from jsonpatch import JsonPatchException
from jsonpointer import JsonPointerException

from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.schemas.internal_events import StateDelta, StateSnapshot
from core.agentscope.tools.errors import ToolError
from core.text import clean_json

MAX_STATE_BYTES = 128 << 10


class RunState:
    """One run's view of the shared state; implements ``core.agentscope.tools.spec.SharedState``."""

    def __init__(self, value: Any, emit: Callable[[InternalRuntimeEvent], Awaitable[None]]) -> None:
        self.value: Any = value
        self._emit = emit

    @property
    def exists(self) -> bool:
        """Whether the application shares any state in this thread."""
        return self.value is not None

    async def show(self) -> None:
        """Emit the whole state, if there is one."""
        if self.exists:
            await self._emit(StateSnapshot(snapshot=self.value))

    async def patch(self, operations: list[dict[str, Any]]) -> str:
        """Apply RFC 6902 operations, all or none, and emit them. See ``SharedState.patch``."""
        operations = clean_json(operations)
        try:
            changed = jsonpatch.apply_patch(self.value, operations)
        except (JsonPatchException, JsonPointerException, TypeError) as exc:
            raise ToolError(
                f"The patch does not fit the state: {type(exc).__name__}. Read the state again."
            ) from exc
        text = json.dumps(changed, ensure_ascii=False)
        if len(text.encode()) > MAX_STATE_BYTES:
            raise ToolError(f"The state would be larger than {MAX_STATE_BYTES >> 10} KiB.")
        self.value = changed
        await self._emit(StateDelta(delta=operations))
        return text
