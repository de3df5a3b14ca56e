from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.memory_store import InMemoryMemoryStore
from core.agentscope.tools.registry import builtin_tools, load_tool
from core.agentscope.tools.spec import ToolContext, ToolOutcome
from core.config import ToolSettings

USER_MODULE = '''
from core.agentscope.tools.function_tool import tool

@tool(permission="allow", read_only=True)
def shout(text: str) -> str:
    """Say it loud."""
    return text.upper()

def plain(text: str) -> str:
    """Not a tool."""
    return text

class box:
    inner = shout
'''


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"user_tools_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(USER_MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import nothing_that_exists")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_builtin_tools_have_the_permissions_we_promise() -> None:
    tools = builtin_tools(ToolSettings(), InMemoryMemoryStore())

    assert {name: (tool.permission, tool.editable, tool.read_only) for name, tool in tools.items()} == {
        "current_time": ("allow", False, True),
        "calculate": ("allow", False, True),
        "fetch_url": ("ask", True, False),
        "remember": ("ask", True, False),
        "recall": ("allow", False, True),
        "update_state": ("allow", False, False),
    }
    assert all(name == tool.name for name, tool in tools.items())


def test_builtin_tools_keep_the_settings_limits() -> None:
    settings = ToolSettings(timeout_seconds=3, max_result_bytes=4096)

    tools = builtin_tools(settings, InMemoryMemoryStore()).values()

    assert {(tool.timeout_seconds, tool.max_result_bytes) for tool in tools} == {(3, 4096)}


def test_builtin_tools_describe_every_argument() -> None:
    for tool in builtin_tools(ToolSettings(), InMemoryMemoryStore()).values():
        schema = tool.json_schema()
        assert schema["additionalProperties"] is False
        assert all(argument["description"] for argument in schema["properties"].values()), tool.name


@pytest.mark.parametrize("attribute", ["shout", "box.inner"])
async def test_user_s_tool_is_loaded_by_reference(
    user_module: str, context: ToolContext, attribute: str
) -> None:
    tool = load_tool(f"{user_module}:{attribute}", ToolSettings(timeout_seconds=3))

    assert tool.timeout_seconds == 3
    assert await tool.call({"text": "hi"}, context) == ToolOutcome("success", "HI")


@pytest.mark.parametrize(
    ("suffix", "complaint"),
    [
        ("", "package.module:attribute"),
        (":", "package.module:attribute"),
        (":shout()", "package.module:attribute"),
        (":absent", "has no absent"),
        (":plain", "put @tool"),
        (".sub:shout", "cannot import"),
        ("_broken:shout", "nothing_that_exists"),
    ],
)
def test_wrong_reference_says_what_is_wrong(user_module: str, suffix: str, complaint: str) -> None:
    with pytest.raises(ToolDefinitionError, match=complaint):
        load_tool(user_module + suffix)


def test_tools_do_not_import_agentscope() -> None:
    code = "import sys; import core.agentscope.tools.registry; sys.exit('agentscope' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
