"""What the messages in a request show about the client's copy of the thread.

Stock AG-UI clients send all their messages with every run. The missing messages show whether the copy is behind, in
which order the client would place a snapshot (docs/adr/0013), and whether the client has seen the thread's newest
state (docs/adr/0012).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.agentscope.runtime.accept.new_messages import NewMessages
from core.agentscope.schemas.agent_runtime import MessagesSnapshotMode, RunCommand
from models import AgentChatMessage, AgentChatSession


class ClientCopy:
    """One request's copy of its thread.

    Args:
        session: An open transaction that holds the thread's lock.
        thread: The thread, with what the request replaces marked already.
        command: The request.
        known: Those of its message ids that are in the thread's history.
    """

    def __init__(
        self,
        session: AsyncSession,
        thread: AgentChatSession,
        command: RunCommand,
        known: Collection[str],
    ) -> None:
        self._session = session
        self._thread = thread
        self._command = command
        self._known = known
        self._shown = (
            AgentChatMessage.session_id == thread.id,
            AgentChatMessage.replaced_by_ordinal.is_(None),
        )

    async def snapshot(self, new: NewMessages, *, waits: bool) -> MessagesSnapshotMode:
        """Return how the run begins: with the messages (``always``), with them after none (``anew``), or not.

        Args:
            new: The messages of the request that count.
            waits: The run waits behind another, whose messages will come before its own.
        """
        asked = self._command.options().messages_snapshot
        if asked == "anew" or (asked == "auto" and not await self._is_behind()):
            return "anew" if asked == "anew" else "never"
        if asked == "never":
            return asked
        brought = [message.id for message in (*new.imported, *new.fresh)]
        known = select(AgentChatMessage.message_id).where(
            *self._shown, AgentChatMessage.message_id.in_(self._known)
        )
        in_snapshot = {*brought, *await self._session.scalars(known)}
        held = [message.id for message in self._command.messages if message.id in in_snapshot]
        # As many of the snapshot's messages as the client holds, not all of them: a thread may have thousands.
        first = select(AgentChatMessage.message_id).where(*self._shown).order_by(AgentChatMessage.position)
        begins = [*await self._session.scalars(first.limit(len(held))), *brought]
        return "anew" if waits or not keeps_order(held, begins) else "always"

    async def brings_state(self) -> bool:
        """Tell whether the request's state is the thread's from now on.

        A client that was never given a state sends an empty one with every run.
        Empty counts from a client that has the thread's newest message: what
        brought it that, a stream or history, brought it the state, too.
        """
        state = self._command.state
        if state is None or state != {}:
            return state is not None
        if self._thread.state is None or self._thread.state == {}:
            return False
        ids = (
            select(AgentChatMessage.message_id).where(*self._shown).order_by(AgentChatMessage.position.desc())
        )
        return await self._session.scalar(ids.limit(1)) in self._known

    async def _is_behind(self) -> bool:
        """Tell whether a client that shows the conversation lacks a message of it, or still has a replaced one."""
        if not self._known and self._command.protocol_version is None:
            # A client that sends new messages only keeps its own view; it reads GET /history.
            return False
        # The row's own number, not counted: a thread may have thousands. Read anew, for what was replaced just now.
        all_shown = select(AgentChatSession.last_position - AgentChatSession.hidden_positions).where(
            AgentChatSession.id == self._thread.id
        )
        sent_ones = select(func.count()).where(*self._shown, AgentChatMessage.message_id.in_(self._known))
        counts = select(all_shown.scalar_subquery(), sent_ones.scalar_subquery())
        shown, sent = (await self._session.execute(counts)).one()
        return sent < shown or sent < len(self._known)


def keeps_order(held: Sequence[str], begins: Sequence[str]) -> bool:
    """Tell whether the official client has a snapshot's messages in the snapshot's order afterwards.

    What it holds and the snapshot has stays where it is, the rest is put at the end. So the order is the snapshot's
    exactly if the snapshot begins with what the client holds.

    Args:
        held: Ids of the messages of the snapshot that the client holds, in its order.
        begins: Ids of the snapshot, at least as many from its beginning.

    Source: ``@ag-ui/client`` 1.0.0 and 0.0.59, ``apply/default.ts``.
    """
    return list(held) == list(begins[: len(held)])
