from __future__ import annotations

import subprocess
import sys

from core.agentscope.tools.memory_store import InMemoryMemoryStore
from core.agentscope.tools.registry import builtin_tools
from core.config import ToolSettings


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


def test_tools_do_not_import_agentscope() -> None:
    code = "import sys; import core.agentscope.tools.registry, core.agentscope.tools.tool_listing; sys.exit('agentscope' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
