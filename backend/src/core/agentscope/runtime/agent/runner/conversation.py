"""Keeps what a runner says in the conversation of the thread, so that the next run and the next worker find it.

An agent whose state is ``run.state`` keeps what it says itself. Everything else that is shown is kept here: texts and
tool calls of the runner, and replies of agents with a state of their own. AgentScope looks for open calls in the last
message, so nothing is put behind the reply of an agent that is still at work or waits; it is put before it.

No I/O. The state is changed in place.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, Literal
from uuid import uuid4

from agentscope import event as agentscope
from agentscope.message import (
    AssistantMsg,
    Msg,
    TextBlock,
    ToolCallBlock,
    ToolCallState,
    ToolResultBlock,
    ToolResultState,
)
from agentscope.state import AgentState

from core.agentscope.runtime.agent.thread_memory import AGENT_NAME
from core.agentscope.runtime.model.legal_history import NO_RESULT
from core.text import clean_text

_BY = "agentroute_by"
_RUNNER = "runner"
_NAME = "agentroute_name"
WAITING = "agentroute_waiting"
"""In the metadata of a message: the name that its author gave to the agent, which is called otherwise in a run."""
_KEPT = (
    agentscope.TextBlockStartEvent,
    agentscope.TextBlockDeltaEvent,
    agentscope.TextBlockEndEvent,
    agentscope.DataBlockStartEvent,
    agentscope.DataBlockDeltaEvent,
    agentscope.DataBlockEndEvent,
    agentscope.ToolCallStartEvent,
    agentscope.ToolCallDeltaEvent,
    agentscope.ToolCallEndEvent,
    agentscope.ToolResultStartEvent,
    agentscope.ToolResultTextDeltaEvent,
    agentscope.ToolResultDataDeltaEvent,
    agentscope.ToolResultEndEvent,
)
"""Not the reasoning: its signatures belong to a request of another conversation."""
_BLOCKS = {"TextBlock": "text", "DataBlock": "data", "ToolCall": "tool_call", "ToolResult": "tool_result"}
"""The kind of the block that an event is about, by the beginning of its name."""

Place = Literal["finished", "submitted", "asking"]


class Conversation:
    """One run's way into the thread's state.

    Args:
        state: Of the thread.
        given: Ids of the messages that are new in this run. They are in the state.
    """

    def __init__(self, state: AgentState, given: Collection[str] = ()) -> None:
        self._state = state
        self._given = frozenset(given)
        self._own: Msg | None = None
        """The message of the runner that is being written."""
        self._behind: list[Msg] = []
        """What was said while an agent was at work with the thread's state."""
        self._shadows: dict[str, Msg] = {}
        """Replies of agents with a state of their own, by id."""
        self._at_work = ""
        """The reply that an agent is writing into the thread's state."""

    # --- the runner's own words --------------------------------------------------

    def text(self, text: str) -> None:
        """Keep a piece of the runner's text."""
        blocks = self._message().content
        if blocks and isinstance(blocks[-1], TextBlock):
            blocks[-1].text += text
        else:
            blocks.append(TextBlock(text=text))

    def end_text(self) -> None:
        """Let the next text begin a message of its own."""
        self._own = None

    def call(self, call_id: str, name: str, arguments: str, state: Place = "finished") -> None:
        """Keep a tool call of the runner. A call with a result is finished, any other waits for somebody."""
        block = ToolCallBlock(id=call_id, name=name, input=arguments, state=ToolCallState(state))
        message = self._message()
        message.content.append(block)
        if not self._at_work and self._state.context[-1] is message:
            # By this id AgentScope tells the calls of the newest reply.
            self._state.reply_id = message.id

    def wait(self, call_id: str) -> None:
        """Let a call wait for the user (again)."""
        for message in reversed([*self._state.context, *self._behind]):
            for call in message.get_content_blocks("tool_call"):
                if call.id == call_id:
                    call.state = "asking"  # pyright: ignore[reportAttributeAccessIssue]  stored by value
                    return

    def result(self, call_id: str, name: str, text: str, state: str) -> None:
        """Keep the result of a call that this run or an earlier one has kept."""
        block = ToolResultBlock(id=call_id, name=name, output=text, state=ToolResultState(state))
        for message in reversed([*self._state.context, *self._behind]):
            for call in message.get_content_blocks("tool_call"):
                if call.id == call_id:
                    call.state = "finished"  # pyright: ignore[reportAttributeAccessIssue]  stored by value
                    message.content.append(block)
                    return

    def _message(self) -> Msg:
        messages, place = self._place_of_next()
        if self._own is not None and place and messages[place - 1] is self._own:
            return self._own
        self._own = AssistantMsg(name=AGENT_NAME, content=[], id=uuid4().hex, metadata={_BY: _RUNNER})
        messages.insert(place, self._own)
        return self._own

    def _place_of_next(self) -> tuple[list[Msg], int]:
        """Return where what is said now belongs: behind everything, but before the reply of an agent that waits."""
        if self._at_work:
            return self._behind, len(self._behind)
        context = self._state.context
        return context, len(context) - (waiting_agent(self._state) is not None)

    # --- agents ------------------------------------------------------------------

    def take(self, event: agentscope.EventBase) -> None:
        """Take in the event of an agent."""
        reply_id = getattr(event, "reply_id", None)
        if reply_id is None:
            return
        if isinstance(event, agentscope.ReplyEndEvent):
            self._ended(reply_id)
        elif self.is_on_state(reply_id):
            if isinstance(event, agentscope.ReplyStartEvent):
                self.without_doubles()
            if self._at_work != reply_id:
                self._settle()
                self._at_work = reply_id
        else:
            self._shadow(reply_id, event)

    def is_on_state(self, reply_id: str) -> bool:
        """Whether the reply is one of an agent whose state is the thread's."""
        return reply_id == self._state.reply_id and reply_id not in self._shadows

    def keep_message(self, message: Msg) -> bool:
        """Keep a whole reply that was not shown piece by piece; False if there is nothing new in it."""
        if message.id in self._shadows:
            return False
        known = any(message.id == each.id for each in self._state.context)
        if not known:
            for text in message.get_content_blocks("text"):
                self.text(clean_text(text.text))
            self.end_text()
        return True

    def _shadow(self, reply_id: str, event: agentscope.EventBase) -> None:
        if not isinstance(event, _KEPT):
            return
        shadow = self._shadows.setdefault(reply_id, AssistantMsg(name=AGENT_NAME, content=[], id=reply_id))
        if _fits(shadow, event):
            shadow.append_event(event)

    def _ended(self, reply_id: str) -> None:
        if self._at_work == reply_id:
            self._at_work = ""
            self._settle()
        elif (shadow := self._shadows.get(reply_id)) is not None:
            self._place(shadow)

    # --- the state ---------------------------------------------------------------

    def without_doubles(self) -> None:
        """Take the user's messages out that are there twice: an agent adds what it is given, and they are there already."""
        if len(kept := self._once(self._state.context)) < len(self._state.context):
            self._state.context[:] = kept

    def _once(self, context: Sequence[Msg]) -> list[Msg]:
        # The last one of each, with what the agent made of it: it replaces media that its model does not take.
        newest = {message.id: message for message in context if message.id in self._given}
        kept: list[Msg] = []
        for message in context:
            if message.id not in self._given:
                kept.append(message)
            elif (given := newest.pop(message.id, None)) is not None:
                kept.append(given)
        return kept

    def end(self) -> None:
        """Put everything that was said into the state. The reply of an agent that waits stays the last message."""
        for shadow in self._shadows.values():
            self._place(shadow)
        self._at_work = ""
        self.without_doubles()
        self._settle()
        self._wait_last()
        self._own = None

    def whole(self) -> AgentState:
        """Return a copy of the state with everything that was said so far, for a checkpoint in the middle of the run."""
        behind = [*self._behind]
        for shadow in self._shadows.values():
            if shadow.content and not self._is_placed(shadow):
                behind.append(shadow.model_copy(update={"content": _closed(copy.deepcopy(shadow.content))}))
        state = self._state.model_copy()
        state.context = [_under_the_name(message) for message in self._once(_joined(self._state, behind))]
        return state

    def _is_placed(self, shadow: Msg) -> bool:
        return any(shadow is each for each in (*self._state.context, *self._behind))

    def _place(self, shadow: Msg) -> None:
        if not shadow.content or self._is_placed(shadow):
            return
        shadow.content = _closed(shadow.content)
        messages, place = self._place_of_next()
        messages.insert(place, shadow)
        self._own = None

    def _settle(self) -> None:
        """Put what was said meanwhile behind the last reply, or before it if that waits for somebody."""
        behind, self._behind = [each for each in self._behind if each.content], []
        if behind:
            self._state.context[:] = _joined(self._state, behind)
            self._own = None

    def _wait_last(self) -> None:
        """AgentScope looks for open calls in the last message, by the id of the reply. So all are put into one."""
        context = self._state.context
        waiting = [message for message in context if is_of_runner(message) and has_open_calls(message)]
        if not waiting:
            return
        last = waiting.pop()
        for message in waiting:
            calls = [block for block in message.content if _is_open(block)]
            message.content = [block for block in message.content if not _is_open(block)]
            last.content[:0] = calls
        # By identity: messages may be equal.
        gone = {id(last), *(id(message) for message in waiting if not message.content)}
        context[:] = [*(message for message in context if id(message) not in gone), last]
        self._state.reply_id = last.id


def _is_open(block: Any) -> bool:
    return isinstance(block, ToolCallBlock) and block.state in (
        ToolCallState.ASKING,
        ToolCallState.SUBMITTED,
    )


def _joined(state: AgentState, behind: Sequence[Msg]) -> list[Msg]:
    context = state.context
    waits = bool(context) and state.has_awaiting_tool_calls(context[-1].name)
    place = len(context) - 1 if waits else len(context)
    return [*context[:place], *behind, *context[place:]]


def _under_the_name(message: Msg) -> Msg:
    if message.role != "assistant" or message.name == AGENT_NAME:
        return message
    return message.model_copy(
        update={"name": AGENT_NAME, "metadata": message.metadata | {_NAME: message.name}}
    )


def open_calls(state: AgentState) -> list[ToolCallBlock]:
    """Return the calls of the last message that wait for the user or the client."""
    last = state.context[-1].content if state.context else []
    return [block for block in last if isinstance(block, ToolCallBlock) and _is_open(block)]


def has_open_calls(message: Msg) -> bool:
    """Whether a call of the message waits for the user or the client."""
    return any(_is_open(call) for call in message.content)


def is_of_runner(message: Msg) -> bool:
    """Whether a message was written by a runner itself, and not by an agent."""
    return message.metadata.get(_BY) == _RUNNER


def hide_names(state: AgentState) -> None:
    """Give all messages of agents the name under which open calls are looked for, and providers take.

    ``show_name`` gives the last one its name again.
    """
    state.context[:] = [_under_the_name(message) for message in state.context]


def show_name(state: AgentState) -> None:
    """Give a last message with open calls the name of its agent again: an agent finds its calls by its own name."""
    if state.context and has_open_calls(last := state.context[-1]) and _NAME in last.metadata:
        last.name = last.metadata.pop(_NAME)


def waiting_agent(state: AgentState) -> str | None:
    """Return the name of the agent whose calls wait, as its author gave it; ``None`` if none waits."""
    if not state.context or not has_open_calls(last := state.context[-1]) or is_of_runner(last):
        return None
    return last.metadata.get(WAITING) or last.metadata.get(_NAME) or last.name


def _fits(message: Msg, event: Any) -> bool:
    """Whether AgentScope can add the event to a message. It may repeat the start of a call; that is one call."""
    name = type(event).__name__
    kind = next(kind for prefix, kind in _BLOCKS.items() if name.startswith(prefix))
    block_id = event.tool_call_id if kind.startswith("tool") else event.block_id
    known = {(block.type, block.id) for block in message.content}
    if not name.endswith("StartEvent"):
        return (kind, block_id) in known
    return (kind, block_id) not in known and (kind != "tool_result" or ("tool_call", block_id) in known)


def _closed(blocks: Sequence[Any]) -> list[Any]:
    """Return the blocks with a result for each call: providers refuse a call without one."""
    known = {block.id for block in blocks if isinstance(block, ToolCallBlock)}
    answered = {block.id for block in blocks if isinstance(block, ToolResultBlock)}
    made = [block for block in blocks if not isinstance(block, ToolResultBlock) or block.id in known]
    for block in made:
        if isinstance(block, TextBlock):
            block.text = clean_text(block.text)
        elif isinstance(block, ToolCallBlock):
            block.input = clean_text(block.input)
        elif isinstance(block, ToolResultBlock):
            for said in block.output if isinstance(block.output, list) else ():
                if isinstance(said, TextBlock):
                    said.text = clean_text(said.text)
            if block.state == ToolResultState.RUNNING:
                block.state = ToolResultState.INTERRUPTED
    for block in blocks:
        if isinstance(block, ToolCallBlock):
            block.state = "finished"  # pyright: ignore[reportAttributeAccessIssue]  stored by value
            if block.id not in answered:
                made.append(
                    ToolResultBlock(
                        id=block.id, name=block.name, output=NO_RESULT, state=ToolResultState.INTERRUPTED
                    )
                )
    return made
