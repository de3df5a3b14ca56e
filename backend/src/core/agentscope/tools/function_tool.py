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
from collections.abc import Callable, Mapping
from functools import partial
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
    is unwrapped. What a generator yields is put together, and shown as progress
    while it comes.

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
        plain, bound = _unbound(function)
        label = name or getattr(plain, "__name__", "")
        docstring = parse_docstring(plain.__doc__)
        text = description or docstring.description
        if not text:
            raise ToolDefinitionError(
                f"{label}: a tool needs a docstring or a description: write when to use it and what comes back"
            )
        fields, context_names = _signature(label, function, plain, docstring.arguments, bound)
        is_async = inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)

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


def _unbound(function: Callable[..., Any]) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """Return what is called in the end, and the arguments that a ``partial`` has decided."""
    bound: dict[str, Any] = {}
    while isinstance(function, partial):
        bound = {**function.keywords, **bound}
        function = function.func
    if not inspect.isroutine(function):
        # An object that can be called has its signature at the class.
        function = getattr(function, "__call__", function)  # noqa: B004  the method itself is wanted
    return function, bound


def _signature(
    label: str,
    function: Callable[..., Any],
    plain: Callable[..., Any],
    descriptions: dict[str, str],
    bound: Mapping[str, Any],
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of the arguments' model, and the parameters that take the context."""
    try:
        hints = get_type_hints(plain, include_extras=True)
        parameters = inspect.signature(function).parameters.values()
    except NameError as exc:
        raise ToolDefinitionError(f"{label}: a type hint names something unknown: {exc}") from exc
    except (TypeError, ValueError, SyntaxError, AttributeError) as exc:
        raise ToolDefinitionError(
            f"{label}: its type hints cannot be read: {_first_line(exc)}; write a function around it"
        ) from exc
    fields: dict[str, Any] = {}
    context_names: list[str] = []
    for parameter in parameters:
        if parameter.name in bound:
            # Decided by the author, and so not the model's to choose.
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(
                f"{label}: parameter {parameter.name} cannot be passed by name; name every argument"
            )
        if parameter.name not in hints:
            raise ToolDefinitionError(
                f"{label}: parameter {parameter.name} has no type hint; write one, such as {parameter.name}: str"
            )
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
        raise ToolDefinitionError(
            f"{label}: {_culprit(fields)}'s type has no JSON Schema: {_first_line(exc)}; "
            + "use str, int, float, bool, lists, dictionaries or pydantic models"
        ) from exc
    return model


def _culprit(fields: dict[str, Any]) -> str:
    """Return the parameter whose type is at fault."""
    for name, field in fields.items():
        only: dict[str, Any] = {name: field}
        try:
            create_model("Only", __config__=_CONFIG, **only).model_json_schema()
        except PydanticUserError:
            return f"parameter {name[len(_PREFIX) :]}"
    return "an argument"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". Set `")[0]
