"""What several reads of one thread need: its row, if it is the caller's, and its open interrupts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agentscope.events import interrupt_status
from core.agentscope.events.interrupt_body import interrupt_body
from core.errors import NotFound
from core.identity import Principal
from models import AgentChatSession, AgentInterrupt


def get_thread_row(
    session: Session, principal: Principal, thread_id: str, default_agent: str | None
) -> AgentChatSession:
    """Return the caller's thread.

    Args:
        session: Of the read.
        principal: The caller.
        thread_id: The thread.
        default_agent: The agent of a thread without an id of one.

    Raises:
        NotFound: The caller has no such thread.
    """
    thread = session.scalar(
        select(AgentChatSession).where(
            AgentChatSession.tenant_id == principal.tenant_id,
            AgentChatSession.user_id == principal.user_id,
            AgentChatSession.thread_id == thread_id,
        )
    )
    if thread is None or not principal.may_see(thread.agent_id or default_agent):
        raise NotFound("No such thread.")
    return thread


def open_interrupts(session: Session, session_id: int) -> list[dict[str, Any]]:
    """Return what the thread waits for, oldest first, as AG-UI's ``Interrupt``."""
    rows = session.scalars(
        select(AgentInterrupt)
        .where(AgentInterrupt.session_id == session_id, AgentInterrupt.status == interrupt_status.OPEN)
        .order_by(AgentInterrupt.id)
    )
    return [
        interrupt_body(
            interrupt_id=row.interrupt_id,
            reason=row.reason,
            message=row.message,
            tool_call_id=row.tool_call_id,
            response_schema=row.response_schema,
            expires_at=row.expires_at,
            metadata=row.details,
        )
        for row in rows
    ]
