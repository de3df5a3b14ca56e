"""The tools of a profile, for the worker and for what the API lists."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.runtime.profile.knowledge import Knowledge
from core.agentscope.runtime.profile.profile import AgentProfile, Subagent, load_profile
from core.agentscope.runtime.profile.profile_tools import offered_tools, profile_tools, subagent_tools
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.foreign_tools import ForeignTool
from core.agentscope.tools.imported_tools import load_tools
from core.agentscope.tools.memory_store import InMemoryMemoryStore
from core.agentscope.tools.spec import Permission, Tool
from core.config import Settings, ToolSettings

SETTINGS = Settings().tools


def profile(*tools: dict[str, Any]) -> AgentProfile:
    return AgentProfile.model_validate(load_profile(None).model_dump() | {"tools": tools})


def test_the_worker_knows_denied_tools_and_the_api_lists_only_the_others() -> None:
    chosen = load_profile(None)
    names = [tool.name for tool, _ in profile_tools(chosen, SETTINGS, InMemoryMemoryStore())]
    denied = {"name": names[0], "permission": "deny"}
    allowed = {"name": names[1], "permission": "allow"}
    mixed = profile(denied, allowed)

    found = profile_tools(mixed, SETTINGS, InMemoryMemoryStore())

    assert [(tool.name, permission) for tool, permission in found] == [
        (names[0], "deny"),
        (names[1], "allow"),
    ]
    assert [tool.name for tool, _ in offered_tools(mixed, SETTINGS, load_tools)] == [names[1]]


@pytest.mark.parametrize("permission", ["allow", "deny"])
def test_a_tool_that_is_not_there_is_refused_whatever_its_permission(permission: str) -> None:
    with pytest.raises(ToolDefinitionError, match="no built-in tool has this name"):
        offered_tools(profile({"name": "no_such_tool", "permission": permission}), SETTINGS, load_tools)


def foreign(stated: Permission | None) -> Tool:
    return ForeignTool(
        name="pay",
        description="Pays.",
        handler=lambda *_: "",
        permission="ask",
        original=None,
        stated=stated,
    )


@pytest.mark.parametrize(
    ("of_profile", "stated", "holds"),
    [
        ("allow", None, "allow"),
        ("allow", "ask", "ask"),
        ("allow", "deny", "deny"),
        ("ask", "deny", "deny"),
        ("ask", None, "ask"),
        ("deny", "ask", "deny"),
    ],
)
def test_the_stricter_of_the_profile_and_a_tool_of_agentscope_holds(
    of_profile: Permission, stated: Permission | None, holds: str
) -> None:
    chosen = profile({"import": "shop:pay", "permission": of_profile})

    found = profile_tools(chosen, SETTINGS, InMemoryMemoryStore(), lambda _name, _settings: [foreign(stated)])

    assert [permission for _, permission in found] == [holds]


@pytest.mark.parametrize(
    ("more", "taken_by"),
    [
        ({"tools": [{"import": "shop:pay", "permission": "ask"}, {"import": "shop:also", "permission": "ask"}]},
         "shop:also: the name pay is taken by shop:pay"),
        ({"tools": [{"import": "shop:pay", "permission": "ask"}],
          "subagents": [{"name": "pay", "description": "d", "prompt": "p"}]},
         "shop:pay: the name pay is taken by a subagent"),
    ],
    ids=["two tools", "a tool and a subagent"],
)  # fmt: skip
def test_two_of_one_name_are_refused(more: dict[str, Any], taken_by: str) -> None:
    chosen = AgentProfile.model_validate({"name": "A", "description": "d"} | more)

    def load(_reference: str, _settings: ToolSettings) -> list[Tool]:
        return [foreign(None)]

    with pytest.raises(ToolDefinitionError, match=taken_by):
        profile_tools(chosen, SETTINGS, InMemoryMemoryStore(), load)


@pytest.mark.parametrize(
    ("settings", "offered"),
    [
        ({}, ["search_knowledge"]),
        ({"name": "look"}, ["look"]),
        ({"when": "always"}, []),
        ({"when": "code"}, []),
    ],
)
def test_the_search_is_a_tool_if_the_profile_says_so(settings: dict[str, Any], offered: list[str]) -> None:
    # The module of the function is not there: the API process does not look for it.
    knowing = profile().model_copy(
        update={"knowledge": Knowledge.model_validate({"retrieve": "nowhere:search"} | settings)}
    )

    assert [(tool.name, permission) for tool, permission in offered_tools(knowing, SETTINGS, load_tools)] == [
        (name, "allow") for name in offered
    ]


def test_the_search_tool_does_not_take_the_name_of_another() -> None:
    knowledge = Knowledge(retrieve="a:b", name="calculate")
    knowing = profile({"name": "calculate", "permission": "allow"}).model_copy(
        update={"knowledge": knowledge}
    )

    with pytest.raises(
        ToolDefinitionError, match=r"knowledge\.name: the name calculate is taken by a built-in tool"
    ):
        offered_tools(knowing, SETTINGS, load_tools)


def test_a_subagent_s_tool_that_asks_by_itself_is_refused_with_the_reason() -> None:
    subagent = Subagent(name="clerk", description="d", prompt="p", tools=("pay",))

    with pytest.raises(ToolDefinitionError, match="a subagent cannot ask the user; the tool itself says ask"):
        subagent_tools(subagent, [(foreign("ask"), "ask")])
