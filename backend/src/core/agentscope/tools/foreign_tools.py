"""AgentScope's tools as tools of ours: ``FunctionTool``, and all others that derive from ``ToolBase``.

Their calls keep the rules of ``spec``: limits, threads, masked errors, results as text. A tool that says something about
permissions itself is heard: the stricter of what the profile and the tool say holds. A ``FunctionTool`` without a
permission says nothing: AgentScope asks for it only because nobody decided.

Known by their module and their members, because this package does not import AgentScope.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from core.agentscope.tools.errors import ToolDefinitionError, ToolError
from core.agentscope.tools.json_schema import without_titles
from core.agentscope.tools.off_the_loop import off_the_loop
from core.agentscope.tools.spec import Permission, Tool, ToolContext

_TOOLS = "agentscope.tool."
_STATE = "_agent_state"
_STATED: Mapping[str, Permission] = {"ask": "ask", "deny": "deny"}

agent_state: ContextVar[Any] = ContextVar("agent_state")
"""The state of the agent that makes a call; for tools that take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignTool(Tool):
    """A tool that an object of AgentScope carries out."""

    original: Any
    """The ``ToolBase``. Shared by all runs of the process."""
    stated: Permission | None = None
    """What the object says about all its calls; ``None`` if it says nothing, or decides over each call."""
    decides: bool = False
    """The object looks at each call: ``original.check_permissions`` is to be asked."""

    @property
    def takes_state(self) -> bool:
        """Whether a call takes the state of the agent that makes it."""
        return bool(self.original.is_state_injected)


def is_tool_of_agentscope(value: object) -> bool:
    """Whether a value is a ``ToolBase``, or a class of such."""
    kind = value if isinstance(value, type) else type(value)
    return _derives(kind, "ToolBase")


def of_agentscope(original: Any) -> ForeignTool:
    """Return a ``ToolBase`` as a tool.

    Raises:
        ToolDefinitionError: It is a tool that a client carries out, or it has no name, description or schema.
    """
    kind = type(original).__name__
    if original.is_external_tool:
        raise ToolDefinitionError(
            f"{kind} is carried out by the client; let the client offer it, or use [agent] factory"
        )
    name, description, schema = (
        getattr(original, member, None) for member in ("name", "description", "input_schema")
    )
    if not isinstance(name, str) or not isinstance(description, str) or not description:
        raise ToolDefinitionError(f"{kind} needs a name and a description; set both")
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        raise ToolDefinitionError(
            f'{kind}: input_schema must be {{"type": "object", "properties": {{…}}}}, with the arguments'
        )
    stated, decides = _own_permission(original)
    called = _off_the_loop(original)

    async def handler(arguments: Mapping[str, Any], _context: ToolContext) -> Any:
        given = dict(arguments)
        if original.is_state_injected:
            given[_STATE] = agent_state.get()
        try:
            return await called(**given)
        except Exception as exc:
            if _derives(type(exc), "AgentOrientedException"):
                # Its text is made for the model.
                raise ToolError(str(exc)) from exc
            raise

    return ForeignTool(
        name=name,
        description=description,
        schema=without_titles({"type": "object", **schema}),
        handler=handler,
        permission=stated or "ask",
        read_only=bool(getattr(original, "is_read_only", False)),
        original=original,
        stated=stated,
        decides=decides,
    )


def _own_permission(original: Any) -> tuple[Permission | None, bool]:
    """Return what a tool says about all its calls, and whether it decides over each."""
    check: Any = type(original).check_permissions
    if not getattr(check, "__module__", "").startswith(f"{_TOOLS}_adapters"):
        return None, True
    decision = getattr(original, "_permission", None)
    behavior = getattr(decision, "behavior", None)
    return _STATED.get(str(getattr(behavior, "value", behavior))), False


def _off_the_loop(original: Any) -> Any:
    if not _derives(type(original), "FunctionTool"):
        return original
    same = copy.copy(original)
    same._func = off_the_loop(original._func)
    return same


def _derives(kind: type, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.startswith("agentscope.") for base in kind.__mro__)
