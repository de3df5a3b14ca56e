"""An interrupt may be about the run itself, without a tool call."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0008"

_OF_THE_CALL = ("tool_call_id", "tool_name", "arguments", "arguments_sha256")


def upgrade() -> None:
    for column in _OF_THE_CALL:
        op.alter_column("agent_interrupt", column, nullable=True)
    op.create_check_constraint(
        op.f("ck_agent_interrupt_tool_call"),
        "agent_interrupt",
        "num_nulls(tool_call_id, tool_name, arguments, arguments_sha256) IN (0, 4)",
    )


def downgrade() -> None:
    # The older version cannot ask about a run; its user sends a new message instead of the answer.
    op.execute("DELETE FROM agent_interrupt WHERE tool_call_id IS NULL")
    op.drop_constraint(op.f("ck_agent_interrupt_tool_call"), "agent_interrupt")
    for column in _OF_THE_CALL:
        op.alter_column("agent_interrupt", column, nullable=False)
