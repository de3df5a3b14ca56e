"""Where the parts of a run put its events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent

Emit = Callable[[InternalRuntimeEvent], Awaitable[None]]
