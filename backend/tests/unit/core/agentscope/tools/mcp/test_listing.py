"""Which tools of an MCP server a model gets, and in which form."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.tools.mcp.listing import MAX_DESCRIPTION_BYTES, MAX_TOOLS, ListedTool, offer
from core.agentscope.tools.mcp.policy import McpPolicy
from core.agentscope.tools.spec import Permission

ANY: dict[str, Any] = {"type": "object"}


def listed(*names: str, schema: Any = ANY) -> list[ListedTool]:
    return [ListedTool(name, f"Does {name}.", schema) for name in names]


def policy(
    allow: tuple[str, ...] | None = None, permission: Permission = "ask", **permissions: Permission
) -> McpPolicy:
    return McpPolicy("s", allow, permission, tuple(permissions.items()))


@pytest.mark.parametrize(
    ("allow", "names"),
    [
        (None, ["search_code", "search_all", "get", "Search_x"]),
        ((), []),
        (("search_*",), ["search_code", "search_all"]),
        (("get", "*_all"), ["search_all", "get"]),
    ],
)
def test_only_allowed_tools_are_offered_in_the_servers_order(
    allow: tuple[str, ...] | None, names: list[str]
) -> None:
    made = offer(policy(allow), listed("search_code", "search_all", "get", "Search_x"))

    assert [tool.listed_name for tool in made.tools] == names


def test_permissions_of_single_tools_go_by_name_then_by_the_first_pattern() -> None:
    chosen = McpPolicy("s", None, "ask", (("get_*", "allow"), ("get_secret", "deny"), ("*", "ask")))

    made = offer(chosen, listed("get_issue", "get_secret", "delete"))

    assert [(tool.listed_name, tool.permission) for tool in made.tools] == [
        ("get_issue", "allow"),
        ("delete", "ask"),
    ]


def test_schemas_are_flattened_objects_and_a_bad_one_costs_only_its_own_tool() -> None:
    refers = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/text"}},
        "$defs": {"text": {"type": "string"}},
    }
    outside = {"type": "object", "properties": {"a": {"$ref": "https://example.org/schema"}}}
    tools = [*listed("good", schema=refers), *listed("bad", schema=outside), *listed("none", schema=None)]

    made = offer(policy(), [*tools, *listed("bare", schema={})])

    assert {tool.listed_name: tool.schema for tool in made.tools} == {
        "good": {"type": "object", "properties": {"a": {"type": "string"}}},
        "bare": {"type": "object", "properties": {}},
    }
    assert made.problems == (
        "s__bad is left out: its schema /properties/a/$ref must name a part of the same schema, such as '#/$defs/name'",
        "s__none is left out: its schema is no object",
    )


def test_schemas_have_a_limit_together_and_patterns_a_budget() -> None:
    large = {"type": "object", "properties": {"a": {"enum": ["x" * 50_000]}}}
    costly = {"type": "object", "properties": {str(n): {"pattern": f"[a-z]{{1,999}}{n}"} for n in range(100)}}

    sizes = offer(policy(), listed(*map(str, range(8)), schema=large))
    patterns = offer(policy(), listed("first", schema=costly))

    assert 0 < len(sizes.tools) < 8
    assert "together with the tools before it" in sizes.problems[0]
    assert not patterns.tools
    assert "together with the patterns before it" in patterns.problems[0]


def test_too_many_tools_long_descriptions_and_useless_patterns_are_named() -> None:
    many = offer(policy(), listed(*(f"t{number}" for number in range(MAX_TOOLS + 3))))
    wordy = offer(policy(), [ListedTool("a", "\x00" + "ä" * 9000, ANY), ListedTool("b", "  ", ANY)])
    misspelt = offer(policy(("serach_*",)), listed("search_code"))

    assert len(many.tools) == MAX_TOOLS
    assert many.problems == (f"3 tools more than {MAX_TOOLS} are left out; set allow",)
    assert len(wordy.tools[0].description.encode()) <= MAX_DESCRIPTION_BYTES
    assert "\x00" not in wordy.tools[0].description
    assert wordy.tools[1].description == "b"
    assert misspelt.problems == ("no tool fits 'serach_*'",)


def test_a_tool_that_is_listed_twice_is_offered_once() -> None:
    made = offer(policy(), listed("a", "a"))

    assert [tool.name for tool in made.tools] == ["s__a"]
    assert made.problems == ("s__a is listed twice",)
