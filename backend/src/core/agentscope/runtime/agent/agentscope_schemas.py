"""The JSON schemas that AgentScope makes of its own functions: each is built once a process.

Every ``Agent`` has a tool that compacts the conversation. AgentScope 2.0.10 makes a pydantic model and a schema of the
tool's method anew in each constructor, also when the tool is never offered: a tenth of the CPU of a short run.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from agentscope.tool import _adapters
from agentscope.tool._utils import _extract_input_schema

_built: dict[Callable[..., Any], dict[str, Any]] = {}


def _extract_once(function: Callable[..., Any], *args: Any, **options: Any) -> dict[str, Any]:
    """Return the schema of a function's parameters; a bound method has that of its function."""
    plain = getattr(function, "__func__", function)
    # Functions of others may be made for one call, and would be kept for ever.
    if args or options or not str(getattr(plain, "__module__", "")).startswith("agentscope."):
        return _extract_input_schema(function, *args, **options)
    if plain not in _built:
        _built[plain] = _extract_input_schema(function)
    return deepcopy(_built[plain])


def build_schemas_once() -> None:
    """Make AgentScope keep the schemas of its own functions. Calling it again changes nothing."""
    # AgentScope has no other way to give an agent the schema of its own tool.
    _adapters.__dict__["_extract_input_schema"] = _extract_once
