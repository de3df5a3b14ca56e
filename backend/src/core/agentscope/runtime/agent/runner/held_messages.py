"""Messages of the user that a run has not given to the runner: they wait in the state for the next run.

A request may bring answers and a new message. The runner hears the answers first. If it asks something else then, the
run ends there: behind a message its questions would not be found. See docs/adr/0044.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentscope.message import Msg
from agentscope.state import AgentState

_MESSAGES = "agentroute_messages"
"""In the state's ``middle_context``."""


def held_messages(state: AgentState) -> list[Msg]:
    """Take the messages out of the state."""
    return [Msg.model_validate(each) for each in state.middle_context.pop(_MESSAGES, ())]


def with_messages_held(state: AgentState, messages: Iterable[Msg]) -> AgentState:
    """Return the state with the messages in it; the one that is given is not changed."""
    kept = [message.model_dump(mode="json") for message in messages]
    return state.model_copy(update={"middle_context": state.middle_context | {_MESSAGES: kept}})
