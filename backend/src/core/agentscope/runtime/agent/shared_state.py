"""The state of a thread that the agent and the application edit together (AG-UI shared state).

A run emits the whole state once, at its start, and every later change as a patch. So a client that sees only this run
can follow.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import orjson
from jsonpatch import JsonPatchException
from jsonpointer import JsonPointerException
from pydantic_core import to_jsonable_python

from core.agentscope.runtime.agent.emit import Emit
from core.agentscope.runtime.agent.snapshots import STATE_OMITTED, omitted
from core.agentscope.schemas.internal_events import StateDelta, StateSnapshot
from core.agentscope.tools.errors import ToolError
from core.text import clean_json, depth_of

MAX_STATE_BYTES = 128 << 10
MAX_STATE_DEPTH = 64
"""Of objects and lists."""
_LEVELS_OF_A_PATCH = 2
"""Of the list and its operations."""
_DEEPEST = 250
"""orjson writes 254 levels, an event has a few of its own."""
_TOO_LARGE = f"The state would be larger than {MAX_STATE_BYTES >> 10} KiB."
_TOO_DEEP = f"The state would be nested more than {MAX_STATE_DEPTH} levels deep."


class RunState:
    """One run's view of the shared state; implements ``core.agentscope.tools.spec.SharedState``."""

    def __init__(self, value: Any, emit: Emit) -> None:
        self.value: Any = value
        self._emit = emit

    @property
    def exists(self) -> bool:
        """Whether the application shares any state in this thread."""
        return self.value is not None

    async def show(self, *, max_bytes: int) -> None:
        """Emit the whole state, if there is one. If it is too large for an event, tell the client."""
        if not self.exists:
            return
        # Written with the same limits as events are; a state of more levels is left out, too.
        size = len(orjson.dumps(self.value)) if depth_of(self.value) < _DEEPEST else max_bytes + 1
        if size > max_bytes:
            await self._emit(omitted(STATE_OMITTED, size, max_bytes))
        else:
            await self._emit(StateSnapshot(snapshot=self.value))

    async def patch(self, operations: list[dict[str, Any]]) -> str:
        """Apply RFC 6902 operations, all or none, and emit them. See ``SharedState.patch``."""
        operations = clean_json(operations)
        try:
            changed = _patched(self.value, operations)
        except (JsonPatchException, JsonPointerException, TypeError) as exc:
            raise ToolError(
                f"The patch does not fit the state: {type(exc).__name__}. Read the state again."
            ) from exc
        text = json.dumps(changed, ensure_ascii=False)
        if len(text.encode()) > MAX_STATE_BYTES:
            raise ToolError(_TOO_LARGE)
        if depth_of(operations) > MAX_STATE_DEPTH + _LEVELS_OF_A_PATCH:
            # What one operation adds the next one may remove, and the event has both.
            raise ToolError(_TOO_DEEP)
        self.value = changed
        await self._emit(StateDelta(delta=operations))
        return text

    async def replace(self, value: Any) -> None:
        """Put another value in the place of the state, and emit it.

        Raises:
            ToolError: It is no JSON, too large or nested too deeply.
        """
        try:
            changed = clean_json(to_jsonable_python(value))
            size = len(json.dumps(changed, ensure_ascii=False).encode())
        except (ValueError, TypeError, RecursionError) as exc:
            raise ToolError("The state cannot be written as JSON.") from exc
        if size > MAX_STATE_BYTES:
            raise ToolError(_TOO_LARGE)
        if depth_of(changed) > MAX_STATE_DEPTH:
            raise ToolError(_TOO_DEEP)
        self.value = changed
        await self._emit(StateSnapshot(snapshot=changed))


def _patched(value: Any, operations: list[dict[str, Any]]) -> Any:
    """Return the value after the operations.

    A ``copy`` can double the value, so a few dozen of them would fill the memory. The size is checked after each.
    """
    value = copy.deepcopy(value)
    room = max(MAX_STATE_BYTES, len(orjson.dumps(value)))
    for operation in operations:
        value = jsonpatch.apply_patch(value, [operation], in_place=True)
        if operation["op"] == "copy" and len(orjson.dumps(value)) > room:
            raise ToolError(_TOO_LARGE)
    if depth_of(value) > MAX_STATE_DEPTH:
        raise ToolError(_TOO_DEEP)
    return value
