"""``update_state``: edits the state that the agent and the user's application share (AG-UI shared state)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.agentscope.tools.errors import ToolError
from core.agentscope.tools.function_tool import tool
from core.agentscope.tools.spec import Tool, ToolContext

NAME = "update_state"
MAX_OPERATIONS = 100


class StateOperation(BaseModel):
    """One JSON Patch operation (RFC 6902)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str = Field(description="JSON Pointer, for example /items/0 or /items/- to append")
    from_: str | None = Field(default=None, alias="from", description="JSON Pointer, for move and copy")
    value: Any = Field(default=None, description="for add, replace and test")

    def wire(self) -> dict[str, Any]:
        """Return the operation as RFC 6902 writes it."""
        body: dict[str, Any] = {"op": self.op, "path": self.path}
        if self.op in ("move", "copy"):
            body["from"] = self.from_ or ""
        if self.op in ("add", "replace", "test"):
            body["value"] = self.value
        return body


Operations = Annotated[list[StateOperation], Field(min_length=1, max_length=MAX_OPERATIONS)]


def update_state_tool() -> Tool:
    """Build the tool; the run gives it its state through the context."""

    @tool(permission="allow", name=NAME)
    async def update_state(context: ToolContext, operations: Operations) -> str:
        """Change the state shared with the user's application by a JSON Patch; all operations or none.

        Args:
            operations: RFC 6902 operations, applied in order.
        """
        if context.shared_state is None:
            raise ToolError("There is no shared state in this conversation.")
        return await context.shared_state.patch([operation.wire() for operation in operations])

    return update_state
