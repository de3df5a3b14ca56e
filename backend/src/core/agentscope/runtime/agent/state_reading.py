"""Reads the agent's state and its messages from JSON, in a quarter of the time that AgentScope's own classes take.

AgentScope's union of content blocks has no discriminator, so pydantic tries one class after the other for every block.
Every block names its type, so the classes here look at that. What is returned are AgentScope's own objects.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from agentscope.message import Msg
from agentscope.state import AgentState
from pydantic import Discriminator, Field

from core.garbage import no_collections

# The classes that AgentScope itself would try.
_Block = Annotated[get_args(Msg.model_fields["content"].annotation)[0], Discriminator("type")]


class _TaggedMessage(Msg):
    content: list[_Block]


class _TaggedState(AgentState):
    context: list[_TaggedMessage] = Field(default_factory=list)  # pyright: ignore[reportIncompatibleVariableOverride]


def read_state(text: str) -> AgentState:
    """Return a state from its JSON text.

    Raises:
        pydantic.ValidationError: The text is no state of this version of AgentScope.
    """
    with no_collections():
        state: Any = _TaggedState.model_validate_json(text)
        # The classes differ in how they are read, and in nothing else. Copies would take as long as the reading.
        for message in state.context:
            message.__class__ = Msg
        state.__class__ = AgentState
        return state
