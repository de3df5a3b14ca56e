"""A chat model that says what it is told to: for tests with AgentScope's real agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from agentscope.agent import Agent, InjectionConfig, ReActConfig
from agentscope.credential import CredentialBase
from agentscope.message import Msg, TextBlock, ToolCallBlock
from agentscope.middleware import MiddlewareBase
from agentscope.model import ChatModelBase, ChatResponse
from agentscope.state import AgentState
from agentscope.tool import ToolChoice, Toolkit

from core.agentscope.runtime.model.chat_request import ChatFormatter

HANG = "hang"
"""In a turn: the model says nothing more until it is cancelled."""

Turn = list[str | ToolCallBlock | Exception]


class ScriptedModel(ChatModelBase):
    """Streams one turn a call: texts, tool calls, then its end, a failure or silence."""

    def __init__(self, *turns: Turn) -> None:
        super().__init__(
            credential=CredentialBase(name="here"),
            model="small",
            parameters=self.Parameters(),
            max_retries=0,
            context_size=100_000,
        )
        self.formatter = ChatFormatter()
        self.turns = list(turns)
        self.seen: list[list[Msg]] = []
        """The messages of each call."""
        self.hangs = asyncio.Event()

    async def _call_api(
        self,
        model_name: str,
        messages: list[Msg],
        tools: list[dict[str, Any]] | None = None,
        tool_choice: ToolChoice | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatResponse, None]:
        self.seen.append(messages)
        return self._stream(self.turns.pop(0))

    async def _stream(self, turn: Turn) -> AsyncGenerator[ChatResponse, None]:
        for piece in turn:
            if isinstance(piece, Exception):
                raise piece
            if piece == HANG:
                self.hangs.set()
                await asyncio.Event().wait()
            block = TextBlock(id="text", text=piece) if isinstance(piece, str) else piece
            yield ChatResponse(content=[block], is_last=False)


def agent_on(
    model: ScriptedModel, toolkit: Toolkit | None = None, middlewares: list[MiddlewareBase] | None = None
) -> Agent:
    """Return an agent as the runtime builds it."""
    return Agent(
        name="assistant",
        system_prompt="Be brief.",
        model=model,
        toolkit=toolkit or Toolkit(),
        middlewares=middlewares,
        state=AgentState(session_id="t-1"),
        react_config=ReActConfig(interruption_raise_cancelled_error=True),
        injection_config=InjectionConfig(inject_runtime_state=False),
    )
