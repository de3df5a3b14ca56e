"""What AgentScope reads from its own functions, their schemas and descriptions: each is made once a process.

Every ``Agent`` has a tool that compacts the conversation. AgentScope 2.0.10 makes a pydantic model and a schema of the
tool's method anew in each constructor, and parses its docstring, also when the tool is never offered: an eighth of the
CPU of a short run.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from typing import Any

from agentscope.tool import _adapters
from agentscope.tool._utils import _extract_func_description, _extract_input_schema

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


_DESCRIPTIONS = 256
"""Docstrings that are kept: of AgentScope's own functions, and of the tools that users' code makes for each run."""

_description_once = lru_cache(_DESCRIPTIONS)(_extract_func_description)


def build_schemas_once() -> None:
    """Make AgentScope keep what it reads from functions. Calling it again changes nothing."""
    # AgentScope has no other way to give an agent the schema of its own tool.
    _adapters.__dict__["_extract_func_description"] = _description_once
    _adapters.__dict__["_extract_input_schema"] = _extract_once
