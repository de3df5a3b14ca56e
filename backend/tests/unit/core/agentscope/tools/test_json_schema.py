from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.agentscope.tools.json_schema import arguments_schema


class Line(BaseModel):
    title: str
    amount: int = 1


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str = Field(description="Of the order.")
    kind: Literal["a", "b"] = "a"
    lines: list[Line] = []
    extra: dict[str, Line | None] = Field(default={}, examples=[{"title": {"title": "stays"}}])


def test_titles_are_dropped_and_properties_called_title_stay() -> None:
    line = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "amount": {"type": "integer", "default": 1}},
        "required": ["title"],
    }
    assert arguments_schema(Order) == {
        "type": "object",
        "additionalProperties": False,
        "$defs": {"Line": line},
        "properties": {
            "title": {"type": "string", "description": "Of the order."},
            "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "default": []},
            "extra": {
                "type": "object",
                "additionalProperties": {"anyOf": [{"$ref": "#/$defs/Line"}, {"type": "null"}]},
                "default": {},
                "examples": [{"title": {"title": "stays"}}],
            },
        },
        "required": ["title"],
    }
