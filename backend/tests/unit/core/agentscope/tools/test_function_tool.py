from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import ToolContext, ToolOutcome


class Place(BaseModel):
    city: str


@tool(permission="ask", editable=True, timeout_seconds=5)
async def weather(
    place: Place,
    days: Annotated[int, Field(ge=1, le=7)] = 1,
    unit: Literal["celsius", "fahrenheit"] = "celsius",
    *,
    where: ToolContext,
) -> str:
    """Forecast the weather.

    Not for the past.

    Args:
        place: Where.
        days: How far ahead.
        where: Not shown to the model.
    """
    return f"{place.city} {days} {unit} {where.run_id}"


def test_function_becomes_a_tool() -> None:
    assert weather.name == "weather"
    assert weather.description == "Forecast the weather.\n\nNot for the past."
    assert (weather.permission, weather.editable, weather.read_only) == ("ask", True, False)
    assert (weather.timeout_seconds, weather.blocking) == (5, False)
    assert weather.json_schema() == {
        "type": "object",
        "additionalProperties": False,
        "$defs": {
            "Place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        },
        "properties": {
            "place": {"$ref": "#/$defs/Place", "description": "Where."},
            "days": {
                "type": "integer",
                "minimum": 1,
                "maximum": 7,
                "default": 1,
                "description": "How far ahead.",
            },
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        },
        "required": ["place"],
    }


async def test_call_passes_typed_arguments_and_the_context(context: ToolContext) -> None:
    outcome = await weather.call({"place": {"city": "Köln"}, "days": 3}, context)

    assert outcome == ToolOutcome("success", "Köln 3 celsius r-1")


async def test_context_is_not_an_argument(context: ToolContext) -> None:
    outcome = await weather.call({"place": {"city": "Köln"}, "where": {}}, context)

    assert outcome == ToolOutcome(
        "error", "Invalid arguments for weather:\n- where: Extra inputs are not permitted"
    )


async def test_names_that_pydantic_uses_are_fine_argument_names(context: ToolContext) -> None:
    @tool(permission="allow", name="odd", description="Odd names.")
    def function(json: str, copy: int, model_dump: int, schema: int, _x: int = 0, self: int = 1) -> list[Any]:
        return [json, copy, model_dump, schema, _x, self]

    arguments = {"json": "j", "copy": 1, "model_dump": 2, "schema": 3, "_x": 4}

    assert list(function.json_schema()["properties"]) == [*arguments, "self"]
    assert await function.call(arguments, context) == ToolOutcome("success", '["j", 1, 2, 3, 4, 1]')


async def test_internal_field_names_are_not_accepted(context: ToolContext) -> None:
    outcome = await weather.call({"arg_place": {"city": "x"}}, context)

    assert outcome.state == "error"


def test_plain_functions_run_in_a_thread_unless_told_otherwise() -> None:
    def function() -> None:
        """Do it."""

    assert tool(permission="allow")(function).blocking
    assert not tool(permission="allow", blocking=False)(function).blocking


async def test_function_without_arguments_accepts_an_empty_object_only(context: ToolContext) -> None:
    @tool(permission="allow")
    async def ping() -> str:
        """Answer."""
        return "pong"

    assert await ping.call({}, context) == ToolOutcome("success", "pong")
    assert (await ping.call({"x": 1}, context)).state == "error"


def described(x: int) -> None:
    """Do."""


def bare(x: int) -> None: ...


def variadic(*x: int) -> None:
    """Do."""


def keywords(**x: int) -> None:
    """Do."""


def positional(x: int, /) -> None:
    """Do."""


def annotated(annotation: object) -> Callable[..., object]:
    def function(x: Any) -> None:
        """Do."""

    function.__annotations__ = {} if annotation is None else {"x": annotation}
    return function


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (bare, "needs a docstring"),
        (variadic, "cannot be passed by name"),
        (keywords, "cannot be passed by name"),
        (positional, "cannot be passed by name"),
        (annotated(None), "no type hint"),
        (annotated("Nowhere"), "unknown"),
        (annotated(Event), "no JSON Schema"),
        (annotated(Callable[[], None]), "no JSON Schema"),
    ],
)
def test_function_that_cannot_be_a_tool_is_refused_when_decorated(
    function: Callable[..., object], complaint: str
) -> None:
    with pytest.raises(ToolDefinitionError, match=complaint):
        tool(permission="allow")(function)


def test_name_that_providers_refuse_is_refused() -> None:
    with pytest.raises(ToolDefinitionError):
        tool(permission="allow", name="not ok")(described)
