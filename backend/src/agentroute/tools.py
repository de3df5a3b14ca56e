"""The imports for a module of your own tools. A tool is a typed function with a docstring in Google style:

    from agentroute.tools import ToolContext, ToolError, tool


    @tool(permission="ask", editable=True)
    async def send_mail(to: str, subject: str, context: ToolContext) -> str:
        \"\"\"Send a mail.

        Args:
            to: Address of the receiver.
            subject: One line.
        \"\"\"
        if "@" not in to:
            raise ToolError("The address is not one. Ask the user for it.")
        return f"Sent to {to}."

A profile names the tool as ``import = "shop_tools:send_mail"``. It may also name a plain function, a generator, a
``FunctionTool`` or another ``ToolBase`` of AgentScope, or a list of such; ``@tool`` adds what only the author knows:
whether arguments may be edited, a timeout, that a call changes nothing. A test of your own calls it without a server:

    context = ToolContext(Principal("shop", "user-1"), thread_id="t-1", run_id="r-1", tool_call_id="c-1")
    outcome = await send_mail.call({"to": "a@example.org", "subject": "Hello"}, context)
    assert outcome == ToolOutcome("success", "Sent to a@example.org.")

These names are stable. Everything below ``core`` may change with any release. The import is quick: it loads neither
AgentScope nor a web framework nor a database driver.
"""

from __future__ import annotations

from core.agentscope.tools.errors import ToolDefinitionError, ToolError
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import Permission, SharedState, Tool, ToolContext, ToolOutcome
from core.identity import Principal

__all__ = [
    "Permission",
    "Principal",
    "SharedState",
    "Tool",
    "ToolContext",
    "ToolDefinitionError",
    "ToolError",
    "ToolOutcome",
    "tool",
]
