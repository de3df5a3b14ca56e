"""The intent stage: one structured model call that says what kind of request this is."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import structlog
from agentscope.exception import StructuredOutputError
from agentscope.message import DataBlock, Msg, SystemMsg, UserMsg
from agentscope.state import AgentState
from agentscope.tool import ToolChoice
from pydantic import BaseModel, Field, ValidationError

from core.agentscope.runtime.model.chat_errors import ModelRejected
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.agentscope.runtime.model.request_form import STRUCTURED
from core.errors import ContextTooLong

log = structlog.get_logger(__name__)

RECENT_MESSAGES = 6
"""Messages before the new one that the intent may depend on."""
MAX_MESSAGE_CHARS = 2000
ATTACHMENT = "[an attachment]"


class Intent(BaseModel):
    """How the user's last message is to be handled."""

    kind: Literal["chat", "task"] = Field(description="chat: one reply is enough; task: needs tools or steps")
    language: str = Field(default="", description="BCP 47 tag of the user's language", max_length=35)
    needs_tools: bool = Field(description="whether a tool must be called")
    plan: list[str] = Field(default_factory=list, description="two to five short steps of a task")

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the schema, which AgentScope asks for in every call; without arguments it is built once and shared."""
        return super().model_json_schema(*args, **options) if args or options else _schema()


@cache
def _schema() -> dict[str, Any]:
    return super(Intent, Intent).model_json_schema()


UNKNOWN = Intent(kind="task", needs_tools=True)
"""Used when the answer cannot be read: the agent is given all its tools."""


async def find_intent(
    model: OpenAICompatibleChatModel, prompt: str, state: AgentState, fresh: list[Msg]
) -> Intent:
    """Ask the model for the intent of the new messages.

    One call. An answer that cannot be read as an intent is not an error, nor is an endpoint that does not take such a
    request, or a conversation that is too long for the model: the run goes on as a task with all tools.

    Raises:
        core.errors.RunFailure: The model cannot be used at all.
    """
    messages = [SystemMsg(name="system", content=prompt)]
    for message in [*state.context[-RECENT_MESSAGES:], *fresh]:
        text = (message.get_text_content() or "")[:MAX_MESSAGE_CHARS]
        if not text and any(isinstance(block, DataBlock) for block in message.get_content_blocks()):
            # Otherwise a message that is an attachment only would leave no message at all, which endpoints refuse.
            text = ATTACHMENT
        if text:
            messages.append(
                message.model_copy(update={"content": UserMsg(name="user", content=text).content})
            )
    try:
        # Without a choice of ours AgentScope asks up to three times, with less and less force.
        answer = await model.generate_structured_output(
            messages, structured_model=Intent, tool_choice=ToolChoice(mode=STRUCTURED)
        )
        return Intent.model_validate(answer.content)
    except (StructuredOutputError, ValidationError, ModelRejected, ContextTooLong) as exc:
        log.warning("intent_unreadable", error=type(exc).__name__)
        return UNKNOWN
