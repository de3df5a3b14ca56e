"""A typed Python function as a `Tool`: the public way to bring one's own.

    @tool(permission="ask", editable=True)
    async def send_mail(to: str, subject: str, context: ToolContext) -> str:
        \"\"\"Send a mail.

        Args:
            to: Address of the receiver.
            subject: One line.
        \"\"\"

The signature becomes the arguments' schema, the docstring their descriptions. A parameter annotated
`ToolContext` is not an argument: it receives the place of the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model

from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.google_docstring import parse_docstring
from core.agentscope.tools.spec import Permission, Tool, ToolContext

_CONFIG = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
# Fields get a prefix and the real name as alias, so that `json`, `copy` and `_x` are fine argument names.
_PREFIX = "arg_"


def tool(
    *,
    permission: Permission,
    name: str | None = None,
    description: str | None = None,
    editable: bool = False,
    read_only: bool = False,
    blocking: bool | None = None,
    timeout_seconds: float | None = None,
    max_result_bytes: int | None = None,
) -> Callable[[Callable[..., object]], Tool]:
    """Make a tool of a function with type hints and a Google docstring.

    Raise `ToolError` in the function for what the model should read; any other
    exception is logged and shown as a plain failure. Strings are returned as
    they are, everything else as JSON; what AgentScope's or MCP's results hold
    is unwrapped. What a generator yields is put together.

    Args:
        permission: Stated for each tool, because a forgotten one would be a hole or a nuisance.
        name: The function's name when absent.
        description: The docstring up to its first section when absent.
        editable: Whether who approves a call may change its arguments.
        read_only: The call changes nothing and sends nothing out.
        blocking: Run in a thread; by default true for plain functions. Set it to false only
            for one that returns at once.
        timeout_seconds: The setting's when absent.
        max_result_bytes: The setting's when absent, and never more.

    Raises:
        ToolDefinitionError: When the decorator is applied: no description, a parameter without a type,
            ``*args``, ``**kwargs`` or a positional-only parameter.
    """

    def build(function: Callable[..., object]) -> Tool:
        label = name or getattr(function, "__name__", "")
        docstring = parse_docstring(function.__doc__)
        text = description or docstring.description
        if not text:
            raise ToolDefinitionError(f"{label}: a tool needs a docstring or a description")
        fields, context_names = _signature(label, function, docstring.arguments)
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)

        def handler(arguments: BaseModel, context: ToolContext) -> object:
            values = {field[len(_PREFIX) :]: getattr(arguments, field) for field in fields}
            return function(**values, **dict.fromkeys(context_names, context))

        return Tool(
            name=label,
            description=text,
            parameters=_model(label, fields),
            handler=handler,
            permission=permission,
            editable=editable,
            read_only=read_only,
            blocking=not is_async if blocking is None else blocking,
            timeout_seconds=timeout_seconds,
            max_result_bytes=max_result_bytes,
        )

    return build


def _signature(
    label: str, function: Callable[..., object], descriptions: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of the arguments' model, and the parameters that take the context."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise ToolDefinitionError(f"{label}: a type hint names something unknown: {exc}") from exc
    fields: dict[str, Any] = {}
    context_names: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(f"{label}: parameter {parameter.name} cannot be passed by name")
        if parameter.name not in hints:
            raise ToolDefinitionError(f"{label}: parameter {parameter.name} has no type hint")
        if hints[parameter.name] is ToolContext:
            context_names.append(parameter.name)
            continue
        meta = Field(alias=parameter.name, description=descriptions.get(parameter.name))
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[_PREFIX + parameter.name] = (Annotated[hints[parameter.name], meta], default)
    return fields, context_names


def _model(label: str, fields: dict[str, Any]) -> type[BaseModel]:
    try:
        model = create_model(label, __config__=_CONFIG, **fields)
        # Schemas are built late; a type without one must stop the start, not a run.
        model.model_json_schema()
    except PydanticUserError as exc:
        raise ToolDefinitionError(f"{label}: an argument's type has no JSON Schema: {exc}") from exc
    return model
