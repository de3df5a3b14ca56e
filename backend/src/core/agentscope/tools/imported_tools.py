"""The tools behind ``import = "package.module:attribute"``: whatever a user may have that can be called as a tool.

* What ``@tool`` made, and a plain function with type hints and a docstring, sync or async, also a generator.
* A ``FunctionTool`` or another ``ToolBase`` of AgentScope, or a class of such that is made without arguments.
* A list or a tuple of these.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.foreign_tools import is_tool_of_agentscope, of_agentscope
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import Tool
from core.agentscope.tools.user_module import failure_line, import_attribute
from core.config import ToolSettings

_WHAT = "name a function with type hints and a docstring, a FunctionTool or another ToolBase of AgentScope, or a list of these"


def load_tools(reference: str, settings: ToolSettings | None = None) -> list[Tool]:
    """Import a user's tools.

    Runs the module's code: references come from the operator's configuration, never from a request.

    Args:
        reference: ``package.module:attribute``.
        settings: Fill in the timeout and the result size where a tool states none.

    Raises:
        ToolDefinitionError: There is no such module or attribute, it is not a tool, or the module has a bug. In one line,
            the place and what to do.
    """
    _, found = import_attribute(reference)
    if isinstance(found, list | tuple):
        if not found:
            raise ToolDefinitionError(f"{reference}: the list is empty; {_WHAT}")
        tools = [_made(f"{reference}[{place}]", each) for place, each in enumerate(found)]
    else:
        tools = [_made(reference, found)]
    return [each.within(settings) for each in tools] if settings else tools


def _made(reference: str, found: Any) -> Tool:
    try:
        if isinstance(found, Tool):
            return found
        if is_tool_of_agentscope(found):
            return of_agentscope(_instance(reference, found) if isinstance(found, type) else found)
        if isinstance(found, type) or not callable(found):
            kind = f"the class {found.__name__}" if isinstance(found, type) else _kind(found)
            raise ToolDefinitionError(f"{kind} is no tool; {_WHAT}")
        return _of_function(reference, found)
    except ToolDefinitionError as exc:
        line = str(exc)
        raise ToolDefinitionError(line if line.startswith(reference) else f"{reference}: {line}") from exc


def _instance(reference: str, kind: Any) -> Any:
    try:
        return _made_once(kind)
    except TypeError as exc:
        raise ToolDefinitionError(
            f"{reference}: {kind.__name__} cannot be made without arguments: make it in the module, and name what was made"
        ) from exc
    except Exception as exc:
        raise ToolDefinitionError(failure_line(reference, exc)) from exc


@cache
def _made_once(kind: Any) -> Any:
    """Return the only object of a class in this process: the checks of a start and each agent load the tool."""
    return kind()


def _of_function(reference: str, function: Callable[..., Any]) -> Tool:
    # The profile says the permission; without one it would ask.
    make = tool(permission="ask", name=_name(reference, function))
    try:
        return make(function)
    except ToolDefinitionError as exc:
        raise ToolDefinitionError(f"{reference}: {_place(function)}{exc}") from exc


def _name(reference: str, function: Any) -> str:
    """Return the function's own name, or that of the attribute for what has none: a ``partial``, an object."""
    name = getattr(function, "__name__", "")
    if name.isidentifier():
        return name
    return reference.rpartition(":")[2].rpartition(".")[2].partition("[")[0]


def _place(function: Any) -> str:
    """Return ``file:line: `` of a function; empty for what is not written in Python."""
    while isinstance(function, partial):
        function = function.func
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""


def _kind(value: object) -> str:
    return f"an object of type {type(value).__name__}"
