"""The tools of a profile, for the worker and for what the API lists."""

from __future__ import annotations

from typing import Any

import pytest

from core.agentscope.runtime.profile.profile import AgentProfile, load_profile
from core.agentscope.runtime.profile.profile_tools import offered_tools, profile_tools
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.memory_store import InMemoryMemoryStore
from core.config import Settings

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
    assert [tool.name for tool, _ in offered_tools(mixed, SETTINGS)] == [names[1]]


@pytest.mark.parametrize("permission", ["allow", "deny"])
def test_a_tool_that_is_not_there_is_refused_whatever_its_permission(permission: str) -> None:
    with pytest.raises(ToolDefinitionError, match="no built-in tool has this name"):
        offered_tools(profile({"name": "no_such_tool", "permission": permission}), SETTINGS)
