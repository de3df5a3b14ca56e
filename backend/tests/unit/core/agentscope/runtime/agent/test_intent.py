"""The intent stage: what it asks the model, and what it makes of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from agentscope.message import AssistantMsg, Msg, TextBlock, ToolCallBlock, UserMsg
from agentscope.state import AgentState
from structlog.testing import capture_logs
from tests.support.model_in_memory import STRUCTURED, Answer, Asks, ModelInMemory, intent

from core.agentscope.runtime.agent.intent import (
    MAX_MESSAGE_CHARS,
    RECENT_MESSAGES,
    UNKNOWN,
    Intent,
    find_intent,
)
from core.agentscope.runtime.model.chat_model import OpenAICompatibleChatModel
from core.errors import ModelUnavailable


async def find(endpoint: ModelInMemory, context: list[Msg] | None = None, text: str = "hello") -> Intent:
    model = OpenAICompatibleChatModel(
        endpoint.services(), model="m", stage="intent", record=lambda _usage: None
    )
    state = AgentState(session_id="t-1", context=context or [])
    return await find_intent(model, "What is it?", state, [UserMsg(name="user", content=text)])


def said(body: dict[str, Any]) -> list[str]:
    """Return the texts the model was sent, the instruction of AgentScope left out."""
    texts: list[str] = []
    for message in body["messages"]:
        content = message["content"]
        texts += [content] if isinstance(content, str) else [part["text"] for part in content]
    return [text for text in texts if STRUCTURED not in text]


async def test_the_answer_is_the_intent() -> None:
    found = await find(ModelInMemory(structured=intent("chat", needs_tools=False, plan=["greet"])))

    assert found == Intent(kind="chat", needs_tools=False, plan=["greet"])


async def test_the_model_sees_the_newest_messages_as_shortened_text() -> None:
    endpoint = ModelInMemory(structured=intent())
    context: list[Msg] = [UserMsg(name="user", content=f"message {number}") for number in range(9)]
    context.append(AssistantMsg(name="assistant", content=[ToolCallBlock(id="c1", name="pay", input="{}")]))
    await find(endpoint, context, text="x" * 5000)

    newest = [f"message {number}" for number in range(9)][-(RECENT_MESSAGES - 1) :]
    assert said(endpoint.asked_structured[0]) == ["What is it?", *newest, "x" * MAX_MESSAGE_CHARS]


async def test_the_conversation_itself_stays_whole() -> None:
    long = AssistantMsg(name="assistant", content=[TextBlock(text="y" * 5000)])
    await find(ModelInMemory(structured=intent()), [long])

    assert long.get_text_content() == "y" * 5000


@pytest.mark.parametrize(
    "answer",
    [["A task, I think."], [], [Asks(STRUCTURED, '{"kind": "riddle", "needs_tools": true}', id="i")]],
    ids=["words", "nothing", "an unknown kind"],
)
async def test_an_answer_that_is_no_intent_is_taken_for_a_task(answer: Answer) -> None:
    with capture_logs() as logs:
        found = await find(ModelInMemory(structured=answer))

    assert found == UNKNOWN
    assert "intent_unreadable" in [entry["event"] for entry in logs]


async def test_a_model_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(ModelUnavailable):
        await find(ModelInMemory(structured=401))
