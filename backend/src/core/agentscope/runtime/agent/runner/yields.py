"""What a runner yields → ``InternalRuntimeEvent``. Pure but for the conversation, which it keeps as it goes.

* A string is text. Pieces that follow each other are one message; a call, a result, an agent's event or ``MessageEnd``
  ends it. Whatever is open is closed, at the latest when the runner ends.
* An agent's events are translated by a translator of each reply: several agents may speak one after the other, or at
  the same time.
* A call of the runner is whole: begun, argued and ended at once. It gets one result: the runner's, the client's, or one
  that says that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from agentscope import event as agentscope
from agentscope.message import Msg, ToolCallBlock

from core.agentscope.runtime.agent.agent_attachments import own_event
from core.agentscope.runtime.agent.agent_events import AgentEventTranslator, new_id
from core.agentscope.runtime.agent.runner import events as public
from core.agentscope.runtime.agent.runner.conversation import Conversation
from core.agentscope.runtime.agent.runner.own_voice import OwnVoice, YieldRefused
from core.agentscope.runtime.model.chat_opaque import OpaqueValue
from core.agentscope.schemas import internal_events as internal
from core.agentscope.schemas.agent_runtime import InternalRuntimeEvent
from core.agentscope.tools.result_text import fit_text

_KINDS = "a string, an event of agentroute.agents, or an event of AgentScope"
_WAITS = (
    "an agent with a state of its own waits for the user or the client, and nobody could give it the answer; "
    "give it state=run.state"
)


class RunnerTranslator:
    """Translates what one call of a runner yields, in order.

    Args:
        translator: Returns a translator for one reply of an agent.
        conversation: Keeps what is said.
        client_tools: Names of the tools that the client carries out.
        client_calls: Calls that earlier runs handed to the client. Their results come from the client, so none is shown.
        known_calls: All calls that the thread remembers.
        expires_at: When a question that is asked now expires.
        max_bytes: Largest content that an event carries.
    """

    def __init__(
        self,
        translator: Callable[[], AgentEventTranslator],
        conversation: Conversation,
        *,
        client_tools: Collection[str] = (),
        client_calls: Collection[str] = (),
        known_calls: Collection[str] = (),
        expires_at: Callable[[], datetime],
        max_bytes: int,
    ) -> None:
        self.asked_calls: set[str] = set()
        """Calls whose approval was asked for."""
        self.exceeded_iterations = False
        """Whether the newest agent has used up its steps."""
        self._own = OwnVoice(
            conversation,
            client_tools=client_tools,
            known_calls=known_calls,
            expires_at=expires_at,
            max_bytes=max_bytes,
        )
        self._translator = translator
        self._conversation = conversation
        self._client_calls = set(client_calls)
        self._to_client: set[str] = set()
        """Calls of agents that are the client's to make."""
        self._max_bytes = max_bytes
        self._replies: dict[str, AgentEventTranslator] = {}
        self._loose: list[InternalRuntimeEvent] = []
        """Usage and notes that belong to no reply of an agent; shown before the next event."""

    @property
    def answered(self) -> bool:
        """Whether the runner has said or shown anything that is an answer."""
        return self._own.answered or any(reply.wrote_text for reply in self._replies.values())

    @property
    def questions(self) -> dict[str, str]:
        """The ids that the runner gave to its questions, by the id of the interrupt."""
        return self._own.questions

    # --- what model calls say beside the events ----------------------------------

    def record(self, usage: internal.ModelUsage) -> None:
        """Take in a finished model call: of the agent that is at work, or of the runner itself."""
        if (reply := self._writing()) is not None:
            reply.record(usage)
            return
        self._loose.append(self._own.record(usage))

    def keep(self, value: OpaqueValue) -> None:
        """Take in what a provider wants back; only an agent's conversation has a place for it."""
        if (reply := self._writing()) is not None:
            reply.keep(value)

    def announce(self, event: InternalRuntimeEvent) -> None:
        """Take in an event from between two model calls; it is shown before the next event."""
        self._loose.append(event)

    def _writing(self) -> AgentEventTranslator | None:
        writing = [reply for reply in self._replies.values() if reply.is_writing]
        return writing[0] if len(writing) == 1 else None

    # --- what is yielded ---------------------------------------------------------

    def translate(self, given: Any) -> list[InternalRuntimeEvent]:
        """Return what was yielded in our words: none, one or several events.

        Raises:
            YieldRefused: It cannot be shown.
        """
        if isinstance(given, agentscope.CustomEvent):
            self.shared_changed()
            events: list[InternalRuntimeEvent] | None = [own_event(given, self._max_bytes)]
        elif isinstance(given, agentscope.EventBase):
            events = self._of_agent(given)
        elif isinstance(given, Msg) and given.id in self._replies:
            # It was shown piece by piece.
            events = []
        else:
            events = self._own.say(given)
        if events is None:
            raise YieldRefused(f"it yielded {type(given).__name__}; yield {_KINDS}")
        return [*self._drained(), *events]

    def shared_changed(self) -> None:
        """Note that something was shown beside texts. That is an answer, too."""
        self._own.answered = True

    def end(self, *, cut: bool) -> list[InternalRuntimeEvent]:
        """Close everything that is open, and give each call a result that has none.

        Args:
            cut: The runner broke off: what it wrote is shown and marked as incomplete.
        """
        events: list[InternalRuntimeEvent] = []
        for reply in self._replies.values():
            events += reply.end_model_call(cut=True)
        events += self._own.end(cut=cut)
        self._conversation.end()
        return [*self._drained(), *events]

    def _drained(self) -> list[InternalRuntimeEvent]:
        loose, self._loose = self._loose, []
        return loose

    # --- agents ------------------------------------------------------------------

    def _of_agent(self, event: agentscope.EventBase) -> list[InternalRuntimeEvent]:
        reply_id = getattr(event, "reply_id", None)
        if not isinstance(reply_id, str):
            return []
        waits = isinstance(
            event, agentscope.RequireUserConfirmEvent | agentscope.RequireExternalExecutionEvent
        )
        if waits and not self._conversation.is_on_state(reply_id):
            raise YieldRefused(_WAITS)
        self._conversation.take(event)
        if reply_id not in self._replies:
            self._replies[reply_id] = self._translator()
        reply = self._replies[reply_id]
        events = reply.translate(event)  # pyright: ignore[reportArgumentType]  an unknown event is skipped there
        self.exceeded_iterations = reply.exceeded_iterations
        if isinstance(event, agentscope.RequireUserConfirmEvent):
            self.asked_calls.update(call.id for call in event.tool_calls)
        shown = [each for each in events if not self._is_of_client(each)]
        return [*(self._own.end_message() if shown else []), *shown]

    def _is_of_client(self, event: InternalRuntimeEvent) -> bool:
        """Whether an event repeats the client's own result. A call with an error never went out to the client."""
        if isinstance(event, internal.ToolCallStarted):
            self._own.seen_calls.add(event.tool_call_id)
            if event.name in self._own.client_tools:
                self._to_client.add(event.tool_call_id)
        return isinstance(event, internal.ToolResult) and (
            event.tool_call_id in self._client_calls
            or (event.tool_call_id in self._to_client and event.state not in ("error", "denied"))
        )

    # --- calls beside the yields -------------------------------------------------

    def asking_call(self, call: public.ToolCall) -> list[InternalRuntimeEvent]:
        """Return the events of a call of the runner that waits for the user's approval."""
        return [*self._drained(), *self._own.asking_call(call)]

    def waits(self, call_id: str) -> None:
        """Let an open call of the runner wait for the user."""
        self._own.waits(call_id)

    def reopen(self, call_id: str, name: str) -> None:
        """Let a call of an earlier run have its result here."""
        self._own.reopen(call_id, name)

    def client_tool(self, name: str) -> None:
        """Note the name of another tool that the client carries out."""
        self._own.client_tools.add(name)

    def hidden_call(self, call_id: str, name: str, arguments: str) -> list[InternalRuntimeEvent]:
        """Return the events of a call of an agent whose own events the runner does not show."""
        self._own.seen_calls.add(call_id)
        return [
            *self._drained(),
            internal.ToolCallStarted(tool_call_id=call_id, name=name),
            internal.ToolCallArguments(tool_call_id=call_id, delta=arguments),
            internal.ToolCallEnded(tool_call_id=call_id),
        ]

    def hidden_result(self, call_id: str, text: str, state: internal.ToolState) -> list[InternalRuntimeEvent]:
        """Return the result of such a call."""
        return [
            *self._drained(),
            internal.ToolResult(
                message_id=new_id("res"),
                tool_call_id=call_id,
                content=fit_text(text, self._max_bytes),
                state=state,
            ),
        ]

    def approval(self, call: ToolCallBlock) -> list[InternalRuntimeEvent]:
        """Return the question whether a call may be made."""
        self.asked_calls.add(call.id)
        return self._translator().translate(
            agentscope.RequireUserConfirmEvent(reply_id="", tool_calls=[call])
        )

    def knows(self, call_id: str) -> bool:
        """Whether the call was shown, by this run or an earlier one."""
        return call_id in self._own.seen_calls
